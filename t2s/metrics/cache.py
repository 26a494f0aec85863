"""Answers kept on disk: what a statement gave on a database that has not changed since."""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_LARGEST = 4_000_000  # bytes of one answer worth keeping


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

    def get(self, key: str) -> Any:
        """The answer, or None."""
        if self._connection is None:
            return None
        with contextlib.suppress(sqlite3.Error, ValueError, EOFError, TypeError):
            row = self._connection.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()
            return None if row is None else marshal.loads(row[0])
        return None

    def put(self, answers: dict[str, Any]) -> None:
        """Keeps answers in one transaction; those too large are left out."""
        if self._connection is None or not answers:
            return
        rows = [(key, value) for key, answer in answers.items() if len(value := marshal.dumps(answer)) <= _LARGEST]
        with contextlib.suppress(sqlite3.Error), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)


def key(*parts: str) -> str:
    """A key that two lists of parts share only when they are the same."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def _open(file: Path) -> sqlite3.Connection | None:
    with contextlib.suppress(OSError, sqlite3.Error):
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(file, timeout=10)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # a lost answer is made again
        connection.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        connection.commit()
        return connection
    return None
