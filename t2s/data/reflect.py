"""A SQLite copy of a PostgreSQL, MySQL or DuckDB database: its schema whole, its rows as a sample in which the keys hold."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SAWarning

from t2s.data.copy_rows import RowCopier, empty_dangling_keys
from t2s.data.source_catalog import Catalog, LeftOut, SourceTable, read_catalog
from t2s.data.source_database import file_of, open_source, shown
from t2s.errors import ConfigError, DatabaseError, DataError
from t2s.sql.dialect import view_query

# sqlglot's names for SQLAlchemy's dialects, where they differ.
_SQL_DIALECTS = {"postgresql": "postgres", "mssql": "tsql", "mariadb": "mysql"}
# A view has to show its first row within so many opcodes, counted in steps.
_OPCODES_PER_STEP = 10_000
_VIEW_STEPS = 20_000


@dataclass(frozen=True)
class CopiedTable:
    """One table of the copy; `whole` where it has every row of the source."""

    name: str
    rows: int
    whole: bool


@dataclass(frozen=True)
class Copied:
    """What became of a copy.

    Attributes:
        target: The SQLite file.
        tables: Its tables, in the order of their names.
        views: Names of the views that came along.
        left_out: Everything else of the source's schema, each with the reason.
    """

    target: Path
    tables: tuple[CopiedTable, ...]
    views: tuple[str, ...]
    left_out: tuple[LeftOut, ...]

    def lines(self) -> Iterator[str]:
        """The result for a terminal."""
        rows = sum(table.rows for table in self.tables)
        whole = sum(table.whole for table in self.tables)
        yield f"{self.target}: {len(self.tables)} tables ({whole} of them whole), {rows} rows, {len(self.views)} views"
        for left in self.left_out:
            yield f"left out: {left.what}: {left.why}"


def copy_database(
    url: str, target: Path, rows_per_table: int, seed: int, report: Callable[[str], None], schema: str | None = None
) -> Copied:
    """Copy a database's schema and a sample of its rows to a SQLite file.

    Tables, columns, types, primary, unique and foreign keys, comments and views are copied; comments stand in the CREATE TABLE,
    where `read_schema` finds them. Types become those that SQLite stores alike; moments with a time zone are in UTC.
    Defaults, checks, indexes, triggers, sequences and rights are not copied: no query sees them.

    Rows come from all over a table where its primary key is a number, else from its beginning. A row brings along the rows that
    its foreign keys point to, and those that they point to, so a table may have more rows than asked for.

    The source is only read, in one transaction. The target appears whole or not at all.

    Args:
        url: The database as SQLAlchemy takes it, `postgresql://user:password@host/name`.
        target: The SQLite file; one that is there is replaced.
        rows_per_table: How many rows of each table to take, at most.
        seed: Chooses the rows.
        report: Is told which table is at work.
        schema: The schema to copy; None for the one the connection begins in.

    Returns:
        What was copied, and what was not.

    Raises:
        ConfigError: the URL is wrong, its driver is not installed, or the settings make no copy.
        DatabaseError: the database cannot be read, or has no tables. No message holds the password.
    """
    if rows_per_table < 1:
        raise ConfigError(f"rows_per_table={rows_per_table}: a copy needs at least 1 row of each table")
    source = file_of(url)
    if source is not None and source.resolve() == target.resolve():
        raise ConfigError(f"the copy would replace the database it is made from, {target}: give it another name")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        file = Path(folder) / "copy.sqlite"
        try:
            with open_source(url) as connection, closing(sqlite3.connect(file)) as copy:
                copied = _copy(connection, copy, url, target, rows_per_table, seed, report, schema)
        except sqlite3.Error as error:
            raise DatabaseError(f"cannot write {target}: {error}; is the disk full, or does the source change?") from error
        os.replace(file, target)
    return copied


def _copy(
    source: sa.Connection,
    copy: sqlite3.Connection,
    url: str,
    target: Path,
    rows_per_table: int,
    seed: int,
    report: Callable[[str], None],
    schema: str | None,
) -> Copied:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # of types and indexes it cannot name: they become TEXT, or do not matter here
        catalog = read_catalog(source, schema)
    if not catalog.tables:
        raise DatabaseError(_no_tables(catalog, url))
    copy.execute("PRAGMA journal_mode = MEMORY")  # a copy that fails is thrown away
    copy.execute("PRAGMA synchronous = OFF")
    for table in catalog.tables:
        copy.execute(create_table(table))
    copier = RowCopier(source, schema, copy, catalog.tables, rows_per_table, seed)
    for table in _children_first(catalog.tables):
        report(f"copying {table.name}")
        copier.copy(table)
    whole = {table.name: copier.is_whole(table) for table in catalog.tables}
    dangling = list(empty_dangling_keys(copy, catalog.tables))
    copy.commit()
    report(f"copying {len(catalog.views)} views")
    views, lost = _copy_views(copy, catalog, _SQL_DIALECTS.get(source.dialect.name, source.dialect.name))
    copy.commit()
    others = [LeftOut(f"schema {name}", f"one schema is copied at a time; choose it with schema={name}") for name in catalog.other_schemas]
    tables = tuple(CopiedTable(table.name, _count(copy, table.name), whole[table.name]) for table in catalog.tables)
    return Copied(target, tables, tuple(views), (*catalog.left_out, *copier.cut_values(), *dangling, *lost, *others))


def create_table(table: SourceTable) -> str:
    """The statement that makes a table in SQLite, with comments where `read_schema` finds them."""
    items: list[tuple[str, str | None]] = []
    for column in table.columns:
        null = "" if column.nullable else " NOT NULL"
        items.append((f"{_quoted(column.name)} {column.type}{null}", column.comment))
    if table.primary_key:
        items.append((f"PRIMARY KEY ({_listed(table.primary_key)})", None))
    items += [(f"UNIQUE ({_listed(columns)})", None) for columns in table.unique if columns != table.primary_key]
    for key in table.keys:
        items.append((f"FOREIGN KEY ({_listed(key.columns)}) REFERENCES {_quoted(key.target)} ({_listed(key.target_columns)})", None))
    lines = [f"CREATE TABLE {_quoted(table.name)} ({_comment(table.comment)}"]
    for place, (item, said) in enumerate(items):
        lines.append(f"    {item}{',' if place < len(items) - 1 else ''}{_comment(said)}")
    return "\n".join([*lines, ")"])


def _comment(text: str | None) -> str:
    """A comment that ends with its line."""
    words = " ".join(part for part in (text or "").split() if part.isprintable()).lstrip("-").strip()
    return f" -- {words}" if words else ""


def _no_tables(catalog: Catalog, url: str) -> str:
    where = f"schema {catalog.schema}" if catalog.schema else "the schema that the connection begins in"
    others = f"; other schemas with tables: {', '.join(catalog.other_schemas)}" if catalog.other_schemas else ""
    why = "".join(f"; {left.what}: {left.why}" for left in catalog.left_out[:3])
    return f"{shown(url)} has no tables that can be copied in {where}{others}{why}: check the name, the schema and the user's rights"


def _children_first(tables: Sequence[SourceTable]) -> Iterator[SourceTable]:
    """Tables before those they point to, so that parents are chosen by their children; in a circle, by name."""
    left = {table.name: table for table in tables}
    while left:
        pointed_to = {key.target for table in left.values() for key in table.keys if key.target != table.name}
        free = [table for table in left.values() if table.name not in pointed_to]
        table = (free or list(left.values()))[0]
        del left[table.name]
        yield table


def _copy_views(copy: sqlite3.Connection, catalog: Catalog, dialect: str) -> tuple[list[str], list[LeftOut]]:
    """Views that run in SQLite; one may need another, so they are tried until no more run."""
    waiting = dict(catalog.views)
    made: list[str] = []
    reasons: dict[str, str] = {}
    progress = True
    while waiting and progress:
        progress = False
        for name, definition in list(waiting.items()):
            reasons[name] = _make_view(copy, name, definition, dialect)
            if not reasons[name]:
                progress = True
                made.append(name)
                del waiting[name]
    return sorted(made), [LeftOut(f"view {name}", reasons[name]) for name in waiting]


def _make_view(copy: sqlite3.Connection, name: str, definition: str, dialect: str) -> str:
    """Make one view and look at its first row; the reason if that does not work."""
    try:
        query, columns = view_query(definition, dialect)
    except DataError as error:
        return f"its query cannot be said in SQLite ({' '.join(str(error).split())[:200]})"
    named = f" ({_listed(columns)})" if columns else ""
    steps = iter(range(_VIEW_STEPS))
    copy.set_progress_handler(lambda: next(steps, None) is None, _OPCODES_PER_STEP)
    copy.execute("SAVEPOINT view")
    try:
        copy.execute(f"CREATE VIEW {_quoted(name)}{named} AS {query}")
        copy.execute(f"SELECT * FROM {_quoted(name)} LIMIT 1").fetchall()
    except sqlite3.Error as error:
        copy.execute("ROLLBACK TO view")
        return f"its query does not run in SQLite ({error})"
    finally:
        copy.set_progress_handler(None, 0)
        copy.execute("RELEASE view")
    return ""


def _count(copy: sqlite3.Connection, table: str) -> int:
    (count,) = copy.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()
    return int(count)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_quoted, names))
