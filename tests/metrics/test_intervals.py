"""The Wilson interval against its definition."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.metrics.intervals import wilson


def test_the_interval_of_a_published_example() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 ends at 0.1611.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_each_end_is_a_share_that_lies_just_z_errors_away(case: tuple[int, int]) -> None:
    successes, n = case
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    for end in (low, high):
        error = 1.959963984540054 * math.sqrt(end * (1 - end) / n)
        assert abs(end - successes / n) == pytest.approx(error, abs=1e-9)


def test_of_nothing_nothing_is_known() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_more_confidence_needs_a_wider_interval() -> None:
    assert wilson(5, 10, 0.99)[0] < wilson(5, 10, 0.9)[0]


@pytest.mark.parametrize(("successes", "n", "confidence"), [(2, 1, 0.95), (-1, 1, 0.95), (1, 1, 1.0), (1, 1, 0.0)])
def test_impossible_counts_are_refused(successes: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="must lie"):
        wilson(successes, n, confidence)
