"""A query log gives each query once, counted; nothing in it is lost."""

from __future__ import annotations

import csv
import random
import sqlite3
import tracemalloc
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t2s.data.parameters import bind, parameters
from t2s.data.query_log import LoggedQuery, QueryLog, read_query_log
from t2s.errors import DataError
from t2s.sql.schema import Schema, read_schema

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)


def log_of(folder: Path, content: str | bytes, name: str = "log.sql") -> QueryLog:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_query_log(file, None, None)


def queries(log: QueryLog) -> list[tuple[str, int, str, str]]:
    return [(q.sql, q.count, q.comment, q.place.rpartition(":")[2]) for q in log.queries]


CASES: list[tuple[str, str, list[tuple[str, int, str, str]]]] = [
    ("ended", "SELECT 1; SELECT 2;\nSELECT 3", [("SELECT 1", 1, "", "1"), ("SELECT 2", 1, "", "1"), ("SELECT 3", 1, "", "2")]),
    ("one a line", "SELECT a FROM t\nSELECT b FROM t\n", [("SELECT a FROM t", 1, "", "1"), ("SELECT b FROM t", 1, "", "2")]),
    ("some ended", "SELECT 1;\nSELECT 2\nSELECT 3;", [("SELECT 1", 1, "", "1"), ("SELECT 2", 1, "", "2"), ("SELECT 3", 1, "", "3")]),
    ("over lines", "SELECT a\nFROM t;\n\nSELECT b\nFROM u\n", [("SELECT a\nFROM t", 1, "", "1"), ("SELECT b\nFROM u", 1, "", "4")]),
    ("union", "SELECT a FROM t\nUNION\nSELECT b FROM t;", [("SELECT a FROM t\nUNION\nSELECT b FROM t", 1, "", "1")]),
    ("a ; in quotes", "SELECT ';' -- ; no end\n, \"a;b\" FROM t;", [("SELECT ';' -- ; no end\n, \"a;b\" FROM t", 1, "", "1")]),
    ("above", "-- orders per\n-- channel 2024\nSELECT 1;", [("SELECT 1", 1, "orders per channel 2024", "3")]),
    ("block above", "/* all\n * pets */\nSELECT 1;", [("SELECT 1", 1, "all pets", "3")]),
    ("behind", "SELECT 1; -- one\nSELECT 2;  /* two */\n", [("SELECT 1", 1, "one", "1"), ("SELECT 2", 1, "two", "2")]),
    (
        "above lines",
        "-- one\nSELECT a FROM t\n\n-- two\nSELECT b FROM t\n",
        [("SELECT a FROM t", 1, "one", "2"), ("SELECT b FROM t", 1, "two", "5")],
    ),
    ("a head", "-- exported by hand\n\nSELECT 1;\n-- parted\n\nSELECT 2;", [("SELECT 1", 1, "", "3"), ("SELECT 2", 1, "", "6")]),
    ("a rule", "-- --------\n-- ====\nSELECT 1;", [("SELECT 1", 1, "", "3")]),
    ("merged", "select  1;\n-- one\nSELECT 1;\nSELECT 1 /* x */;", [("select  1", 3, "one", "1")]),
    ("other values", "SELECT 1;SELECT 2;", [("SELECT 1", 1, "", "1"), ("SELECT 2", 1, "", "1")]),
    ("line ends", "SELECT a\r\nFROM t;\r\n-- b\r\nSELECT 2;\r\n", [("SELECT a\r\nFROM t", 1, "", "1"), ("SELECT 2", 1, "b", "4")]),
    ("a mark", "\ufeffSELECT 1;", [("SELECT 1", 1, "", "1")]),
    ("empty ones", ";;\n; SELECT 1;;\n-- end", [("SELECT 1", 1, "", "2")]),
]


@pytest.mark.parametrize(("content", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_statements_are_found_with_their_comments(tmp_path: Path, content: str, expected: list[tuple[str, int, str, str]]) -> None:
    assert queries(log_of(tmp_path, content)) == expected


STATEMENTS = st.sampled_from(["SELECT a FROM t", "SELECT b\nFROM t\nWHERE c = ';'", "WITH x AS (SELECT 1) SELECT * FROM x", "SELECT '--'"])


@SAME_FOLDER
@given(
    parts=st.lists(st.tuples(STATEMENTS, st.sampled_from(["", "-- said\n", "/* said */ "])), min_size=1, max_size=8),
    space=st.sampled_from(["\n", "\n\n"]),
)
def test_what_is_written_reads_back_counted(tmp_path: Path, parts: list[tuple[str, str]], space: str) -> None:
    log = log_of(tmp_path, space.join(f"{comment}{sql};" for sql, comment in parts))
    written = [sql for sql, _ in parts]
    assert {q.sql: q.count for q in log.queries} == {sql: written.count(sql) for sql in written}
    said = {sql for sql, comment in parts if comment}
    assert {q.sql for q in log.queries if q.comment == "said"} == said
    assert log.skipped == ()


def test_what_is_no_query_is_counted_and_listed(tmp_path: Path) -> None:
    content = (
        "INSERT INTO t VALUES (1, 'a');\nSELECT 1;\nINSERT INTO t VALUES (2, 'b');\nSELEC 1;\nDROP TABLE t;\nSELECT FROM WHERE;\nSELECT ? ;"
    )
    log = log_of(tmp_path, content)
    assert [q.sql for q in log.queries] == ["SELECT 1"]
    assert [(s.sql, s.count, s.place) for s in log.skipped] == [
        ("INSERT INTO t VALUES ( ? , ? )", 2, "log.sql:1"),
        ("SELEC ?", 1, "log.sql:4"),
        ("DROP TABLE t", 1, "log.sql:5"),
        ("SELECT FROM WHERE", 1, "log.sql:6"),
        ("SELECT ?", 1, "log.sql:7"),
    ]
    assert [s.reason.split()[0] for s in log.skipped] == ["INSERT", "SELEC", "DROP", "cannot", "has"]


def test_a_statement_that_is_broken_takes_no_other_with_it(tmp_path: Path) -> None:
    log = log_of(tmp_path, "SELECT a,\nFROM (t;\nSELECT 1;\n")
    assert [q.sql for q in log.queries] == ["SELECT 1"]
    assert len(log.skipped) == 1


def test_tables_of_statistics_are_read_with_their_counts(tmp_path: Path) -> None:
    file = tmp_path / "pg_stat_statements.csv"
    with file.open("w", newline="") as stream:
        rows = [
            ("userid", "Query", "calls"),
            (1, "SELECT a, b\nFROM t", 40),
            (1, "select a,b from t;", 2),
            (1, "COMMIT", 9),
            (1, "SELECT 2", ""),
        ]
        csv.writer(stream).writerows(rows)
    log = read_query_log(file, None, None)
    assert [(q.sql, q.count, q.place) for q in log.queries] == [
        ("SELECT a, b\nFROM t", 42, "pg_stat_statements.csv:3"),
        ("SELECT 2", 1, "pg_stat_statements.csv:6"),
    ]
    assert [(s.sql, s.count) for s in log.skipped] == [("COMMIT", 9)]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("l.sql", b"", "no statement"),
        ("l.sql", b"-- nothing here\n", "no statement"),
        ("l.sql", b"DROP TABLE t;", r"l\.sql:1: DROP is no query"),
        ("l.sql", b"SELECT 1;\nSELECT 'Troms\xf8';\n", r"l\.sql:2: not UTF-8"),
        ("l.sql", "SELECT 1;".encode("utf-16"), "UTF-16"),
        ("l.csv", b"text,calls\nSELECT 1,2\n", r"l\.csv:1: no column of queries"),
        ("l.csv", b"query,calls\nSELECT 1,many\nSELECT 2,-1\n", r"l\.csv:2: (.|\n)*l\.csv:3: "),
        ("l.log", b"SELECT 1", "ending .log is not known"),
    ],
)
def test_a_bad_log_says_what_is_wrong(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        log_of(tmp_path, content, name)


@pytest.mark.parametrize("line", ["INSERT INTO t VALUES (%d, 'x')", "SELECT 'y' /* %d */"], ids=["inserts", "queries"])
@pytest.mark.parametrize("end", ["", ";"], ids=["by line", "ended"])
def test_a_large_log_is_not_held_whole(tmp_path: Path, line: str, end: str) -> None:
    file = tmp_path / "log.sql"
    with file.open("w") as stream:
        stream.writelines((line % number).ljust(2_000) + end + "\n" for number in range(1_500))
        stream.write("SELECT 1;\n")
    tracemalloc.start()
    log = read_query_log(file, None, None)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(q.count for q in log.queries) + sum(s.count for s in log.skipped) == 1_501
    assert peak_bytes < file.stat().st_size / 2


def test_dialects_are_translated_or_refused(tmp_path: Path) -> None:
    def translate(sql: str) -> str:
        if "lateral" in sql:
            raise DataError("LATERAL has no SQLite form")
        return sql.replace("now()", "'2024-01-01'")

    file = tmp_path / "log.sql"
    file.write_text("SELECT now();\nSELECT lateral;")
    log = read_query_log(file, None, translate)
    assert [q.sql for q in log.queries] == ["SELECT '2024-01-01'"]
    assert [s.reason for s in log.skipped] == ["LATERAL has no SQLite form"]


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT a FROM t WHERE b = $1 LIMIT $2", ["$1", "$2"]),
        ("SELECT a FROM t WHERE b = ? AND c IN (?1,?)", ["?", "?1", "?"]),
        ("SELECT a::date FROM t WHERE b=:low AND c=@p", [":low", "@p"]),
        ("SELECT a % s FROM t WHERE b %s AND c = %s AND d LIKE %(x)s", ["%s", "%(x)s"]),
        ("SELECT '?', \"$1\", `:a`, [@b] -- ? \n FROM t /* $2 */", []),
        ("SELECT a % 5, a @> b, j -> '$.x' FROM t", []),
    ],
)
def test_parameters_of_all_spellings_are_found(sql: str, found: list[str]) -> None:
    places = parameters(sql)
    assert [place.text for place in places] == found
    assert [sql[place.start : place.end] for place in places] == found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("shop") / "shop.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(
            """
            CREATE TABLE stores (id INTEGER PRIMARY KEY, city TEXT, opened TEXT);
            CREATE TABLE sales (id INTEGER PRIMARY KEY, store_id INTEGER REFERENCES stores, amount REAL, "what's" TEXT);
            INSERT INTO stores VALUES (1, 'Oslo', '2020-01-01'), (2, 'Bergen', '2021-05-05'), (3, 'L''Aquila', '2022-02-02');
            INSERT INTO sales VALUES (1, 1, 9.5, 'tea'), (2, 2, 20.0, 'cake');
            """
        )
    return file


@pytest.fixture(scope="module")
def schema(shop: Path) -> Schema:
    return read_schema(shop, 0)


def bound(sql: str, shop: Path, schema: Schema, seed: int = 0) -> str:
    def values(table: str, column: str) -> Sequence[str | int | float]:
        with closing(sqlite3.connect(shop)) as connection:
            quoted = column.replace('"', '""')
            return [value for (value,) in connection.execute(f'SELECT "{quoted}" FROM "{table}"')]

    return bind(sql, schema, values, random.Random(seed))


BOUND = [
    ("SELECT * FROM stores WHERE city = $1 AND opened > $2", True),
    ("SELECT * FROM sales s JOIN stores t ON s.store_id = t.id WHERE t.city IN (?, ?) AND s.amount BETWEEN ? AND ?", False),
    ("SELECT city FROM stores WHERE city LIKE :part LIMIT :n OFFSET :skip", True),
    ("SELECT (SELECT city FROM stores WHERE id = store_id AND @c = city) FROM sales", False),
    ("SELECT city FROM stores WHERE lower(city) <> %s OR (city = %(a)s OR city GLOB %(b)s)", True),
    ('SELECT * FROM sales WHERE "what\'s" = $1 -- $1 stays\n', False),
]


@pytest.mark.parametrize(("sql", "finds"), BOUND, ids=[sql for sql, _ in BOUND])
@pytest.mark.parametrize("seed", range(4))
def test_parameters_get_values_of_the_columns_they_are_compared_with(shop: Path, schema: Schema, sql: str, finds: bool, seed: int) -> None:
    ready = bound(sql, shop, schema, seed)
    assert parameters(ready) == []
    assert ready == bound(sql, shop, schema, seed)
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute(ready).fetchall()
    begin = sql.index("WHERE")
    assert ready[:begin] == sql[:begin]  # the rest stays as it was written


def test_values_come_from_that_very_column(shop: Path, schema: Schema) -> None:
    cities = {bound("SELECT 1 FROM stores WHERE city = ?", shop, schema, seed) for seed in range(30)}
    assert cities == {f"SELECT 1 FROM stores WHERE city = {city}" for city in ("'Oslo'", "'Bergen'", "'L''Aquila'")}
    amounts = {bound("SELECT 1 FROM sales WHERE amount < ?", shop, schema, seed) for seed in range(30)}
    assert amounts == {"SELECT 1 FROM sales WHERE amount < 9.5", "SELECT 1 FROM sales WHERE amount < 20.0"}


def test_the_same_name_gets_the_same_value(shop: Path, schema: Schema) -> None:
    for seed in range(20):
        first, second = bound("SELECT 1 FROM stores WHERE city = $1 OR city = $1", shop, schema, seed).split("WHERE ")[1].split(" OR ")
        assert first == second


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT ? FROM stores", r"parameter \? is not compared with a column"),
        ("SELECT 1 FROM stores WHERE date(?) = opened", "not compared"),
        ("SELECT 1 FROM stores WHERE nowhere = $1", "does not say whose column 'nowhere' is"),
        ("SELECT 1 FROM stores a JOIN sales b WHERE id = $1", "whose column 'id'"),
        ("SELECT 1 FROM stores WHERE ? = ?", "not compared"),
        ("SELECT FROM stores WHERE city = ?", "not a single query|cannot parse"),
    ],
)
def test_a_parameter_without_such_a_column_is_refused_with_the_reason(shop: Path, schema: Schema, sql: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        bound(sql, shop, schema)


def test_logs_take_bound_queries(tmp_path: Path, shop: Path, schema: Schema) -> None:
    file = tmp_path / "stat.csv"
    file.write_text('query,calls\n"SELECT id FROM stores WHERE city = $1",7\n"SELECT $1",3\n')
    log = read_query_log(file, lambda sql: bound(sql, shop, schema), None)
    assert [(q.sql.partition("=")[0], q.count) for q in log.queries] == [("SELECT id FROM stores WHERE city ", 7)]
    assert [(s.sql, s.count) for s in log.skipped] == [("SELECT $1", 3)]
    assert isinstance(log.queries[0], LoggedQuery)
