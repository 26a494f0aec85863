"""A worker process as its parent sees it: started when needed, asked, and killed when it does not answer in time."""

import contextlib
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from t2s.sql import worker

_START_S = 60.0
# Beside the rows of a result, an answer holds column names, a sentence, and a header for each batch.
_OVERHEAD_BYTES = 1_000_000
_BUFFER_BYTES = 65_536  # as much as a pipe holds on Linux: answers that wait are taken in one go

Statement = tuple[str, str, object]  # SQL, and the URI and stamp of its database


class OverdueError(Exception):
    """The worker did not answer in time and was killed."""


class DiedError(Exception):
    """The worker ended by itself, or talked nonsense and was killed."""


class WorkerProcess:
    """Owns one process that runs SQL. One thread at a time may `ask`; any thread may `close` or `kill_if_overdue`.

    Args:
        timeout_s: Deadline of one statement, which the process keeps itself, in seconds.
        max_rows: The most rows a result may have.
        max_bytes: The most a result may hold.
        max_memory_bytes: How far the process's memory may grow.
        backwards: Whether rows are read last first where a query leaves that open.
    """

    def __init__(self, timeout_s: float, max_rows: int, max_bytes: int, max_memory_bytes: int, backwards: bool = False) -> None:
        self._limits = [str(timeout_s), str(max_rows), str(max_bytes), str(max_memory_bytes), str(int(backwards))]
        self._max_answer_bytes = max_bytes + _OVERHEAD_BYTES
        self._lock = threading.Lock()  # guards what follows
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = math.inf
        self._overdue = False
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The number of the process; None when there is none now."""
        process = self._process
        return None if process is None else process.pid

    def start(self) -> None:
        """Make sure that there is a process.

        Raises:
            RuntimeError: it does not start, or the sandbox is closed.
        """
        process = self._process
        if process is not None and process.poll() is None:
            return
        self.end()
        command = self._start()
        try:
            with self._talking(_START_S):
                self._answer()
        except (OverdueError, DiedError) as error:
            raise RuntimeError(f"the SQL process does not start; try it by hand: {' '.join(command)}") from error

    def ask(self, statements: Sequence[Statement], patience_s: float) -> Generator[tuple[list[worker.Row], worker.Reply], None, None]:
        """Rows and the closing reply of each statement, in order and as they come; all of them travel in one message.

        They end early when the process is killed for being late just as an answer arrives: ask again for the others.

        Raises:
            OverdueError: there was no answer within `patience_s` seconds after the one before. The process is gone.
            DiedError: the process died over the statement that comes next.
        """
        with self._talking(patience_s):
            self._send(list(statements))
            for left in reversed(range(len(statements))):
                rows, reply = self._answer()
                if not isinstance(reply, tuple) or len(reply) != 5 or not isinstance(reply[4], list):
                    raise ValueError("this is no reply")
                in_time = self._expect(time.monotonic() + patience_s if left else math.inf)
                yield rows + reply[4], reply
                if not in_time:
                    return

    def kill_if_overdue(self) -> float:
        """Kill the process if its answer is late; returns the seconds until it will be."""
        with self._lock:
            left = self._deadline - time.monotonic()
            if left > 0:
                return left
            self._overdue, self._deadline = True, math.inf
            if self._process is not None:
                self._process.kill()
            return math.inf

    def end(self) -> None:
        """End the process; the next `start` makes a new one."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _end(process)

    def close(self) -> None:
        """End the process for good, also under a thread that waits for its answer."""
        with self._lock:
            self._closed = True
        self.end()

    def _start(self) -> list[str]:
        # -I and -S: no site-packages, no environment, nothing of ours; hostile SQL gets as little company as possible.
        command = [sys.executable, "-I", "-S", str(Path(worker.__file__)), *self._limits]
        with self._lock:
            if self._closed:
                raise RuntimeError("the sandbox is closed: run SQL inside its `with` block")
            self._process = subprocess.Popen(
                command,
                bufsize=_BUFFER_BYTES,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        return command

    @contextlib.contextmanager
    def _talking(self, patience_s: float) -> Iterator[None]:
        """A conversation whose first answer is due in `patience_s` seconds. Whatever goes wrong ends the process."""
        with self._lock:
            self._overdue, self._deadline = False, time.monotonic() + patience_s
        complete = False
        try:
            yield
            complete = True
        except (EOFError, OSError, ValueError, TypeError, MemoryError) as error:
            raise (OverdueError if self._overdue else DiedError) from error
        finally:
            # Ctrl-C in the middle: an answer may still be on its way, which the next request must not take for its own.
            # A kill that came too late to prevent the answer still ends the process.
            if not self._expect(math.inf) or not complete:
                self.end()

    def _expect(self, deadline: float) -> bool:
        """When the next answer is due. False: the one before was late, and the process is killed."""
        with self._lock:
            self._deadline = math.inf if self._overdue else deadline
            return not self._overdue

    def _send(self, message: object) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise EOFError
        worker.write_message(process.stdin, message)
        process.stdin.flush()

    def _answer(self) -> tuple[list[worker.Row], Any]:
        process = self._process
        if process is None or process.stdout is None:
            raise EOFError
        return _answer(process.stdout, self._max_answer_bytes)


def _answer(stream: IO[bytes], max_bytes: int) -> tuple[list[worker.Row], Any]:
    """Rows, and the message behind them; `max_bytes` is for a process that keeps to no cap of its own."""
    rows: list[worker.Row] = []
    while True:
        message, size = worker.read_message(stream, max_bytes)
        if not isinstance(message, list):
            return rows, message
        rows += message
        max_bytes -= size


def _environment() -> dict[str, str]:
    # glibc gives each thread an arena of its own, in steps of 64 MB of address space; the worker has one thread at work.
    return {**os.environ, "MALLOC_ARENA_MAX": "1"}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        # Half a request may be left that the dead worker never read.
        with contextlib.suppress(OSError, ValueError):
            if pipe is not None:
                pipe.close()


def watch(workers: Sequence[WorkerProcess], pause_s: float, stop: threading.Event) -> None:
    """Kill every worker whose answer is late, until `stop` is set.

    One thread that sleeps costs nothing, where a timer for each statement is a thread for each. Killing ends a blocked
    read on every system; waiting on a pipe with a timeout does not work on Windows.

    Args:
        workers: Those to watch.
        pause_s: The least patience anyone has with them: what is asked during a pause is not overdue at its end.
        stop: Ends the watch.
    """
    pause = pause_s
    while not stop.wait(pause):
        pause = min(pause_s, *(process.kill_if_overdue() for process in workers))
