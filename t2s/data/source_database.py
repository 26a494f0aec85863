"""Databases of others, opened by URL so that nothing can be written: PostgreSQL, MySQL, DuckDB and whatever SQLAlchemy knows."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from t2s.errors import ConfigError, DatabaseError
from t2s.sql.database import database_uri, decode

EXAMPLE_URL = "postgresql://user:password@host:5432/name"
# Drivers that a URL without one means, and the packages they come in.
_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
_PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "pymysql": "pymysql",
    "MySQLdb": "mysqlclient",
    "duckdb": "duckdb",
    "duckdb_engine": "duckdb-engine",
    "pyodbc": "pyodbc",
    "oracledb": "oracledb",
}
_PACKAGES_OF_DIALECTS = {"duckdb": "duckdb-engine", "snowflake": "snowflake-sqlalchemy", "bigquery": "sqlalchemy-bigquery"}
_CONNECT_TIMEOUT_S = 15
_PASSWORD = re.compile(r"://.*@", re.DOTALL)


@contextmanager
def open_source(url: str) -> Iterator[sa.Connection]:
    """A connection in a transaction that only reads, and is rolled back.

    PostgreSQL and MySQL see one moment of the database throughout. DuckDB and SQLite files are opened read-only.

    Args:
        url: As SQLAlchemy takes it; without a driver, psycopg and pymysql are meant.

    Raises:
        ConfigError: the URL is none, or its driver is not installed.
        DatabaseError: the database cannot be reached, or fails while it is read. No message holds the password.
    """
    parsed = _parsed(url)
    engine = _engine(parsed)
    try:
        with engine.connect() as connection:
            yield _reading(connection)
            connection.rollback()
    except SQLAlchemyError as error:
        raise DatabaseError(f"cannot read {shown(url)}: {_reason(error, parsed)}; check host, name, user and rights") from None
    finally:
        engine.dispose()


def shown(url: str) -> str:
    """The URL without its password and its options, which may hold one, too."""
    try:
        return sa.make_url(url).set(query={}).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return _PASSWORD.sub("://***@", url)


def file_of(url: str) -> Path | None:
    """The file behind a SQLite or DuckDB URL."""
    parsed = _parsed(url)
    named = parsed.get_backend_name() in ("sqlite", "duckdb") and parsed.database not in (None, "", ":memory:")
    return Path(str(parsed.database)) if named else None


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError(f"{shown(url)!r} is no database URL; write one like {EXAMPLE_URL} or sqlite:///file.sqlite") from None
    return parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))


def _engine(parsed: sa.URL) -> sa.Engine:
    backend = parsed.get_backend_name()
    if backend in ("sqlite", "duckdb"):
        _require_file(parsed)
    try:
        return sa.create_engine(parsed, **_engine_options(parsed))
    except NoSuchModuleError:
        package = _PACKAGES_OF_DIALECTS.get(backend)
        fix = f"pip install {package}" if package else "use postgresql, mysql, duckdb or sqlite, or install its SQLAlchemy dialect"
        raise ConfigError(f"SQLAlchemy knows no database {parsed.drivername!r}: {fix}") from None
    except ImportError as error:
        module = (error.name or parsed.get_driver_name()).partition(".")[0]
        package = _PACKAGES.get(module, module)
        raise ConfigError(f"reading {parsed.drivername} needs the driver {module}: pip install '{package}'") from None


def _require_file(parsed: sa.URL) -> None:
    """SQLAlchemy would make a new, empty database."""
    backend = parsed.get_backend_name()
    if parsed.database in (None, "", ":memory:") or not Path(str(parsed.database)).is_file():
        raise DatabaseError(f"no {backend} file at {parsed.database!r}: check the path ({backend}:///relative or {backend}:////absolute)")


def _engine_options(parsed: sa.URL) -> dict[str, Any]:
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return {"creator": lambda: _open_sqlite(Path(str(parsed.database)))}
    if backend == "duckdb":
        return {"connect_args": {"read_only": True}}
    if backend in ("postgresql", "mysql", "mariadb"):
        return {"connect_args": {"connect_timeout": _CONNECT_TIMEOUT_S}, "pool_pre_ping": False}
    return {}


def _open_sqlite(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(database_uri(file), uri=True)
    connection.text_factory = decode
    return connection


def _reading(connection: sa.Connection) -> sa.Connection:
    name = connection.dialect.name
    if name == "postgresql":
        connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    elif name in ("mysql", "mariadb"):
        connection.exec_driver_sql("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
        connection.commit()
    return connection


def _reason(error: SQLAlchemyError, parsed: sa.URL) -> str:
    """The driver's first line, without the statement, and without the password should the driver repeat it."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = " ".join(str(cause).split())[:300] or type(cause).__name__
    options = [value for name, value in parsed.query.items() if "pass" in name.lower() or "token" in name.lower()]
    for secret in (str(parsed.password or ""), *map(str, options)):
        text = text.replace(secret, "***") if secret else text
    return text
