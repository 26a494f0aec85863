"""How far a share measured on a few examples can be trusted."""

import math
from statistics import NormalDist


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a share.

    Formula: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22 (1927), 209-212. Unlike share ± z standard errors it stays within
    [0, 1] and does not shrink to a point at 0 % or 100 %.

    Args:
        successes: How many of the `n` succeeded.
        n: How many there were; of none nothing is known, and the interval is (0, 1).
        confidence: How often the interval covers the true share, strictly between 0 and 1.

    Returns:
        The lower and the upper end, within [0, 1].

    Raises:
        ValueError: a count or the confidence is out of range.

    Example:
        wilson(8, 10) -> (0.490, 0.943)
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}: successes must lie between 0 and n")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} must lie strictly between 0 and 1, e.g. 0.95")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = share + z * z / (2 * n)
    half_width = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At 0 and at n the end is exact on paper; rounding would leave it a hair off.
    low = 0.0 if successes == 0 else (centre - half_width) / scale
    high = 1.0 if successes == n else (centre + half_width) / scale
    return low, high
