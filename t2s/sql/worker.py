"""The process in which hostile SQL runs: reads statements from stdin, writes what became of them to stdout.

`t2s.sql.process` starts this file by its path in an isolated interpreter, so it starts in milliseconds and imports
the standard library alone. A message is a length and marshalled plain values: the parent must not unpickle what
comes out of a process that may have been taken over. A message from the parent is a list of statements. The answer
to each is any number of lists of rows, sent while SQLite is at work on the next ones, and a closing `Reply` with the last.
"""

from __future__ import annotations

import _thread
import marshal
import signal
import sqlite3
import struct
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in `typing`, whose import would take a sixth of the time a worker takes to start
    from collections.abc import Callable
    from typing import IO, Any, TypeAlias

try:
    import resource
except ImportError:  # Windows has none; SQLite's own heap limit still holds there
    resource = None  # type: ignore[assignment]

# After the parent's own grace: only an orphan lives to see it.
_ORPHAN_GRACE_S = 3.0
# SQLite looks at the clock every so many opcodes: 1 halves throughput, 10_000 is free.
_OPCODES_PER_CHECK = 10_000
_MAX_CONNECTIONS = 32
# Rows wait for company up to this size: larger batches are no faster, smaller ones cost a system call each.
_BATCH_BYTES = 64_000
_MAX_DETAIL_CHARS = 500
_LENGTH = struct.Struct("<Q")
# The last format that writes every value in full: a row weighs the same alone and in a batch.
_MARSHAL_VERSION = 2

_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
# Full-text search asks for it each time it is read; it cannot be set.
_ALLOWED_PRAGMA = "data_version"

# Functions that touch files, code or the log, or run SQL of their own; most are in no ordinary build of SQLite.
_DENIED_FUNCTIONS = frozenset(
    {"edit", "eval", "fts3_tokenizer", "fsdir", "load_extension", "optimize", "readfile"}
    | {"rtreecheck", "sha3_query", "sqlite_log", "writefile", "zipfile"}
)
# SQLite calls its other functions innocuous, but for those (beside json) that only read what they are given.
_PLAIN_FUNCTIONS = frozenset({"->", "->>", "bm25", "highlight", "match", "matchinfo", "offsets", "rtreedepth", "rtreenode", "snippet"})
_INNOCUOUS = 0x200000  # SQLITE_INNOCUOUS in sqlite3.h

# How SQLite's messages begin, what is in them, how they end, in order of trial; names in them are the model's, so the
# middle says little. Plain texts: patterns would double the time a worker takes to start.
_KINDS: tuple[tuple[tuple[str, ...], str, str, str], ...] = (
    (("interrupted",), "", "interrupted", "timeout"),
    # Somebody else's doing: no statement could have run.
    (("database is locked", "database table is locked"), "", "", "no_database"),
    (("no such table: ", "unknown database "), "", "", "missing_table"),
    (("no tables specified",), "", "specified", "missing_table"),
    (("no such column: ",), "", "", "missing_column"),
    (("cannot join using column ",), "", " not present in both tables", "missing_column"),
    (("table ",), " has no column named ", "", "missing_column"),
    (("ambiguous column name: ",), "", "", "ambiguous_column"),
    (("ambiguous reference to ",), "", " in USING()", "ambiguous_column"),
    (("no such function: ", "wrong number of arguments to function ", "too many arguments on "), "", "", "wrong_function"),
    (("",), "", " is not a function", "wrong_function"),
    (("",), "", " may not be used as a window function", "wrong_function"),
    (("DISTINCT aggregates must have exactly one argument",), "", "argument", "wrong_function"),
    (("DISTINCT is not supported for window functions",), "", "functions", "wrong_function"),
    (("unable to use function ",), "", "", "wrong_function"),
    (("misuse of aggregate", "misuse of window function"), "", "", "misuse_of_aggregate"),
    (("misuse of aliased aggregate", "misuse of aliased window function"), "", "", "misuse_of_aggregate"),
    (("FILTER may only be used with ", "FILTER clause may only be used with "), "", "", "misuse_of_aggregate"),
    (("FILTER may not be used with ", "FILTER clause may not be used with "), "", "", "misuse_of_aggregate"),
    (("aggregate functions are not allowed in ",), "", "", "misuse_of_aggregate"),
    (("HAVING clause on a non-aggregate query",), "", "query", "misuse_of_aggregate"),
    (("a GROUP BY clause is required before HAVING",), "", "HAVING", "misuse_of_aggregate"),
    (("",), "", "syntax error", "syntax_error"),
    (("incomplete input",), "", "input", "syntax_error"),
    (("unrecognized token: ", "hex literal too big: ", "a JOIN clause is required before "), "", "", "syntax_error"),
    (("",), " clause should come after ", " not before", "syntax_error"),
    (("unknown join type: ", "unknown or unsupported join type: "), "", "", "syntax_error"),
    (("",), "null character", "", "syntax_error"),
    (("You can only execute one statement at a time",), "", "", "refused"),
    (("not authorized",), "", "authorized", "refused"),
    (("access to ",), " is prohibited", "", "refused"),
    (("use of ",), " prohibited", "", "refused"),
    (("unsafe use of ",), "", "", "refused"),
    (("attempt to write a readonly database",), "", "database", "refused"),
    (("table ",), "", " may not be modified", "refused"),
    (("",), "too big", "", "too_large"),
    (("",), "too large", "", "too_large"),
    (("",), "too complex", "", "too_large"),
    (("",), "too deep", "", "too_large"),
    (("too many ",), "", "", "too_large"),
    (("at most ",), "", " tables in a join", "too_large"),
    (("stack overflow", "parser stack overflow"), "", "overflow", "too_large"),
    (("out of memory",), "", "memory", "too_large"),
)

# SQLite's recursions (patterns, expressions, JSON) take up to 5 MB. A main thread's stack grows as it is used, which
# fails once other memory has filled the address space; a thread's stack is there from the start.
_STACK_BYTES = 16 << 20

# kind, columns, detail, seconds, the last rows; the kind `no_database` says that it cannot be opened
Reply: TypeAlias = "tuple[str, tuple[str, ...], str, float, list[Row]]"
Row: TypeAlias = "tuple[Any, ...]"


def write_message(stream: IO[bytes], message: Any) -> None:
    """Write one message of plain values; the caller flushes."""
    body = marshal.dumps(message, _MARSHAL_VERSION)
    stream.write(_LENGTH.pack(len(body)))
    stream.write(body)


def read_message(stream: IO[bytes], max_bytes: int) -> tuple[Any, int]:
    """Read one message.

    Returns:
        The message, and how many bytes it took.

    Raises:
        EOFError: the other side is gone.
        ValueError: it sends more than `max_bytes`, or no message.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (size,) = _LENGTH.unpack(head)
    if size > max_bytes:
        raise ValueError(f"a message of {size} bytes, which is more than {max_bytes}")
    body = stream.read(size)
    if len(body) < size:
        raise EOFError
    return marshal.loads(body), size


class _LimitError(Exception):
    """A statement went past a limit."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


# What SQL, or a file, can make SQLite and its Python module raise.
_STATEMENT_ERRORS = (sqlite3.Error, sqlite3.Warning, _LimitError, MemoryError, OverflowError, SystemError, ValueError)


class Worker:
    """Runs one statement after the other under fixed limits; `backwards` reads rows last first where a query leaves that open."""

    def __init__(self, timeout_s: float, max_rows: int, max_bytes: int, max_memory_bytes: int, backwards: bool = False) -> None:
        self._timeout_s = timeout_s
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._max_memory_bytes = max_memory_bytes
        self._backwards = backwards
        self._denied_functions = _DENIED_FUNCTIONS | _unsafe_functions()
        self._connections: dict[str, tuple[object, sqlite3.Connection]] = {}
        self._denied = ""

    def run(self, sql: str, uri: str, stamp: object, send: Callable[[list[Row]], None]) -> Reply:
        """Run one statement on the database behind `uri`.

        Args:
            sql: One statement.
            uri: Opens the database.
            stamp: Changes with the file.
            send: Takes all rows but the last, batch by batch; those of a statement that fails later count for nothing.
        """
        start = time.monotonic()
        self._denied = ""
        try:
            try:
                connection = self._connection(uri, stamp)
            except sqlite3.Error as error:
                return "no_database", (), str(error)[:_MAX_DETAIL_CHARS], 0.0, []
            columns, rows = self._stream(connection, sql, start + self._timeout_s, send)
        except _STATEMENT_ERRORS as error:
            kind, detail = self._failure(error)
            return kind, (), detail[:_MAX_DETAIL_CHARS], time.monotonic() - start, []
        return "ok", columns, "", time.monotonic() - start, rows

    def _stream(
        self, connection: sqlite3.Connection, sql: str, deadline: float, send: Callable[[list[Row]], None]
    ) -> tuple[tuple[str, ...], list[Row]]:
        """Send all rows but the last; returns the names of the columns, and those."""
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _OPCODES_PER_CHECK)
        cursor = connection.execute(sql)
        try:
            columns = tuple(column[0] for column in cursor.description or ())
            return columns, self._send_rows(cursor, _weight(columns), deadline, send)
        finally:
            cursor.close()

    def _send_rows(self, cursor: sqlite3.Cursor, total_bytes: int, deadline: float, send: Callable[[list[Row]], None]) -> list[Row]:
        batch: list[Row] = []
        batch_bytes = 0
        for count, row in enumerate(cursor):
            weight = _weight(row)
            total_bytes += weight
            # A row may take one opcode and one long call, which SQLite's own look at the clock sees rarely.
            if count >= self._max_rows or total_bytes > self._max_bytes or time.monotonic() > deadline:
                raise self._past_limit(count, total_bytes)
            batch.append(row)
            batch_bytes += weight
            if batch_bytes > _BATCH_BYTES:
                send(batch)
                batch, batch_bytes = [], 0
        if total_bytes > self._max_bytes or time.monotonic() > deadline:
            raise self._past_limit(0, total_bytes)
        return batch

    def _past_limit(self, rows_before: int, total_bytes: int) -> _LimitError:
        if rows_before >= self._max_rows:
            return _LimitError("too_large", f"more than {self._max_rows} rows")
        if total_bytes > self._max_bytes:
            return _LimitError("too_large", f"more than {self._max_bytes} bytes")
        return _LimitError("timeout", self._too_late())

    def _failure(self, error: BaseException) -> tuple[str, str]:
        """Kind and detail of what stopped a statement."""
        if isinstance(error, _LimitError):
            return error.kind, str(error)
        if isinstance(error, MemoryError):
            self._forget_all()  # page caches hold memory that the next statement may need
            return "too_large", "ran out of memory"
        if isinstance(error, UnicodeEncodeError):
            return "syntax_error", "the SQL holds a character that is no text (a lone surrogate)"
        if self._denied:
            return "refused", self._denied
        kind = _kind(str(error))
        return kind, self._too_late() if kind == "timeout" else str(error) or type(error).__name__

    def _too_late(self) -> str:
        return f"gave up after {self._timeout_s:g} s"

    def _connection(self, uri: str, stamp: object) -> sqlite3.Connection:
        """The open connection to a file that has not changed, or a new one; those asked least lately are closed."""
        file, state = uri.partition("?")[0], (uri, stamp)
        known = self._connections.pop(file, None)
        if known is not None and known[0] != state:
            known[1].close()
            known = None
        if known is None and len(self._connections) == _MAX_CONNECTIONS:
            self._connections.pop(next(iter(self._connections)))[1].close()
        self._connections[file] = known or (state, self._open(uri))
        return self._connections[file][1]

    def _forget_all(self) -> None:
        while self._connections:
            self._connections.popitem()[1][1].close()

    def _open(self, uri: str) -> sqlite3.Connection:
        # Compiled statements are not kept: a hundred hostile ones would fill the memory of the next.
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=self._timeout_s, cached_statements=0)
        # Bytes that are not UTF-8 stay apart from each other and print anywhere.
        connection.text_factory = lambda text: str(text, "utf-8", "backslashreplace")
        connection.execute("PRAGMA query_only = ON")
        connection.execute(f"PRAGMA reverse_unordered_selects = {int(self._backwards)}")
        connection.execute("PRAGMA temp_store = MEMORY")  # a large sort must not fill the disk
        connection.execute(f"PRAGMA hard_heap_limit = {self._max_memory_bytes}")
        # All page caches together take a quarter of the memory at most.
        connection.execute(f"PRAGMA cache_size = -{self._max_memory_bytes // (4096 * _MAX_CONNECTIONS)}")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(self._max_bytes, 1_000_000))
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # fails here if this is no database
        _connect_virtual_tables(connection)
        connection.set_authorizer(self._authorize)
        return connection

    def _authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action in _ALLOWED:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in self._denied_functions:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and first == _ALLOWED_PRAGMA:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            self._denied = f"the function {second} is not allowed"
        else:
            self._denied = "only reading is allowed"
        return sqlite3.SQLITE_DENY


def _weight(values: tuple[Any, ...]) -> int:
    """Bytes that a row takes on its way: as stored for text and blobs, at most 15 for a number, 5 for each value's length."""
    return len(marshal.dumps(values, _MARSHAL_VERSION))


def _kind(message: str) -> str:
    return next(
        (kind for begins, inside, ends, kind in _KINDS if message.startswith(begins) and inside in message and message.endswith(ends)),
        "error",
    )


def _unsafe_functions() -> set[str]:
    """What this SQLite itself does not call innocuous; empty before 3.31, which does not say."""
    connection = sqlite3.connect(":memory:")
    try:
        listed = connection.execute("SELECT name, flags FROM pragma_function_list").fetchall()
    except sqlite3.Error:
        return set()
    finally:
        connection.close()
    return {name for name, flags in listed if not flags & _INNOCUOUS and name not in _PLAIN_FUNCTIONS and not name.startswith("json")}


def _connect_virtual_tables(connection: sqlite3.Connection) -> None:
    """Touch every virtual table once: on first use SQLite declares it, which the authorizer would see as writing.

    So those that are not in the file, as `pragma_table_info` or `dbstat`, stay shut.
    """
    declared = connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'").fetchall()
    quoted = ['"' + name.replace('"', '""') + '"' for (name,) in declared]
    for table in ["json_each('[]')", "json_tree('[]')", *quoted]:
        try:
            connection.execute(f"SELECT 1 FROM {table} LIMIT 0").fetchall()
        except sqlite3.Error:
            continue  # its module is not here, and queries on it will say so


def _cap_process(max_memory_bytes: int) -> None:
    """Leave no core file behind, and let the process grow by that much from here, where the system can tell how large it is."""
    if resource is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            used = int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return
    limit = used + max_memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _alarm() -> Callable[[float], object]:
    """A timer by which the system ends this process, also inside one long call of SQLite; 0 switches it off."""
    if not hasattr(signal, "setitimer"):
        return lambda seconds: None
    return lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)


def main(arguments: list[str]) -> None:
    """Serve until the parent closes stdin. Arguments: timeout_s, max_rows, max_bytes, max_memory_bytes, backwards (0 or 1)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    running = _thread.allocate_lock()
    running.acquire()

    def serve() -> None:
        try:
            _serve(float(arguments[0]), *map(int, arguments[1:]))
        finally:
            running.release()

    _thread.stack_size(_STACK_BYTES)
    _thread.start_new_thread(serve, ())
    running.acquire()


def _serve(timeout_s: float, max_rows: int, max_bytes: int, max_memory_bytes: int, backwards: int) -> None:
    worker = Worker(timeout_s, max_rows, max_bytes, max_memory_bytes, bool(backwards))
    requests, replies, alarm = sys.stdin.buffer, sys.stdout.buffer, _alarm()
    _cap_process(max_memory_bytes)
    _answer(replies, "ready")
    while True:
        alarm(0.0)
        try:
            statements, _ = read_message(requests, sys.maxsize)
        except EOFError:
            return
        for sql, uri, stamp in statements:
            alarm(timeout_s + _ORPHAN_GRACE_S)
            # Each reply leaves at once: should the next statement hang or kill this process, those before it keep their answers.
            _answer(replies, worker.run(sql, uri, stamp, lambda rows: write_message(replies, rows)))


def _answer(stream: IO[bytes], reply: object) -> None:
    write_message(stream, reply)
    stream.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
