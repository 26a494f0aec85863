"""A sample of another database's rows in a SQLite file, chosen so that every foreign key finds its row."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from t2s.data.source_catalog import LeftOut, SourceKey, SourceTable

Row = tuple[Any, ...]

_PAGE_ROWS = 500
# Keys in one question to the source: some databases take no more than 1000 in a list.
_KEYS_AT_A_TIME = 200
# Rows are taken in runs from so many places, where the primary key is a number.
_PLACES = 40
# A table takes in so many times its sample for the sake of keys, and once more for each key that points to it: a chain of rows,
# each pointing to the one before, could otherwise bring in a whole table.
_MOST_TIMES = 10
_MAX_VALUE_CHARS = 1_000_000
_LARGEST_INTEGER = 2**63 - 1


class RowCopier:
    """Moves rows table by table; a row's parents come with it, and their parents.

    Args:
        source: Open to the database.
        schema: Where its tables are; None for the connection's own.
        target: The SQLite file, its tables made, foreign keys not enforced.
        tables: What to copy.
        rows_per_table: How many rows of each table to take, at most; more come where keys need them.
        seed: Chooses the places.
    """

    def __init__(
        self,
        source: sa.Connection,
        schema: str | None,
        target: sqlite3.Connection,
        tables: Sequence[SourceTable],
        rows_per_table: int,
        seed: int,
    ) -> None:
        self._source = source
        self._schema = schema
        self._target = target
        self._tables = {table.name: table for table in tables}
        self._limit = rows_per_table
        self._seed = seed
        self._counts = dict.fromkeys(self._tables, 0)
        pointing = [key.target for table in tables for key in table.keys]
        self._most = {name: rows_per_table * (_MOST_TIMES + pointing.count(name)) for name in self._tables}
        self._cut: dict[tuple[str, str], int] = {}
        # Keys that were asked for and not found, so that nobody asks again.
        self._gone: dict[tuple[str, tuple[str, ...]], set[Row]] = {}

    def copy(self, table: SourceTable) -> None:
        """Fill one table up to its sample, with the parents its rows need."""
        for rows in self._some_rows(table):
            while rows:
                room = self._limit - self._counts[table.name]
                if room <= 0:
                    return
                self._take(table, rows[:room])
                rows = rows[room:]

    def count(self, table: SourceTable) -> int:
        """Rows of a table so far."""
        return self._counts[table.name]

    def is_whole(self, table: SourceTable) -> bool:
        """Whether the source has no more rows than the copy."""
        query = self._query(table, [*table.primary_key] or [table.columns[0].name])
        return self._source.execute(query.limit(1).offset(self._counts[table.name])).first() is None

    def cut_values(self) -> Iterator[LeftOut]:
        """Values that were too long."""
        for (table, column), count in sorted(self._cut.items()):
            yield LeftOut(f"the end of {count} values of {table}.{column}", f"they are longer than {_MAX_VALUE_CHARS} characters")

    def _some_rows(self, table: SourceTable) -> Iterator[list[Row]]:
        """Runs of rows from all over the table, where its key is a number and it is long; then the first rows."""
        query = self._query(table)
        numbers = self._numbers(table)
        if numbers is not None:
            key, low, high = numbers
            draw = random.Random(f"{self._seed} {table.name}")
            places = [draw.randint(low, high) for _ in range(_PLACES)]
            run = -(-(self._limit - self._counts[table.name]) // len(places))
            for place in places:
                yield self._read(query.where(self._column(key) >= place).limit(max(run, 1)))
        wanted = self._limit + self._counts[table.name]
        # Without a key there is no order to read pages in.
        page = _PAGE_ROWS if table.primary_key else wanted
        for start in range(0, wanted, page):
            rows = self._read(query.limit(min(page, wanted - start)).offset(start))
            yield rows
            if len(rows) < page:
                return

    def _numbers(self, table: SourceTable) -> tuple[str, int, int] | None:
        """The primary key with its least and greatest value, where it is a number and the table is longer than its sample."""
        if len(table.primary_key) != 1:
            return None
        key, start = self._column(table.primary_key[0]), self._from(table)
        if self._source.execute(sa.select(key).select_from(start).order_by(key).limit(1).offset(self._limit)).first() is None:
            return None
        low, high = self._source.execute(sa.select(sa.func.min(key), sa.func.max(key)).select_from(start)).one()
        whole = all(isinstance(value, int | Decimal) and not isinstance(value, bool) for value in (low, high))
        return (table.primary_key[0], int(low), int(high)) if whole else None

    def _take(self, table: SourceTable, rows: Sequence[Row]) -> None:
        """Write rows, then fetch what they point to, then what that points to."""
        waiting = self._write(table, rows)
        while waiting:
            (target, columns), keys = next(iter(waiting.items()))
            some = list(keys)[:_KEYS_AT_A_TIME]
            for key in some:
                del keys[key]
            if not keys:
                del waiting[target, columns]
            for need, found in self._fetch(self._tables[target], columns, some).items():
                waiting.setdefault(need, {}).update(found)

    def _fetch(
        self, table: SourceTable, columns: tuple[str, ...], keys: Sequence[Row]
    ) -> dict[tuple[str, tuple[str, ...]], dict[Row, None]]:
        gone = self._gone.setdefault((table.name, columns), set())
        wanted = [key for key in keys if not self._has(table, columns, key)]
        if not wanted or self._counts[table.name] >= self._most[table.name]:
            gone.update(_plain_row(key) for key in wanted)
            return {}
        places = [self._column(column) for column in columns]
        if len(places) == 1:
            condition: sa.ColumnElement[bool] = places[0].in_([key[0] for key in wanted])
        else:
            condition = sa.or_(*(sa.and_(*(place == part for place, part in zip(places, key, strict=True))) for key in wanted))
        needs = self._write(table, self._read(self._query(table).where(condition)))
        gone.update(plain for key in wanted if not self._has(table, columns, plain := _plain_row(key)))
        return needs

    def _write(self, table: SourceTable, rows: Sequence[Row]) -> dict[tuple[str, tuple[str, ...]], dict[Row, None]]:
        """Rows that are not there yet, and the keys they point to that are not there either."""
        columns = ", ".join(_quoted(column.name) for column in table.columns)
        marks = ", ".join("?" * len(table.columns))
        before = self._target.total_changes
        statement = f"INSERT INTO {_quoted(table.name)} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING"
        self._target.executemany(statement, (self._plain(table, row) for row in rows))
        self._counts[table.name] += self._target.total_changes - before
        needs: dict[tuple[str, tuple[str, ...]], dict[Row, None]] = {}
        for key in table.keys:
            found = dict.fromkeys(self._missing(table, key, rows))
            if found:
                needs.setdefault((key.target, key.target_columns), {}).update(found)
        return needs

    def _missing(self, table: SourceTable, key: SourceKey, rows: Iterable[Row]) -> Iterator[Row]:
        target = self._tables[key.target]
        gone = self._gone.get((key.target, key.target_columns), set())
        for row in rows:
            values = _picked(table, key.columns, row)
            if None not in values and _plain_row(values) not in gone and not self._has(target, key.target_columns, values):
                yield values

    def _has(self, table: SourceTable, columns: Sequence[str], values: Row) -> bool:
        condition = " AND ".join(f"{_quoted(column)} = ?" for column in columns)
        query = f"SELECT 1 FROM {_quoted(table.name)} WHERE {condition}"
        return self._target.execute(query, _plain_row(values)).fetchone() is not None

    def _plain(self, table: SourceTable, row: Row) -> Row:
        values = [plain_value(value) for value in row]
        for place, value in enumerate(values):
            if isinstance(value, str | bytes) and len(value) > _MAX_VALUE_CHARS:
                where = (table.name, table.columns[place].name)
                self._cut[where] = self._cut.get(where, 0) + 1
                values[place] = value[:_MAX_VALUE_CHARS]
        return tuple(values)

    def _from(self, table: SourceTable) -> sa.TableClause:
        columns = [self._column(column.name) for column in table.columns]
        return sa.table(sa.sql.quoted_name(table.name, quote=True), *columns, schema=self._schema)

    def _column(self, name: str) -> sa.ColumnClause[Any]:
        return sa.column(sa.sql.quoted_name(name, quote=True))

    def _query(self, table: SourceTable, columns: Sequence[str] | None = None) -> sa.Select[Any]:
        names = columns or [column.name for column in table.columns]
        query = sa.select(*(self._column(name) for name in names)).select_from(self._from(table))
        return query.order_by(*(self._column(name) for name in table.primary_key))

    def _read(self, query: sa.Select[Any]) -> list[Row]:
        return [tuple(row) for row in self._source.execute(query)]


def empty_dangling_keys(connection: sqlite3.Connection, tables: Sequence[SourceTable]) -> Iterator[LeftOut]:
    """Make foreign keys hold that do not: the source lacks the row, or it was one too many.

    Values that may be NULL become NULL; rows that need them go, and with them the hold of those that point to them.
    """
    found: dict[tuple[str, SourceKey], int] = {}
    changed = True
    while changed:
        changed = False
        for table in tables:
            for key in table.keys:
                count = connection.execute(_repair(table, key)).rowcount
                if count > 0:
                    changed = True
                    found[table.name, key] = found.get((table.name, key), 0) + count
    for (name, key), count in found.items():
        what = "values" if _can_be_null(next(table for table in tables if table.name == name), key) else "rows"
        yield LeftOut(
            f"{count} {what} of {name} ({', '.join(key.columns)})", f"{key.target} has no such row, or it was one too many to copy"
        )


def _repair(table: SourceTable, key: SourceKey) -> str:
    mine, target = _quoted(table.name), _quoted(key.target)
    pairs = " AND ".join(f"o.{_quoted(b)} = {mine}.{_quoted(a)}" for a, b in zip(key.columns, key.target_columns, strict=True))
    present = " AND ".join(f"{_quoted(column)} IS NOT NULL" for column in key.columns)
    condition = f"{present} AND NOT EXISTS (SELECT 1 FROM {target} AS o WHERE {pairs})"
    if not _can_be_null(table, key):
        return f"DELETE FROM {mine} WHERE {condition}"
    emptied = ", ".join(f"{_quoted(column)} = NULL" for column in key.columns if _is_nullable(table, column))
    return f"UPDATE {mine} SET {emptied} WHERE {condition}"


def _can_be_null(table: SourceTable, key: SourceKey) -> bool:
    return any(_is_nullable(table, column) for column in key.columns)


def _is_nullable(table: SourceTable, name: str) -> bool:
    return any(column.name == name and column.nullable for column in table.columns)


def plain_value(value: Any) -> int | float | str | bytes | None:
    """A value as SQLite holds it: dates in ISO 8601, moments with a zone in UTC, lists and objects as JSON."""
    if value is None or isinstance(value, str | float | bytes):
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST_INTEGER else str(value)
    if isinstance(value, Decimal):
        return _plain_decimal(value)
    if isinstance(value, datetime):
        moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo is not None else value
        return moment.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, list | tuple | dict | set):
        return json.dumps(sorted(value, key=str) if isinstance(value, set) else value, ensure_ascii=False, default=str)
    return str(value)


def _plain_decimal(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value():
        return int(value) if abs(value) <= _LARGEST_INTEGER else str(value)
    return float(value)


def _plain_row(values: Sequence[Any]) -> Row:
    return tuple(map(plain_value, values))


def _picked(table: SourceTable, names: Sequence[str], row: Row) -> Row:
    return tuple(row[place] for place in table.places(names))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
