"""What it takes to write variants of a database: its tables, their values, and what queries ask of them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from t2s.errors import DatabaseError
from t2s.sql.database import open_readonly, unreadable
from t2s.sql.execute import Row
from t2s.sql.hints import Asked, Hints, Link, Need
from t2s.sql.pools import Pool, pool_of

# Larger tables are known by their first rows, and wide ones by fewer.
_ROWS_READ = 20_000
_BYTES_READ = 50_000_000


@dataclass(frozen=True)
class Reference:
    """Columns that take their values from another table's rows; not `declared` where only a query says so."""

    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    declared: bool


@dataclass(frozen=True)
class TableSource:
    """One table as the original has it.

    Attributes:
        name: The name as declared.
        columns: The columns that can be written to.
        pools: Their values.
        rows: Its first rows.
        nullable: The columns that may be NULL.
        unique: Sets of columns whose values do not repeat; the primary key is one.
        references: Where its columns take their values from.
        virtual: Whether a module keeps it; its rows are copied as they are.
    """

    name: str
    columns: tuple[str, ...]
    pools: dict[str, Pool]
    rows: tuple[Row, ...]
    nullable: frozenset[str]
    unique: tuple[tuple[str, ...], ...]
    references: tuple[Reference, ...]
    virtual: bool


@dataclass(frozen=True)
class Source:
    """What it takes to write variants of a database: read once, used many times.

    Attributes:
        encoding: Of its text.
        create: Statements for tables and indexes, in the order of their creation.
        create_views: Statements for views.
        tables: In an order in which a table follows those it refers to, as far as there is one.
        needs: What the queries ask of each table.
        group_sizes: Numbers that queries compare counts with.
    """

    encoding: str
    create: tuple[str, ...]
    create_views: tuple[str, ...]
    tables: tuple[TableSource, ...]
    needs: dict[str, tuple[Need, ...]]
    group_sizes: tuple[int, ...]


def read_source(database: Path, hints: Hints) -> Source:
    """Read what variants are made from.

    Triggers are left out: they could write, and no query starts one.

    Raises:
        DatabaseError: the file is missing, or cannot be read as a SQLite database.
    """
    with closing(open_readonly(database)) as connection:
        try:
            tables = _linked(_tables(connection), hints.links)
            encoding = connection.execute("PRAGMA encoding").fetchone()[0]
            create, views = _statements(connection)
        except sqlite3.Error as error:
            raise DatabaseError(unreadable(database, str(error))) from error
    return Source(encoding, create, views, tuple(_parents_first(tables)), _needs(tables, hints.needs), hints.group_sizes)


def _statements(connection: sqlite3.Connection) -> tuple[tuple[str, ...], tuple[str, ...]]:
    hidden = _shadows(connection)
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid"
    ).fetchall()
    create = tuple(sql for kind, name, sql in rows if kind in ("table", "index") and name not in hidden)
    return create, tuple(sql for kind, _, sql in rows if kind == "view")


def _shadows(connection: sqlite3.Connection) -> set[str]:
    """Tables that a virtual table makes for itself."""
    if sqlite3.sqlite_version_info < (3, 37):  # older ones do not list them
        return set()
    return {name for (name,) in connection.execute("SELECT name FROM pragma_table_list WHERE type = 'shadow'")}


def _tables(connection: sqlite3.Connection) -> list[TableSource]:
    hidden = _shadows(connection)
    entries = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid"
    ).fetchall()
    names = {name.lower(): name for name, _ in entries}
    found = []
    for name, sql in entries:
        if name not in hidden:
            virtual = sql.lstrip()[:14].upper() == "CREATE VIRTUAL"
            with optional(virtual):
                found.append(_table(connection, name, names, virtual))
    return found


def _table(connection: sqlite3.Connection, name: str, names: dict[str, str], virtual: bool) -> TableSource:
    info = connection.execute('SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden = 0', (name,)).fetchall()
    columns = tuple(column for column, *_ in info)
    rows = _first_rows(connection, name, columns)
    cells = list(zip(*rows, strict=True)) or [()] * len(columns)
    key = tuple(column for column, _, _, place in sorted(info, key=lambda row: row[3]) if place)
    return TableSource(
        name=name,
        columns=columns,
        pools={column: pool_of(values, kind) for (column, kind, *_), values in zip(info, cells, strict=True)},
        rows=rows,
        nullable=frozenset(column for column, _, not_null, place in info if not not_null and not place),
        unique=tuple(dict.fromkeys([*([key] if key else []), *_unique_indexes(connection, name)])),
        references=tuple(_references(connection, name, names)),
        virtual=virtual,
    )


def _first_rows(connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> tuple[Row, ...]:
    rows, size = [], 0
    for row in connection.execute(f"SELECT {listed(columns)} FROM {quoted(table)} LIMIT {_ROWS_READ}"):
        rows.append(row)
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if size > _BYTES_READ:
            break
    return tuple(rows)


def _unique_indexes(connection: sqlite3.Connection, table: str) -> Iterator[tuple[str, ...]]:
    """Unique sets of plain columns; the others SQLite minds by itself."""
    indexes = connection.execute('SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial ORDER BY name', (table,)).fetchall()
    for (index,) in indexes:
        columns = [name for (name,) in connection.execute("SELECT name FROM pragma_index_info(?) ORDER BY seqno", (index,))]
        if None not in columns:
            yield tuple(columns)


def _references(connection: sqlite3.Connection, table: str, names: dict[str, str]) -> Iterator[Reference]:
    """Declared foreign keys whose target exists; without named columns they mean the target's primary key."""
    keys: dict[int, list[tuple[str, str, str | None]]] = {}
    for number, target, column, other in connection.execute(
        'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq', (table,)
    ):
        keys.setdefault(number, []).append((target, column, other))
    for parts in keys.values():
        target = names.get(parts[0][0].lower())
        if target is None:
            continue
        primary = [name for (name,) in connection.execute("SELECT name FROM pragma_table_xinfo(?) WHERE pk ORDER BY pk", (target,))]
        others = [other for _, _, other in parts if other is not None] or primary
        yield from _spelled(connection, table, [column for _, column, _ in parts], target, others)


def _spelled(connection: sqlite3.Connection, table: str, columns: Sequence[str], target: str, others: Sequence[str]) -> Iterator[Reference]:
    """The reference with names spelled as declared; nothing if a column is missing."""
    found = [_declared(connection, table, columns), _declared(connection, target, others)]
    if len(found[0]) == len(found[1]) == len(columns):
        yield Reference(found[0], target, found[1], declared=True)


def _declared(connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> tuple[str, ...]:
    rows = connection.execute("SELECT name FROM pragma_table_xinfo(?)", (table,))
    names = {name.lower(): name for (name,) in rows}
    return tuple(names[column.lower()] for column in columns if column.lower() in names)


def _linked(tables: list[TableSource], links: Sequence[Link]) -> list[TableSource]:
    """Tables with the references that queries imply where no foreign key is declared."""
    by_name = {table.name: table for table in tables}
    for link in links:
        if link.table in by_name and link.other_table in by_name:
            first, second = (link.table, link.column), (link.other_table, link.other_column)
            child, parent = (second, first) if _is_key(by_name[first[0]], first[1]) else (first, second)
            table = by_name[child[0]]
            taken = {column for reference in table.references for column in reference.columns}
            if child[1] in table.columns and child[1] not in taken and not _refers(by_name[parent[0]], parent[1], child):
                reference = Reference((child[1],), parent[0], (parent[1],), declared=False)
                by_name[child[0]] = _with_reference(table, reference)
    return list(by_name.values())


def _is_key(table: TableSource, column: str) -> bool:
    return (column,) in table.unique


def _refers(table: TableSource, column: str, target: tuple[str, str]) -> bool:
    return any((column, *target) == (*r.columns, r.target, *r.target_columns) for r in table.references)


def _with_reference(table: TableSource, reference: Reference) -> TableSource:
    return replace(table, references=(*table.references, reference))


def _parents_first(tables: Sequence[TableSource]) -> Iterator[TableSource]:
    """Tables after those they refer to; in a circle, the first declared goes first."""
    left = {table.name: table for table in tables}
    while left:
        free = [t for t in left.values() if not any(r.target in left and r.target != t.name for r in t.references)]
        table = (free or list(left.values()))[0]
        del left[table.name]
        yield table


def _needs(tables: Sequence[TableSource], needs: Sequence[Need]) -> dict[str, tuple[Need, ...]]:
    """Needs by table; what a query asks of a reference it also asks of the key behind it."""
    found: dict[str, list[Need]] = {table.name: [] for table in tables}
    references = {table.name: table.references for table in tables}
    referred = {(need.query, reference.target) for need in needs for reference in references.get(need.table, ())}
    for need in needs:
        # Rows are counted where nothing else of the query refers to them.
        counted = (need.query, need.table) not in referred
        found.setdefault(need.table, []).append(need if counted else replace(need, group_sizes=()))
        for reference in references.get(need.table, ()):
            keys = tuple(constant for constant in need.constants(reference.columns[0]) if constant is not None)
            if keys and reference.target != need.table:
                found[reference.target].append(Need(need.query, reference.target, (Asked((reference.target_columns[0],), keys),)))
    return {name: tuple(group) for name, group in found.items()}


def optional(may_fail: bool) -> contextlib.AbstractContextManager[None]:
    """An index or a view can speak of functions and modules that are not here; then it could not be used anyway."""
    return contextlib.suppress(sqlite3.Error) if may_fail else contextlib.nullcontext()


def quoted(name: str) -> str:
    """A name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Sequence[str]) -> str:
    """Names as a list of identifiers."""
    return ", ".join(map(quoted, names))
