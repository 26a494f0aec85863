"""A schema says what the SQLite file says."""

import sqlite3
from contextlib import closing
from pathlib import Path

import awkward
import pytest

from t2s.errors import DatabaseError
from t2s.sql.comments import table_comments
from t2s.sql.schema import ForeignKey, Schema, read_schema


def build(folder: Path, script: str) -> Path:
    path = folder / "built.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def schema_of(folder: Path, script: str, sample_values: int = 3) -> Schema:
    return read_schema(build(folder, script), sample_values)


def test_columns_are_described_as_declared(tmp_path: Path) -> None:
    script = "CREATE TABLE t (id INTEGER PRIMARY KEY, a VARCHAR(9) NOT NULL, b, c INT GENERATED ALWAYS AS (id * 2))"
    columns = schema_of(tmp_path, script).table("T").columns
    found = [(column.name, column.type, column.primary_key, column.nullable) for column in columns]
    assert found == [
        ("id", "INTEGER", True, False),
        ("a", "VARCHAR(9)", False, False),
        ("b", "", False, True),
        ("c", "INT", False, True),
    ]


def test_tables_and_views_come_in_the_order_of_creation_without_internal_ones(tmp_path: Path) -> None:
    script = """
        CREATE TABLE z (a INTEGER PRIMARY KEY AUTOINCREMENT); CREATE VIEW m AS SELECT a AS x FROM z;
        CREATE TABLE sqlitex (a); CREATE TABLE gone (a); CREATE VIEW broken AS SELECT a FROM gone; DROP TABLE gone;
        CREATE VIRTUAL TABLE f USING fts5(body); CREATE TABLE "a b""c" ("d e" TEXT);
    """
    schema = schema_of(tmp_path, script)
    assert [table.name for table in schema.tables] == ["z", "m", "sqlitex", "f", 'a b"c']
    assert [column.name for column in schema.table("m").columns] == ["x"]
    assert [column.name for column in schema.table("f").columns] == ["body"]


def test_foreign_keys_find_their_columns(tmp_path: Path) -> None:
    script = """
        CREATE TABLE child (
            p INTEGER REFERENCES PARENT, x INT, y INT, q INT REFERENCES missing(id), r INT REFERENCES parent (Code),
            FOREIGN KEY (x, y) REFERENCES pair
        );
        CREATE TABLE Parent (Id INTEGER PRIMARY KEY, code TEXT UNIQUE);
        CREATE TABLE pair (b INT, a INT, PRIMARY KEY (a, b));
    """
    assert schema_of(tmp_path, script).foreign_keys() == (
        ForeignKey("child", "p", "Parent", "Id"),
        ForeignKey("child", "x", "pair", "a"),
        ForeignKey("child", "y", "pair", "b"),
        ForeignKey("child", "r", "Parent", "code"),
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a INT -- metres\n", {"a": "metres"}),
        ("a INT, -- metres\n b INT -- grams\n", {"a": "metres", "b": "grams"}),
        ("a INT /* metres */, b INT /* grams */", {"a": "metres", "b": "grams"}),
        ("a INT, /* grams */ b INT", {"b": "grams"}),
        ("a INT\n, b INT -- grams\n", {"b": "grams"}),
        ("\n-- metres\na INT,\n/* grams,\n * net */\nb INT", {"a": "metres", "b": "grams, net"}),
        ("\na INT, -- metres\n       -- above sea\n b INT", {"a": "metres above sea"}),
        ("\na INT, -- metres\n-- grams\nb INT", {"a": "metres", "b": "grams"}),
        ("a TEXT DEFAULT '-- no, (not' CHECK (a IN ('x', 'y')), -- yes\n b INT", {"a": "yes"}),
        ("a DECIMAL(10, 2), -- euros\n b INT", {"a": "euros"}),
        ("a INT\n NOT NULL -- metres\n", {"a": "metres"}),
        (
            '"a, b" INT, -- one\n[c -- d] INT, -- two\n`e``f` INT -- three',
            {"a, b": "one", "c -- d": "two", "e`f": "three"},
        ),
        ("a INT, PRIMARY KEY (a) -- the key\n", {}),
        ("a INT, b INT) -- after the end", {}),
    ],
)
def test_a_comment_belongs_to_the_column_on_its_line(body: str, expected: dict[str, str]) -> None:
    assert table_comments(f"CREATE TABLE t ({body}\n)").columns == expected


@pytest.mark.parametrize("head", ["CREATE TABLE t -- sold\n(", "CREATE TABLE t ( -- sold\n", "CREATE /* sold */ TABLE t ("])
def test_a_comment_before_the_first_column_belongs_to_the_table(head: str) -> None:
    comments = table_comments(head + "\n a INT -- metres\n)")
    assert (comments.table, comments.columns) == ("sold", {"a": "metres"})


def test_comments_survive_an_added_column(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a INT, -- metres\n b INT -- grams\n); ALTER TABLE t ADD COLUMN c TEXT;"
    assert [column.comment for column in schema_of(tmp_path, script).tables[0].columns] == ["metres", "grams", None]


def test_samples_show_the_most_frequent_categories_and_examples_of_other_text(tmp_path: Path) -> None:
    script = """
        CREATE TABLE t (id INTEGER PRIMARY KEY, status TEXT, name TEXT, price REAL, flag INT, note TEXT, other INT
          REFERENCES t);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 60)
        INSERT INTO t SELECT i, CASE WHEN i % 6 = 0 THEN 'late' WHEN i % 6 = 1 THEN NULL ELSE 'done' END,
          'name ' || i, i * 1.5, i % 3 = 0, 'a note that is far too long to show' || i, 1 FROM n;
    """
    samples = {column.name: column.samples for column in schema_of(tmp_path, script).tables[0].columns}
    assert samples == {
        "id": (),
        "status": ("done", "late"),
        "name": ("name 1",),
        "price": (),
        "flag": (0, 1),
        "note": (),
        "other": (),
    }


def test_no_more_samples_than_asked_for(tmp_path: Path) -> None:
    path = build(tmp_path, "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('x'), ('y')")
    assert [read_schema(path, count).tables[0].columns[0].samples for count in (0, 1, 5)] == [(), ("x",), ("x",)]


def test_an_endless_view_has_columns_and_no_samples(tmp_path: Path) -> None:
    script = "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS m FROM n"
    (column,) = schema_of(tmp_path, script).table("v").columns
    assert (column.name, column.samples) == ("m", ())


@pytest.mark.parametrize("name", ["a?b.sqlite", "a#b.sqlite", "100%41.sqlite", "with space.sqlite"])
def test_any_path_can_be_read(tmp_path: Path, name: str) -> None:
    path = build(tmp_path, "CREATE TABLE t (a)").rename(tmp_path / name)
    assert read_schema(path, 1).table("t").name == "t"
    assert [found.name for found in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("content", [None, b"", b"not a database " * 100])
def test_a_file_without_tables_is_an_error_that_names_it(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "odd.sqlite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"odd\.sqlite"):
        read_schema(path, 3)


def test_an_unknown_table_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="the schema has t"):
        schema_of(tmp_path, "CREATE TABLE t (a)").table("u")


def test_the_sample_company_is_read_whole(tmp_path: Path) -> None:
    script = (Path(__file__).parents[2] / "data" / "company" / "schema.sql").read_text(encoding="utf-8")
    schema = schema_of(tmp_path, script)
    columns = [column for table in schema.tables for column in table.columns]
    # Counted in the text itself: every comment and every reference there has to come back.
    create = script[script.index("CREATE TABLE") :]
    assert sum(column.comment is not None for column in columns) == create.count("--")
    assert len(schema.foreign_keys()) == create.count("REFERENCES")
    assert schema.table("orders").columns[3].comment == "NULL unless channel is store"


def test_the_clinic_is_read_whole_with_all_its_odd_names(tmp_path: Path) -> None:
    schema = read_schema(awkward.build_clinic(tmp_path / "clinic.sqlite"), 2)
    names = [table.name for table in schema.tables]
    assert {"order", "Patient Register", "患者メモ", 'Dr. "Who"\'s [notes]', "current patients", "øversikt"} <= set(names)
    assert "broken view" not in names
    assert [column.name for column in schema.table('Dr. "Who"\'s [notes]').columns] == ["it's", 'say "hi"', "semi;colon", "back`tick"]
    results = {column.name: column for column in schema.table("lab_results").columns}
    assert (results["si_value"].comment, results["is_high"].samples) == ("in SI units", (0, 1))
    assert [column.name for column in schema.table("bed stays").columns if column.primary_key] == ["avdelingsnr", "bed", "admission_id"]
    assert schema.table("bed stays").columns[1].references == ("beds", "bed")
    assert schema.table("avdelinger").columns[4].samples == ()
    assert schema.table("øversikt").columns[0].samples == ("Barneavdelingen",)
    # Every name can be asked for as it is given.
    with closing(sqlite3.connect(tmp_path / "clinic.sqlite")) as connection:
        for table in schema.tables:
            columns = ", ".join('"' + column.name.replace('"', '""') + '"' for column in table.columns)
            connection.execute(f'SELECT {columns} FROM "{table.name.replace(chr(34), chr(34) * 2)}" LIMIT 1')
