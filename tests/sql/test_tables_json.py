"""A tables.json gives the schemas that the SQLite files give, as far as it can know them."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward
import pytest

from t2s.errors import DataError
from t2s.sql.schema import Column, ForeignKey, Schema, Table, read_schema
from t2s.sql.tables_json import common_part, read_tables_json, write_tables_json

SCRIPT = """
    CREATE TABLE Ponds (Pond_ID INTEGER PRIMARY KEY AUTOINCREMENT, "pond name" VARCHAR(20) NOT NULL, Depth DECIMAL(4, 1)); -- metres
    CREATE TABLE frogs (
        frog_id BIGINT PRIMARY KEY, -- its tag
        Pond_ID INT REFERENCES ponds (pond_id), mother INT REFERENCES frogs (frog_id), born DATETIME, green BOOLEAN, photo BLOB, note);
    CREATE TABLE seen (frog_id INT, day DATE, who TEXT, PRIMARY KEY (frog_id, day), FOREIGN KEY (frog_id) REFERENCES frogs (frog_id));
    INSERT INTO Ponds VALUES (1, 'Mill', 2.5);
"""
# Written out as Spider's own program writes it down; it lists SQLite's table of counters where it meets one.
POND: dict[str, Any] = {
    "db_id": "pond",
    "table_names_original": ["Ponds", "sqlite_sequence", "frogs", "seen"],
    "table_names": ["ponds", "sqlite sequence", "frogs", "seen"],
    "column_names_original": [
        [-1, "*"],
        [0, "Pond_ID"],
        [0, "pond name"],
        [0, "Depth"],
        [1, "name"],
        [1, "seq"],
        [2, "frog_id"],
        [2, "Pond_ID"],
        [2, "mother"],
        [2, "born"],
        [2, "green"],
        [2, "photo"],
        [2, "note"],
        [3, "frog_id"],
        [3, "day"],
        [3, "who"],
    ],
    "column_types": [
        *("text", "number", "text", "number", "text", "text"),
        *("number", "number", "number", "time", "boolean", "others", "text"),
        *("number", "time", "text"),
    ],
    "primary_keys": [1, 6, 13],
    "foreign_keys": [[8, 6], [7, 1], [13, 6]],
}
ONE: dict[str, Any] = {
    "db_id": "one",
    "table_names_original": ["t"],
    "column_names_original": [[-1, "*"], [0, "a"], [0, "b"]],
    "column_types": ["text", "number", "text"],
    "primary_keys": [1],
    "foreign_keys": [],
}


def written(folder: Path, *entries: object) -> Path:
    file = folder / "tables.json"
    file.write_text(json.dumps(entries))
    return file


def from_sqlite(folder: Path, script: str) -> Schema:
    with closing(sqlite3.connect(folder / "built.sqlite")) as connection:
        connection.executescript(script)
    return read_schema(folder / "built.sqlite", 3)


def test_both_sources_give_the_same_schema(tmp_path: Path) -> None:
    listed = read_tables_json(written(tmp_path, ONE, POND))["pond"]
    assert common_part(listed) == common_part(from_sqlite(tmp_path, SCRIPT))


def test_the_file_gives_names_types_keys_and_references_as_it_has_them(tmp_path: Path) -> None:
    schemas = read_tables_json(written(tmp_path, ONE, POND))
    assert list(schemas) == ["one", "pond"]
    assert schemas["one"] == Schema(
        (Table("t", (Column("a", "number", True, False, None, None, ()), Column("b", "text", False, True, None, None, ())), None),)
    )
    assert [table.name for table in schemas["pond"].tables] == ["Ponds", "frogs", "seen"]
    assert schemas["pond"].foreign_keys() == (
        ForeignKey("frogs", "Pond_ID", "Ponds", "Pond_ID"),
        ForeignKey("frogs", "mother", "frogs", "frog_id"),
        ForeignKey("seen", "frog_id", "frogs", "frog_id"),
    )


def test_a_composite_key_is_whole_where_the_file_lists_it_whole(tmp_path: Path) -> None:
    listed = read_tables_json(written(tmp_path, {**POND, "primary_keys": [1, 6, [13, 14]]}))["pond"]
    assert [column.name for column in listed.table("seen").columns if column.primary_key] == ["frog_id", "day"]
    assert common_part(listed) == common_part(from_sqlite(tmp_path, SCRIPT))


@pytest.mark.parametrize(
    "change",
    ["seen (frog_id INT, day DATE, name TEXT", "seen (frog_id INT, day TEXT, who TEXT", "seen (day DATE, frog_id INT, who TEXT"],
)
def test_the_common_part_tells_schemas_apart(tmp_path: Path, change: str) -> None:
    changed = from_sqlite(tmp_path, SCRIPT.replace("seen (frog_id INT, day DATE, who TEXT", change))
    assert common_part(changed) != common_part(read_tables_json(written(tmp_path, POND))["pond"])


def test_the_common_part_has_nothing_of_its_own_and_stays_the_same_when_taken_twice(tmp_path: Path) -> None:
    schema = from_sqlite(tmp_path, SCRIPT)
    common = common_part(schema)
    assert common_part(common) == common
    assert common.foreign_keys() == schema.foreign_keys()
    names = [(table.name, [column.name for column in table.columns]) for table in schema.tables]
    assert [(table.name, [column.name for column in table.columns]) for table in common.tables] == names


@pytest.mark.parametrize(
    ("declared", "word"),
    [
        *(("", "text"), ("VARCHAR(255)", "text"), ("CHAR(15)", "text"), ("TEXT", "text"), ("INTEGER", "number"), ("REAL", "number")),
        *(("DATETIME", "time"), ("year", "time"), ("BOOLEAN", "boolean"), ("bool", "others"), ("BLOB", "others")),
    ],
)
def test_a_declared_type_has_one_of_spiders_words(declared: str, word: str) -> None:
    column = Column("a", declared, False, True, None, None, ())
    assert common_part(Schema((Table("t", (column,), None),))).tables[0].columns == (replace(column, type=word),)


def test_of_two_references_the_one_that_sqlite_lists_last_counts(tmp_path: Path) -> None:
    script = "CREATE TABLE a (x INT); CREATE TABLE b (y INT); CREATE TABLE c (z INT REFERENCES a (x) REFERENCES b (y))"
    listed = {
        **ONE,
        "table_names_original": ["a", "b", "c"],
        "column_names_original": [[-1, "*"], [0, "x"], [1, "y"], [2, "z"]],
        "column_types": ["text", "number", "number", "number"],
        "primary_keys": [],
        "foreign_keys": [[3, 2], [3, 1]],  # PRAGMA foreign_key_list gives b, then a
    }
    assert common_part(read_tables_json(written(tmp_path, listed))["one"]) == common_part(from_sqlite(tmp_path, script))


BAD: list[tuple[object, str]] = [
    (7, "a int, not an object"),
    ({**ONE, "db_id": None}, "db_id is None"),
    ({**ONE, "db_id": "pond"}, "db_id 'pond' stands in an earlier entry"),
    ({key: value for key, value in ONE.items() if key != "column_types"}, "column_types is None, not a list"),
    ({**ONE, "table_names_original": ["t", 3]}, "table_names_original holds 3"),
    ({**ONE, "table_names_original": [], "column_names_original": [[-1, "*"]], "column_types": ["text"], "primary_keys": []}, "no table"),
    ({**ONE, "column_types": ["text"]}, "column_types has 1 entries, column_names_original 3"),
    ({**ONE, "column_names_original": [[-1, "*"], [0, "a"], [1, "b"]]}, "holds [1, 'b']"),
    ({**ONE, "column_names_original": [[-1, "*"], [0, "a"], [0]]}, "holds [0]"),
    ({**ONE, "primary_keys": [3]}, "a key holds 3"),
    ({**ONE, "primary_keys": [0]}, "a key holds 0"),
    ({**ONE, "primary_keys": [[1, "b"]]}, "a key holds 'b'"),
    ({**ONE, "foreign_keys": [[1]]}, "foreign_keys holds [1]"),
    ({**ONE, "foreign_keys": [[1, -1]]}, "a key holds -1"),
]


def test_every_wrong_entry_is_named_at_once_with_its_index_and_reason(tmp_path: Path) -> None:
    file = written(tmp_path, POND, *(entry for entry, _ in BAD))
    with pytest.raises(DataError) as refused:
        read_tables_json(file)
    places = [problem.partition(": ")[0] for problem in refused.value.problems]
    assert places == [f"{file}[{index}]" for index in range(1, len(BAD) + 1)]
    said = zip(refused.value.problems, BAD, strict=True)
    assert [(problem, reason) for problem, (_, reason) in said if reason not in problem] == []


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1, ", b"[\xff]", b"[" * 100_000])
def test_a_file_that_is_no_tables_json_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "tables.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"tables\.json"):
        read_tables_json(file)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    pond = from_sqlite(tmp_path, SCRIPT)
    clinic = read_schema(awkward.build_clinic(tmp_path / "clinic.sqlite"), 3, infer_keys=True)
    erp = read_schema(awkward.build_erp(tmp_path / "erp.sqlite", 40), 0)
    schemas = {"pond": pond, "クリニック": clinic, "erp": erp}
    file = tmp_path / "made" / "tables.json"
    write_tables_json(file, schemas)
    read = read_tables_json(file)
    assert list(read) == list(schemas)
    assert {name: common_part(schema) for name, schema in read.items()} == {name: common_part(s) for name, s in schemas.items()}
    assert [found.name for found in file.parent.iterdir()] == ["tables.json"]


def test_the_file_has_spiders_layout(tmp_path: Path) -> None:
    write_tables_json(tmp_path / "tables.json", {"pond": from_sqlite(tmp_path, SCRIPT)})
    (entry,) = json.loads((tmp_path / "tables.json").read_text(encoding="utf-8"))
    # What Spider's own program writes, without the table of counters that it meets by chance.
    assert entry == {
        "db_id": "pond",
        "table_names_original": ["Ponds", "frogs", "seen"],
        "table_names": ["ponds", "frogs", "seen"],
        "column_names_original": [
            [-1, "*"],
            *([0, "Pond_ID"], [0, "pond name"], [0, "Depth"]),
            *([1, name] for name in ("frog_id", "Pond_ID", "mother", "born", "green", "photo", "note")),
            *([2, "frog_id"], [2, "day"], [2, "who"]),
        ],
        "column_names": [
            [-1, "*"],
            *([0, "pond id"], [0, "pond name"], [0, "depth"]),
            *([1, name] for name in ("frog id", "pond id", "mother", "born", "green", "photo", "note")),
            *([2, "frog id"], [2, "day"], [2, "who"]),
        ],
        "column_types": [
            *("text", "number", "text", "number"),
            *("number", "number", "number", "time", "boolean", "others", "text"),
            *("number", "time", "text"),
        ],
        "primary_keys": [1, 4, 11],
        "foreign_keys": [[5, 1], [6, 4], [11, 4]],
    }


def test_a_schema_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    file = written(tmp_path, ONE)
    before = file.read_bytes()
    dangling = Schema((Table("t", (Column("a", "INT", False, True, None, ("gone", "x"), ()),), None),))
    for name, schema, said in (
        ("pond", Schema(()), "leave it out"),
        ("", read_tables_json(file)["one"], "''"),
        ("d", dangling, r"gone\.x"),
    ):
        with pytest.raises(DataError, match=said):
            write_tables_json(file, {name: schema})
    assert file.read_bytes() == before
