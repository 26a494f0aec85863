"""A database's schema: tables, columns, keys, comments and a few values, read from the SQLite file itself."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from t2s.errors import DatabaseError
from t2s.sql.comments import TableComments, table_comments
from t2s.sql.database import open_readonly, unreadable
from t2s.sql.key_names import KeyColumn, KeyTable
from t2s.sql.keys import infer_references

Sample = str | int | float

# Values are read from the first rows only: a schema must not take longer on a larger table.
_SAMPLED_ROWS = 10_000
# A view may hide any amount of work behind its first row; counting opcodes, not seconds, keeps the outcome repeatable.
_OPCODES_PER_STEP = 10_000
_SAMPLING_STEPS = 5_000
_MAX_SAMPLE_CHARS = 24
# A column that repeats each value at least this often on average holds categories.
_REPEATS_OF_A_CATEGORY = 3
# More values than this are no closed set to choose from: one shows their form.
_MOST_CATEGORIES = 16
_EXAMPLES_OF_OTHER_TEXT = 1


@dataclass(frozen=True)
class Column:
    """One column of a table or view.

    Attributes:
        name: The name as declared.
        type: The declared type; empty where SQLite knows none.
        primary_key: Whether the column is the primary key or a part of it.
        nullable: Whether NULL may occur.
        comment: The comment in the CREATE TABLE statement, if any.
        references: The (table, column) that a foreign key points to.
        samples: A few values: the most frequent categories first, or examples of free text.
        references_inferred: Whether that key was guessed from names and values, not declared.
    """

    name: str
    type: str
    primary_key: bool
    nullable: bool
    comment: str | None
    references: tuple[str, str] | None
    samples: tuple[Sample, ...]
    references_inferred: bool = False


@dataclass(frozen=True)
class Table:
    """One table or view, its columns in declared order."""

    name: str
    columns: tuple[Column, ...]
    comment: str | None


@dataclass(frozen=True)
class ForeignKey:
    """One column that points to another; a composite key is several of these."""

    table: str
    column: str
    target_table: str
    target_column: str
    inferred: bool = False


@dataclass(frozen=True)
class Schema:
    """The tables and views of one database in the order of their creation."""

    tables: tuple[Table, ...]

    def table(self, name: str) -> Table:
        """The table of that name, in any case.

        Raises:
            KeyError: the schema has no such table.
        """
        for table in self.tables:
            if table.name.lower() == name.lower():
                return table
        raise KeyError(f"no table {name!r}; the schema has {', '.join(table.name for table in self.tables)}")

    def foreign_keys(self) -> tuple[ForeignKey, ...]:
        """All foreign keys, table by table."""
        return tuple(
            ForeignKey(table.name, column.name, *column.references, inferred=column.references_inferred)
            for table in self.tables
            for column in table.columns
            if column.references is not None
        )


def read_schema(database: Path, sample_values: int, infer_keys: bool = False) -> Schema:
    """Read a schema from a SQLite file, without writing to it.

    Internal tables (`sqlite_…` and those behind a virtual table) are left out, and so is a view that no longer
    resolves, since no query on it can run.

    Args:
        database: The SQLite file.
        sample_values: How many values to keep per column, at most; 0 reads none.
        infer_keys: Whether to guess foreign keys that are not declared, see `t2s.sql.keys`; this reads a few rows.

    Returns:
        The schema, the same for the same file.

    Raises:
        DatabaseError: the file is missing, is not a SQLite database, or holds no tables.
    """
    with closing(open_readonly(database)) as connection:
        try:
            tables = tuple(_tables(connection, sample_values, infer_keys))
        except sqlite3.Error as error:
            raise DatabaseError(unreadable(database, str(error))) from error
    if not tables:
        raise DatabaseError(f"{database} holds no tables: check the path, or fill the database first")
    return Schema(tables)


@dataclass(frozen=True)
class _Definition:
    """A row of table_xinfo: `key_position` counts from 1 inside the primary key, 0 outside."""

    name: str
    type: str
    not_null: bool
    key_position: int


def _tables(connection: sqlite3.Connection, sample_values: int, infer_keys: bool) -> Iterator[Table]:
    entries = _entries(connection)
    definitions = {name: _definitions(connection, name) for name, _ in entries}
    inferred = infer_references(connection, key_tables(connection)) if infer_keys else {}
    for name, create_sql in entries:
        if not definitions[name]:
            continue
        comments = table_comments(create_sql) if create_sql else TableComments(None, {})
        targets = _references(connection, name, definitions) | {
            column: target for (table, column), target in inferred.items() if table == name
        }
        free = [d.name for d in definitions[name] if not d.key_position and d.name not in targets]
        samples = _samples(connection, name, free, sample_values)
        columns = (
            Column(
                name=d.name,
                type=d.type,
                primary_key=d.key_position > 0,
                nullable=not d.not_null and not d.key_position,
                comment=comments.columns.get(d.name.lower()),
                references=targets.get(d.name),
                samples=samples.get(d.name, ()),
                references_inferred=(name, d.name) in inferred,
            )
            for d in definitions[name]
        )
        yield Table(name, tuple(columns), comments.table)


def _entries(connection: sqlite3.Connection) -> list[tuple[str, str | None]]:
    """Names in creation order; the CREATE text for tables only, as a view's comments speak of no column."""
    shadows = set()
    if sqlite3.sqlite_version_info >= (3, 37):  # the first to list them
        shadows = {name for (name,) in connection.execute("SELECT name FROM pragma_table_list WHERE type = 'shadow'")}
    rows = connection.execute(
        "SELECT name, CASE type WHEN 'table' THEN sql END FROM sqlite_master "
        "WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid"
    )
    return [(name, create_sql) for name, create_sql in rows if name not in shadows]


def _definitions(connection: sqlite3.Connection, table: str) -> list[_Definition]:
    try:
        rows = connection.execute('SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?)', (table,))
        # hidden = 1 marks a virtual table's internal columns; 2 and 3 are generated ones, which can be queried.
        return [_Definition(name, kind, bool(not_null), pk) for name, kind, not_null, pk, hidden in rows if hidden != 1]
    except sqlite3.OperationalError:
        return []  # a view on something that is gone, or a virtual table whose module is not here


def _references(connection: sqlite3.Connection, table: str, definitions: dict[str, list[_Definition]]) -> dict[str, tuple[str, str]]:
    """What each column points to, spelled as the target declares it; the first foreign key declared wins."""
    by_lower_name = {name.lower(): name for name in definitions}
    references: dict[str, tuple[str, str]] = {}
    # SQLite lists the last foreign key first.
    rows = connection.execute('SELECT "table", "from", "to", seq FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq', (table,))
    for target, column, target_column, position in rows:
        target_name = by_lower_name.get(target.lower())
        if target_name is None or column in references:
            continue
        found = _target_column(definitions[target_name], target_column, position)
        if found is not None:
            references[column] = (target_name, found)
    return references


def _target_column(columns: list[_Definition], name: str | None, position: int) -> str | None:
    """The column of that name, or without a name the one at that position of the primary key."""
    for column in columns:
        if column.key_position == position + 1 if name is None else column.name.lower() == name.lower():
            return column.name
    return None


def key_tables(connection: sqlite3.Connection) -> list[KeyTable]:
    """The tables of a database as `infer_references` sees them: no views, and nothing that a module keeps."""
    entries = _entries(connection)
    definitions = {name: _definitions(connection, name) for name, _ in entries}
    tables = []
    for name, create_sql in entries:
        if create_sql and not create_sql.lstrip()[:14].upper().startswith("CREATE VIRTUAL") and definitions[name]:
            unique, refers = _unique_columns(connection, name), _references(connection, name, definitions)
            columns = (KeyColumn(d.name, d.type, d.key_position, d.name in unique, d.name in refers) for d in definitions[name])
            tables.append(KeyTable(name, tuple(columns)))
    return tables


def _unique_columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """Columns that alone have a unique index over all rows."""
    rows = connection.execute(
        'SELECT min(c.name) FROM pragma_index_list(?) i JOIN pragma_index_info(i.name) c WHERE i."unique" AND NOT i.partial '
        "GROUP BY i.name HAVING count(*) = 1",
        (table,),
    )
    return {name for (name,) in rows if name is not None}


def _samples(connection: sqlite3.Connection, table: str, columns: list[str], limit: int) -> dict[str, tuple[Sample, ...]]:
    if not columns or limit == 0:
        return {}
    names = ", ".join(_quoted(column) for column in columns)
    steps = iter(range(_SAMPLING_STEPS))
    connection.set_progress_handler(lambda: next(steps, None) is None, _OPCODES_PER_STEP)
    try:
        rows = connection.execute(f"SELECT {names} FROM {_quoted(table)} LIMIT {_SAMPLED_ROWS}").fetchall()
    except sqlite3.OperationalError:
        return {}  # a view that costs too much, or fails on its rows
    finally:
        connection.set_progress_handler(None, 0)
    return {name: _chosen(values, limit) for name, values in zip(columns, zip(*rows, strict=True), strict=False)}


def _chosen(values: tuple[object, ...], limit: int) -> tuple[Sample, ...]:
    """The most frequent values of a category, one example of other text, nothing of other numbers."""
    present = [value for value in values if isinstance(value, str | int | float)]
    counts = Counter(present)
    shown = [value for value, _ in counts.most_common() if _is_short(value)]
    if len(counts) <= _MOST_CATEGORIES and len(counts) * _REPEATS_OF_A_CATEGORY <= len(present):
        return tuple(shown[:limit])
    texts = [value for value in counts if isinstance(value, str) and _is_short(value)]
    return tuple(texts[: min(limit, _EXAMPLES_OF_OTHER_TEXT)])


def _is_short(value: Sample) -> bool:
    text = str(value)
    return 0 < len(text) <= _MAX_SAMPLE_CHARS and text.isprintable()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
