"""A large JSON file read entry by entry, so that no more than one entry's text is held at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from json import JSONDecodeError
from pathlib import Path
from typing import IO, Any, TypeVar

from t2s.errors import DataError

T = TypeVar("T")

_CHUNK_CHARS = 1 << 16
_SPACE = " \t\n\r"
_CLOSING = {"[": "]", "{": "}"}


def read_entries(file: Path, read: Callable[[int | str, Any], T], hint: str) -> list[T]:
    """What `read` makes of the entries of a JSON array or object.

    Args:
        file: The JSON file, UTF-8.
        read: Called with an entry's index in the array, from 0, or its key in the object, and with the entry.
            It refuses an entry by a ValueError.
        hint: What the user can do about refused entries.

    Returns:
        The results, in the order of the file.

    Raises:
        DataError: the file is missing, or names every entry that is refused, as `file[index]`.
    """
    if not file.is_file():
        raise DataError(f"{file} does not exist; give the path of a JSON file")
    results: list[T] = []
    problems: list[str] = []
    try:
        for key, entry in entries(file):
            try:
                results.append(read(key, entry))
            except ValueError as error:
                problems.append(f"{file}[{key}]: {error}")
    except ValueError as error:  # nothing behind a place that is not JSON can be found
        problems.append(f"{file}: {error}")
    if problems:
        raise DataError.from_problems(problems, hint)
    return results


def entries(file: Path) -> Iterator[tuple[int | str, Any]]:
    """The entries of a JSON array with their indices, or of a JSON object with their keys, repeated keys too.

    Bytes that are not UTF-8 become lone surrogates, so that they spoil one entry and not the file.

    Raises:
        ValueError: the file is not JSON, or neither array nor object; says the line.
    """
    with file.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
        scanner = _Scanner(stream)
        opening = scanner.peek()
        scanner.take("[{")
        count = 0
        while scanner.peek() != _CLOSING[opening]:
            if count:
                scanner.take(",")
            key = scanner.key() if opening == "{" else count
            yield key, scanner.value()
            count += 1
        scanner.take(_CLOSING[opening])
        if scanner.peek():
            raise scanner.failure("more behind the end")


class _Scanner:
    """Takes JSON off a stream, value by value."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._lines_before = 0

    def peek(self) -> str:
        """The next character that is no white space, without taking it; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text) or not self._read():
                return self._text[self._at : self._at + 1]

    def take(self, allowed: str) -> None:
        """Takes one of these characters."""
        if not self.peek() or self.peek() not in allowed:
            raise self.failure(f"expected {' or '.join(allowed)}")
        self._at += 1

    def key(self) -> str:
        """Takes an object's key and the colon behind it."""
        key = self.value()
        if not isinstance(key, str):
            raise self.failure(f"key {key!r} is not a text")
        self.take(":")
        return key

    def value(self) -> Any:
        """Takes the next value, whatever its size."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if not self._read():
                    raise self.failure(str(error), error) from None
                continue
            # A number may go on in what is not read yet: 1 with 2, 1. with 5, 1e with 5.
            if self._text[end : end + 1] not in ("", ".", "e", "E") or not self._read():
                self._at = end
                return value

    def failure(self, reason: str, error: Exception | None = None) -> ValueError:
        """The error for what is met here."""
        reason, at = (error.msg, error.pos) if isinstance(error, JSONDecodeError) else (reason, self._at)
        return ValueError(f"not JSON: {reason} in line {self._lines_before + self._text.count(chr(10), 0, at) + 1}")

    def _read(self) -> bool:
        """Drops what is taken and reads on; a long value doubles the step, so that it is not scanned over and over."""
        more = self._stream.read(max(_CHUNK_CHARS, len(self._text) - self._at))
        if more:
            self._lines_before += self._text.count("\n", 0, self._at)
            self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)
