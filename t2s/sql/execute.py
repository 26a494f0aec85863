"""Run generated SQL in a process that can only read, and that can be killed."""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from t2s.errors import DatabaseError
from t2s.sql import worker
from t2s.sql.database import database_uri, unreadable
from t2s.sql.lexer import code_tokens, first_statement

Value = None | int | float | str | bytes
Row = tuple[Value, ...]

OutcomeKind = Literal[
    "ok",
    "syntax_error",
    "missing_table",
    "missing_column",
    "ambiguous_column",
    "wrong_function",
    "misuse_of_aggregate",
    "timeout",
    "too_large",
    "refused",
    "empty_prediction",
    "crashed",
    "error",
]

# SQLite stops itself at the deadline; one long call inside it only ends when the process does.
_GRACE_S = 1.0
_START_S = 60.0
_MAX_SQL_CHARS = 100_000

# Every statement SQLite knows that is not a query (EXPLAIN gives rows, but answers no question).
_NOT_QUERIES = frozenset(
    {"ALTER", "ANALYZE", "ATTACH", "BEGIN", "COMMIT", "CREATE", "DELETE", "DETACH", "DROP", "END", "EXPLAIN"}
    | {"INSERT", "PRAGMA", "REINDEX", "RELEASE", "REPLACE", "ROLLBACK", "SAVEPOINT", "UPDATE", "VACUUM"}
)


@dataclass(frozen=True)
class Outcome:
    """What happened when one statement ran.

    Attributes:
        kind: "ok" with columns and rows; anything else comes without them.
        columns: The names of the columns.
        rows: The rows in the order SQLite gave them.
        detail: One line on what went wrong; empty for "ok".
        seconds: Wall-clock time of the statement, in seconds.
    """

    kind: OutcomeKind
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    detail: str
    seconds: float


class Sandbox:
    """Owns one worker process that runs SQL read-only.

    Use it as a context manager. It may be shared between threads, which then take turns.

    Args:
        timeout_s: Deadline of one statement, in seconds; the process is killed one second later.
        max_rows: The most rows a result may have.
        max_bytes: The most a result may hold: characters of text, bytes of blobs, 8 for any other value.
        max_memory_bytes: How far the worker's memory may grow.
    """

    def __init__(self, timeout_s: float, max_rows: int, max_bytes: int, max_memory_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._limits = [str(timeout_s), str(max_rows), str(max_bytes), str(max_memory_bytes)]
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the worker process. The sandbox cannot be used any more."""
        with self._lock:
            self._closed = True
            self._end_worker()

    def execute(self, sql: str, database: Path) -> Outcome:
        """Run one statement.

        Args:
            sql: Anything; whatever is wrong with it becomes the outcome's kind.
            database: The SQLite file, which is never written to.

        Raises:
            DatabaseError: the file is missing, or is not a SQLite database.
            RuntimeError: the sandbox is closed, or its worker process does not start.
        """
        uri = database_uri(database)
        statement = _only_query(sql)
        if isinstance(statement, Outcome):
            return statement
        status = database.stat()
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        with self._lock:
            outcome = self._ask(statement, uri, stamp)
        if isinstance(outcome, str):
            raise DatabaseError(unreadable(database, outcome))
        return outcome

    def execute_many(self, sqls: Iterable[str], database: Path) -> list[Outcome]:
        """Run statements one by one; see `execute`. One that fails does not touch the next."""
        return [self.execute(sql, database) for sql in sqls]

    def _ask(self, sql: str, uri: str, stamp: tuple[int, ...]) -> Outcome | str:
        """The worker's answer; a string says why the database cannot be opened."""
        if self._closed:
            raise RuntimeError("the sandbox is closed: run SQL inside its `with` block")
        process = self._running_worker()
        start = time.monotonic()
        try:
            reply = _exchange(process, (sql, uri, stamp), self._timeout_s + _GRACE_S)
        except _OverdueError:
            self._end_worker()
            return _failure("timeout", f"gave up after {self._timeout_s:g} s", time.monotonic() - start)
        except (EOFError, OSError, ValueError, TypeError):
            # Dead, or talking nonsense: either way this statement did it.
            self._end_worker()
            return _failure("crashed", "the SQL process died", time.monotonic() - start)
        except BaseException:
            # Ctrl-C in the middle: an answer may still be on its way, which the next call must not take for its own.
            self._end_worker()
            raise
        kind, columns, rows, detail, seconds = reply
        return cast(str, detail) if kind == "no_database" else Outcome(kind, columns, tuple(rows), detail, seconds)

    def _running_worker(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end_worker()
            self._process = _start_worker(self._limits)
        return self._process

    def _end_worker(self) -> None:
        if self._process is not None:
            _end(self._process)
            self._process = None


class _OverdueError(Exception):
    """The worker did not answer in time and was killed."""


def _only_query(sql: str) -> str | Outcome:
    """The single query in `sql`, or the outcome of what is none."""
    if len(sql) > _MAX_SQL_CHARS:
        return _failure("too_large", f"the SQL is longer than {_MAX_SQL_CHARS} characters")
    statement, more = first_statement(sql)
    first = next(code_tokens(statement), None)
    if more:
        return _failure("refused", "more than one statement")
    if first is None:
        return _failure("empty_prediction", "no SQL")
    if first.text.upper() in _NOT_QUERIES:
        return _failure("refused", f"{first.text.upper()} is not a query")
    return statement


def _failure(kind: OutcomeKind, detail: str, seconds: float = 0.0) -> Outcome:
    return Outcome(kind, (), (), detail, seconds)


def _start_worker(limits: list[str]) -> subprocess.Popen[bytes]:
    # -I and -S: no site-packages, no environment, nothing of ours; hostile SQL gets as little company as possible.
    command = [sys.executable, "-I", "-S", str(Path(worker.__file__)), *limits]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=-1)
    try:
        _exchange(process, None, _START_S)
    except (_OverdueError, EOFError, OSError) as error:
        _end(process)
        raise RuntimeError(f"the SQL process does not start; try it by hand: {' '.join(command)}") from error
    except BaseException:
        _end(process)
        raise
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        # Half a request may be left that the dead worker never read.
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()


def _exchange(process: subprocess.Popen[bytes], request: object, patience_s: float) -> Any:
    """Send a request (None: nothing) and wait for the answer; kill the process when it takes too long.

    Raises:
        _OverdueError: the process was killed.
        EOFError: the process died by itself.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    overdue = threading.Event()

    def give_up() -> None:
        overdue.set()
        process.kill()

    # Killing ends a blocked read on every system, where waiting on a pipe with a timeout does not work on Windows.
    timer = threading.Timer(patience_s, give_up)
    timer.daemon = True  # an interrupted program need not wait for it
    try:
        timer.start()
        if request is not None:
            worker.write_message(process.stdin, request)
        return worker.read_message(process.stdout)
    except (EOFError, OSError):
        if overdue.is_set():
            raise _OverdueError from None
        raise
    finally:
        timer.cancel()
        if timer.is_alive():
            timer.join()  # a kill that has begun is over before anyone uses the process again
