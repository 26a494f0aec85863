"""Queries in other dialects say what they said in SQLite, and the other way round."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2s.errors import ConfigError, DataError
from t2s.sql.compare import is_ordered, same_result
from t2s.sql.dialect import dialect_names, from_dialect, round_trip, to_dialect
from t2s.sql.schema import Column, Schema, Table, read_schema

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures/sql"
SEEN = """
CREATE TABLE seen (id INTEGER PRIMARY KEY, name TEXT, legs INTEGER, mass_g INTEGER, day TEXT, left_on TEXT, seen_at TEXT);
CREATE TABLE "Odd names" ("Order" INTEGER, "a b" TEXT);
INSERT INTO seen VALUES
  (1, 'Greta', 4, 31, '2024-01-15', '2024-03-01', '2024-02-01 10:30:00'),
  (2, 'green', 4, 22, '2024-02-29', '2024-02-29', '2024-02-29 23:59:59'),
  (3, 'Hopper', 6, NULL, '2023-12-31', NULL, '2023-12-31 00:00:01'),
  (4, 'gray%', 2, -7, '2024-05-05', '2025-05-05', '2024-05-06 12:00:00');
INSERT INTO "Odd names" VALUES (1, 'x'), (2, 'y');
"""
LINE = re.compile(r"(?:(\w+): )?(.*);")


def _lines(name: str) -> Iterator[tuple[str | None, str]]:
    for line in (FIXTURES / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("--"):
            found = LINE.fullmatch(line)
            assert found, line
            yield found[1], found[2]


def _written() -> list[tuple[str, str, str]]:
    """(SQLite, dialect, the same in it)."""
    cases, sqlite = [], ""
    for dialect, sql in _lines("dialect.sql"):
        sqlite = sqlite if dialect else sql
        if dialect:
            cases.append((sqlite, dialect, sql))
    return cases


def _read() -> list[tuple[str, str, str]]:
    """(dialect, the query in it, SQLite)."""
    lines = list(_lines("dialect_read.sql"))
    return [(str(dialect), sql, expected) for (dialect, sql), (_, expected) in zip(lines[::2], lines[1::2], strict=True)]


WRITTEN, READ = _written(), _read()
RUNNABLE = [case for case in WRITTEN if case[2] != "refused"]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("dialect") / "seen.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(SEEN)
    return file


@pytest.fixture(scope="module")
def schema(database: Path) -> Schema:
    return read_schema(database, 0)


def rows_of(sql: str, database: Path) -> list[tuple[Any, ...]]:
    # unixepoch is younger than some SQLite that Python brings along.
    sql = re.sub(r"(?i)unixepoch\(([^)]*)\)", r"CAST(strftime('%s', \1) AS INTEGER)", sql)
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


def plain(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows as SQLite would give them: no decimals, no dates of their own type."""

    def cell(value: Any) -> Any:
        if isinstance(value, Decimal):
            return float(value)
        return value if isinstance(value, int | float | str | None) else str(value)

    return [tuple(map(cell, row)) for row in rows]


@pytest.mark.parametrize(("sqlite", "dialect", "expected"), WRITTEN)
def test_a_query_is_written_as_the_dialect_has_it(sqlite: str, dialect: str, expected: str, schema: Schema) -> None:
    if expected == "refused":
        with pytest.raises(DataError, match=rf"no equal in {dialect}"):
            to_dialect(sqlite, dialect, schema)
    else:
        assert to_dialect(sqlite, dialect, schema) == expected


@pytest.mark.parametrize(("sqlite", "dialect"), [(sqlite, dialect) for sqlite, dialect, _ in RUNNABLE])
def test_a_query_returns_the_same_rows_when_it_is_back(sqlite: str, dialect: str, database: Path, schema: Schema) -> None:
    before = rows_of(sqlite, database)
    assert before
    assert same_result(before, rows_of(round_trip(sqlite, dialect, schema), database), "strict", ordered=True)


@pytest.mark.parametrize(("sqlite", "written"), [(sqlite, written) for sqlite, dialect, written in RUNNABLE if dialect == "duckdb"])
def test_duckdb_returns_the_rows_that_sqlite_returns(sqlite: str, written: str, database: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.execute(SEEN)
        found = plain(connection.execute(written).fetchall())
    assert same_result(rows_of(sqlite, database), found, "strict", ordered=is_ordered(sqlite))


@pytest.mark.slow
def test_postgres_returns_the_rows_that_sqlite_returns(database: Path, postgres_url: str) -> None:
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(SEEN.encode())
        for sqlite, written in [(sqlite, written) for sqlite, dialect, written in RUNNABLE if dialect == "postgres"]:
            found = plain(connection.execute(written.encode()).fetchall())
            assert same_result(rows_of(sqlite, database), found, "strict", ordered=is_ordered(sqlite)), written


@pytest.mark.parametrize(("dialect", "sql", "expected"), READ)
def test_a_query_is_read_as_sqlite_has_it(dialect: str, sql: str, expected: str, database: Path, schema: Schema) -> None:
    assert from_dialect(sql, dialect, schema) == expected
    assert rows_of(expected, database)


@pytest.mark.parametrize(("sql", "expected"), [(sql, expected) for dialect, sql, expected in READ if dialect == "duckdb"])
def test_sqlite_returns_the_rows_that_duckdb_returns(sql: str, expected: str, database: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.execute(SEEN)
        found = connection.execute(sql).fetchall()
    # A date plus an interval is a moment at midnight in DuckDB.
    theirs = [tuple(c.removesuffix(" 00:00:00") if isinstance(c, str) else c for c in row) for row in plain(found)]
    assert same_result(theirs, rows_of(expected, database), "strict", ordered=False)


def test_division_without_a_schema_is_left_to_the_dialect() -> None:
    assert to_dialect("SELECT a / b FROM t", "duckdb") == "SELECT a / NULLIF(b, 0) FROM t"
    assert to_dialect("SELECT COUNT(*) / 2 FROM t", "mysql") == "SELECT COUNT(*) DIV 2 FROM t"


def test_names_are_spelled_as_declared_where_the_dialect_would_fold_them() -> None:
    columns = (Column("CustomerId", "INTEGER", True, False, None, None, ()), Column("city", "TEXT", False, True, None, None, ()))
    schema = Schema((Table("Customer", columns, None),))
    sql = "SELECT customerid, City FROM Customer c WHERE c.CUSTOMERID > 1"
    assert to_dialect(sql, "postgres", schema) == 'SELECT "CustomerId", City FROM "Customer" AS c WHERE c."CustomerId" > 1'
    assert to_dialect(sql, "mysql", schema) == "SELECT customerid, City FROM Customer AS c WHERE c.CUSTOMERID > 1"


def test_what_a_dialect_cannot_say_is_refused() -> None:
    for sql in ("SELECT date(a, 'weekday 0')", "SELECT strftime('%W', a)", "SELECT time(a, '+1 hour')", "SELECT date(a, b) FROM t"):
        with pytest.raises(DataError, match="no equal in postgres"):
            to_dialect(sql, "postgres")


@pytest.mark.parametrize(("name", "hint"), [("postgre", "postgres"), ("bigqery", "bigquery"), ("ms-sql", "tsql"), ("qqqq", "known are")])
def test_an_unknown_dialect_is_refused_with_the_nearest_name(name: str, hint: str) -> None:
    for visit in (to_dialect, from_dialect, round_trip):
        with pytest.raises(ConfigError, match=hint):
            visit("SELECT 1", name)


def test_other_programs_names_are_known() -> None:
    assert to_dialect("SELECT a FROM t LIMIT 1", "mssql") == "SELECT TOP 1 a FROM t"
    assert to_dialect("SELECT 1 FROM t WHERE a LIKE 'x'", "PostgreSQL") == "SELECT 1 FROM t WHERE a ILIKE 'x'"
    assert from_dialect("select  1", "sqlite") == "SELECT 1"
    assert "postgres" in dialect_names()
    assert "sqlite" not in dialect_names()


@pytest.mark.parametrize(
    "sql", ["", ";", "SELECT", "DROP TABLE t", "SELECT 1; SELECT 2", "Sorry, I cannot", "SELECT (" * 3000, "SELECT " + "1 + " * 60_000]
)
@pytest.mark.parametrize("dialect", ["postgres", "mysql", "tsql", "bigquery", "sqlite"])
def test_what_is_no_query_is_one_kind_of_error(sql: str, dialect: str) -> None:
    with pytest.raises(DataError) as refused:
        from_dialect(sql, dialect)
    assert len(str(refused.value)) < 1000


def test_sql_of_a_book_s_length_is_refused_unread() -> None:
    with pytest.raises(DataError, match="shorten it"):
        from_dialect(f"SELECT '{'x' * 100_000}'", "postgres")


PIECES = st.sampled_from(
    [
        *"()*,.;'\"`[]+-/%<>=:|@#$?\\\n",
        *(
            "SELECT ",
            "FROM ",
            "t ",
            "a ",
            "WHERE ",
            "INTERVAL ",
            "'1 day' ",
            "EXTRACT(",
            "DATE_TRUNC(",
            "::date ",
            "CASE ",
            "WHEN ",
            "END ",
        ),
        *(
            "JOIN ",
            "ON ",
            "GROUP BY ",
            "CAST(",
            "AS ",
            "OVER ",
            "1 ",
            "NULL ",
            "LIKE ",
            "ILIKE ",
            "IN ",
            "NOW() ",
            "UNION ",
            "WITH ",
            "DATEDIFF(",
        ),
    ]
)


@given(
    sql=st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=40),
    dialect=st.sampled_from(["postgres", "mysql", "duckdb", "tsql", "snowflake"]),
)
@settings(max_examples=150, deadline=None)
def test_garbage_raises_nothing_else(sql: str, dialect: str) -> None:
    for visit in (from_dialect, to_dialect):
        with suppress(DataError):
            assert isinstance(visit(sql, dialect), str)
