"""Two sets of predictions side by side."""

from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged import right, wrong

from t2s.errors import DataError
from t2s.metrics.assessment import Assessment
from t2s.metrics.paired import compare_sets, difference_interval, mcnemar


@pytest.mark.parametrize("b", range(7))
@pytest.mark.parametrize("c", range(7))
def test_p_is_the_share_of_coin_tosses_at_least_as_uneven(b: int, c: int) -> None:
    tosses = list(itertools.product((0, 1), repeat=b + c))
    uneven = [toss for toss in tosses if abs(2 * sum(toss) - (b + c)) >= abs(b - c)]
    assert mcnemar(b, c) == pytest.approx(len(uneven) / len(tosses), abs=1e-12)


def test_p_of_thousands_of_changes_is_near_the_normal_law() -> None:
    b, c = 5000, 5200
    z = (c - b - 1) / math.sqrt(b + c)
    assert mcnemar(b, c) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)


@pytest.mark.parametrize(("n", "lost", "won"), [(20, 0.1, 0.1), (20, 0.3, 0.05), (30, 0.05, 0.25), (40, 0.0, 0.1), (60, 0.2, 0.2)])
def test_the_interval_covers_the_true_difference_about_95_times_in_100(n: int, lost: float, won: float) -> None:
    covered = 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            low, high = difference_interval(b, c, n)
            if low <= won - lost <= high:
                ways = math.comb(n, b) * math.comb(n - b, c)
                covered += ways * lost**b * won**c * (1 - lost - won) ** (n - b - c)
    assert 0.93 < covered < 0.995


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_the_interval_holds_the_difference_and_turns_with_the_sets(b: int, c: int, same: int) -> None:
    n = b + c + same + 1
    low, high = difference_interval(b, c, n)
    assert -1 <= low <= (c - b) / n <= high <= 1
    assert difference_interval(c, b, n) == pytest.approx((-high, -low))


def sets() -> tuple[list[Assessment], list[Assessment]]:
    """Five questions: both right, lost, gained, gained by two comparisons, both wrong."""
    first = [right(index=0), right(index=1), wrong(index=2), wrong(index=3, bird=True), wrong(index=4)]
    second = [right(index=0), wrong(index=1), right(index=2), right(index=3), wrong(index=4)]
    return first, second


def test_each_comparison_has_its_table_of_four() -> None:
    paired = compare_sets(*sets())
    tables = {s.comparison: (s.both_right, s.only_first, s.only_second, s.both_wrong) for s in paired.scores}
    assert tables == {"spider": (1, 1, 2, 1), "bird": (2, 1, 1, 1), "strict": (1, 1, 2, 1)}
    spider = paired.scores[0]
    assert (spider.n, spider.difference, spider.p_value) == (5, pytest.approx(0.2), 1.0)


def test_it_tells_which_questions_changed_and_how() -> None:
    changes = compare_sets(*sets()).changes
    moves = {change.first.case.index: (change.gained(), change.lost()) for change in changes}
    everything = ["spider", "bird", "strict"]
    assert moves == {1: ([], everything), 2: (everything, []), 3: (["spider", "strict"], [])}
    assert changes[2].line()["bird"] == [True, True]
    assert changes[2].line()["strict"] == [False, True]


def test_figures_and_changes_are_plain_json() -> None:
    paired = compare_sets(*sets(), names=("old", "new"))
    figures = json.loads(json.dumps(paired.to_json()))
    assert (figures["first"], figures["second"]) == ("old", "new")
    assert figures["strict"]["only_second"] == 2
    assert [json.loads(json.dumps(change.line()))["index"] for change in paired.changes] == [1, 2, 3]


@pytest.mark.parametrize(("field", "value"), [("question", "Who is the oldest?"), ("gold", "SELECT 1"), ("database", "zoo")])
def test_other_questions_are_refused_by_the_first_that_differs(field: str, value: str) -> None:
    first, second = sets()
    second[2:] = [right(index=2, **{field: value}), right(index=3, **{field: value}), right(index=4)]
    with pytest.raises(DataError, match=rf"prediction 2 has another {field}: .* in old, .*{value}.* in new"):
        compare_sets(first, second, names=("old", "new"))


def test_a_set_that_ends_early_is_refused() -> None:
    first, second = sets()
    with pytest.raises(DataError, match="second ends before prediction 3, 'How many pets"):
        compare_sets(first, second[:3])
    with pytest.raises(DataError, match="first ends before prediction 4"):
        compare_sets(first[:4], second)


def test_two_empty_sets_are_refused() -> None:
    with pytest.raises(DataError, match="no predictions"):
        compare_sets([], [])
