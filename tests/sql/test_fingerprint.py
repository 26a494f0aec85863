"""Fingerprints tell results apart as the strict comparison does."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.sql.compare import same_result
from t2s.sql.execute import Outcome
from t2s.sql.fingerprint import fingerprint, ran


def result(*rows: tuple[Any, ...]) -> Outcome:
    return Outcome("ok", tuple("abc"[: len(rows[0]) if rows else 1]), rows, "", 0.1)


SAME = [
    ([(1,), (2,)], [(2,), (1,)]),
    ([(3,)], [(3.0,)]),
    ([(0.1 + 0.2,)], [(0.3,)]),
    ([(-0.0,)], [(0,)]),
    ([(float("inf"),)], [(float("inf"),)]),
]
DIFFERENT = [
    ([(1,), (1,)], [(1,)]),
    ([(1,), (1,), (2,)], [(1,), (2,), (2,)]),
    ([(1, 2)], [(2, 1)]),
    ([(3,)], [("3",)]),
    ([("a",)], [(b"a",)]),
    ([(None,)], [("",)]),
    ([(None,)], [("null",)]),
    ([("a", "b")], [("b", "a")]),
    ([("a\x00text b", "c")], [("a", "b\x00text c")]),
    ([(9007199254740993,)], [(9007199254740992,)]),
    ([(1.5,)], [(1.51,)]),
    ([], [(None,)]),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_results_have_one_fingerprint(one: list[Any], other: list[Any]) -> None:
    assert fingerprint(result(*one)) == fingerprint(result(*other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_results_have_different_ones(one: list[Any], other: list[Any]) -> None:
    assert fingerprint(result(*one)) != fingerprint(result(*other))


CELLS = st.none() | st.integers(-3, 3) | st.sampled_from([0.5, 2.0, -1.25]) | st.text(max_size=2) | st.binary(max_size=2)
ROWS = st.integers(1, 2).flatmap(lambda width: st.lists(st.tuples(*[CELLS] * width), max_size=4))


@given(one=ROWS, other=ROWS, seed=st.integers(0, 9))
def test_fingerprints_agree_with_the_strict_comparison(one: list[Any], other: list[Any], seed: int) -> None:
    shuffled = random.Random(seed).sample(one, len(one))
    assert fingerprint(result(*one)) == fingerprint(result(*shuffled))
    if one and other and len(one[0]) == len(other[0]):
        assert (fingerprint(result(*one)) == fingerprint(result(*other))) is same_result(one, other, "strict", ordered=False)


def test_a_statement_that_did_not_run_has_its_kind_for_one() -> None:
    failed = Outcome("missing_table", (), (), "no such table: t", 0.0)
    assert fingerprint(failed) == "missing_table"
    assert not ran(fingerprint(failed))
    assert ran(fingerprint(result((1,), (2,))))
    assert fingerprint(result((1,), (2,))).startswith("2x1:")
