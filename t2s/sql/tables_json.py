"""Schemas as Spider and BIRD publish them beside their databases: one JSON file for all of them.

    [{"db_id": "pond",
      "table_names_original": ["ponds", "frogs"],
      "column_names_original": [[-1, "*"], [0, "pond_id"], [0, "name"], [1, "frog_id"], [1, "pond_id"]],
      "column_types": ["text", "number", "text", "number", "number"],
      "primary_keys": [1, 3],
      "foreign_keys": [[4, 1]]}, …]

Numbers are places: of a table in the list of tables, of a column in the list of columns.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from t2s.errors import DataError
from t2s.runtime import write_json
from t2s.sql.naming import words
from t2s.sql.schema import Column, Schema, Table

# The words Spider has for types, each with what makes a declared type one of them; the first that fits counts.
# Source: preprocess/get_tables.py in github.com/taoyds/spider.
_WORDS_FOR_TYPES = (
    ("text", ("char", "text", "var")),
    ("number", ("int", "numeric", "decimal", "number", "id", "real", "double", "float")),
    ("time", ("date", "time", "year")),
    ("boolean", ("boolean",)),
)
_WORD_FOR_OTHER_TYPES = "others"
_WORD_FOR_NO_TYPE = "text"


def read_tables_json(file: Path) -> dict[str, Schema]:
    """Read the schemas of all databases in Spider's `tables.json` or BIRD's `dev_tables.json`.

    Tables, columns, their order and spelling, keys and foreign keys are those of the SQLite files; after `common_part`
    the schemas from both sources are equal. What the file cannot say is as in a bare database: no comments, no samples,
    and every column outside a key may be NULL. Types are the file's own words: Spider has text, number, time, boolean
    and others. Internal tables, which Spider lists here and there, are left out, as `read_schema` leaves them out.

    Args:
        file: The JSON array, UTF-8, one object for each database.

    Returns:
        The schemas by `db_id`, in the order of the file.

    Raises:
        DataError: the file is missing or not JSON, or names every wrong entry, as `tables.json[index]` from 0.
    """
    schemas: dict[str, Schema] = {}
    problems: list[str] = []
    for index, entry in enumerate(_array(file)):
        try:
            name = _database_name(entry)
            if name in schemas:
                raise ValueError(f"db_id {name!r} stands in an earlier entry, too")
            schemas[name] = _Entry.checked(entry).schema()
        except ValueError as error:
            problems.append(f"{file}[{index}]: {error}")
    if problems:
        raise DataError.from_problems(problems, hint=f"correct these entries of {file.name}, or read the schemas from the databases")
    return schemas


def write_tables_json(file: Path, schemas: Mapping[str, Schema]) -> None:
    """Write schemas as Spider publishes them, for tools that read its `tables.json`.

    `read_tables_json` gives back what `common_part` leaves of each schema: of a composite key the first column, types as
    Spider's words for them, no comments, no samples. Guessed foreign keys are written like declared ones. The file is
    written whole or not at all.

    Args:
        file: Where to; its directory is made if need be.
        schemas: By `db_id`, in the order to write them in.

    Raises:
        DataError: a database has no name or no tables, or a foreign key points to a column that is not there.
    """
    write_json(file, [_written(name, schema) for name, schema in schemas.items()])


def _written(name: str, schema: Schema) -> dict[str, Any]:
    if not name or not schema.tables:
        raise DataError(
            f"database {name!r} with {len(schema.tables)} tables: a tables.json needs a name and a table for each; leave it out"
        )
    columns = [(index, column) for index, table in enumerate(schema.tables) for column in table.columns]
    places = {(schema.tables[index].name, column.name): place for place, (index, column) in enumerate(columns, 1)}
    common = [column for table in schema.tables for column in _common_columns(table.columns)]
    return {
        "db_id": name,
        "table_names_original": [table.name for table in schema.tables],
        "table_names": [_plain_words(table.name) for table in schema.tables],
        "column_names_original": [[-1, "*"], *([index, column.name] for index, column in columns)],
        "column_names": [[-1, "*"], *([index, _plain_words(column.name)] for index, column in columns)],
        "column_types": ["text", *(column.type for column in common)],
        "primary_keys": [place for place, column in enumerate(common, 1) if column.primary_key],
        "foreign_keys": [
            [places[key.table, key.column], _place_of(places, key.target_table, key.target_column, name)] for key in schema.foreign_keys()
        ],
    }


def _place_of(places: dict[tuple[str, str], int], table: str, column: str, database: str) -> int:
    if (table, column) not in places:
        raise DataError(f"database {database!r}: a foreign key points to {table}.{column}, which is not there; correct the schema")
    return places[table, column]


def _plain_words(name: str) -> str:
    """A name in lower-case words, as Spider has them beside the original ones."""
    return " ".join(words(name)) or name


def common_part(schema: Schema) -> Schema:
    """What a SQLite file and a tables.json both know of a schema, so that schemas from either compare equal.

    Comments, samples and whether a key was guessed go, and types become Spider's words for them. Of a composite key the first
    column in declared order is left, and nothing outside the key is NOT NULL, since Spider knows no more.

    Schemas still differ where the program that makes a tables.json does not see what SQLite sees: views, generated
    columns, foreign keys that do not name their target column, a composite key that does not begin with the first of
    its columns. And they differ where a tables.json was corrected by hand.
    """
    return Schema(tuple(replace(table, columns=_common_columns(table.columns), comment=None) for table in schema.tables))


def _common_columns(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    key = next((column for column in columns if column.primary_key), None)
    return tuple(
        replace(
            column,
            type=_word_for(column.type),
            primary_key=column is key,
            nullable=column is not key,
            comment=None,
            samples=(),
            references_inferred=False,
        )
        for column in columns
    )


def _word_for(declared: str) -> str:
    lower = declared.lower()
    fitting = (word for word, parts in _WORDS_FOR_TYPES if any(part in lower for part in parts))
    return next(fitting, _WORD_FOR_OTHER_TYPES) if lower else _WORD_FOR_NO_TYPE


def _array(file: Path) -> list[Any]:
    if not file.is_file():
        raise DataError(f"{file} does not exist; give the path of a tables.json")
    try:
        entries = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON in UTF-8: {error}; get the file anew") from None
    if not isinstance(entries, list):
        raise DataError(f"{file} holds no array; a tables.json is one, with an object for each database")
    return entries


def _database_name(entry: Any) -> str:
    if not isinstance(entry, dict):
        raise ValueError(f"a {type(entry).__name__}, not an object")
    name = entry.get("db_id")
    if not isinstance(name, str) or not name:
        raise ValueError(f"db_id is {name!r}, not a name")
    return name


@dataclass(frozen=True)
class _Entry:
    """An entry whose numbers are known to fit: columns as (table, name), keys and references by place."""

    tables: list[str]
    columns: list[tuple[int, str]]
    types: list[str]
    keys: set[int]
    references: dict[int, int]

    @classmethod
    def checked(cls, entry: dict[str, Any]) -> "_Entry":
        """The entry, or a ValueError that says what does not fit."""
        tables = _list(entry, "table_names_original", str)
        columns = [_column_place(value, len(tables)) for value in _list(entry, "column_names_original", list)]
        types = _list(entry, "column_types", str)
        if len(types) != len(columns):
            raise ValueError(f"column_types has {len(types)} entries, column_names_original {len(columns)}")
        # BIRD puts the columns of a composite key in a list of their own.
        keys = [key if isinstance(key, list) else [key] for key in _list(entry, "primary_keys", int | list)]
        pairs = [_pair(value) for value in _list(entry, "foreign_keys", list)]
        for place in (*(place for key in keys for place in key), *(place for pair in pairs for place in pair)):
            _check_place(place, columns)
        # SQLite lists a column's first foreign key last, and that is the one read_schema takes.
        return cls(tables, columns, types, {place for key in keys for place in key}, dict(pairs))

    def schema(self) -> Schema:
        tables = (Table(name, self._columns_of(index), None) for index, name in enumerate(self.tables))
        kept = tuple(table for table in tables if table.columns and not table.name.lower().startswith("sqlite_"))
        if not kept:
            raise ValueError("describes no table with columns")
        return Schema(kept)

    def _columns_of(self, table: int) -> tuple[Column, ...]:
        return tuple(self._column(place) for place, (owner, _) in enumerate(self.columns) if owner == table)

    def _column(self, place: int) -> Column:
        return Column(
            name=self.columns[place][1],
            type=self.types[place],
            primary_key=place in self.keys,
            nullable=place not in self.keys,
            comment=None,
            references=self._target(self.references[place]) if place in self.references else None,
            samples=(),
        )

    def _target(self, place: int) -> tuple[str, str]:
        table, name = self.columns[place]
        return self.tables[table], name


def _list(entry: dict[str, Any], key: str, kind: Any) -> list[Any]:
    values = entry.get(key)
    if not isinstance(values, list):
        raise ValueError(f"{key} is {values!r}, not a list")
    for value in values:
        if not isinstance(value, kind):
            raise ValueError(f"{key} holds {value!r}")
    return values


def _column_place(value: list[Any], tables: int) -> tuple[int, str]:
    """A column's table and name; `*`, which belongs to none, has table -1."""
    match value:
        case [int(table), str(name)] if -1 <= table < tables:
            return table, name
    raise ValueError(f"column_names_original holds {value!r}, not a table's place and a name")


def _pair(value: list[Any]) -> tuple[Any, Any]:
    if len(value) != 2:
        raise ValueError(f"foreign_keys holds {value!r}, not the places of two columns")
    return value[0], value[1]


def _check_place(place: Any, columns: list[tuple[int, str]]) -> None:
    if not isinstance(place, int) or not 0 <= place < len(columns) or columns[place][0] < 0:
        raise ValueError(f"a key holds {place!r}, which is no column's place")
