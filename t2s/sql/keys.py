"""Foreign keys that nobody declared, guessed from names and held against values."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from t2s.sql.key_names import Guess, KeyColumn, KeyNames, KeyTable, Target, is_polymorphic

Reference = tuple[str, str]
_Value = str | int | float

# Rows are looked at in a few places of a table, so that neither its oldest nor its newest speak for all of it.
_PLACES = 8
_ROWS_AT_A_PLACE = 125
_MOST_VALUES = 150
# A key that is not declared has no index to look values up in: it is read whole, or not considered.
_MOST_UNINDEXED_ROWS = 50_000
# The work of one query, in SQLite's opcodes, which count the same on every machine.
_OPCODES_PER_STEP = 10_000
_STEPS = 400
# What programs write where there is nothing to point to.
_NOTHING = (0, -1, "", "0", "-1")
# Rows that were deleted on the other side leave some values without a partner, where no key is enforced.
_ORPHANS_PER_VALUE = 0.05
_NO_KEY_TYPES = ("date", "time", "bool", "blob", "json")
_NUMBERS = ("int", "num", "dec", "real", "doub", "floa", "serial")
_TEXTS = ("char", "text", "clob", "string", "uuid")


def infer_references(connection: sqlite3.Connection, tables: Sequence[KeyTable]) -> dict[tuple[str, str], Reference]:
    """What columns without a declared foreign key most likely point to.

    Names come first: `customer_id` with a table of customers, the name of another table's primary key, short forms, a role
    before the name (`billing_address_id`), `parent_id` for a row of the same table. Then a sample of the column's values
    has to be found in the primary key or unique column meant, and the types have to fit. A column without values shows
    nothing, so its name has to fit exactly. Where two tables fit equally well, none is taken: a wrong key teaches wrong joins.

    Keys of several columns are not guessed, nor what a view's columns point to. Work is bounded: a few index lookups
    for each column whose name speaks of a table.

    Args:
        connection: Read-only, to the database.
        tables: Its tables, without views.

    Returns:
        The (table, column) meant, by (table, column); the same for the same file.
    """
    names = KeyNames(tables)
    columns = {(table.name, column.name): column for table in tables for column in table.columns}
    values = _Values(connection)
    found: dict[tuple[str, str], Reference] = {}
    for table in tables:
        guessed = {column: ranks for column in table.columns if (ranks := _ranks(names, table, column))}
        if guessed:
            samples = values.sample(table, list(guessed))
            for column, ranks in guessed.items():
                target = _decide(ranks, samples[column.name], column, columns, values)
                if target is not None:
                    found[table.name, column.name] = target
    return _without_circles(found)


def _ranks(names: KeyNames, table: KeyTable, column: KeyColumn) -> list[list[Guess]]:
    if column.refers or _kind(column.type) is None or is_polymorphic(table, column):
        return []
    return list(names.guesses(table, column))


# A column's distinct values, each with the key of a row it stands in, another than the value itself if there is one.
_Sample = dict[_Value, object]


def _decide(
    ranks: list[list[Guess]], sample: _Sample | None, column: KeyColumn, columns: dict[Reference, KeyColumn], values: _Values
) -> Reference | None:
    for guesses in ranks:
        holding = [target for guess in guesses if (target := _holding(guess, sample, column, columns, values)) is not None]
        if len({target.table for target in holding}) == 1:
            return holding[0].table, holding[0].column
        if holding or any(guess.decisive for guess in guesses):
            return None
    return None


def _holding(
    guess: Guess, sample: _Sample | None, column: KeyColumn, columns: dict[Reference, KeyColumn], values: _Values
) -> Target | None:
    """The first of the guess's columns that the values allow."""
    for target in guess.targets:
        if not _types_fit(column.type, columns[target.table, target.column].type):
            continue
        if sample is not None and _shows(guess, target, sample, values):
            return target
    return None


def _shows(guess: Guess, target: Target, sample: _Sample, values: _Values) -> bool:
    if not sample:
        return guess.exact and values.is_key(target)
    if not all(_is_whole(value) for value in sample):
        return False
    missing = [value for value in sample if not values.holds(target, value)]
    orphans = [value for value in missing if value not in _NOTHING]
    found = len(sample) - len(missing)
    if guess.own_key is not None and not any(value != key for value, key in sample.items()):
        return False  # each row would point to itself
    allowed = int(len(sample) * _ORPHANS_PER_VALUE) if guess.exact else 0
    return found >= guess.least_values and len(orphans) <= allowed


class _Values:
    """Looks values up, each query with a limit on its work."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # The rows of one undeclared key at a time: columns that point to one table often stand together.
        self._unindexed: tuple[Target, frozenset[object] | None] | None = None

    def sample(self, table: KeyTable, columns: Sequence[KeyColumn]) -> dict[str, _Sample | None]:
        """Some distinct values of each column; None where reading them would take too long."""
        key = table.key or table.columns[0]
        names = ", ".join(_quoted(column.name) for column in (key, *columns))
        samples: dict[str, _Sample] = {column.name: {} for column in columns}
        try:
            for own, *cells in self._rows(table, names):
                for column, value in zip(columns, cells, strict=True):
                    sample = samples[column.name]
                    if isinstance(value, str | int | float) and len(sample) < _MOST_VALUES and sample.get(value, value) == value:
                        sample[value] = own
            # A column that is rarely filled may be filled elsewhere: look for it.
            for column in columns:
                if not samples[column.name]:
                    samples[column.name] = self._rare(table, key, column)
        except sqlite3.OperationalError:
            return dict.fromkeys(samples)
        return dict(samples)

    def _rows(self, table: KeyTable, names: str) -> Iterator[tuple[object, ...]]:
        source = _quoted(table.name)
        rowid = self._rowid(table)
        if rowid is None:
            yield from self._read(f"SELECT {names} FROM {source} LIMIT {_PLACES * _ROWS_AT_A_PLACE}")
            return
        ((first, last),) = self._read(f"SELECT (SELECT min({rowid}) FROM {source}), (SELECT max({rowid}) FROM {source})")
        if first is None:
            return
        assert isinstance(first, int) and isinstance(last, int)  # noqa: PT018
        step = max((last - first) // _PLACES, _ROWS_AT_A_PLACE)
        for start in range(first, last + 1, step):
            yield from self._read(f"SELECT {names} FROM {source} WHERE {rowid} >= ? ORDER BY {rowid} LIMIT {_ROWS_AT_A_PLACE}", (start,))

    def _rowid(self, table: KeyTable) -> str | None:
        """A name for the rowid that no column has taken; None for a table without one."""
        taken = {column.name.lower() for column in table.columns}
        for name in ("rowid", "_rowid_", "oid"):
            if name not in taken:
                try:
                    self._connection.execute(f"SELECT {name} FROM {_quoted(table.name)} LIMIT 0")
                except sqlite3.OperationalError:
                    return None
                return name
        return None

    def _rare(self, table: KeyTable, key: KeyColumn, column: KeyColumn) -> _Sample:
        name = _quoted(column.name)
        query = f"SELECT {name}, {_quoted(key.name)} FROM {_quoted(table.name)} WHERE {name} IS NOT NULL LIMIT {_ROWS_AT_A_PLACE}"
        try:
            rows = self._read(query)
        except sqlite3.OperationalError:
            return {}  # so many rows without a value that it may as well have none
        return {value: own for value, own in rows if isinstance(value, str | int | float)}

    def holds(self, target: Target, value: _Value) -> bool:
        """Whether the value stands in the column; no, where finding out would take too long."""
        if not target.declared:
            keys = self._whole_column(target)
            return keys is not None and value in keys
        query = f"SELECT 1 FROM {_quoted(target.table)} WHERE {_quoted(target.column)} = ? LIMIT 1"
        try:
            return bool(self._read(query, (value,)))
        except (sqlite3.OperationalError, OverflowError):
            return False

    def is_key(self, target: Target) -> bool:
        """Whether each row has a value of its own there."""
        return target.declared or self._whole_column(target) is not None

    def _whole_column(self, target: Target) -> frozenset[object] | None:
        """All values of a key that is not declared; None if it is none, or too long."""
        if self._unindexed is None or self._unindexed[0] != target:
            self._unindexed = (target, self._read_whole_column(target))
        return self._unindexed[1]

    def _read_whole_column(self, target: Target) -> frozenset[object] | None:
        query = f"SELECT {_quoted(target.column)} FROM {_quoted(target.table)} LIMIT {_MOST_UNINDEXED_ROWS + 1}"
        try:
            cells = [cell for (cell,) in self._read(query)]
        except sqlite3.OperationalError:
            return None
        distinct = frozenset(cells)
        return distinct if len(distinct) == len(cells) <= _MOST_UNINDEXED_ROWS and None not in distinct else None

    def _read(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with _bounded(self._connection):
            return self._connection.execute(query, parameters).fetchall()


@contextmanager
def _bounded(connection: sqlite3.Connection) -> Iterator[None]:
    steps = iter(range(_STEPS))
    stop: Callable[[], bool] = lambda: next(steps, None) is None  # noqa: E731
    connection.set_progress_handler(stop, _OPCODES_PER_STEP)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def _without_circles(found: dict[tuple[str, str], Reference]) -> dict[tuple[str, str], Reference]:
    """Without pairs of columns that point to each other: which of the two is the first, names do not tell."""
    return {column: target for column, target in found.items() if found.get(target) != column}


def _types_fit(first: str, second: str) -> bool:
    kinds = _kind(first), _kind(second)
    return None not in kinds and (kinds[0] == kinds[1] or "any" in kinds)


def _kind(declared: str) -> str | None:
    """ "number", "text", "any" where the type does not say, None for what is no key."""
    lower = declared.lower()
    for kind, parts in ((None, _NO_KEY_TYPES), ("number", _NUMBERS), ("text", _TEXTS)):
        if any(part in lower for part in parts):
            return kind
    return "any"


def _is_whole(value: object) -> bool:
    """Whether it can be a key: programs that know no NULL in integers write 1.0 for 1, but nobody 1.5."""
    return not isinstance(value, float) or value.is_integer()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
