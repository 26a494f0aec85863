"""SQLite files, opened so that nothing can be written."""

import functools
import os
import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

from t2s.errors import DatabaseError

# A file's times move in steps of the kernel's clock, 10 ms at most: what is written in the same step does not show in them.
_CLOCK_STEP_S = 0.02

# Inode, size and times of the file, of its write-ahead log and of its journal; () for one that is not there.
Stamp = tuple[tuple[int, ...], ...]


class Source(NamedTuple):
    """A database as it is opened for reading.

    Attributes:
        path: The file.
        uri: Opens it; with `immutable=1`, which saves every lock and look at the file, where it is static.
        stamp: Changes with the file.
        static: Whether nobody was writing to it when this was made.
    """

    path: str
    uri: str
    stamp: Stamp
    static: bool

    def changed(self) -> bool:
        """Whether somebody has written to the file since."""
        return _stamp(self.path) != self.stamp


def readable(database: Path, static: bool = True) -> Source:
    """How to open a database now.

    A static file is read without locks, so whoever reads it asks `changed` afterwards, and reads again if need be.

    Args:
        database: The SQLite file.
        static: False takes the locks even where the file looks static.

    Raises:
        DatabaseError: there is no such file.
    """
    path = _existing(database)
    uri = _readonly_uri(path)
    if os.path.islink(path):
        path = os.path.realpath(path)  # SQLite looks for log and journal beside the file itself
    stamp = _stamp(path)
    if 0 <= _age_s(stamp) < _CLOCK_STEP_S:
        time.sleep(_CLOCK_STEP_S)
        stamp = _stamp(path)
    static = static and _is_static(stamp)
    return Source(path, f"{uri}&immutable=1" if static else uri, stamp, static)


def database_uri(database: Path) -> str:
    """The URI that opens a SQLite file read-only; `?`, `#`, `%` and spaces in the path are safe.

    Raises:
        DatabaseError: there is no such file.
    """
    return _readonly_uri(_existing(database))


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


def _existing(database: Path) -> str:
    path = os.path.abspath(database)
    if not os.path.isfile(path):
        raise DatabaseError(f"no database at {database}: check the path, or build the file first")
    return path


@functools.lru_cache(maxsize=1024)  # takes longer than many a query
def _readonly_uri(path: str) -> str:
    return f"{Path(path).as_uri()}?mode=ro"


def _stamp(path: str) -> Stamp:
    return tuple(_file_stamp(path + ending) for ending in ("", "-wal", "-journal"))


def _file_stamp(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return ()
    # Times of content can be set back, as `cp -p` does; the inode's own time (ctime) cannot.
    return status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def _age_s(stamp: Stamp) -> float:
    """Seconds since the latest change; below 0 where the file's clock runs ahead of ours."""
    return time.time() - max((times[-1] for times in stamp if times), default=0) / 1e9


def _is_static(stamp: Stamp) -> bool:
    """Whether nobody seems to write: no log or journal with anything in it, and a last change that is over."""
    _file, log, journal = (times[0] if times else 0 for times in stamp)
    # Windows writes a file's times when it is closed, which may be much later.
    return os.name == "posix" and not log and not journal and _age_s(stamp) >= _CLOCK_STEP_S
