"""SQLite files, opened so that nothing can be written."""

import sqlite3
from pathlib import Path

from t2s.errors import DatabaseError


def database_uri(database: Path) -> str:
    """The URI that opens a SQLite file read-only; `?`, `#`, `%` and spaces in the path are safe.

    Raises:
        DatabaseError: there is no such file.
    """
    if not database.is_file():
        raise DatabaseError(f"no database at {database}: check the path, or build the file first")
    return f"{database.absolute().as_uri()}?mode=ro"


def open_readonly(database: Path) -> sqlite3.Connection:
    """A read-only connection whose text columns never fail to decode.

    Raises:
        DatabaseError: the file is missing, or is not a SQLite database.
    """
    uri = database_uri(database)
    try:
        connection = sqlite3.connect(uri, uri=True)
        connection.text_factory = decode
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise DatabaseError(unreadable(database, str(error))) from error
    return connection


def decode(text: bytes) -> str:
    r"""Text as stored; bytes that are not UTF-8 become `\xNN`, which prints anywhere and keeps values apart."""
    return text.decode("utf-8", "backslashreplace")


def unreadable(database: Path, reason: str) -> str:
    """The message for a file that SQLite cannot open."""
    return f"cannot read {database} as a SQLite database ({reason}): give the path of a SQLite 3 file"
