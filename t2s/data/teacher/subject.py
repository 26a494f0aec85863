"""What a teacher is told of a database: its schema and, where that is allowed, some of its values."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from t2s.data.prompt import SchemaStyle, quote_name, render_schema
from t2s.errors import DatabaseError
from t2s.sql.database import open_readonly, unreadable
from t2s.sql.schema import Schema, Table

# Rows are drawn from the first of a table, as a schema's samples are: no table takes longer for being larger.
_ROWS_READ = 2_000
_OPCODES_PER_STEP = 10_000
_STEPS = 5_000
_MAX_VALUE_CHARS = 40

Value = str | int | float | None


@dataclass(frozen=True)
class Disclosure:
    """Which content of the database may be shown to a teacher.

    Attributes:
        values: Whether any value may be. False shows names, types, keys and comments alone.
        withheld: (table, column) whose values are never shown, in lower case: names, addresses, salaries.
        rows_per_table: Sample rows shown of each table in the focus of a request.
    """

    values: bool
    withheld: Collection[tuple[str, str]]
    rows_per_table: int


@dataclass(frozen=True)
class Subject:
    """One database, as a teacher is told of it.

    Attributes:
        database: Its name.
        schema: Without samples that may not be shown.
        style: What of the schema is shown.
        rows: Sample rows by table, as {column: value}.
        literals: Values by (table, column) that questions may speak of.
        notes: House rules and words of the trade; empty for none.
        max_schema_chars: The longest schema shown. A larger one is cut to tables around the focus.
    """

    database: str
    schema: Schema
    style: SchemaStyle
    rows: Mapping[str, tuple[Mapping[str, Value], ...]]
    literals: Mapping[tuple[str, str], tuple[Value, ...]]
    notes: str
    max_schema_chars: int

    def describe(self, focus: Collection[str]) -> str:
        """The schema with the sample rows of the tables in focus."""
        shown = [table for table in self._shown(focus) if table in focus]
        lines = [render_schema(Schema(tuple(self._tables(focus))), self.style)]
        for name in shown:
            lines += [f"{quote_name(name)}: {_row(row)}" for row in self.rows.get(name, ())]
        notes = f"\n\nHouse rules:\n{self.notes.strip()}" if self.notes.strip() else ""
        return "\n".join(lines) + notes

    def neighbours(self, table: str) -> list[str]:
        """Tables that a foreign key joins to this one, in the order of the keys."""
        keys = self.schema.foreign_keys()
        others = [key.target_table if key.table == table else key.table for key in keys if table in (key.table, key.target_table)]
        return [name for name in dict.fromkeys(others) if name != table]

    def _tables(self, focus: Collection[str]) -> Iterator[Table]:
        wanted = set(self._shown(focus))
        return (table for table in self.schema.tables if table.name in wanted)

    def _shown(self, focus: Collection[str]) -> list[str]:
        """The tables in focus and, as far as there is room, those around them, nearest first."""
        if not focus or len(render_schema(self.schema, self.style)) <= self.max_schema_chars:
            return [table.name for table in self.schema.tables]
        by_name = {table.name: table for table in self.schema.tables}
        chosen = [table for table in by_name if table in focus]
        room = self.max_schema_chars - sum(self._chars(by_name[name]) for name in chosen)
        for name in chosen:  # grows as it is read: neighbours of neighbours come last
            for other in self.neighbours(name):
                chars = self._chars(by_name[other])
                if other not in chosen and chars <= room:
                    chosen.append(other)
                    room -= chars
        return chosen

    def _chars(self, table: Table) -> int:
        return len(render_schema(Schema((table,)), self.style)) + 1


def read_subject(
    database: Path, schema: Schema, style: SchemaStyle, disclosure: Disclosure, notes: str, max_schema_chars: int, seed: int
) -> Subject:
    """Reads what a teacher may know of a database.

    Args:
        database: The SQLite file; not even opened where no values may be shown.
        schema: Of that file.
        style: What of the schema is shown.
        disclosure: Which values may be shown.
        notes: House rules and words of the trade, as the user wrote them.
        max_schema_chars: The longest schema shown in one request.
        seed: Of the choice of rows.

    Raises:
        DatabaseError: the file cannot be read.
    """
    public = _public(schema, disclosure)
    if not disclosure.values:
        return Subject(database.stem, public, replace(style, samples=0), {}, {}, notes, max_schema_chars)
    rows: dict[str, tuple[Mapping[str, Value], ...]] = {}
    literals: dict[tuple[str, str], tuple[Value, ...]] = {}
    with closing(open_readonly(database)) as connection:
        for table in public.tables:
            read = _read_rows(connection, database, table, disclosure)
            chooser = random.Random(f"{seed}:{table.name}")
            rows[table.name] = tuple(chooser.sample(read, min(len(read), disclosure.rows_per_table)))
            literals |= _literals(table, read, chooser)
    return Subject(database.stem, public, style, rows, literals, notes, max_schema_chars)


def _public(schema: Schema, disclosure: Disclosure) -> Schema:
    def is_shown(table: str, column: str) -> bool:
        return disclosure.values and (table.lower(), column.lower()) not in disclosure.withheld

    return Schema(
        tuple(
            replace(table, columns=tuple(c if is_shown(table.name, c.name) else replace(c, samples=()) for c in table.columns))
            for table in schema.tables
        )
    )


def _read_rows(connection: sqlite3.Connection, database: Path, table: Table, disclosure: Disclosure) -> list[dict[str, Value]]:
    """The first rows, without what is withheld, blobs, and long texts."""
    names = [column.name for column in table.columns if (table.name.lower(), column.name.lower()) not in disclosure.withheld]
    if not names:
        return []
    listed = ", ".join(map(_quoted, names))
    steps = iter(range(_STEPS))
    connection.set_progress_handler(lambda: next(steps, None) is None, _OPCODES_PER_STEP)
    try:
        rows = connection.execute(f"SELECT {listed} FROM {_quoted(table.name)} LIMIT {_ROWS_READ}").fetchall()
    except sqlite3.OperationalError:
        return []  # a view that costs too much, or fails on its rows
    except sqlite3.Error as error:
        raise DatabaseError(unreadable(database, str(error))) from error
    finally:
        connection.set_progress_handler(None, 0)
    return [{name: value for name, value in zip(names, row, strict=True) if _is_plain(value)} for row in rows]


def _is_plain(value: object) -> bool:
    return not isinstance(value, bytes) and len(str(value)) <= _MAX_VALUE_CHARS and str(value).isprintable()


def _literals(table: Table, rows: list[dict[str, Value]], chooser: random.Random) -> dict[tuple[str, str], tuple[Value, ...]]:
    """A few values of each column that people may ask for; keys mean nothing to them."""
    found: dict[tuple[str, str], tuple[Value, ...]] = {}
    for column in table.columns:
        values = list(dict.fromkeys(value for row in rows if (value := row.get(column.name)) not in (None, "")))
        if values and not column.primary_key and column.references is None:
            found[table.name, column.name] = tuple(chooser.sample(values, min(len(values), 20)))
    return found


def _row(row: Mapping[str, Value]) -> str:
    return "{" + ", ".join(f"{name}: {_literal(value)}" for name, value in row.items()) + "}"


def _literal(value: Value) -> str:
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
