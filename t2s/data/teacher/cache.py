"""Replies kept on disk, so that what was paid for once is never asked again."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from t2s.errors import DataError

_WAIT_FOR_OTHERS_S = 60.0


class Reply(NamedTuple):
    """What a teacher answered, and what it took; the counts are None where the server did not say."""

    text: str
    prompt_tokens: int | None
    completion_tokens: int | None


class ReplyCache:
    """Replies by key in one SQLite file, which several threads and processes may use at once.

    A reply is on the disk when `put` returns, whatever happens to the process or the machine then. The file holds
    hashes of requests and the text of answers, no request and no key. Only its owner can read it.
    Use it as a context manager.

    Args:
        file: The cache; made when it is not there. It must lie on a local disk: SQLite's log does not work on network drives.

    Raises:
        DataError: the file cannot be used. Going on without would pay twice.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        try:
            self._connection = _open(file)
        except (OSError, sqlite3.Error) as error:
            raise DataError(f"cannot use {file} as a cache of replies ({error}); move it away or give another path") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file. The cache cannot be used any more."""
        with self._lock:
            self._connection.close()

    def get(self, key: str) -> Reply | None:
        """The reply kept under that key.

        Raises:
            DataError: the file cannot be read.
        """
        with self._lock:
            try:
                query = "SELECT text, prompt_tokens, completion_tokens FROM replies WHERE key = ?"
                row = self._connection.execute(query, (key,)).fetchone()
            except sqlite3.Error as error:
                raise self._unusable(error) from None
        return None if row is None else Reply(*row)

    def put(self, key: str, reply: Reply) -> Reply:
        """Keeps a reply and returns the one that is kept: the first, where two processes asked the same.

        Raises:
            DataError: the file cannot be written.
        """
        text = reply.text.encode("utf-8", "replace").decode()  # half characters (lone surrogates) cannot be stored
        with self._lock:
            try:
                with self._connection:
                    self._connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?)", (key, text, *reply[1:]))
                query = "SELECT text, prompt_tokens, completion_tokens FROM replies WHERE key = ?"
                return Reply(*self._connection.execute(query, (key,)).fetchone())
            except sqlite3.Error as error:
                raise self._unusable(error) from None

    def __len__(self) -> int:
        with self._lock:
            return int(self._connection.execute("SELECT count(*) FROM replies").fetchone()[0])

    def _unusable(self, error: Exception) -> DataError:
        return DataError(f"the cache of replies {self._file} fails ({error}); free the disk or give another path, then start again")


def _open(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its log and index the same rights
    connection = sqlite3.connect(file, timeout=_WAIT_FOR_OTHERS_S, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # with a log the default may lose the last replies to a power cut
        columns = "key TEXT PRIMARY KEY, text TEXT NOT NULL, prompt_tokens INTEGER, completion_tokens INTEGER"
        connection.execute(f"CREATE TABLE IF NOT EXISTS replies ({columns}) WITHOUT ROWID")
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection
