"""Mutants are what a slip would make of a query: other SQL that still runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from t2s.errors import DataError
from t2s.sql.mutate import mutants
from t2s.sql.parse import parse_query
from t2s.sql.schema import Schema, read_schema

FIXTURE = Path(__file__).parents[1] / "fixtures" / "sql" / "mutants.sql"
TABLES = """
CREATE TABLE shops (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT, area INTEGER, opened DATE, closed DATE);
CREATE TABLE sales (id INTEGER PRIMARY KEY, shop_id INTEGER REFERENCES shops, amount REAL, fee REAL);
INSERT INTO shops VALUES (1, 'Aker', 'Oslo', 12, '2020-01-01', NULL), (2, 'Bryg', 'Bergen', 40, '2021-05-03', '2022-01-01');
INSERT INTO sales VALUES (1, 1, 10, 0.5), (2, 1, 7.5, NULL);
"""


def cases() -> list[tuple[str, str, str]]:
    blocks = FIXTURE.read_text(encoding="utf-8").strip().split("\n\n")[1:]
    lines = [block.splitlines() for block in blocks]
    return [(title.removeprefix("-- ").partition(":")[0], query.removesuffix(";"), made.removesuffix(";")) for title, query, made in lines]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("mutate") / "shops.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(TABLES)
        connection.executemany(
            "INSERT INTO shops (name, city) VALUES (?, ?)", [("C", "Bergen"), ("D", "Bergen"), ("E", "Oslo"), ("F", "Oslo")]
        )
        connection.commit()
    return file


@pytest.fixture(scope="module")
def schema(database: Path) -> Schema:
    return read_schema(database, 10)


@pytest.mark.parametrize(("rule", "query", "made"), cases())
def test_a_rule_makes_the_slip_it_is_named_for(rule: str, query: str, made: str, schema: Schema) -> None:
    found = {mutant.sql: mutant.rule for mutant in mutants(query, schema)}
    assert made in found, "\n".join(found)
    assert found[made] == rule


@pytest.mark.parametrize("query", [query for _, query, _ in cases()])
def test_mutants_differ_from_the_query_and_each_other_and_nearly_all_run(query: str, schema: Schema, database: Path) -> None:
    made = [mutant.sql for mutant in mutants(query, schema)]
    assert made
    assert len(made) == len(set(made))
    as_written = parse_query(query).sql("sqlite")
    with closing(sqlite3.connect(database)) as connection:
        failed = [sql for sql in made if sql == as_written or not runs(connection, sql)]
    assert len(failed) <= len(made) / 10, failed


def runs(connection: sqlite3.Connection, sql: str) -> bool:
    try:
        connection.execute(sql).fetchall()
    except sqlite3.Error:
        return False
    return True


def test_no_mutant_joins_every_row_with_every_row(schema: Schema) -> None:
    for query in (
        "SELECT s.name FROM shops AS s JOIN sales AS x ON x.shop_id = s.id WHERE x.fee > 1",
        "SELECT s.name FROM shops AS s, sales AS x WHERE x.shop_id = s.id AND x.fee > 1",
    ):
        joined = [mutant.sql for mutant in mutants(query, schema) if "sales" in mutant.sql]
        assert joined
        assert all(" = " in sql and " OR " not in sql for sql in joined)


def test_mutants_come_in_the_same_order_each_time(schema: Schema) -> None:
    query = "SELECT city, COUNT(*) FROM shops WHERE area > 3 GROUP BY city ORDER BY 2 DESC LIMIT 2"
    assert mutants(query, schema) == mutants(query, schema)


def test_the_query_given_is_left_as_it_was(schema: Schema) -> None:
    query = "SELECT name FROM shops WHERE area > 3 AND city = 'Oslo' ORDER BY name"
    every = mutants(query, schema)
    assert all(mutant.sql != query for mutant in every)
    # One slip each: the SQL before and after the place that changed is the query's own.
    assert sum(mutant.sql.startswith("SELECT name FROM shops WHERE ") for mutant in every) > len(every) / 2


def test_what_is_no_query_has_no_mutants(schema: Schema) -> None:
    with pytest.raises(DataError):
        mutants("DELETE FROM shops", schema)
