"""When two results are the same: cases from compare.sql, and laws that hold for any rows."""

import itertools
import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.sql.compare import Comparison, as_spider_runs, is_ordered, same_result, spider_orders
from t2s.sql.execute import Row, Sandbox

CASES = Path(__file__).parents[1] / "fixtures" / "sql" / "compare.sql"
COMPARISONS: tuple[Comparison, ...] = ("strict", "bird")

cells = st.none() | st.integers(-5, 5) | st.floats() | st.sampled_from(["", "a", "3"]) | st.binary(max_size=1)
results = st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[cells] * width), max_size=8))


def compare_cases() -> list[tuple[str, str, list[str]]]:
    blocks = CASES.read_text(encoding="utf-8").strip().split("\n\n")[1:]
    rows = [block.partition("\n")[2].removesuffix(";").split(";\n") for block in blocks]
    return [(gold, predicted, expected.split()) for gold, predicted, expected in rows]


@pytest.mark.parametrize(("gold", "predicted", "expected"), compare_cases())
def test_results_compare_as_the_case_says(sandbox: Sandbox, pets: Path, gold: str, predicted: str, expected: list[str]) -> None:
    first, second = sandbox.execute_many([(gold, pets), (predicted, pets)])
    assert (first.kind, second.kind) == ("ok", "ok")
    found = [same_result(first.rows, second.rows, comparison, is_ordered(gold)) for comparison in COMPARISONS]
    assert [str(int(same)) for same in found] == expected


@pytest.mark.parametrize(
    ("gold", "predicted", "same"),
    [
        ("SELECT name, age FROM pets", "SELECT age, name FROM pets", True),
        ("SELECT DISTINCT age IS NULL FROM pets", "SELECT age IS NULL FROM pets GROUP BY 1", False),
        ("SELECT DISTINCT age IS NULL FROM pets", "SELECT age IS NULL FROM pets", True),
        ("SELECT COUNT(DISTINCT age IS NULL) FROM pets", "SELECT COUNT(age IS NULL) FROM pets", True),
        ("SELECT name FROM pets ORDER BY id", "SELECT name FROM pets ORDER BY id DESC", False),
        ("SELECT name FROM pets", "SELECT name FROM pets ORDER BY id DESC", True),
        ("SELECT name FROM pets WHERE id > = 1", "SELECT name FROM pets WHERE id >= 1", True),
        ("SELECT 1, 1.5", "SELECT 1.0, 1.5", False),  # a quirk: cells are sorted by their text, and '1.5' stands before '1<'
        ("SELECT 1", "SELECT 1.0", True),
        ("SELECT name, name FROM pets", "SELECT name FROM pets", False),
        ("SELECT 1 WHERE 0", "SELECT 1, 2, 3 WHERE 0", True),
    ],
)
def test_spider_compares_as_its_evaluator_does(sandbox: Sandbox, pets: Path, gold: str, predicted: str, same: bool) -> None:
    first, second = sandbox.execute_many([(as_spider_runs(gold), pets), (as_spider_runs(predicted), pets)])
    assert (first.kind, second.kind) == ("ok", "ok")
    assert same_result(first.rows, second.rows, "spider", spider_orders(gold)) is same


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT DISTINCT a FROM t", "SELECT  a FROM t"),
        ("select count(distinct a) from t", "select count( a) from t"),
        ("SELECT 'distinct' FROM t", "SELECT 'distinct' FROM t"),
        ('SELECT "distinct" FROM t', 'SELECT "distinct" FROM t'),
        ("SELECT a IS DISTINCT FROM b, a IS NOT DISTINCT FROM b", "SELECT a IS DISTINCT FROM b, a IS NOT DISTINCT FROM b"),
        ("SELECT a FROM t WHERE y = YEAR(CURDATE())", "SELECT a FROM t WHERE y = 2020"),
    ],
)
def test_spider_runs_a_query_without_its_distinct(sql: str, expected: str) -> None:
    assert as_spider_runs(sql) == expected


@given(results, st.randoms(use_true_random=False), st.booleans())
def test_order_of_columns_is_blind_to_spider_and_to_strict_if_asked(rows: list[Row], dice: random.Random, ordered: bool) -> None:
    order = dice.sample(range(len(rows[0])), len(rows[0])) if rows else []
    turned = [tuple(row[i] for i in order) for row in rows]
    assert same_result(rows, turned, "strict", ordered, columns="free")
    if not any(isinstance(cell, float) and cell != cell for row in rows for cell in row):  # SQLite has no NaN
        assert same_result(rows, turned, "spider", ordered)


@given(results, results, st.booleans())
def test_spider_is_at_least_as_kind_as_equal_rows(first: list[Row], second: list[Row], ordered: bool) -> None:
    """The oracle tries every order of the columns, as the evaluator does."""
    kinds = {type(cell) for row in first + second for cell in row}
    if {int, float} <= kinds or any(cell != cell for row in first + second for cell in row):
        return
    widths = {len(row) for row in first + second}
    expected = len(first) == len(second) and (not first or (len(widths) == 1 and _some_permutation(first, second, ordered)))
    assert same_result(first, second, "spider", ordered) is expected


def _some_permutation(first: list[Row], second: list[Row], ordered: bool) -> bool:
    for order in itertools.permutations(range(len(first[0]))):
        turned = [tuple(row[i] for i in order) for row in second]
        left = list(turned)
        if first == turned if ordered else all(row in left and left.remove(row) is None for row in first):
            return True
    return False


@given(results, st.booleans())
def test_every_result_is_the_same_as_itself(rows: list[Row], ordered: bool) -> None:
    assert same_result(rows, list(rows), "strict", ordered)


@given(results, st.randoms(use_true_random=False))
def test_order_of_rows_is_blind_unless_the_gold_orders(rows: list[Row], dice: random.Random) -> None:
    shuffled = dice.sample(rows, len(rows))
    assert same_result(rows, shuffled, "strict", ordered=False)


@given(results, results, st.booleans())
def test_comparing_is_symmetric(first: list[Row], second: list[Row], ordered: bool) -> None:
    assert same_result(first, second, "strict", ordered) == same_result(second, first, "strict", ordered)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.sampled_from("ab")), max_size=30))
def test_noise_in_floats_is_blind_where_values_lie_apart(rows: list[tuple[int, int, str]]) -> None:
    noisy = [(a + 1e-9 * index, b - 1e-9 * index, c) for index, (a, b, c) in enumerate(rows)]
    assert same_result(rows, noisy[::-1], "strict", ordered=False)
    if rows:
        assert not same_result(rows, [(noisy[0][0] + 0.5, *noisy[0][1:]), *noisy[1:]], "strict", ordered=False)


def test_ten_thousand_noisy_rows_compare_in_seconds() -> None:
    dice = random.Random(0)
    rows = [(1.0, dice.randrange(10), dice.random() * 100) for _ in range(10_000)]
    noisy = [(a + dice.random() * 1e-9, b, c + dice.random() * 1e-9) for a, b, c in rows]
    dice.shuffle(noisy)
    start = time.monotonic()
    assert same_result(rows, noisy, "strict", ordered=False)
    assert time.monotonic() - start < 3  # trying every pair takes minutes


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("select a from t order /* by */\n by a limit 1", True),
        ("SELECT a FROM t UNION SELECT b FROM u ORDER BY 1", True),
        ("WITH c AS (SELECT a FROM t ORDER BY a) SELECT * FROM c", False),
        ("SELECT a FROM t WHERE a IN (SELECT a FROM u ORDER BY a LIMIT 1)", False),
        ("SELECT row_number() OVER (ORDER BY a) FROM t", False),
        ("SELECT ' ORDER BY a' FROM t -- ORDER BY a", False),
        ('SELECT "order" FROM t', False),
    ],
)
def test_only_the_outermost_order_by_orders_a_query(sql: str, expected: bool) -> None:
    assert is_ordered(sql) is expected
