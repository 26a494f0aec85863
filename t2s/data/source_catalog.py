"""What another database says of its tables: columns, keys, comments and views, in plain values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError
from sqlalchemy.types import (
    Date,
    DateTime,
    Double,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    NullType,
    Numeric,
    String,
    Time,
    TypeEngine,
)

from t2s.sql.comments import TableComments, table_comments

_SYSTEM_SCHEMAS = frozenset({"information_schema", "mysql", "performance_schema", "sys", "pg_catalog", "pg_toast"})


@dataclass(frozen=True)
class SourceColumn:
    """One column; `type` is what a SQLite copy declares it as."""

    name: str
    type: str
    nullable: bool
    comment: str | None


@dataclass(frozen=True)
class SourceKey:
    """Columns that point to a unique set of columns of a table in the same schema."""

    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]


@dataclass(frozen=True)
class SourceTable:
    """One table with its keys, the primary one first among the unique sets of columns."""

    name: str
    columns: tuple[SourceColumn, ...]
    primary_key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...]
    keys: tuple[SourceKey, ...]
    comment: str | None

    def places(self, names: Sequence[str]) -> tuple[int, ...]:
        """Where columns stand in a row."""
        order = [column.name for column in self.columns]
        return tuple(order.index(name) for name in names)


@dataclass(frozen=True)
class LeftOut:
    """Something of the source that the copy does not have, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Catalog:
    """A schema of the source: tables, views as (name, definition), and what could not be described."""

    schema: str | None
    tables: tuple[SourceTable, ...]
    views: tuple[tuple[str, str], ...]
    left_out: tuple[LeftOut, ...]
    other_schemas: tuple[str, ...]


def read_catalog(connection: sa.Connection, schema: str | None) -> Catalog:
    """Describe one schema of a database.

    Args:
        connection: To the source.
        schema: Its name; None for the one the connection begins in.
    """
    reader = _DuckDB(connection, schema) if connection.dialect.name == "duckdb" else _Inspected(connection, schema)
    left_out: list[LeftOut] = []
    tables = [table for name in reader.table_names() if (table := _table(reader, name, left_out)) is not None]
    kept = [_with_keys_that_hold(table, tables, left_out) for table in _without_twins(tables, left_out)]
    views = [(name, definition) for name in reader.view_names() if (definition := _view(reader, name, left_out)) is not None]
    left_out += reader.passed_over()
    return Catalog(reader.schema, tuple(kept), tuple(views), tuple(left_out), tuple(reader.other_schemas()))


class _Inspected:
    """By SQLAlchemy's inspector."""

    def __init__(self, connection: sa.Connection, schema: str | None) -> None:
        self._connection = connection
        self._inspector = sa.inspect(connection)
        self.schema = schema

    def table_names(self) -> list[str]:
        return [*sorted(self._inspector.get_table_names(schema=self.schema)), *self._materialized()]

    def view_names(self) -> list[str]:
        return sorted(self._inspector.get_view_names(schema=self.schema))

    def view(self, name: str) -> str:
        return self._inspector.get_view_definition(name, schema=self.schema) or ""

    def other_schemas(self) -> list[str]:
        here = self.schema or self._inspector.default_schema_name
        names = [name for name in self._inspector.get_schema_names() if name not in _SYSTEM_SCHEMAS and name != here]
        return sorted(name for name in names if not name.startswith("pg_") and self._inspector.get_table_names(schema=name))

    def passed_over(self) -> list[LeftOut]:
        foreign = getattr(self._inspector, "get_foreign_table_names", None)
        names = foreign(schema=self.schema) if foreign else []
        return [LeftOut(f"foreign table {name}", "its rows lie in another database; copy that one") for name in sorted(names)]

    def _materialized(self) -> list[str]:
        try:
            return sorted(self._inspector.get_materialized_view_names(schema=self.schema))
        except NotImplementedError:
            return []

    def table(self, name: str) -> SourceTable:
        inspector, schema = self._inspector, self.schema
        primary = tuple(inspector.get_pk_constraint(name, schema=schema)["constrained_columns"])
        comments = self._comments(name)
        named = self._connection.dialect.name != "sqlite"  # where a column may have no type; elsewhere it is one SQLAlchemy does not know
        columns = tuple(
            SourceColumn(
                name=c["name"],
                type=declared_type(c["type"]) if named or not isinstance(c["type"], NullType) else "",
                nullable=bool(c["nullable"]) and c["name"] not in primary,
                comment=c.get("comment") or comments.columns.get(c["name"].lower()),
            )
            for c in inspector.get_columns(name, schema=schema)
        )
        return SourceTable(name, columns, primary, tuple(dict.fromkeys(self._unique(name))), tuple(self._keys(name)), comments.table)

    def _unique(self, name: str) -> Iterator[tuple[str, ...]]:
        """Unique constraints, and unique indexes over plain columns of all rows."""
        found: list[Sequence[str | None]] = []
        with suppress(NotImplementedError):
            found += [constraint["column_names"] for constraint in self._inspector.get_unique_constraints(name, schema=self.schema)]
        for index in self._inspector.get_indexes(name, schema=self.schema):
            partial = any(option.endswith("_where") and value is not None for option, value in index.get("dialect_options", {}).items())
            if index["unique"] and not partial:
                found.append(index["column_names"])
        for columns in found:
            names = tuple(column for column in columns if column is not None)
            if len(names) == len(columns):
                yield names

    def _keys(self, name: str) -> Iterator[SourceKey]:
        found = self._inspector.get_foreign_keys(name, schema=self.schema)
        for key in sorted(found, key=lambda key: (key["constrained_columns"], key["referred_table"])):  # SQLite's come in any order
            target = key["referred_table"]
            if key.get("referred_schema") not in (None, self.schema):
                target = f"{key['referred_schema']}.{target}"
            targets = key["referred_columns"] or self._inspector.get_pk_constraint(target, schema=self.schema)["constrained_columns"]
            yield SourceKey(tuple(key["constrained_columns"]), target, tuple(targets))

    def _comments(self, name: str) -> TableComments:
        """The table's comment; in SQLite, where comments are part of the statement, those of its columns, too."""
        try:
            return TableComments(self._inspector.get_table_comment(name, schema=self.schema)["text"], {})
        except NotImplementedError:
            pass
        if self._connection.dialect.name != "sqlite":
            return TableComments(None, {})
        statement = sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :name")
        return table_comments(self._connection.execute(statement, {"name": name}).scalar() or "")


class _DuckDB:
    """By DuckDB's own catalogue: duckdb-engine (0.17) asks it questions of PostgreSQL's that DuckDB cannot answer."""

    def __init__(self, connection: sa.Connection, schema: str | None) -> None:
        self._connection = connection
        self.schema = schema or "main"

    def _rows(self, sql: str, **values: object) -> list[tuple[object, ...]]:
        where = "database_name = current_database() AND schema_name = :schema AND NOT internal"
        return [tuple(row) for row in self._connection.execute(sa.text(sql.replace("{here}", where)), {"schema": self.schema, **values})]

    def table_names(self) -> list[str]:
        return [str(name) for (name,) in self._rows("SELECT table_name FROM duckdb_tables() WHERE {here} ORDER BY table_name")]

    def view_names(self) -> list[str]:
        return [str(name) for (name,) in self._rows("SELECT view_name FROM duckdb_views() WHERE {here} ORDER BY view_name")]

    def view(self, name: str) -> str:
        return str(self._rows("SELECT sql FROM duckdb_views() WHERE {here} AND view_name = :name", name=name)[0][0])

    def other_schemas(self) -> list[str]:
        sql = "SELECT DISTINCT schema_name FROM duckdb_tables() WHERE database_name = current_database() AND schema_name <> :schema"
        return sorted(str(name) for (name,) in self._rows(sql))

    def passed_over(self) -> list[LeftOut]:
        return []

    def table(self, name: str) -> SourceTable:
        described = self._rows(
            "SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns() "
            "WHERE {here} AND table_name = :name ORDER BY column_index",
            name=name,
        )
        constraints = self._rows(
            "SELECT constraint_type, constraint_column_names, referenced_table, referenced_column_names FROM duckdb_constraints() "
            "WHERE database_name = current_database() AND schema_name = :schema AND table_name = :name ORDER BY constraint_index",
            name=name,
        )
        ((comment,),) = self._rows("SELECT comment FROM duckdb_tables() WHERE {here} AND table_name = :name", name=name)
        primary = next((_names(columns) for kind, columns, *_ in constraints if kind == "PRIMARY KEY"), ())
        return SourceTable(
            name=name,
            columns=tuple(
                SourceColumn(str(column), declared_name(str(kind)), bool(null) and column not in primary, _text(said))
                for column, kind, null, said in described
            ),
            primary_key=primary,
            unique=tuple(_names(columns) for kind, columns, *_ in constraints if kind == "UNIQUE"),
            keys=tuple(SourceKey(_names(c), str(target), _names(t)) for kind, c, target, t in constraints if kind == "FOREIGN KEY"),
            comment=_text(comment),
        )


_Reader = _Inspected | _DuckDB


def declared_type(kind: TypeEngine[object]) -> str:
    """What a SQLite table declares for a column of that type.

    SQLite goes by parts of the name: a POINT would be a whole number to it, so what it cannot hold itself becomes TEXT.
    """
    if isinstance(kind, sa.Boolean):
        return "BOOLEAN"
    if isinstance(kind, Integer):
        return "INTEGER"
    if isinstance(kind, Float | Double):
        return "REAL"
    if isinstance(kind, Numeric):
        return f"NUMERIC({kind.precision},{kind.scale})" if kind.precision is not None and kind.scale is not None else "NUMERIC"
    if isinstance(kind, DateTime):
        return "DATETIME"
    for types, name in ((Date, "DATE"), (Time, "TIME"), (LargeBinary, "BLOB"), ((Interval, Enum), "TEXT")):
        if isinstance(kind, types):  # type: ignore[arg-type]
            return name
    if isinstance(kind, String) and kind.length:
        return f"VARCHAR({kind.length})"
    return declared_name(kind.__visit_name__)


def declared_name(name: str) -> str:
    """The same for the name of a type, as DuckDB and odd dialects give it."""
    upper = name.upper().strip()
    base = upper.partition("(")[0].strip()
    if upper.endswith("]") or base in ("STRUCT", "MAP", "UNION", "LIST"):
        return "TEXT"
    if base in ("DECIMAL", "NUMERIC"):
        return upper.replace(" ", "").replace("DECIMAL", "NUMERIC")
    return _NAMES.get(base, "TEXT")


_NAMES = {
    **dict.fromkeys(
        ("TINYINT", "SMALLINT", "INTEGER", "INT", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "YEAR", "SERIAL"), "INTEGER"
    ),
    **dict.fromkeys(("HUGEINT", "UHUGEINT", "MONEY"), "NUMERIC"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "REAL", "DOUBLE PRECISION"), "REAL"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S", "DATETIME"), "DATETIME"),
    **dict.fromkeys(("BLOB", "BYTEA", "VARBINARY", "BINARY"), "BLOB"),
    **{"BOOLEAN": "BOOLEAN", "BOOL": "BOOLEAN", "DATE": "DATE", "TIME": "TIME", "VARCHAR": "TEXT"},
}


def _table(reader: _Reader, name: str, left_out: list[LeftOut]) -> SourceTable | None:
    try:
        table = reader.table(name)
    except (NoSuchTableError, SQLAlchemyError, NotImplementedError) as error:
        left_out.append(LeftOut(f"table {name}", f"it cannot be described ({' '.join(str(error).split())[:200]})"))
        return None
    if not table.columns or name.lower().startswith("sqlite_"):
        left_out.append(LeftOut(f"table {name}", "it has no columns" if not table.columns else "SQLite keeps such names for itself"))
        return None
    return table


def _view(reader: _Reader, name: str, left_out: list[LeftOut]) -> str | None:
    try:
        definition = reader.view(name)
    except (SQLAlchemyError, NotImplementedError):
        definition = ""
    if not definition:
        left_out.append(LeftOut(f"view {name}", "the database does not show its definition"))
    return definition or None


def _without_twins(tables: Sequence[SourceTable], left_out: list[LeftOut]) -> Iterator[SourceTable]:
    """Names that differ in case alone are one name in SQLite: the first stays."""
    seen: set[str] = set()
    for table in tables:
        columns = {column.name.lower() for column in table.columns}
        if table.name.lower() in seen:
            left_out.append(LeftOut(f"table {table.name}", "another table has its name but for upper and lower case"))
        elif len(columns) < len(table.columns):
            left_out.append(LeftOut(f"table {table.name}", "two of its columns have one name but for upper and lower case"))
        else:
            seen.add(table.name.lower())
            yield table


def _with_keys_that_hold(table: SourceTable, tables: Sequence[SourceTable], left_out: list[LeftOut]) -> SourceTable:
    """Without foreign keys whose target is not in the copy, or not unique there."""
    targets = {other.name: (other.primary_key, *other.unique) for other in tables}
    kept = []
    for key in table.keys:
        said = f"foreign key {table.name} ({', '.join(key.columns)}) to {key.target}"
        if key.target not in targets:
            left_out.append(LeftOut(said, "that table is not copied"))
        elif sorted(key.target_columns) not in [sorted(unique) for unique in targets[key.target]]:
            left_out.append(LeftOut(said, f"({', '.join(key.target_columns)}) is not unique there"))
        else:
            kept.append(key)
    return SourceTable(table.name, table.columns, table.primary_key, table.unique, tuple(kept), table.comment)


def _names(value: object) -> tuple[str, ...]:
    return tuple(str(name) for name in value) if isinstance(value, list | tuple) else ()


def _text(value: object) -> str | None:
    return str(value) if value is not None else None
