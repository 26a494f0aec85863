"""Run generated SQL in processes that can only read, and that can be killed."""

import contextlib
import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import LifoQueue
from types import TracebackType
from typing import Literal, Self, cast

from t2s.errors import DatabaseError
from t2s.sql.database import Source, readable, unreadable
from t2s.sql.lexer import code_tokens, first_statement
from t2s.sql.process import DiedError, OverdueError, WorkerProcess, watch
from t2s.sql.worker import Reply

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
_GRACE_S = 0.5
_MAX_SQL_CHARS = 100_000
# Statements go to a thread and on to a worker in chunks: handing over each one by itself takes longer than running a small query.
_CHUNKS = (1, 2, 4, 8, 16)
# Chunks handed out per worker before the next outcome is waited for: enough to keep the others busy behind a slow one.
_CHUNKS_AHEAD = 2

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
    """Owns worker processes that run SQL read-only.

    Use it as a context manager. Threads may share it: each takes a free worker, or waits for one.

    Args:
        timeout_s: Deadline of one statement, in seconds; its process is killed half a second later.
        max_rows: The most rows a result may have.
        max_bytes: The most a result may hold: bytes of text (UTF-8) and blobs, at most 15 for any other value,
            and 5 for each value and each row.
        max_memory_bytes: How far the memory of one worker may grow.
        workers: How many processes there are.
        backwards: Read rows last first where a query leaves that open: an answer that changes hangs on luck.
    """

    def __init__(
        self, timeout_s: float, max_rows: int, max_bytes: int, max_memory_bytes: int, workers: int = 1, backwards: bool = False
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers}: a sandbox needs at least 1")
        self._timeout_s = timeout_s
        self._limits = (timeout_s, max_rows, max_bytes, max_memory_bytes, workers)
        self._closed = False
        self._workers = [WorkerProcess(*self._limits[:4], backwards=backwards) for _ in range(workers)]
        # The last one used comes first: what it has open and in its caches is likeliest to be asked for again.
        self._free: LifoQueue[WorkerProcess] = LifoQueue()
        for process in self._workers:
            self._free.put(process)
        stop = threading.Event()
        # Also runs when nobody closes the sandbox: it is forgotten, or the program ends.
        self._end = weakref.finalize(self, _close_all, self._workers, stop, os.getpid())
        threading.Thread(target=watch, args=(self._workers, timeout_s + _GRACE_S, stop), name="sandbox watch", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def backwards(self) -> "Sandbox":
        """A new sandbox with the same limits that reads rows last first where a query leaves that open."""
        return Sandbox(*self._limits, backwards=True)

    def close(self) -> None:
        """End the worker processes, also those at work. The sandbox cannot be used any more."""
        self._closed = True
        self._end()

    def execute(self, sql: str, database: Path) -> Outcome:
        """Run one statement.

        Args:
            sql: Anything; whatever is wrong with it becomes the outcome's kind.
            database: The SQLite file, which is never written to.

        Raises:
            DatabaseError: the file is missing, or is not a SQLite database.
            RuntimeError: the sandbox is closed, or a worker process does not start.
        """
        source = readable(database)
        statement = _only_query(sql)
        if isinstance(statement, Outcome):
            return statement
        (answer,) = self._run([(statement, source)])
        if source.static and source.changed():
            # Somebody wrote while it was read without locks: what came may be half old, half new.
            (answer,) = self._run([(statement, readable(database, static=False))])
        return _readable_answer(answer, database)

    def execute_many(self, cases: Iterable[tuple[str, Path]]) -> Iterator[Outcome]:
        """Outcomes of (SQL, database) in the order given, as they come; see `execute`. One that fails does not touch the next.

        Statements run at the same time on all workers, a few ahead of the outcome that is taken.
        """
        pool = ThreadPoolExecutor(len(self._workers), thread_name_prefix="sandbox")
        pending: deque[Future[_Answers]] = deque()
        stop = threading.Event()
        try:
            for chunk in _chunks(cases, len(self._workers)):
                pending.append(pool.submit(self._execute_chunk, chunk, stop))
                if len(pending) > _CHUNKS_AHEAD * len(self._workers):
                    yield from _outcomes(pending.popleft().result())
            while pending:
                yield from _outcomes(pending.popleft().result())
        finally:
            # After Ctrl-C nobody waits for what is under way: closing the sandbox ends it.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _execute_chunk(self, cases: Sequence[tuple[str, Path]], stop: threading.Event) -> "_Answers":
        outcomes: list[Outcome] = []
        try:
            outcomes.extend(self._execute_together(cases, stop))
        except Exception as error:  # it is raised where its statement stood
            return outcomes, error
        return outcomes, None

    def _execute_together(self, cases: Sequence[tuple[str, Path]], stop: threading.Event) -> Iterator[Outcome]:
        """What `execute` gives for each; statements on static files share a message to a worker, and the looks at the files."""
        sources = {database: _static(database) for database in dict.fromkeys(database for _, database in cases)}
        asked: dict[int, tuple[str, Source]] = {}
        for place, (sql, database) in enumerate(cases):
            source, statement = sources[database], _only_query(sql)
            if source is not None and isinstance(statement, str):
                asked[place] = statement, source
        answers: list[_Answer] = []
        while len(answers) < len(asked) and not stop.is_set():
            answers += self._run(list(asked.values())[len(answers) :], stop)
        known = dict(zip(asked, answers, strict=False))  # all of them, unless it was stopped
        changed = {database for database, source in sources.items() if source is not None and source.changed()}
        for place, (sql, database) in enumerate(cases):
            if stop.is_set():
                return
            alone = place not in known or database in changed
            yield self.execute(sql, database) if alone else _readable_answer(known[place], database)

    def _run(self, asked: Sequence[tuple[str, Source]], stop: threading.Event | None = None) -> "list[_Answer]":
        """Answers of a free worker: to the first statement, and to those behind it up to one that ends the process."""
        process = self._free.get()
        try:
            process.start()
            return self._ask(process, asked, stop)
        finally:
            self._free.put(process)

    def _ask(self, process: WorkerProcess, asked: Sequence[tuple[str, Source]], stop: threading.Event | None) -> "list[_Answer]":
        answers: list[_Answer] = []
        start = time.monotonic()
        try:
            statements = [(sql, source.uri, source.stamp) for sql, source in asked]
            # Closed before the worker is free again: answers nobody waits for must not be there for the next.
            with contextlib.closing(process.ask(statements, self._timeout_s + _GRACE_S)) as arriving:
                for rows, reply in arriving:
                    answers.append(_answer(rows, reply))
                    start = time.monotonic()
                    if stop is not None and stop.is_set():
                        break
        except OverdueError:
            answers.append(_failure("timeout", f"gave up after {self._timeout_s:g} s", time.monotonic() - start))
        except DiedError:
            if self._closed:
                raise RuntimeError("the sandbox was closed while it ran SQL") from None
            answers.append(_failure("crashed", "the SQL process died", time.monotonic() - start))
        return answers


def _close_all(workers: Sequence[WorkerProcess], stop: threading.Event, owner: int) -> None:
    if os.getpid() != owner:  # a forked copy of the program must not end its parent's workers
        return
    stop.set()
    for process in workers:
        process.close()


# What a worker says of a statement; a string says why the database cannot be opened.
_Answer = Outcome | str
# Outcomes, and what the statement behind them raised.
_Answers = tuple[list[Outcome], Exception | None]


def _answer(rows: list[Row], reply: Reply) -> _Answer:
    kind, columns, detail, seconds, _ = reply
    if kind == "no_database":
        return detail
    return Outcome(cast(OutcomeKind, kind), columns, tuple(rows) if kind == "ok" else (), detail, seconds)


def _readable_answer(answer: _Answer, database: Path) -> Outcome:
    if isinstance(answer, str):
        raise DatabaseError(unreadable(database, answer))
    return answer


def _outcomes(answers: _Answers) -> Iterator[Outcome]:
    outcomes, error = answers
    yield from outcomes
    if error is not None:
        raise error


def _static(database: Path) -> Source | None:
    """How to read a file that nobody writes to; None for one that is missing or at work, which is seen to statement by statement."""
    try:
        source = readable(database)
    except DatabaseError:
        return None
    return source if source.static else None


def _chunks(cases: Iterable[tuple[str, Path]], workers: int) -> Iterator[list[tuple[str, Path]]]:
    """Small chunks first, so that a few slow statements spread over all workers; larger ones later."""
    remaining = iter(cases)
    sizes = (size for size in _CHUNKS for _ in range(workers))
    while chunk := list(itertools.islice(remaining, next(sizes, _CHUNKS[-1]))):
        yield chunk


def _only_query(sql: str) -> str | Outcome:
    """The single query in `sql`, or the outcome of what is none."""
    if len(sql) > _MAX_SQL_CHARS:
        return _failure("too_large", f"the SQL is longer than {_MAX_SQL_CHARS} characters")
    statement, more = _first_statement(sql)
    first = next(code_tokens(statement), None)
    if more:
        return _failure("refused", "more than one statement")
    if first is None:
        return _failure("empty_prediction", "no SQL")
    if first.text.upper() in _NOT_QUERIES:
        return _failure("refused", f"{first.text.upper()} is not a query")
    return statement


def _first_statement(sql: str) -> tuple[str, bool]:
    """As `first_statement`, which takes as long as running a small query and is only needed for a `;` within."""
    trimmed = sql.strip().rstrip("; \t\r\n")
    return first_statement(sql) if ";" in trimmed else (trimmed, False)


def _failure(kind: OutcomeKind, detail: str, seconds: float = 0.0) -> Outcome:
    return Outcome(kind, (), (), detail, seconds)
