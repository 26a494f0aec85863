"""Spider's classes: cases from hardness.sql, and what holds for any query."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.errors import DataError
from t2s.sql.hardness import hardness

CASES = Path(__file__).parents[1] / "fixtures" / "sql" / "hardness.sql"


def cases() -> list[tuple[str, str]]:
    blocks = CASES.read_text(encoding="utf-8").strip().split("\n\n")[1:]
    rows = [block.partition("\n")[2].removesuffix(";").split(";\n") for block in blocks]
    return [(sql, expected) for sql, expected in rows]


@pytest.mark.parametrize(("sql", "expected"), cases())
def test_a_query_has_the_class_the_case_counts(sql: str, expected: str) -> None:
    assert hardness(sql) == expected


@pytest.mark.parametrize(("sql", "expected"), cases())
def test_case_spaces_and_comments_change_no_class(sql: str, expected: str) -> None:
    assert hardness(f"/* join */ {sql.lower()}  -- OR\n;") == expected


@pytest.mark.parametrize("sql", ["", "hello", "DROP TABLE t", "SELECT 1; SELECT 2", "SELECT FROM t", "(" * 5000])
def test_what_is_no_query_is_refused(sql: str) -> None:
    with pytest.raises(DataError):
        hardness(sql)


def published_rule(clauses: int, nested: int, extras: int) -> str:
    """The conditions as the official script writes them down."""
    if clauses <= 1 and extras == 0 and nested == 0:
        return "easy"
    if (extras <= 2 and clauses <= 1 and nested == 0) or (clauses <= 2 and extras < 2 and nested == 0):
        return "medium"
    if (extras > 2 and clauses <= 2 and nested == 0) or (2 < clauses <= 3 and extras <= 2 and nested == 0):
        return "hard"
    return "hard" if clauses <= 1 and extras == 0 and nested <= 1 else "extra"


@given(st.integers(0, 3), st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_a_built_query_has_the_class_of_its_parts(
    joins: int, where: bool, many: bool, order: bool, limit: bool, columns: bool, nested: bool
) -> None:
    parts = ["SELECT a, b" if columns else "SELECT a", "FROM t0", *(f"JOIN t{i + 1} ON t0.k = t{i + 1}.k" for i in range(joins))]
    tests = ["x = 1"] * (where or many) + ["y = 2"] * many + ["z IN (SELECT z FROM u)"] * nested
    parts += [f"WHERE {' AND '.join(tests)}"] if tests else []
    parts += ["ORDER BY a"] * order + ["LIMIT 1"] * limit
    counted = joins + bool(tests) + order + limit, int(nested), columns + (len(tests) > 1)
    assert hardness(" ".join(parts)) == published_rule(*counted)
