"""The process in which hostile SQL runs: reads statements from stdin, writes what became of them to stdout.

`t2s.sql.execute` starts this file by its path in an isolated interpreter, so it starts in milliseconds and imports
the standard library alone. Messages are a length and a marshalled tuple: the parent must not unpickle what comes
out of a process that may have been taken over.
"""

import marshal
import signal
import sqlite3
import struct
import sys
import time
from collections.abc import Callable
from typing import IO, Any

try:
    import resource
except ImportError:  # Windows has none; SQLite's own heap limit still holds there
    resource = None  # type: ignore[assignment]

# After the parent's own grace: only an orphan lives to see it.
_ORPHAN_GRACE_S = 3.0
_OPCODES_PER_CHECK = 10_000
_MAX_CONNECTIONS = 16
_LENGTH = struct.Struct("<Q")

_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_DENIED_FUNCTIONS = frozenset({"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"})
# Full-text search asks for it each time it is read; it cannot be set.
_ALLOWED_PRAGMA = "data_version"

# Fragments of SQLite's messages, in order of trial: the first that occurs names the kind.
_KINDS = (
    ("no such table", "missing_table"),
    ("no such column", "missing_column"),
    ("ambiguous column name", "ambiguous_column"),
    ("no such function", "wrong_function"),
    ("wrong number of arguments to function", "wrong_function"),
    ("is not a function", "wrong_function"),
    ("misuse of aggregate", "misuse_of_aggregate"),
    ("misuse of aliased aggregate", "misuse_of_aggregate"),
    ("misuse of window function", "misuse_of_aggregate"),
    ("aggregate functions are not allowed", "misuse_of_aggregate"),
    ("HAVING clause on a non-aggregate", "misuse_of_aggregate"),
    ("GROUP BY clause is required before HAVING", "misuse_of_aggregate"),
    ("syntax error", "syntax_error"),
    ("incomplete input", "syntax_error"),
    ("unrecognized token", "syntax_error"),
    ("clause should come", "syntax_error"),
    ("null character", "syntax_error"),
    ("one statement at a time", "refused"),
    ("not authorized", "refused"),
    ("prohibited", "refused"),
    ("interrupted", "timeout"),
    ("too big", "too_large"),
    ("too large", "too_large"),
    ("out of memory", "too_large"),
)

# kind, columns, rows, detail, seconds
Reply = tuple[str, tuple[str, ...], list[tuple[Any, ...]], str, float]


def write_message(stream: IO[bytes], message: Any) -> None:
    """Write one message of plain values."""
    body = marshal.dumps(message)
    stream.write(_LENGTH.pack(len(body)))
    stream.write(body)
    stream.flush()


def read_message(stream: IO[bytes]) -> Any:
    """Read one message.

    Raises:
        EOFError: the other side is gone.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (size,) = _LENGTH.unpack(head)
    body = stream.read(size)
    if len(body) < size:
        raise EOFError
    return marshal.loads(body)


class Worker:
    """Runs one statement after the other under fixed limits."""

    def __init__(self, timeout_s: float, max_rows: int, max_bytes: int, max_memory_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._max_memory_bytes = max_memory_bytes
        self._connections: dict[str, tuple[tuple[int, ...], sqlite3.Connection]] = {}
        self._denied = ""

    def run(self, sql: str, uri: str, stamp: tuple[int, ...]) -> Reply:
        """Run one statement on the database behind `uri`.

        `stamp` changes with the file; the kind `no_database` says that it cannot be opened.
        """
        start = time.monotonic()
        try:
            connection = self._connection(uri, stamp)
        except sqlite3.Error as error:
            return "no_database", (), [], str(error), 0.0
        kind, columns, rows, detail = self._outcome(connection, sql, start + self._timeout_s)
        return kind, columns, rows, detail, time.monotonic() - start

    def _outcome(
        self, connection: sqlite3.Connection, sql: str, deadline: float
    ) -> tuple[str, tuple[str, ...], list[tuple[Any, ...]], str]:
        self._denied = ""
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _OPCODES_PER_CHECK)
        try:
            columns, rows, excess = self._fetch(connection, sql)
        except MemoryError:
            return "too_large", (), [], "ran out of memory"
        except UnicodeEncodeError:
            return "syntax_error", (), [], "the SQL holds a character that is no text (a lone surrogate)"
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            if self._denied:
                return "refused", (), [], self._denied
            kind = _kind(str(error))
            return kind, (), [], f"gave up after {self._timeout_s:g} s" if kind == "timeout" else str(error)
        return ("too_large", (), [], excess) if excess else ("ok", columns, rows, "")

    def _fetch(self, connection: sqlite3.Connection, sql: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]], str]:
        """Column names, rows, and what was too much of them."""
        cursor = connection.execute(sql)
        try:
            rows: list[tuple[Any, ...]] = []
            size = 0
            # Row by row: a batch of wide rows could pass every cap before it is looked at.
            for row in cursor:
                size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
                if len(rows) == self._max_rows:
                    return (), [], f"more than {self._max_rows} rows"
                if size > self._max_bytes:
                    return (), [], f"more than {self._max_bytes} bytes"
                rows.append(row)
            return tuple(column[0] for column in cursor.description or ()), rows, ""
        finally:
            cursor.close()

    def _connection(self, uri: str, stamp: tuple[int, ...]) -> sqlite3.Connection:
        known = self._connections.get(uri)
        if known is not None and known[0] == stamp:
            return known[1]
        if known is not None:  # the file changed
            self._connections.pop(uri)[1].close()
        elif len(self._connections) == _MAX_CONNECTIONS:
            oldest = next(iter(self._connections))
            self._connections.pop(oldest)[1].close()
        connection = self._open(uri)
        self._connections[uri] = (stamp, connection)
        return connection

    def _open(self, uri: str) -> sqlite3.Connection:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=self._timeout_s)
        # Bytes that are not UTF-8 stay apart from each other and print anywhere.
        connection.text_factory = lambda text: text.decode("utf-8", "backslashreplace")
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA temp_store = MEMORY")  # a large sort must not fill the disk
        connection.execute(f"PRAGMA hard_heap_limit = {self._max_memory_bytes}")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(self._max_bytes, 1_000_000))
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # fails here if this is no database
        _connect_virtual_tables(connection)
        connection.set_authorizer(self._authorize)
        return connection

    def _authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action in _ALLOWED:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _DENIED_FUNCTIONS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and first == _ALLOWED_PRAGMA:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            self._denied = f"the function {second} is not allowed"
        else:
            self._denied = "only reading is allowed"
        return sqlite3.SQLITE_DENY


def _connect_virtual_tables(connection: sqlite3.Connection) -> None:
    """Touch every virtual table once: on first use SQLite declares it, which the authorizer would see as writing."""
    declared = connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'").fetchall()
    quoted = ['"' + name.replace('"', '""') + '"' for (name,) in declared]
    for table in ["json_each('[]')", "json_tree('[]')", *quoted]:
        try:
            connection.execute(f"SELECT 1 FROM {table} LIMIT 0").fetchall()
        except sqlite3.Error:
            continue  # its module is not here, and queries on it will say so


def _kind(message: str) -> str:
    return next((kind for fragment, kind in _KINDS if fragment in message), "error")


def _cap_memory(max_memory_bytes: int) -> None:
    """Let the process grow by that much from here, where the system can tell how large it is."""
    if resource is None:
        return
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
    """Serve until the parent closes stdin. Arguments: timeout_s, max_rows, max_bytes, max_memory_bytes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    timeout_s, max_rows, max_bytes, max_memory_bytes = float(arguments[0]), *map(int, arguments[1:])
    worker = Worker(timeout_s, max_rows, max_bytes, max_memory_bytes)
    requests, replies, alarm = sys.stdin.buffer, sys.stdout.buffer, _alarm()
    _cap_memory(max_memory_bytes)
    write_message(replies, "ready")
    while True:
        try:
            sql, uri, stamp = read_message(requests)
        except EOFError:
            return
        alarm(timeout_s + _ORPHAN_GRACE_S)
        write_message(replies, worker.run(sql, uri, stamp))
        alarm(0.0)


if __name__ == "__main__":
    main(sys.argv[1:])
