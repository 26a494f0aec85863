"""Answers kept on disk: what a statement gave on a database that has not changed since."""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_LARGEST = 4_000_000  # bytes of one answer worth keeping
_AT_ONCE = 500  # keys in one question to SQLite, of which old versions take 999


class AnswerCache:
    """Plain values by key, in one SQLite file that several processes may use at once.

    Use it as a context manager. A file that cannot be used is no error: answers are then made anew.

    Args:
        file: The cache; made when it is not there. None keeps nothing.
    """

    def __init__(self, file: Path | None) -> None:
        self._connection = None if file is None else _open(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._connection is not None:
            self._connection.close()

    def get(self, keys: Iterable[str]) -> dict[str, Any]:
        """The answers that are there, by key."""
        found: dict[str, Any] = {}
        wanted = list(keys)
        if self._connection is None:
            return found
        with contextlib.suppress(sqlite3.Error, ValueError, EOFError, TypeError):
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                select = f"SELECT key, value FROM answers WHERE key IN ({','.join('?' * len(some))})"
                found.update((key, marshal.loads(value)) for key, value in self._connection.execute(select, some))
        return found

    def put(self, answers: dict[str, Any]) -> None:
        """Keeps answers in one transaction; those too large are left out."""
        if self._connection is None or not answers:
            return
        rows = [(key, value) for key, answer in answers.items() if len(value := marshal.dumps(answer)) <= _LARGEST]
        with contextlib.suppress(sqlite3.Error), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)


def key(*parts: str) -> str:
    """A key that two lists of parts share only when they are the same."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _open(file: Path) -> sqlite3.Connection | None:
    with contextlib.suppress(OSError, sqlite3.Error):
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(file, timeout=10)
        connection.execute("PRAGMA synchronous = OFF")  # a lost answer is made again
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        connection.commit()
        return connection
    return None
