"""A variant has the schema of its original, keeps every rule of it, and holds other rows."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from t2s.errors import DatabaseError
from t2s.runtime import sha256
from t2s.sql.hints import Hints, read_hints
from t2s.sql.schema import read_schema
from t2s.sql.source import read_source
from t2s.sql.variants import STYLES, write_variant

# Everything a schema may hold that makes rows hard to invent.
TABLES = """
CREATE TABLE "trade unions" ("union id" INTEGER PRIMARY KEY AUTOINCREMENT, "name of it" TEXT NOT NULL UNIQUE COLLATE NOCASE);
CREATE TABLE departments (code TEXT PRIMARY KEY, head_id INTEGER REFERENCES people (id), budget REAL CHECK (budget >= 0)) WITHOUT ROWID;
CREATE TABLE people (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, department TEXT NOT NULL REFERENCES departments,
  boss_id INTEGER REFERENCES people (id), mentor_id INTEGER NOT NULL REFERENCES people (id),
  "union id" INTEGER REFERENCES "trade unions",
  born TEXT, hired TEXT NOT NULL, left_on TEXT, CHECK (left_on IS NULL OR left_on >= hired)
);
CREATE TABLE projects (department TEXT REFERENCES departments (code), number INTEGER, title TEXT, rate REAL NOT NULL,
  doubled REAL GENERATED ALWAYS AS (rate * 2) STORED, tripled REAL AS (rate * 3),
  state TEXT NOT NULL CHECK (state IN ('open', 'closed')), PRIMARY KEY (department, number));
CREATE TABLE work (person INTEGER NOT NULL REFERENCES people, department TEXT NOT NULL, number INTEGER NOT NULL, hours INTEGER NOT NULL,
  PRIMARY KEY (person, department, number), FOREIGN KEY (department, number) REFERENCES projects (department, number)) WITHOUT ROWID;
CREATE TABLE badges (person INTEGER PRIMARY KEY REFERENCES people (id), picture BLOB, anything);
CREATE TABLE loose (a INTEGER, b TEXT);
CREATE TABLE never_filled (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, t TEXT, d DATE);
CREATE TABLE log (entry TEXT);
CREATE INDEX by_department ON people (department, hired);
CREATE UNIQUE INDEX one_open ON projects (title) WHERE state = 'open';
CREATE UNIQUE INDEX lowered ON people (lower(name), hired);
CREATE VIEW staff AS SELECT p.name, d.budget FROM people p JOIN departments d ON d.code = p.department;
CREATE TRIGGER noted AFTER INSERT ON people BEGIN INSERT INTO log VALUES ('hired'); END;
"""
QUERIES = (
    "SELECT name FROM people WHERE hired >= '2020-03-01' AND department = 'D1'",
    "SELECT title FROM projects WHERE rate > 12.5",
    "SELECT b FROM loose WHERE a = 77",
    "SELECT person FROM work WHERE hours BETWEEN 8 AND 16",
    "SELECT department FROM people GROUP BY department HAVING COUNT(*) > 7",
    "SELECT l.b FROM loose l JOIN people p ON l.a = p.id",
)


def fill(connection: sqlite3.Connection) -> None:
    def many(sql: str, rows: list[tuple[object, ...]]) -> None:
        connection.executemany(f"INSERT INTO {sql} VALUES ({', '.join('?' * len(rows[0]))})", rows)

    many('"trade unions"', [(n, f"Union {n}") for n in range(1, 6)])
    many("departments", [(f"D{n}", n * 3 if n < 5 else None, n * 1000.5) for n in range(1, 7)])
    people = [(n, f"Person {n % 25}", f"D{n % 6 + 1}", n - 1 or None, max(1, n - 2)) for n in range(1, 41)]
    dates = [(f"19{60 + n}-05-17", f"20{10 + n % 12}-0{n % 9 + 1}-{n % 27 + 1:02}", None if n % 3 else "2023-06-30") for n in range(1, 41)]
    many("people", [(*row, row[0] % 5 + 1, *days) for row, days in zip(people, dates, strict=True)])
    rows = [(f"D{n % 6 + 1}", n, f"Project {n}", n * 1.25, ("open", "closed")[n % 2]) for n in range(20)]
    connection.executemany("INSERT INTO projects (department, number, title, rate, state) VALUES (?, ?, ?, ?, ?)", rows)
    many("work", [(n % 39 + 1, f"D{n % 20 % 6 + 1}", n % 20, n % 24) for n in range(80)])
    many("badges", [(n, bytes([n, 255]), (n, str(n), n / 2, b"x")[n % 4]) for n in range(1, 30)])
    many("loose", [(n, f"b{n}") for n in range(30)])


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("variants") / "office.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(TABLES)
        fill(connection)
        connection.commit()
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    return file


@pytest.fixture(scope="module")
def hints(office: Path) -> Hints:
    return read_hints(QUERIES, read_schema(office, 0))


@pytest.fixture(scope="module")
def variants(office: Path, hints: Hints) -> dict[str, Path]:
    """One variant in each style."""
    source = read_source(office, hints)
    files = {style.name: office.with_name(f"{style.name}.sqlite") for style in STYLES}
    for style in STYLES:
        write_variant(source, files[style.name], style, seed=3)
    return files


def rows(file: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql).fetchall()


every_style = pytest.mark.parametrize("style", [style.name for style in STYLES])


@every_style
def test_sqlite_finds_every_rule_of_the_schema_kept(style: str, variants: dict[str, Path]) -> None:
    assert rows(variants[style], "PRAGMA integrity_check") == [("ok",)]
    assert rows(variants[style], "PRAGMA foreign_key_check") == []


@every_style
def test_the_schema_is_the_same_but_for_triggers(style: str, variants: dict[str, Path], office: Path) -> None:
    entries = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type <> 'trigger' ORDER BY type, name"
    assert rows(variants[style], entries) == rows(office, entries)
    assert rows(variants[style], "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'") == [(0,)]


@every_style
def test_rows_differ_and_stay_under_the_cap(style: str, variants: dict[str, Path], office: Path) -> None:
    cap = next(known.rows for known in STYLES if known.name == style)
    for table in ("people", "work", "projects", "loose"):
        found = rows(variants[style], f"SELECT * FROM {table}")
        assert found != rows(office, f"SELECT * FROM {table}")
        assert len(found) <= 2 * cap


def test_every_table_has_rows_where_the_style_empties_none(variants: dict[str, Path]) -> None:
    for style in (style.name for style in STYLES if not style.empty):
        for table in ("people", "departments", "work", "projects", "badges", '"trade unions"'):
            assert rows(variants[style], f"SELECT count(*) FROM {table}")[0][0] > 0, (style, table)


def test_views_give_rows_and_generated_columns_follow(variants: dict[str, Path]) -> None:
    assert rows(variants["plain"], "SELECT * FROM staff")
    assert rows(variants["plain"], "SELECT count(*) FROM projects WHERE doubled <> rate * 2 OR tripled <> rate * 3") == [(0,)]


def test_constants_of_queries_and_their_neighbours_are_there(variants: dict[str, Path]) -> None:
    def found(sql: str) -> set[tuple[object, ...]]:
        return {row for file in variants.values() for row in rows(file, sql)}

    assert {(12.5,), (12.49,), (12.51,)} <= found("SELECT rate FROM projects")
    assert {("2020-02-29",), ("2020-03-01",), ("2020-03-02",)} <= found("SELECT hired FROM people WHERE department = 'D1'")
    assert {(7,), (8,), (9,), (15,), (16,), (17,)} <= found("SELECT hours FROM work")
    assert (77,) in found("SELECT a FROM loose")


def test_text_comes_from_the_column_or_the_queries(variants: dict[str, Path], office: Path) -> None:
    known = set(rows(office, "SELECT state FROM projects"))
    names = set(rows(office, "SELECT name FROM people"))
    for file in variants.values():
        assert set(rows(file, "SELECT state FROM projects")) <= known
        assert set(rows(file, "SELECT name FROM people")) <= names


def test_nulls_come_where_they_may(variants: dict[str, Path]) -> None:
    assert rows(variants["nulls"], "SELECT 1 FROM people WHERE born IS NULL OR boss_id IS NULL")


def test_some_columns_hold_little_but_ties(office: Path, hints: Hints, tmp_path: Path) -> None:
    source, ties = read_source(office, hints), next(style for style in STYLES if style.name == "ties")
    tied = 0
    for seed in range(10):
        write_variant(source, tmp_path / "v.sqlite", ties, seed)
        total, values = rows(tmp_path / "v.sqlite", "SELECT count(*), count(DISTINCT b) FROM loose")[0]
        tied += total > 20 and values <= 4  # three values, and now and then one from an untouched row
    assert tied >= 3


def test_somebody_is_referred_to_often_and_somebody_never(variants: dict[str, Path]) -> None:
    counts = [n for (n,) in rows(variants["large"], "SELECT (SELECT count(*) FROM work WHERE person = p.id) FROM people p")]
    assert min(counts) == 0
    assert max(counts) >= 3


def test_nobody_is_his_own_bosss_boss(variants: dict[str, Path]) -> None:
    chain = (
        "WITH RECURSIVE up(id, steps) AS (SELECT id, 0 FROM people UNION ALL SELECT p.boss_id, steps + 1 FROM up JOIN people p USING (id)"
    )
    for file in variants.values():
        longest = rows(file, f"{chain} WHERE p.boss_id IS NOT NULL AND steps < 5000) SELECT coalesce(max(steps), 0) FROM up")[0][0]
        assert longest < 5000


def test_columns_that_only_a_query_joins_meet(variants: dict[str, Path]) -> None:
    assert rows(variants["large"], "SELECT 1 FROM loose l JOIN people p ON l.a = p.id")


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(office: Path, hints: Hints, tmp_path: Path) -> None:
    source = read_source(office, hints)
    dumps = []
    for name, seed in (("first", 5), ("again", 5), ("other", 6)):
        write_variant(source, tmp_path / f"{name}.sqlite", STYLES[0], seed)
        with closing(sqlite3.connect(tmp_path / f"{name}.sqlite")) as connection:
            dumps.append(list(connection.iterdump()))
    assert dumps[0] == dumps[1]
    assert dumps[0] != dumps[2]


def test_the_original_stays_as_it_was(office: Path, hints: Hints, tmp_path: Path) -> None:
    before = sha256(office)
    write_variant(read_source(office, hints), tmp_path / "v.sqlite", STYLES[0], 0)
    assert sha256(office) == before
    assert [file.name for file in tmp_path.iterdir()] == ["v.sqlite"]


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE a (x INTEGER REFERENCES gone (id)); INSERT INTO a VALUES (1), (2);",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER NOT NULL REFERENCES b); "
        "CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER NOT NULL REFERENCES a); "
        "INSERT INTO a VALUES (1, 1), (2, 2); INSERT INTO b VALUES (1, 2), (2, 1);",
        "CREATE TABLE a (x TEXT PRIMARY KEY, y INTEGER) WITHOUT ROWID; "
        "INSERT INTO a VALUES ('k', 9223372036854775807), ('l', -9223372036854775808);",
        "CREATE TABLE a (x REAL, y); INSERT INTO a VALUES (9e999, 'a'), (-9e999, x'00'), (1e300, 1), (NULL, NULL);",
        "CREATE TABLE a (x TEXT); INSERT INTO a VALUES (CAST(x'ff41' AS TEXT)), (''), ('9999-12-31'), ('0001-01-01');",
        "CREATE TABLE a (x TEXT NOT NULL); INSERT INTO a VALUES ('9999-12-31'), ('0001-01-01'), ('2023-02-31'), ('2024-02-29 25:61');",
        "CREATE VIRTUAL TABLE a USING fts5 (title, body); INSERT INTO a VALUES ('one', 'two words');",
        "CREATE TABLE a (x INTEGER PRIMARY KEY, y TEXT) STRICT; INSERT INTO a VALUES (1, 'a');",
        "CREATE TABLE a (x INTEGER CHECK (x % 7 = 3)); INSERT INTO a VALUES (3), (10);",
        "CREATE TABLE a (x); CREATE VIEW v AS SELECT * FROM gone; CREATE VIEW w AS SELECT x FROM a;",
    ],
    ids=lambda script: script[13:45],
)
def test_an_odd_database_gives_variants_too(script: str, tmp_path: Path) -> None:
    database = tmp_path / "odd.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        try:
            connection.executescript(script)
        except sqlite3.OperationalError as error:
            pytest.skip(f"this SQLite cannot make it: {error}")
        connection.commit()
    source = read_source(database, Hints())
    for style in STYLES:
        write_variant(source, tmp_path / "variant.sqlite", style, 1)
        assert rows(tmp_path / "variant.sqlite", "PRAGMA integrity_check") == [("ok",)]
        rows(tmp_path / "variant.sqlite", "SELECT * FROM a")


def test_what_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "no.sqlite").write_bytes(b"this is not a database, only text" * 100)
    with pytest.raises(DatabaseError):
        read_source(tmp_path / "no.sqlite", Hints())


def test_a_database_of_57000_rows_gives_a_variant_in_seconds(tmp_path: Path) -> None:
    database = tmp_path / "big.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT, day TEXT)")
        connection.execute("CREATE TABLE kids (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parents, price REAL, n INTEGER)")
        connection.executemany("INSERT INTO parents VALUES (?, ?, ?)", [(n, f"p{n}", f"2024-01-{n % 28 + 1:02}") for n in range(7_000)])
        connection.executemany("INSERT INTO kids VALUES (?, ?, ?, ?)", [(n, n % 7_000, n / 100, n % 50) for n in range(50_000)])
        connection.commit()
    start = time.monotonic()
    source = read_source(database, Hints())
    for style in STYLES:
        write_variant(source, tmp_path / "variant.sqlite", style, 1)
    # A fifth of it on an idle machine.
    assert time.monotonic() - start < 2.0 * len(STYLES)
