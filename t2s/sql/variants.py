"""Databases with the schema of another one and rows that differ from it.

Keys, uniqueness, NOT NULL and CHECK hold, since SQLite itself refuses the rows that break them; foreign keys are mended
once all rows are there. Values come from each column's own values; those that queries compare with, and their
neighbours, are planted where the queries look.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

from t2s.errors import DatabaseError
from t2s.sql.execute import Row, Value
from t2s.sql.hints import Need
from t2s.sql.source import Reference, Source, TableSource, listed, optional, quoted

_ATTEMPTS = 4
# Rows for each thing a query asks of a table.
_PLANTED_EACH = 8
_FEW_VALUES = 3


@dataclass(frozen=True)
class Style:
    """What a variant is like.

    Attributes:
        name: A word for it.
        rows: The most rows of a table.
        nulls: Share of NULLs in the columns that get some.
        few: Share of columns left with a few values, which makes ties and large groups.
        fuzz: Share of values drawn anew, apart from their row.
        copies: Share of rows that repeat another one but for its keys.
        planted: Share of queries that get rows of their own, as far as the cap lets them.
        empty: Share of tables without rows.
    """

    name: str
    rows: int
    nulls: float
    few: float
    fuzz: float
    copies: float
    planted: float
    empty: float


STYLES = (
    Style("plain", rows=300, nulls=0.03, few=0.1, fuzz=0.1, copies=0.05, planted=0.5, empty=0.0),
    Style("dense", rows=60, nulls=0.1, few=0.4, fuzz=0.3, copies=0.4, planted=0.8, empty=0.0),
    Style("nulls", rows=200, nulls=0.4, few=0.2, fuzz=0.1, copies=0.2, planted=0.4, empty=0.0),
    Style("ties", rows=300, nulls=0.05, few=0.7, fuzz=0.1, copies=0.6, planted=0.5, empty=0.0),
    Style("large", rows=3000, nulls=0.02, few=0.0, fuzz=0.05, copies=0.2, planted=1.0, empty=0.0),
    Style("sparse", rows=12, nulls=0.2, few=0.2, fuzz=0.3, copies=0.2, planted=0.05, empty=0.1),
)

_Cells = dict[str, Value]


def write_variant(source: Source, file: Path, style: Style, seed: int) -> int:
    """Write one variant: the same rows for the same arguments.

    Returns:
        How many rows it has, all tables together.

    Raises:
        DatabaseError: SQLite does not take the schema.
    """
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(part, isolation_level=None)) as connection:
            rows = _write(connection, source, style, Random(f"{seed} {style.name}"))
        os.replace(part, file)
    except sqlite3.Error as error:
        raise DatabaseError(f"cannot write a variant of the database to {file} ({error}); is its schema made for an extension?") from error
    finally:
        part.unlink(missing_ok=True)
    return rows


def _write(connection: sqlite3.Connection, source: Source, style: Style, rng: Random) -> int:
    # Half a variant is thrown away, so nothing has to survive a power cut.
    for setting in (f'encoding = "{source.encoding}"', "journal_mode = OFF", "synchronous = OFF", "foreign_keys = OFF"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute("BEGIN")
    for statement in source.create:
        with optional(statement.lstrip()[:12].upper() != "CREATE TABLE"):
            connection.execute(statement)
    filler = _Filler(connection, source, style, rng)
    for table in source.tables:
        filler.fill(table)
    _mend(connection, source.tables, rng)
    for statement in source.create_views:
        with optional(True):
            connection.execute(statement)
    plain = [table.name for table in source.tables if not table.virtual]
    counts = [connection.execute(f"SELECT count(*) FROM {quoted(name)}").fetchone()[0] for name in plain]
    connection.execute("COMMIT")
    return sum(counts)


class _Filler:
    """Fills one table after the other, and knows the rows of those before."""

    def __init__(self, connection: sqlite3.Connection, source: Source, style: Style, rng: Random) -> None:
        self._connection = connection
        self._source = source
        self._style = style
        self._rng = rng
        self._rows: dict[str, list[_Cells]] = {}
        self._planted: dict[tuple[str, int], list[_Cells]] = {}
        self._served = _served(source.needs, style, rng)

    def fill(self, table: TableSource) -> None:
        """Insert the rows of one table; a row that SQLite refuses is tried again, with less of it made up."""
        self._rows[table.name] = []
        if table.virtual:
            self._insert_many(table)
            return
        maker = _RowMaker(table, self._source, self._style, self._rng, self._rows, self._planted)
        needs = [need for need in self._source.needs.get(table.name, ()) if need.query in self._served]
        for start in maker.plan(needs):
            row = self._first(table, maker, start)
            for _ in range(start.times - 1):
                if row is not None:
                    self._insert(table, maker, maker.again(row, start), start.need)

    def _first(self, table: TableSource, maker: _RowMaker, start: _Start) -> _Cells | None:
        for attempt in range(_ATTEMPTS):
            row = maker.row(start, bold=attempt == 0)
            if row is not None and self._insert(table, maker, row, start.need):
                return row
        return None

    def _insert(self, table: TableSource, maker: _RowMaker, row: _Cells | None, need: Need | None) -> bool:
        """Whether SQLite took the row; if so, later rows can refer to it."""
        if row is None:
            return False
        if not maker.has(row):
            if not self._accepts(table, row):
                return False
            maker.took(row)
            self._rows[table.name].append(row)
        if need is not None:
            self._planted.setdefault((table.name, need.query), []).append(row)
        return True

    def _accepts(self, table: TableSource, row: _Cells) -> bool:
        try:
            return self._connection.execute(_insert_into(table), [row[column] for column in table.columns]).rowcount == 1
        except (sqlite3.Error, OverflowError):
            return False  # a value of a type the column refuses

    def _insert_many(self, table: TableSource) -> None:
        with optional(True):
            self._connection.executemany(_insert_into(table), table.rows[: self._style.rows])


def _served(needs: Mapping[str, Sequence[Need]], style: Style, rng: Random) -> frozenset[int]:
    """Queries that get all they ask for, since half of it would not meet in a join; no table gets more of it than the cap."""
    tables: dict[int, list[str]] = {}
    for table, group in needs.items():
        for need in group:
            tables.setdefault(need.query, []).append(table)
    served: set[int] = set()
    planted: Counter[str] = Counter()
    for query in rng.sample(sorted(tables), round(len(tables) * style.planted)):
        if all((planted[table] + 1) * _PLANTED_EACH <= style.rows for table in tables[query]):
            planted.update(tables[query])
            served.add(query)
    return frozenset(served)


def _insert_into(table: TableSource) -> str:
    places = ", ".join("?" * len(table.columns))
    return f"INSERT OR IGNORE INTO {quoted(table.name)} ({listed(table.columns)}) VALUES ({places})"


@dataclass(frozen=True)
class _Start:
    """What a row begins as, what it is for, how often it comes, and whether its copies refer to the same rows."""

    base: Row
    need: Need | None = None
    times: int = 1
    together: bool = False


class _RowMaker:
    """Makes the rows of one table."""

    def __init__(
        self,
        table: TableSource,
        source: Source,
        style: Style,
        rng: Random,
        rows: dict[str, list[_Cells]],
        planted: dict[tuple[str, int], list[_Cells]],
    ) -> None:
        self._table = table
        self._style = style
        self._rng = rng
        self._rows = rows
        self._planted = planted
        self._sizes = source.group_sizes
        self._numbers = iter(range(1, 1_000_000_000))
        referring = {column for reference in table.references for column in reference.columns}
        keys = [columns[0] for columns in table.unique if len(columns) == 1]
        self._keys = {column: dict[Value, _Cells]() for column in keys if column not in referring}
        self._free = [column for column in table.columns if column not in referring and column not in self._keys]
        self._few = {column: self._some(column) for column in self._free if rng.random() < style.few}
        self._nulls = {column: style.nulls * rng.choice((0, 0.5, 1, 2)) for column in table.columns if column in table.nullable}
        self._count = self._size()
        self._dealt = [self._deal(reference) for reference in table.references]

    def plan(self, needs: Sequence[Need]) -> list[_Start]:
        """The rows to make, in the order of their making."""
        if not self._count:
            return []
        plan = [*map(_Start, self._bases()), *(start for need in needs for start in self._planted_starts(need))]
        self._rng.shuffle(plan)
        return plan

    def _planted_starts(self, need: Need) -> Iterator[_Start]:
        for _ in range(_PLANTED_EACH):
            yield _Start(self._base(), need, times=2 if self._rng.random() < self._style.copies else 1)
        for size in need.group_sizes:
            count = size + self._rng.choice((-1, 0, 1))
            if 1 < count <= self._style.rows:
                yield _Start(self._base(), need, times=count, together=True)

    def row(self, start: _Start, bold: bool) -> _Cells | None:
        """One row; None where it would refer to a row that does not exist. `bold` lets its values change at will."""
        row = dict(zip(self._table.columns, start.base, strict=True))
        if bold:
            self._fuzz(row)
        if start.need is None:
            return self._placed(row, None)
        self._plant(row, start.need)
        return self._namesake(row, start.need) or self._placed(row, start.need)

    def _namesake(self, row: _Cells, need: Need) -> _Cells | None:
        """The row that already has the key the query names: there can be no second one."""
        named = (taken.get(row[column]) for column, taken in self._keys.items() if need.constants(column))
        return next((known for known in named if known is not None), None)

    def again(self, row: _Cells, start: _Start) -> _Cells | None:
        """The row once more under another key, so that the two tie."""
        copy = dict(row)
        return self._keyed(copy) if start.together else self._placed(copy, start.need)

    def _placed(self, row: _Cells, need: Need | None) -> _Cells | None:
        for reference, dealt in zip(self._table.references, self._dealt, strict=True):
            if not self._refer(row, reference, dealt, need):
                return None
        return self._keyed(row)

    def _keyed(self, row: _Cells) -> _Cells:
        for column, taken in self._keys.items():
            if row[column] in taken or row[column] is None:
                row[column] = self._table.pools[column].fresh(row[column], next(self._numbers))
        return row

    def took(self, row: _Cells) -> None:
        """The row went in: its keys are taken."""
        for column, taken in self._keys.items():
            taken[row[column]] = row

    def has(self, row: _Cells) -> bool:
        """Whether this very row is in already."""
        return any(taken.get(row[column]) is row for column, taken in self._keys.items())

    def _size(self) -> int:
        known = len(self._table.rows)
        if self._rng.random() < self._style.empty:
            return 0
        wanted = int(known * self._rng.uniform(0.5, 1.5)) if known else self._rng.randint(0, 8)
        return min(self._style.rows, max(wanted, 6 if known else 0))

    def _some(self, column: str) -> list[Value]:
        """Three values at most; where all are the same, sums tie as well."""
        return [self._table.pools[column].draw(self._rng) for _ in range(self._rng.randint(1, _FEW_VALUES))]

    def _base(self) -> Row:
        if self._table.rows:
            return self._rng.choice(self._table.rows)
        return tuple(self._table.pools[column].draw(self._rng) for column in self._table.columns)

    def _bases(self) -> Iterator[Row]:
        """Rows of the original, each once as far as they reach, and now and then one again."""
        sample = self._rng.sample(self._table.rows, min(self._count, len(self._table.rows)))
        last: Row | None = None
        for index in range(self._count):
            repeats = last is not None and self._rng.random() < self._style.copies
            if not repeats:
                last = sample[index] if index < len(sample) else self._base()
            assert last is not None
            yield last

    def _fuzz(self, row: _Cells) -> None:
        for column in self._free:
            if column in self._few:
                row[column] = self._rng.choice(self._few[column])
            elif self._rng.random() < self._style.fuzz:
                peers = self._peers(row, column)
                # Now and then two columns of a row agree: that is where < and <= part.
                row[column] = self._rng.choice(peers) if peers and self._rng.random() < 0.3 else self._table.pools[column].draw(self._rng)
            if self._rng.random() < self._nulls.get(column, 0.0):
                row[column] = None

    def _peers(self, row: _Cells, column: str) -> list[Value]:
        pools = self._table.pools
        return [row[c] for c in self._free if c != column and pools[c].kind == pools[column].kind != "text" and row[c] is not None]

    def _plant(self, row: _Cells, need: Need) -> None:
        """Values that meet the query's comparisons, or just miss them."""
        # In any order: of two comparisons of one column, the later one decides.
        for asked in self._rng.sample(need.asked, len(need.asked)):
            columns = [column for column in asked.columns if column in self._table.pools]
            if not columns:
                continue
            chosen = self._rng.choice(columns)
            constant = self._rng.choice(asked.constants)
            row[chosen] = self._table.pools[chosen].near(constant, row[chosen], self._peers(row, chosen), self._rng)
            for column in columns:
                if column != chosen and asked.neutral is not None and self._table.pools[column].kind in ("whole", "real"):
                    row[column] = asked.neutral

    def _refer(self, row: _Cells, reference: Reference, dealt: Iterator[_Cells], need: Need | None) -> bool:
        """Point the row at another one; False where there is none and NULL is not allowed."""
        nullable = [column for column in reference.columns if column in self._table.nullable]
        if nullable and self._leads_nowhere(reference, nullable[0], need):
            row[nullable[0]] = None
            return True
        if not reference.declared and self._rng.random() < 0.1:
            return True  # what no foreign key forbids may lead nowhere
        parent = self._asked_parent(reference, need) or self._any_parent(reference, dealt)
        if parent is not None:
            row.update(zip(reference.columns, (parent[column] for column in reference.target_columns), strict=True))
        elif nullable and reference.target in self._rows:
            row[nullable[0]] = None
        elif reference.declared:
            # A table still to come, or the first row of one that refers to itself: mended when all rows are there.
            return reference.target not in self._rows or reference.target == self._table.name
        return True

    def _leads_nowhere(self, reference: Reference, nullable: str, need: Need | None) -> bool:
        asked = need.constants(reference.columns[0]) if need else ()
        share = 0.6 if None in asked else 0.0 if asked else self._nulls[nullable]
        return self._rng.random() < share

    def _asked_parent(self, reference: Reference, need: Need | None) -> _Cells | None:
        """A row that the same query asked for, or that has the key it names."""
        if need is None or self._rng.random() < 0.15:
            return None
        named = need.constants(reference.columns[0])
        if named:
            fitting = [row for row in self._rows.get(reference.target, ()) if row[reference.target_columns[0]] in named]
        else:
            fitting = self._planted.get((reference.target, need.query), [])
        return self._rng.choice(fitting) if fitting else None

    def _any_parent(self, reference: Reference, dealt: Iterator[_Cells]) -> _Cells | None:
        rows = self._rows.get(reference.target, [])
        if reference.target == self._table.name:
            return self._rng.choice(rows) if rows else None  # an earlier row, so that no circle comes about
        return next(dealt, None)

    def _deal(self, reference: Reference) -> Iterator[_Cells]:
        """Rows to refer to, in groups of many sizes; some rows get none, and where the reference is a key, none gets two."""
        rows = self._rows.get(reference.target, [])
        if not rows or reference.target == self._table.name:
            return
        if reference.columns in self._table.unique:
            yield from self._rng.sample(rows, len(rows))
            return
        active = self._rng.sample(rows, max(1, round(len(rows) * self._rng.uniform(0.4, 1.0))))
        sizes = self._group_sizes(max(1, self._count // len(active)))
        while True:
            for row in active:
                for _ in range(self._rng.choice(sizes)):
                    yield row

    def _group_sizes(self, average: int) -> list[int]:
        asked = [size + more for size in self._sizes for more in (-1, 0, 1) if 0 < size + more <= self._count // 4]
        return [1, 2, average, average, average + 1, 2 * average, *self._rng.sample(asked, min(3, len(asked)))]


# Mending


def _mend(connection: sqlite3.Connection, tables: Sequence[TableSource], rng: Random) -> None:
    """Make every declared foreign key hold: circles and references that share columns can break one."""
    keys = [(table, reference) for table in tables for reference in table.references if reference.declared and not table.virtual]
    for table, reference in keys:
        _redirect(connection, table, reference, rng)
    gone = 1
    while gone:  # a row that goes may be what others refer to
        gone = sum(connection.execute(f"DELETE FROM {_dangling(*key)}").rowcount for key in keys)


def _redirect(connection: sqlite3.Connection, table: TableSource, reference: Reference, rng: Random) -> None:
    targets = connection.execute(f"SELECT {listed(reference.target_columns)} FROM {quoted(reference.target)}").fetchall()
    lost = connection.execute(f"SELECT DISTINCT {listed(reference.columns)} FROM {_dangling(table, reference)}").fetchall()
    setting = ", ".join(f"{quoted(column)} = ?" for column in reference.columns)
    where = " AND ".join(f"{quoted(column)} IS ?" for column in reference.columns)
    for values in lost if targets else ():
        statement = f"UPDATE OR IGNORE {quoted(table.name)} SET {setting} WHERE {where}"
        with optional(True):
            connection.execute(statement, (*rng.choice(targets), *values))


def _dangling(table: TableSource, reference: Reference) -> str:
    """FROM and WHERE of the rows that refer to nothing."""
    present = " AND ".join(f"c.{quoted(column)} IS NOT NULL" for column in reference.columns)
    pairs = zip(reference.target_columns, reference.columns, strict=True)
    equal = " AND ".join(f"p.{quoted(target)} = c.{quoted(column)}" for target, column in pairs)
    return f"{quoted(table.name)} AS c WHERE {present} AND NOT EXISTS (SELECT 1 FROM {quoted(reference.target)} AS p WHERE {equal})"
