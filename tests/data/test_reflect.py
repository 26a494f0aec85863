"""Other databases become SQLite files whose keys hold."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import awkward
import pytest

from t2s.data import company
from t2s.data.reflect import Copied, copy_database
from t2s.errors import ConfigError, DatabaseError
from t2s.sql.schema import ForeignKey, read_schema

ROOT = Path(__file__).resolve().parents[2]


def silent(line: str) -> None:
    assert line


def build(file: Path, script: str) -> str:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(script)
    return f"sqlite:///{file}"


def copied(url: str, folder: Path, rows: int = 50, seed: int = 1, schema: str | None = None) -> Copied:
    return copy_database(url, folder / "made" / "copy.sqlite", rows, seed, silent, schema)


def query(file: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql).fetchall()


def broken_keys(file: Path) -> list[tuple[Any, ...]]:
    return query(file, "PRAGMA foreign_key_check")


def test_the_clinic_is_copied_with_its_names_comments_keys_and_views(tmp_path: Path) -> None:
    source = awkward.build_clinic(tmp_path / "clinic.sqlite")
    result = copied(f"sqlite:///{source}", tmp_path, rows=5000)
    before, after = read_schema(source, 3), read_schema(result.target, 3)
    assert {table.name for table in after.tables} == {table.name for table in before.tables}
    for table in before.tables:
        found = after.table(table.name)
        assert found.comment == table.comment
        described = [(c.name, c.comment, c.references, c.primary_key) for c in found.columns]
        assert described == [(c.name, c.comment, c.references, c.primary_key) for c in table.columns]
    for name in ("visits log", "lab_results", "medicines", "settings", "患者メモ"):
        sql = (
            f'SELECT * FROM "{name}" ORDER BY 1, 2, 3' if name != "settings" else "SELECT * FROM settings WHERE name <> 'legacy' ORDER BY 1"
        )
        assert query(result.target, sql) == query(source, sql)
    assert sorted(result.views) == ["current patients", "øversikt"]
    assert [left.what for left in result.left_out] == ["view broken view"]
    assert "no such table: main.gone" in result.left_out[0].why
    assert query(result.target, "SELECT count(*) FROM sqlite_master WHERE name = 'broken view'") == [(0,)]
    assert all(table.whole for table in result.tables)


def test_keys_hold_in_a_sample_of_the_company(tmp_path: Path) -> None:
    source = tmp_path / "company.sqlite"
    company.build(source, ROOT / "data/company/schema.sql", 7)
    result = copied(f"sqlite:///{source}", tmp_path, rows=40)
    assert broken_keys(result.target) == []
    assert read_schema(result.target, 0).foreign_keys() == _in_order_of(result, read_schema(source, 0).foreign_keys())
    with closing(sqlite3.connect(result.target)) as connection:
        connection.execute("ATTACH ? AS source", (str(source),))
        for table in result.tables:
            strangers = f"SELECT count(*) FROM (SELECT * FROM main.{table.name} EXCEPT SELECT * FROM source.{table.name})"
            assert connection.execute(strangers).fetchone() == (0,), table
            ((all_of_them,),) = connection.execute(f"SELECT count(*) FROM source.{table.name}")
            assert table.whole is (table.rows == all_of_them)
            assert min(40, all_of_them) <= table.rows
    # Rows come from all over a table.
    ((low, high),) = query(result.target, "SELECT min(payment_id), max(payment_id) FROM payments")
    ((last,),) = query(source, "SELECT max(payment_id) FROM payments")
    assert low < last / 4
    assert high > last * 3 / 4


def _in_order_of(result: Copied, keys: tuple[ForeignKey, ...]) -> tuple[ForeignKey, ...]:
    return tuple(key for table in result.tables for key in keys if key.table == table.name)


def test_the_same_seed_chooses_the_same_rows(tmp_path: Path) -> None:
    source = tmp_path / "company.sqlite"
    company.build(source, ROOT / "data/company/schema.sql", 7)
    rows = [
        query(copied(f"sqlite:///{source}", tmp_path, rows=30, seed=seed).target, "SELECT * FROM order_items ORDER BY 1")
        for seed in (1, 1, 2)
    ]
    assert rows[0] == rows[1] != rows[2]


def test_a_chain_of_rows_is_cut_where_it_would_bring_in_the_whole_table(tmp_path: Path) -> None:
    script = """
        CREATE TABLE links (id INTEGER PRIMARY KEY, next INTEGER REFERENCES links);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) INSERT INTO links SELECT i, NULLIF(i + 1, 20001) FROM n;
    """
    result = copied(build(tmp_path / "chain.sqlite", script), tmp_path, rows=10)
    (table,) = result.tables
    assert 10 <= table.rows < 1000
    assert broken_keys(result.target) == []
    assert "values of links (next)" in result.left_out[0].what


def test_tables_that_point_to_each_other_and_to_themselves(tmp_path: Path) -> None:
    script = """
        CREATE TABLE teams (id INTEGER PRIMARY KEY, captain INTEGER REFERENCES players);
        CREATE TABLE players (id INTEGER PRIMARY KEY, team INTEGER NOT NULL REFERENCES teams, mentor INTEGER REFERENCES players);
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 400) INSERT INTO teams SELECT i, i * 7 % 400 FROM n;
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT 400)
        INSERT INTO players SELECT i, i * 11 % 400, CASE WHEN i % 3 THEN i / 2 END FROM n;
    """
    result = copied(build(tmp_path / "circle.sqlite", script), tmp_path, rows=5)
    assert broken_keys(result.target) == []
    assert [table.rows >= 5 for table in result.tables] == [True, True]
    assert result.left_out == () or all("(" in left.what for left in result.left_out)


def test_keys_of_several_columns_bring_their_rows(tmp_path: Path) -> None:
    script = """
        CREATE TABLE rooms (house TEXT, nr INTEGER, PRIMARY KEY (house, nr));
        CREATE TABLE stays (id INTEGER PRIMARY KEY, house TEXT, nr INTEGER, FOREIGN KEY (house, nr) REFERENCES rooms);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 900) INSERT INTO rooms SELECT 'h' || i % 30, i FROM n;
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 900)
        INSERT INTO stays SELECT i, 'h' || (901 - i) % 30, 901 - i FROM n;
        INSERT INTO stays VALUES (1000, 'h1', NULL);
    """
    result = copied(build(tmp_path / "rooms.sqlite", script), tmp_path, rows=20)
    assert broken_keys(result.target) == []
    assert query(result.target, "SELECT count(*) FROM stays JOIN rooms USING (house, nr)")[0][0] >= 19
    assert result.left_out == ()


def test_rows_whose_partner_is_gone_are_mended_and_reported(tmp_path: Path) -> None:
    script = """
        CREATE TABLE houses (id INTEGER PRIMARY KEY); INSERT INTO houses VALUES (1);
        CREATE TABLE doors (id INTEGER PRIMARY KEY, house INTEGER NOT NULL REFERENCES houses);
        CREATE TABLE bolts (id INTEGER PRIMARY KEY, door INTEGER REFERENCES doors);
        INSERT INTO doors VALUES (1, 1), (2, 99), (3, 99); INSERT INTO bolts VALUES (1, 1), (2, 2), (3, 77), (4, NULL);
    """
    result = copied(build(tmp_path / "houses.sqlite", script), tmp_path)
    assert query(result.target, "SELECT * FROM doors") == [(1, 1)]
    assert query(result.target, "SELECT * FROM bolts") == [(1, 1), (2, None), (3, None), (4, None)]
    assert sorted(left.what for left in result.left_out) == ["2 rows of doors (house)", "2 values of bolts (door)"]


def test_a_key_to_what_is_not_unique_is_left_out_and_reported(tmp_path: Path) -> None:
    script = """
        CREATE TABLE houses (id INTEGER PRIMARY KEY, street TEXT, nr TEXT UNIQUE); INSERT INTO houses VALUES (1, 'High', 'a');
        CREATE TABLE doors (street TEXT REFERENCES houses (street), nr TEXT REFERENCES houses (nr), gone INT REFERENCES sheds (id));
        INSERT INTO doors VALUES ('High', 'a', 1);
    """
    result = copied(build(tmp_path / "houses.sqlite", script), tmp_path)
    assert [(left.what, left.why) for left in result.left_out] == [
        ("foreign key doors (gone) to sheds", "that table is not copied"),
        ("foreign key doors (street) to houses", "(street) is not unique there"),
    ]
    assert read_schema(result.target, 0).foreign_keys() == (ForeignKey("doors", "nr", "houses", "nr"),)
    assert list(result.lines())[2] == "left out: foreign key doors (street) to houses: (street) is not unique there"


def test_the_source_is_left_as_it_was(tmp_path: Path) -> None:
    source = awkward.build_clinic(tmp_path / "clinic.sqlite")
    before = hashlib.sha256(source.read_bytes()).hexdigest()
    copied(f"sqlite:///{source}", tmp_path)
    assert hashlib.sha256(source.read_bytes()).hexdigest() == before
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == ["clinic.sqlite"]


def test_a_copy_that_fails_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    source = awkward.build_clinic(tmp_path / "clinic.sqlite")
    target = copied(f"sqlite:///{source}", tmp_path).target
    before = target.read_bytes()

    def fail(line: str) -> None:
        if "beds" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_database(f"sqlite:///{source}", target, 5, 1, fail)
    assert target.read_bytes() == before
    assert [found.name for found in target.parent.iterdir()] == ["copy.sqlite"]


def test_a_long_value_is_cut_and_reported(tmp_path: Path) -> None:
    script = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b BLOB); INSERT INTO t VALUES (1, printf('%.*c', 1000001, 'x'), zeroblob(9))"
    result = copied(build(tmp_path / "long.sqlite", script), tmp_path)
    assert query(result.target, "SELECT length(a), length(b) FROM t") == [(1_000_000, 9)]
    assert [left.what for left in result.left_out] == ["the end of 1 values of t.a"]


@pytest.mark.parametrize(
    ("url", "kind", "said"),
    [
        ("", ConfigError, "write one like"),
        ("my database", ConfigError, "write one like"),
        ("postgresql://eva:gehe!m@host:port/x", ConfigError, "write one like"),
        ("nosuch://eva:gehe!m@host/x", ConfigError, "knows no database 'nosuch'"),
        ("postgresql+pg8000://eva:gehe!m@localhost/x", ConfigError, "pip install 'pg8000'"),
        ("snowflake://eva:gehe!m@account/x", ConfigError, "pip install snowflake-sqlalchemy"),
        ("sqlite:///gone.sqlite", DatabaseError, "no sqlite file at 'gone.sqlite'"),
        ("duckdb:///gone.duckdb", DatabaseError, "no duckdb file at 'gone.duckdb'"),
        ("sqlite://", DatabaseError, "check the path"),
    ],
)
def test_a_wrong_url_is_one_sentence_without_the_password(url: str, kind: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(kind) as refused:
        copied(url, tmp_path)
    assert said in str(refused.value)
    assert "gehe!m" not in str(refused.value)
    assert list(tmp_path.glob("made/*")) == []


@pytest.mark.parametrize(
    ("url", "module"),
    [
        ("postgresql://eva:gehe!m@127.0.0.1:1/x", "psycopg"),
        ("postgresql://eva@127.0.0.1:1/x?password=gehe!m", "psycopg"),
        ("mysql://eva:gehe!m@127.0.0.1:1/x", "pymysql"),
    ],
)
def test_a_server_that_is_not_there_is_named_without_the_password(url: str, module: str, tmp_path: Path) -> None:
    pytest.importorskip(module)
    with pytest.raises(DatabaseError) as refused:
        copied(url, tmp_path)
    assert "127.0.0.1" in str(refused.value)
    assert "check host" in str(refused.value)
    assert "gehe!m" not in str(refused.value)


def test_a_database_without_tables_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="has no tables"):
        copied(build(tmp_path / "empty.sqlite", "CREATE TABLE t (a); DROP TABLE t"), tmp_path)


def test_settings_that_make_no_copy_are_refused(tmp_path: Path) -> None:
    url = build(tmp_path / "t.sqlite", "CREATE TABLE t (a)")
    with pytest.raises(ConfigError, match="rows_per_table=0"):
        copied(url, tmp_path, rows=0)
    with pytest.raises(ConfigError, match="another name"):
        copy_database(url, tmp_path / "t.sqlite", 5, 1, silent)


DUCK = """
CREATE TABLE authors (id INTEGER PRIMARY KEY, "Full Name" VARCHAR NOT NULL, born DATE, rated DECIMAL(4, 2), alive BOOLEAN);
CREATE TABLE books (
    isbn VARCHAR PRIMARY KEY, author_id INTEGER REFERENCES authors (id),
    sold BIGINT, big HUGEINT, added TIMESTAMP, tags VARCHAR[], code UUID, cover BLOB,
    span INTERVAL, details STRUCT(pages INTEGER), kind VARCHAR UNIQUE);
COMMENT ON TABLE authors IS 'who writes -- or wrote';
COMMENT ON COLUMN authors.born IS 'day of
birth';
CREATE VIEW sellers AS
    SELECT a."Full Name" AS name, sum(b.sold) AS sold, year(a.born) AS y FROM books b JOIN authors a ON a.id = b.author_id GROUP BY ALL;
CREATE VIEW odd AS SELECT list_transform(tags, lambda x: upper(x)) AS tags FROM books;
CREATE SCHEMA archive; CREATE TABLE archive.old (a INTEGER);
INSERT INTO authors VALUES (1, 'Ada', '1815-12-10', 9.50, false), (2, 'Bo', NULL, 3.25, true);
INSERT INTO books VALUES
    ('x1', 2, 30, 170141183460469231731687303715884105727, '2024-02-03 04:05:06', ['a', 'b'],
     '6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'ab'::BLOB, INTERVAL 3 DAY, {'pages': 9}, 'k'),
    ('x2', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
"""


@pytest.fixture
def duck(tmp_path: Path) -> str:
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("duckdb_engine")
    with duckdb.connect(str(tmp_path / "books.duckdb")) as connection:
        connection.execute(DUCK)
    return f"duckdb:///{tmp_path / 'books.duckdb'}"


def test_duckdb_is_copied_with_types_comments_keys_and_views(duck: str, tmp_path: Path) -> None:
    result = copied(duck, tmp_path)
    schema = read_schema(result.target, 2)
    authors, books = schema.table("authors"), schema.table("books")
    assert (authors.comment, authors.columns[2].comment) == ("who writes -- or wrote", "day of birth")
    types = [column.type for column in (*authors.columns, *books.columns)]
    assert types == [
        *("INTEGER", "TEXT", "DATE", "NUMERIC(4,2)", "BOOLEAN"),
        *("TEXT", "INTEGER", "INTEGER", "NUMERIC", "DATETIME", "TEXT", "TEXT", "BLOB", "TEXT", "TEXT", "TEXT"),
    ]
    assert schema.foreign_keys() == (ForeignKey("books", "author_id", "authors", "id"),)
    assert [column.nullable for column in authors.columns] == [False, False, True, True, True]
    assert query(result.target, "SELECT * FROM authors") == [(1, "Ada", "1815-12-10", 9.5, 0), (2, "Bo", None, 3.25, 1)]
    (row, _) = query(result.target, "SELECT * FROM books ORDER BY isbn")
    assert row[4:] == (
        *("2024-02-03 04:05:06", '["a", "b"]', "6ba7b810-9dad-11d1-80b4-00c04fd430c8", b"ab", "3 days, 0:00:00", '{"pages": 9}', "k"),
    )
    assert query(result.target, "SELECT * FROM sellers") == [("Bo", 30, None)]
    assert sorted(left.what for left in result.left_out) == ["schema archive", "view odd"]


def test_another_schema_can_be_chosen(duck: str, tmp_path: Path) -> None:
    assert [table.name for table in copied(duck, tmp_path, schema="archive").tables] == ["old"]
    with pytest.raises(DatabaseError, match="other schemas with tables: archive, main"):
        copied(duck, tmp_path, schema="nowhere")


POSTGRES = """
CREATE SCHEMA other; CREATE TABLE other.things (id INT PRIMARY KEY);
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TABLE "People" (
    "Id" BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name VARCHAR(40) NOT NULL, boss BIGINT REFERENCES "People" ("Id"),
    mood mood, pay NUMERIC(10, 2), score NUMERIC, weight DOUBLE PRECISION,
    since TIMESTAMPTZ, at TIME, day DATE, ok BOOLEAN, code UUID, data JSONB, tags TEXT[],
    photo BYTEA, span INTERVAL, place POINT, initials CHAR(3), thing INT REFERENCES other.things (id),
    doubled NUMERIC GENERATED ALWAYS AS (pay * 2) STORED);
CREATE TABLE people (a INT);
CREATE TABLE leaves (
    person BIGINT NOT NULL, nr INT NOT NULL, why TEXT, PRIMARY KEY (person, nr), FOREIGN KEY (person) REFERENCES "People" ("Id"));
CREATE TABLE days (person BIGINT, nr INT, day DATE, FOREIGN KEY (person, nr) REFERENCES leaves (person, nr));
CREATE UNIQUE INDEX people_name ON "People" (name);
CREATE TABLE badges (owner VARCHAR(40) REFERENCES "People" (name));
COMMENT ON TABLE "People" IS 'who works here';
COMMENT ON COLUMN "People".pay IS 'euros a month';
CREATE VIEW glad AS SELECT "Id", name, EXTRACT(YEAR FROM day) AS year FROM "People" WHERE mood = 'glad' AND name ILIKE 'p%';
CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM "People";
INSERT INTO "People" (name, boss, mood, pay, score, weight, since, at, day, ok, code, data, tags, photo, span, place, initials)
SELECT 'p' || i, NULLIF(i / 2, 0), CASE WHEN i % 2 = 0 THEN 'glad' ELSE 'sad' END::mood, i * 1.25, i, i / 8.0,
    '2024-01-01 12:00:00+02'::timestamptz, '10:30', '2024-02-29'::date, i % 2 = 0, '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
    '{"a": [1, "ø"]}', ARRAY['x', NULL], '\\x00ff', '1 day', point(1, 2), 'ab'
FROM generate_series(1, 3000) i;
INSERT INTO leaves SELECT i, j, 'ill' FROM generate_series(1, 3000) i, generate_series(1, 2) j;
INSERT INTO days SELECT i, 1 + i % 2, '2024-01-01' FROM generate_series(1, 3000) i;
INSERT INTO badges SELECT 'p' || i FROM generate_series(2000, 2100) i;
REFRESH MATERIALIZED VIEW totals;
"""


@pytest.fixture(scope="module")
def postgres(postgres_url: str) -> str:
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS reflected")
        connection.execute("CREATE DATABASE reflected")
    url = postgres_url.replace("/postgres?", "/reflected?")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(POSTGRES.encode())
    return url


@pytest.mark.slow
def test_postgres_is_copied_with_types_comments_keys_and_views(postgres: str, tmp_path: Path) -> None:
    result = copied(postgres, tmp_path, rows=60)
    people = read_schema(result.target, 0).table("People")
    assert people.comment == "who works here"
    assert {column.name: column.type for column in people.columns} == {
        **{"Id": "INTEGER", "name": "VARCHAR(40)", "boss": "INTEGER", "mood": "TEXT", "pay": "NUMERIC(10,2)", "score": "NUMERIC"},
        **{
            "weight": "REAL",
            "since": "DATETIME",
            "at": "TIME",
            "day": "DATE",
            "ok": "BOOLEAN",
            "code": "TEXT",
            "data": "TEXT",
            "tags": "TEXT",
        },
        **{"photo": "BLOB", "span": "TEXT", "place": "TEXT", "initials": "VARCHAR(3)", "thing": "INTEGER", "doubled": "NUMERIC"},
    }
    assert people.columns[4].comment == "euros a month"
    assert broken_keys(result.target) == []
    sql = 'SELECT "Id", pay, since, at, day, code, data, tags, photo FROM "People" ORDER BY 1 DESC LIMIT 1'
    ((number, *values),) = query(result.target, sql)
    assert values == [
        *(number * 1.25, "2024-01-01 10:00:00", "10:30:00", "2024-02-29", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        *('{"a": [1, "ø"]}', '["x", null]', b"\x00\xff"),
    ]
    rows = {table.name: table.rows for table in result.tables}
    assert (rows["days"], rows["badges"], rows["totals"]) == (60, 60, 1)
    assert query(result.target, "SELECT count(*) FROM badges JOIN People ON name = owner") == [(60,)]
    assert query(result.target, "SELECT count(*) FROM days JOIN leaves USING (person, nr) JOIN People ON Id = person") == [(60,)]
    ((name, year),) = query(result.target, "SELECT name, year FROM glad LIMIT 1")
    assert (name[0], year) == ("p", 2024)
    assert sorted(left.what for left in result.left_out) == ["foreign key People (thing) to other.things", "schema other", "table people"]


@pytest.mark.slow
def test_postgres_refuses_what_would_write_during_a_copy(postgres: str) -> None:
    import sqlalchemy as sa

    from t2s.data.source_database import open_source

    with pytest.raises(DatabaseError, match="read-only transaction"), open_source(postgres) as connection:
        connection.execute(sa.text("CREATE TABLE t (a INT)"))
