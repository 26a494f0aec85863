"""Why a prediction is wrong: cases from diagnose.sql, and what holds for any two texts."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.sql.diagnose import Diagnosis, diagnose, differences
from t2s.sql.schema import Schema, read_schema
from t2s.sql.values import nearest_among, nearest_value

CASES = Path(__file__).parents[1] / "fixtures" / "sql" / "diagnose.sql"
TABLES = """
CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE shops (id INTEGER PRIMARY KEY, owner_id INTEGER REFERENCES owners, city TEXT);
CREATE TABLE staff (
  id INTEGER PRIMARY KEY, boss_id INTEGER REFERENCES staff, shop_id INTEGER REFERENCES shops, name TEXT, age INTEGER);
CREATE TABLE sales (id INTEGER PRIMARY KEY, shop_id INTEGER REFERENCES shops, seller_id INTEGER REFERENCES staff, amount REAL);
"""
CITIES = ("Oslo", "Bergen", "Moss", "New York City")


def cases() -> list[tuple[str, str, list[str]]]:
    blocks = CASES.read_text(encoding="utf-8").strip().split("\n\n")[1:]
    rows = [block.partition("\n")[2].removesuffix(";").split(";\n") for block in blocks]
    return [(gold, predicted, [] if kinds == "same" else kinds.split()) for gold, predicted, kinds in rows]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    file = tmp_path_factory.mktemp("diagnose") / "shops.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(TABLES)
    return read_schema(file, 0)


def kinds(found: tuple[Diagnosis, ...] | None) -> list[str]:
    assert found is not None
    return [one.kind for one in found]


@pytest.mark.parametrize(("gold", "predicted", "expected"), cases())
def test_a_prediction_differs_as_the_case_says(gold: str, predicted: str, expected: list[str], schema: Schema) -> None:
    assert kinds(differences(gold, predicted, schema)) == expected


@pytest.mark.parametrize(("gold", "predicted", "expected"), cases())
def test_every_query_of_the_cases_runs(gold: str, predicted: str, expected: list[str]) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLES)
        for sql in (gold, predicted):
            connection.execute(sql)


@pytest.mark.parametrize(("gold", "predicted", "expected"), cases())
def test_a_query_does_not_differ_from_itself(gold: str, predicted: str, expected: list[str], schema: Schema) -> None:
    for sql in (gold, predicted):
        assert differences(sql, sql, schema) == ()
        assert differences(sql, sql) == ()


@pytest.mark.parametrize(("gold", "predicted", "expected"), [case for case in cases() if case[2]])
def test_without_a_schema_the_most_important_is_found_too(gold: str, predicted: str, expected: list[str]) -> None:
    assert kinds(differences(gold, predicted))[0] == expected[0]


@pytest.mark.parametrize(
    ("gold", "predicted"),
    [
        ("SELECT name FROM staff WHERE age > 3", "SELECT s.name FROM staff AS s WHERE s.age > 3"),
        ("SELECT o.name FROM owners o JOIN shops s ON s.owner_id = o.id", "SELECT name FROM owners o JOIN shops s ON owner_id = o.id"),
        ("SELECT id FROM shops WHERE city = 'Oslo'", 'SELECT id FROM shops WHERE city = "Oslo"'),
    ],
)
def test_without_a_schema_the_queries_tell_whose_a_column_is(gold: str, predicted: str) -> None:
    assert differences(gold, predicted) == ()


def test_a_miss_without_a_difference_is_other(schema: Schema) -> None:
    assert kinds(diagnose("SELECT name FROM staff", "select NAME from staff", schema)) == ["other"]


@pytest.mark.parametrize("text", ["", "SELECT", "hello there", "DROP TABLE staff", "SELECT 1; SELECT 2", "\0", "'", "(" * 5000])
def test_what_is_no_query_has_no_diagnosis(text: str, schema: Schema) -> None:
    assert diagnose("SELECT name FROM staff", text, schema) == ()


def test_a_detail_says_what_stands_where(schema: Schema) -> None:
    gold = "SELECT name FROM staff s WHERE s.age > 30 ORDER BY age"
    found = diagnose(gold, "SELECT name FROM staff WHERE age >= 30 ORDER BY age DESC LIMIT 2", schema)
    assert [one.detail for one in found] == [
        "staff.age >= 30 instead of staff.age > 30",
        "orders by staff.age DESC instead of staff.age ASC",
        "LIMIT 2, which the gold does not have",
    ]


def test_a_detail_in_a_nested_query_says_so(schema: Schema) -> None:
    gold = "SELECT name FROM owners WHERE id NOT IN (SELECT owner_id FROM shops WHERE city = 'Oslo')"
    (found,) = diagnose(gold, gold.replace("Oslo", "Moss"), schema)
    assert found.detail == "in a nested query, shops.city = 'Moss' instead of shops.city = 'Oslo'"


def test_a_wrong_value_names_the_nearest_in_the_column(schema: Schema) -> None:
    asked: list[tuple[str, str]] = []

    def texts(table: str, column: str) -> tuple[str, ...]:
        asked.append((table, column))
        return CITIES

    nearest = nearest_among(texts)
    gold, predicted = (f"SELECT s.id FROM shops s WHERE s.city = '{city}'" for city in ("Oslo", "Olso"))
    for _ in range(2):
        (found,) = diagnose(gold, predicted, schema, nearest)
        assert found.kind == "wrong_value"
        assert found.detail.endswith("; the column has no 'Olso', the nearest is 'Oslo'")
    assert asked == [("shops", "city")]
    (found,) = diagnose(gold, predicted.replace("Olso", "Bergen"), schema, nearest)
    assert "nearest" not in found.detail


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Olso", "Oslo"),
        ("oslo", "Oslo"),
        (" Oslo ", "Oslo"),
        ("new  york city", "New York City"),
        ("New York", "New York City"),
        ("Oslo", None),
        ("Zürich", None),
        ("", None),
    ],
)
def test_the_nearest_value_is_what_was_meant(written: str, expected: str | None) -> None:
    assert nearest_value(written, CITIES) == expected


WORDS = (
    *("SELECT", "DISTINCT", "FROM", "WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "JOIN", "LEFT JOIN", "ON", "USING", "AND", "OR"),
    *("NOT", "IN", "LIKE", "BETWEEN", "IS", "NULL", "EXISTS", "UNION", "EXCEPT", "WITH", "AS", "CASE WHEN", "THEN", "END", "OVER", "DESC"),
    *("VALUES", "staff", "shops", "name", "s", "s.city", "*", "COUNT(", "MAX(", "(", "(SELECT", ")", ",", "=", "<", "-", "1", "'a'", '"x"'),
)


@given(st.data())
def test_no_text_breaks_the_diagnosis(data: st.DataObject) -> None:
    """Queries with words put in, left out and exchanged."""
    gold, predicted, _ = data.draw(st.sampled_from(cases()))
    words = predicted.split()
    for _ in range(data.draw(st.integers(0, 5))):
        place = data.draw(st.integers(0, len(words)))
        words[place : place + data.draw(st.integers(0, 2))] = data.draw(st.lists(st.sampled_from(WORDS), max_size=3))
    broken = " ".join(words)
    assert isinstance(diagnose(gold, broken), tuple)
    assert isinstance(diagnose(broken, gold), tuple)
    assert not differences(broken, broken)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM t WHERE " + " OR ".join(f"a = {i}" for i in range(800)),
        "SELECT a FROM t WHERE " + " AND ".join(f"a < {i} + b" for i in range(500)),
        "SELECT " + "(" * 300 + "a" + ")" * 300 + " FROM t",
        "SELECT " + " + ".join("a" for _ in range(2000)) + " FROM t",
        "SELECT a FROM " + "(SELECT a FROM " * 40 + "t" + ")" * 40,
        "WITH c0 AS (SELECT a, a AS b FROM t)"
        + "".join(f", c{i} AS (SELECT x.a + y.b AS a, x.b || y.a AS b FROM c{i - 1} x, c{i - 1} y)" for i in range(1, 60))
        + " SELECT a FROM c59",
        "WITH RECURSIVE c AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM c) SELECT n FROM c",
        " UNION ".join(f"SELECT {i}" for i in range(300)),
        "SELECT a FROM t WHERE " + "NOT " * 200 + "a = 1",
    ],
    ids=["or", "and", "parentheses", "sum", "subqueries", "doubling", "recursive", "unions", "not"],
)
def test_a_monstrous_query_is_done_soon(text: str) -> None:
    assert len(text) < 10_000  # longer ones are not looked at
    start = time.process_time()
    assert isinstance(diagnose("SELECT a FROM t WHERE b = 1", text), tuple)
    found = diagnose(text, text.replace("a", "c"))
    assert time.process_time() - start < 5  # a hundred times what a real query takes, and far from what squares or doubles
    assert all(len(one.detail) < 2000 for one in found)
