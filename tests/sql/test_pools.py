"""New values are of the kind that the column holds."""

from __future__ import annotations

from random import Random

import pytest

from t2s.sql.execute import Value
from t2s.sql.pools import pool_of


def found(values: list[Value], constant: Value, own: Value = None, peers: tuple[Value, ...] = ()) -> set[Value]:
    """All that a constant can come to."""
    pool, rng = pool_of(values, "TEXT"), Random(0)
    return {pool.near(constant, own, peers, rng) for _ in range(500)}


@pytest.mark.parametrize(
    ("values", "constant", "near"),
    [
        ([1, 50, 900], 10, {9, 10, 11}),
        ([1, 50, 900], 10.5, {9, 10, 11, 12}),
        ([1.25, 3.5], 2, {1.99, 2, 2.01}),
        (["a", "b"], "c", {"c", None}),
        (["2024-05-01", "2024-06-09"], "2023-03-01", {"2023-02-28", "2023-03-01", "2023-03-02"}),
        (["2024-05-01", "2024-06-09"], "2023", {"2022-12-31", "2023-01-01", "2023-05-01", "2023-12-31", "2024-01-01"}),
        (["2024-05-01", "2024-06-09"], "2024-02", {"2024-01-31", "2024-02-01", "2024-02-29", "2024-03-01"}),
        (["2024-05-01", "2024-06-09"], "11", {"2024-11-01"}),
        (["2024-05-01", "2024-06-09"], "no date", {None}),
        ([1, 2, 3], "no number", {None}),
        ([b"x"], b"y", {b"y", None}),
    ],
)
def test_a_constant_brings_itself_and_its_neighbours(values: list[Value], constant: Value, near: set[Value]) -> None:
    assert found(values, constant) == near


def test_a_time_of_day_keeps_its_form() -> None:
    stamps = found(["2024-05-01 08:30:00"], "2024-06-01", own="2024-05-01 08:30:00")
    assert {"2024-06-01 00:00:00", "2024-05-31 23:59:59", "2024-06-01 08:30:00"} <= stamps
    assert {len(str(stamp)) for stamp in stamps} == {19}


def test_a_pattern_brings_what_fits_at_either_end() -> None:
    texts = found(["x", "y"], "%tea%", own="x")
    assert {"tea", "tea a", "a tea", "x"} <= texts


def test_a_number_beside_dates_is_a_distance() -> None:
    assert {"2024-05-08", "2024-05-09", "2024-04-24"} <= found(["2024-05-01"], 7, own=None, peers=("2024-05-01",))


@pytest.mark.parametrize("values", [list(range(0, 100, 7)), [0.5, 2.25, 9.75] * 5, [f"2024-01-{day:02}" for day in range(1, 29)]])
def test_drawn_values_stay_in_the_columns_range(values: list[Value]) -> None:
    pool, rng = pool_of(values, ""), Random(1)
    drawn = [pool.draw(rng) for _ in range(300)]
    assert {type(value) for value in drawn} == {type(values[0])}
    assert all(min(values) <= value <= max(values) for value in drawn)  # type: ignore[type-var, operator]


@pytest.mark.parametrize("values", [[1, 2], [1.5, 2.5], ["a", "b"], [b"a", b"b"], ["2024-01-31", "2024-02-28"]])
def test_fresh_values_do_not_repeat(values: list[Value]) -> None:
    pool = pool_of(values, "")
    fresh = [pool.fresh(values[1], number) for number in range(1, 50)]
    assert len({*fresh, *values}) == len(fresh) + len(values)


@pytest.mark.parametrize(
    ("declared", "kind"), [("INTEGER", "whole"), ("DECIMAL(8, 2)", "real"), ("DATE", "day"), ("VARCHAR(9)", "text"), ("", "text")]
)
def test_a_column_without_values_gets_some_by_its_type(declared: str, kind: str) -> None:
    assert pool_of([None, None], declared).kind == kind
