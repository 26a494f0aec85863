"""Rows read to learn what columns hold: few enough for any table, from all over it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from t2s.data.prompt import quote_name
from t2s.errors import DatabaseError
from t2s.sql.database import open_readonly, unreadable
from t2s.sql.schema import Schema, Table

Value = str | int | float

# Tables up to this size are read whole, larger ones at places spread over them.
MOST_ROWS = 4_000
_PLACES = 40
_MOST_CHARS = 80
_KEPT_ROWS = 300
# A view may hide any work behind its first row; opcodes, not seconds, keep the outcome repeatable.
_OPCODES_PER_STEP = 10_000
_STEPS_PER_TABLE = 4_000


@dataclass(frozen=True)
class ColumnSample:
    """Values of one column.

    Attributes:
        counts: How often each value was seen, the most frequent first; text longer than a line is left out.
        missing: How many of the rows read hold NULL.
        other: How many hold a blob, or text too long to be said.
    """

    counts: dict[Value, int]
    missing: int
    other: int


@dataclass(frozen=True)
class TableSample:
    """What was read of one table.

    Attributes:
        rows: How many rows the table has, or about how many where it has more than were read.
        read: How many were read.
        columns: By column name.
        view: Whether it is a view.
        some: A few whole rows.
        unique: Names of the columns on which the schema or a whole reading shows no value twice.
    """

    rows: int
    read: int
    columns: dict[str, ColumnSample]
    view: bool
    some: tuple[tuple[object, ...], ...]
    unique: frozenset[str]


def read_samples(database: Path, schema: Schema) -> dict[str, TableSample]:
    """A sample of every table, by name; a table or view that cannot be read within bounds counts as empty.

    Raises:
        DatabaseError: the file is missing or is not a SQLite database.
    """
    with closing(open_readonly(database)) as connection:
        try:
            views = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")}
            return {table.name: _sample(connection, table, table.name in views) for table in schema.tables}
        except sqlite3.Error as error:
            raise DatabaseError(unreadable(database, str(error))) from error


def _sample(connection: sqlite3.Connection, table: Table, view: bool) -> TableSample:
    names = [column.name for column in table.columns]
    steps = iter(range(_STEPS_PER_TABLE))
    connection.set_progress_handler(lambda: next(steps, None) is None, _OPCODES_PER_STEP)
    try:
        rows, about = _rows(connection, table.name, names)
        unique = _unique_indexes(connection, table.name)
    except sqlite3.OperationalError:
        rows, about, unique = [], 0, set()
    finally:
        connection.set_progress_handler(None, 0)
    columns = {name: _column([row[place] for row in rows]) for place, name in enumerate(names)}
    keys = [column.name for column in table.columns if column.primary_key]
    unique |= set(keys) if len(keys) == 1 else set()
    if about == len(rows) > 0:
        unique |= {name for name, sample in columns.items() if not sample.other and _all_differ(sample)}
    some = tuple(rows[:: max(len(rows) // _KEPT_ROWS, 1)])
    return TableSample(about, len(rows), columns, view, some, frozenset(unique))


def _all_differ(sample: ColumnSample) -> bool:
    return bool(sample.counts) and max(sample.counts.values()) == 1


def _rows(connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> tuple[list[tuple[object, ...]], int]:
    """Some rows, and about how many there are."""
    name = quote_name(table)
    shown = ", ".join(
        f"CASE WHEN typeof({c}) = 'blob' THEN zeroblob(0) WHEN length({c}) > {_MOST_CHARS} THEN zeroblob(0) ELSE {c} END"
        for c in map(quote_name, columns)
    )
    rows = connection.execute(f"SELECT {shown} FROM {name} LIMIT {MOST_ROWS + 1}").fetchall()
    if len(rows) <= MOST_ROWS:
        return rows, len(rows)
    try:
        # Both in one query would read the whole table; each alone is found at once.
        (low,), (high,) = (connection.execute(f"SELECT {end}(rowid) FROM {name}").fetchone() for end in ("min", "max"))
        starts = [low + (high - low) * place // _PLACES for place in range(_PLACES)]
    except (sqlite3.OperationalError, TypeError):
        return rows[:MOST_ROWS], MOST_ROWS * 2  # no rowid: a view, or WITHOUT ROWID
    spread = [
        row
        for start in starts
        for row in connection.execute(f"SELECT {shown} FROM {name} WHERE rowid >= ? ORDER BY rowid LIMIT {MOST_ROWS // _PLACES}", (start,))
    ]
    return spread, max(high - low, MOST_ROWS + 1)


def _unique_indexes(connection: sqlite3.Connection, table: str) -> set[str]:
    rows = connection.execute(
        "SELECT min(i.name) FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS i "
        'WHERE l."unique" AND NOT l.partial GROUP BY l.name HAVING count(*) = 1',
        (table,),
    )
    return {str(name) for (name,) in rows if name is not None}


def _column(values: list[object]) -> ColumnSample:
    present = [value for value in values if isinstance(value, str | int | float)]
    counts = Counter(present)
    ordered = dict(sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0]))))
    missing = sum(value is None for value in values)
    return ColumnSample(ordered, missing, len(values) - len(present) - missing)
