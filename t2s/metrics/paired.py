"""Two sets of predictions for the same questions: which one is better, and is it more than luck?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from t2s.errors import DataError
from t2s.metrics.assessment import Assessment
from t2s.metrics.summary import COMPARISONS, is_match
from t2s.sql.compare import Comparison


@dataclass(frozen=True)
class PairedScore:
    """How often two sets of predictions are right, by one comparison.

    Attributes:
        comparison: What counts as right.
        both_right: Questions that both answer.
        only_first: Questions that only the first set answers; McNemar's b.
        only_second: Questions that only the second set answers; McNemar's c.
        both_wrong: Questions that neither answers.
    """

    comparison: Comparison
    both_right: int
    only_first: int
    only_second: int
    both_wrong: int

    @property
    def n(self) -> int:
        """How many questions there are."""
        return self.both_right + self.only_first + self.only_second + self.both_wrong

    @property
    def difference(self) -> float:
        """Execution accuracy of the second set less that of the first, in [-1, 1]."""
        return (self.only_second - self.only_first) / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference; see `difference_interval`."""
        return difference_interval(self.only_first, self.only_second, self.n)

    @property
    def p_value(self) -> float:
        """How likely a gap this wide is between sets that are equally good; see `mcnemar`."""
        return mcnemar(self.only_first, self.only_second)

    def to_json(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "both_right": self.both_right,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "both_wrong": self.both_wrong,
            "difference": self.difference,
            "interval": list(self.interval),
            "p_value": self.p_value,
        }


@dataclass(frozen=True)
class Change:
    """A question on which the two sets differ by at least one comparison."""

    first: Assessment
    second: Assessment

    def gained(self) -> list[Comparison]:
        """By what the second set is right and the first is wrong."""
        return [c for c in COMPARISONS if is_match(self.second, c) and not is_match(self.first, c)]

    def lost(self) -> list[Comparison]:
        """By what the first set is right and the second is wrong."""
        return Change(self.second, self.first).gained()

    def line(self) -> dict[str, Any]:
        """The change as a line of JSON; each comparison gives the first and the second set's verdict."""
        case = self.first.case
        return {
            "index": case.index,
            "database": case.database,
            "question": case.question,
            "gold": case.gold,
            "first": case.predicted,
            "second": self.second.case.predicted,
            **{c: [is_match(self.first, c), is_match(self.second, c)] for c in COMPARISONS},
        }


@dataclass(frozen=True)
class Paired:
    """Two sets of predictions side by side.

    Attributes:
        names: What to call the first and the second set.
        scores: One for each comparison.
        changes: Questions on which they differ, in input order.
    """

    names: tuple[str, str]
    scores: tuple[PairedScore, ...]
    changes: tuple[Change, ...]

    def to_json(self) -> dict[str, Any]:
        """Names and figures; the changes are lines of their own."""
        return {"first": self.names[0], "second": self.names[1], **{score.comparison: score.to_json() for score in self.scores}}


def compare_sets(first: Sequence[Assessment], second: Sequence[Assessment], names: tuple[str, str] = ("first", "second")) -> Paired:
    """Set two judged sets of predictions for the same questions side by side.

    Args:
        first: The set to compare with, in input order.
        second: The set in question, in the same order.
        names: What to call them.

    Raises:
        DataError: there are no questions, or the sets do not answer the same ones; names the first that differs.
    """
    _check_same_questions(first, second, names)
    changes = (Change(*pair) for pair in zip(first, second, strict=True))
    return Paired(
        names=names,
        scores=tuple(_score(first, second, comparison) for comparison in COMPARISONS),
        changes=tuple(change for change in changes if change.gained() or change.lost()),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p of McNemar's test, exact by the binomial distribution.

    Were both sets equally good, each question that only one of them answers would be a fair coin.
    Test: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12 (1947), 153-157; the exact form doubles the smaller tail, and stops at 1.

    Example:
        mcnemar(1, 8) -> 0.0390625, which is 2 * (1 + 9) / 2**9
    """
    tosses, rarer = only_first + only_second, min(only_first, only_second)
    ways = tail = 1
    for heads in range(rarer):
        ways = ways * (tosses - heads) // (heads + 1)
        tail += ways
    # Whole numbers to the end: as a float, 2**-tosses is zero long before the product is.
    return min(1.0, 2 * tail / (1 << tosses))


def difference_interval(only_first: int, only_second: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the difference between two shares of the same questions, second less first.

    Formula: D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of binomial proportions
    based on paired data", Journal of Educational and Behavioral Statistics 37 (2012), 479-488: the plain interval with
    one question added to either side. Unlike the plain one it holds for small samples, and is no point without changes.

    Returns:
        The lower and the upper end, within [-1, 1].
    """
    lost, won = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    half_width = z * math.sqrt((lost + won - (won - lost) ** 2) / (n + 2))
    return max(-1.0, won - lost - half_width), min(1.0, won - lost + half_width)


def _score(first: Sequence[Assessment], second: Sequence[Assessment], comparison: Comparison) -> PairedScore:
    counts = Counter((is_match(a, comparison), is_match(b, comparison)) for a, b in zip(first, second, strict=True))
    return PairedScore(comparison, counts[True, True], counts[True, False], counts[False, True], counts[False, False])


def _check_same_questions(first: Sequence[Assessment], second: Sequence[Assessment], names: tuple[str, str]) -> None:
    hint = "compare predictions for the same questions in the same order"
    for place, (mine, other) in enumerate(zip(first, second, strict=False)):
        for what in ("question", "database", "gold"):
            a, b = getattr(mine.case, what), getattr(other.case, what)
            if a != b:
                raise DataError(f"prediction {place} has another {what}: {a!r} in {names[0]}, {b!r} in {names[1]}; {hint}")
    if len(first) != len(second):
        place = min(len(first), len(second))
        extra, missing = (first, 1) if len(first) > len(second) else (second, 0)
        raise DataError(f"{names[missing]} ends before prediction {place}, {extra[place].case.question!r}; {hint}")
    if not first:
        raise DataError(f"no predictions to compare; {hint}")
