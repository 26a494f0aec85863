"""Text files as other programs write them: their encoding, and their rows."""

from __future__ import annotations

import contextlib
import csv
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from t2s.errors import DataError

_MAX_FIELD_CHARS = 10_000_000
_PROBED_BYTES = 4096


def refuse_utf16(path: Path) -> None:
    """Refuses a file in UTF-16, which Windows programs write and which reads as rubbish.

    Raises:
        DataError: says how to save it.
    """
    with path.open("rb") as file:
        head = file.read(_PROBED_BYTES)
    # Latin letters in UTF-16 have a zero byte each, and no text has one.
    if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or b"\0" in head:
        raise DataError(f"{path}: not UTF-8 but UTF-16, or no text at all; save the file as UTF-8 (in Excel: CSV UTF-8)")


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """A UTF-8 file, with or without a byte order mark, read as it is needed; line ends stay as they are.

    Raises:
        DataError: it is not UTF-8; names the line.
    """
    refuse_utf16(path)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        try:
            yield stream
        except UnicodeDecodeError:
            raise DataError(f"{path}:{_bad_line(path)}: not UTF-8; save the file as UTF-8") from None


def csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV or TSV file as {column: value}, with the line that each ends on; blank ones are left out.

    A .csv whose first line has no comma but semicolons is taken as Excel writes it in much of Europe.

    Raises:
        DataError: it is not UTF-8, or has a row with more fields than columns; names every such line.
    """
    with open_text(path) as stream:
        rows = csv.reader(stream, delimiter=_delimiter(path), strict=True)
        csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD_CHARS))
        problems: list[str] = []
        try:
            names = [name.strip() for name in next(rows, [])]
            for row in rows:
                if len(row) > len(names):
                    problems.append(f"{path}:{rows.line_num}: {len(row)} fields for {len(names)} columns; quote fields that hold commas")
                elif any(field.strip() for field in row):
                    yield rows.line_num, dict(zip(names, [*row, *[""] * (len(names) - len(row))], strict=True))
        except csv.Error as error:
            problems.append(f"{path}:{rows.line_num}: {error}")
    if problems:
        raise DataError.from_problems(problems, f"correct or delete these lines of {path.name}; nothing was read")


def _delimiter(path: Path) -> str:
    if path.suffix == ".tsv":
        return "\t"
    with path.open("rb") as file:
        head = file.readline(_PROBED_BYTES)
    return ";" if b";" in head and b"," not in head else ","


def _bad_line(path: Path) -> int:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 0
