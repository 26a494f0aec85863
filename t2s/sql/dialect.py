"""SQLite's SQL in the words of other databases, and theirs in SQLite's.

sqlglot knows the syntax; `dialect_write` and `dialect_read` mend what it would change in meaning. What stays open:

- A column's type. Where the original compares a boolean with 1, or a date with text, the other database may refuse. A schema
  helps with division of whole numbers and with names that need quotes.
- `SELECT name … GROUP BY city` without an aggregate: ANY_VALUE where the dialect has it, else as it was.
- A month after 31 January is 2 March in SQLite, the last of February elsewhere; halves round up in some and to even in others.
- Text in ISO 8601 is a date in SQLite; other databases need it cast, which dates in their own type bear as well.
"""

from __future__ import annotations

import difflib

import sqlglot
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect, Dialects
from sqlglot.errors import ErrorLevel, SqlglotError

from t2s.errors import ConfigError, DataError
from t2s.sql.dialect_read import mend_for_sqlite
from t2s.sql.dialect_write import mend_for_dialect
from t2s.sql.parse import is_query, parse_query
from t2s.sql.schema import Schema

# What other programs call the same.
_OTHER_NAMES = {"postgresql": "postgres", "mssql": "tsql", "sqlserver": "tsql", "mariadb": "mysql", "pg": "postgres"}
# Longer SQL is not a query that anybody wrote; parsing takes a second for so much.
_MAX_CHARS = 100_000
_MAX_SHOWN_CHARS = 200


def dialect_names() -> tuple[str, ...]:
    """The names of dialects that can be asked for, sorted."""
    return tuple(sorted(name.value for name in Dialects if name.value and name.value != "sqlite"))


def to_dialect(sql: str, dialect: str, schema: Schema | None = None) -> str:
    """A SQLite query as another database wants it.

    Args:
        sql: One SQLite query.
        dialect: postgres, mysql, duckdb, tsql, snowflake, bigquery or another name that `dialect_names` has.
        schema: Of the database the query reads, for the types and the spelling of its columns.

    Raises:
        ConfigError: there is no such dialect; the message has the nearest name.
        DataError: this is not one SQLite query, or it asks for something the dialect cannot say.

    Example:
        "SELECT strftime('%Y', day) FROM t", "postgres" -> "SELECT TO_CHAR(CAST(day AS TIMESTAMP), 'YYYY') FROM t"
    """
    name = _known(dialect)
    tree = parse_query(sql)
    if name == "sqlite":
        return tree.sql("sqlite")
    try:
        mended = mend_for_dialect(tree, name, schema)
        return mended.sql(name, unsupported_level=ErrorLevel.RAISE)
    except DataError:
        raise
    except Exception as error:  # sqlglot fails in many ways on trees it did not foresee
        raise DataError(f"cannot write {_shown(sql)} for {name}: {_reason(error)}; write the query for {name} by hand") from error


def from_dialect(sql: str, dialect: str, schema: Schema | None = None) -> str:
    """A query of another database as SQLite wants it.

    Args:
        sql: Anything; what is no query of that dialect is refused.
        dialect: See `to_dialect`.
        schema: Of the SQLite database, for the types of its columns.

    Raises:
        ConfigError: there is no such dialect; the message has the nearest name.
        DataError: this is not one query in that dialect. Nothing else is raised, whatever the SQL.

    Example:
        "SELECT EXTRACT(YEAR FROM day) FROM public.t", "postgres" -> "SELECT CAST(STRFTIME('%Y', day) AS INTEGER) FROM t"
    """
    name = _known(dialect)
    if len(sql) > _MAX_CHARS:
        raise DataError(f"a query of {len(sql)} characters, {_shown(sql)}: shorten it to {_MAX_CHARS}")
    try:
        statements = [statement for statement in sqlglot.parse(sql, read=name) if statement is not None]
        if len(statements) == 1 and is_query(statements[0]):
            return mend_for_sqlite(statements[0], name, schema).sql("sqlite", unsupported_level=ErrorLevel.IGNORE)
    except Exception as error:  # a prediction can be anything, and sqlglot fails in many ways on what it did not foresee
        raise DataError(f"cannot read {_shown(sql)} as {name}: {_reason(error)}; correct the SQL") from error
    raise DataError(f"not a single query: {_shown(sql)}; give one SELECT for {name}")


def view_query(definition: str, dialect: str) -> tuple[str, tuple[str, ...]]:
    """The query of a view for SQLite, and the names it gives its columns, if it gives any.

    Args:
        definition: The query, or the whole CREATE VIEW, as databases show one or the other.
        dialect: See `to_dialect`.

    Raises:
        ConfigError: there is no such dialect.
        DataError: this is no view's definition.
    """
    name = _known(dialect)
    try:
        tree = sqlglot.parse_one(definition, read=name)
        if not isinstance(tree, exp.Create):
            return from_dialect(definition, dialect), ()
        names = tree.this.expressions if isinstance(tree.this, exp.Schema) else []
        return from_dialect(tree.expression.sql(name), dialect), tuple(column.name for column in names)
    except DataError:
        raise
    except Exception as error:  # as in from_dialect
        raise DataError(f"cannot read {_shown(definition)} as a view in {name}: {_reason(error)}; leave the view out") from error


def round_trip(sql: str, dialect: str, schema: Schema | None = None) -> str:
    """A SQLite query after a visit to another dialect: it should return what it returned before.

    Raises:
        ConfigError: there is no such dialect.
        DataError: the query cannot be said in it, or not be read back.
    """
    return from_dialect(to_dialect(sql, dialect, schema), dialect, schema)


def _known(dialect: str) -> str:
    name = _OTHER_NAMES.get(dialect.lower(), dialect.lower())
    if name == "sqlite" or name in dialect_names():
        Dialect.get_or_raise(name)
        return name
    near = difflib.get_close_matches(name, [*dialect_names(), *_OTHER_NAMES], n=1, cutoff=0.5)
    hint = f"did you mean {_OTHER_NAMES.get(near[0], near[0])}?" if near else f"known are {', '.join(dialect_names())}"
    raise ConfigError(f"no SQL dialect is called {dialect!r}: {hint}")


def _shown(sql: str) -> str:
    return repr(sql if len(sql) <= _MAX_SHOWN_CHARS else sql[:_MAX_SHOWN_CHARS] + "…")


def _reason(error: Exception) -> str:
    """The first line: those after it show the SQL in terminal colours."""
    if isinstance(error, SqlglotError):
        return str(error).partition("\n")[0]
    return f"{type(error).__name__} {str(error).partition(chr(10))[0]}".strip()
