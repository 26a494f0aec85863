"""Pairs as other programs write them: the form is told by a file's ending and its first records."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from t2s.data.benchmarks import read_benchmark
from t2s.data.chats import alpaca_reader, read_chat, read_interaction
from t2s.data.example import Example
from t2s.data.json_stream import entries
from t2s.data.readers import ALIASES, KEYS, database_of, example_of, json_object, numbered_lines, optional_text, query_of, text_field
from t2s.data.text_files import csv_rows, refuse_utf16
from t2s.errors import DataError

# What a column or key may be called in a form of no name, in any case; the first that is there counts.
COLUMNS = {
    "question": ("question", "nl", "utterance", "instruction", "prompt", "text"),
    "sql": ("sql", "query", "gold", "output", "answer", "completion"),
    "database": ("database", "db_id", "database_id", "db"),
    "evidence": ("evidence", "hint", "knowledge"),
    "id": ("id", "question_id"),
}
_PROBED_RECORDS = 50

# A record becomes an example, or several for a conversation; one that does not fit raises ValueError.
Read = Callable[[Mapping[str, Any], Collection[str], str], Sequence[Example]]


def read_pairs(path: Path, databases: Collection[str]) -> list[Example]:
    """Reads question/SQL pairs from any form that t2s knows.

    - `.jsonl`, or `.json` that holds an array or object of records: t2s's own, Spider and BIRD, SParC and CoSQL, OpenAI's
      `messages`, ShareGPT's `conversations`, Alpaca's instruction/input/output, and others by the names in `COLUMNS`.
    - `.csv`, `.tsv`: columns for question and SQL by the names in `COLUMNS`; further ones are left.

    The turns of a conversation become an example each, with the earlier ones as its history.

    Args:
        path: The file, UTF-8. It is read record by record.
        databases: Names an example may use. A single one is the default.

    Raises:
        DataError: the file is missing or of no known form, or names every bad record with its place and reason.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; give a .jsonl, .json, .csv or .tsv file of question/SQL pairs")
    refuse_utf16(path)
    if path.suffix in (".csv", ".tsv"):
        return _read_all(path, ((f":{line}", row) for line, row in csv_rows(path)), databases, _read_named, first=_check_columns)
    if path.suffix not in (".jsonl", ".json"):
        raise DataError(f"{path}: ending {path.suffix or 'missing'} is not known; use .jsonl, .json, .csv or .tsv")
    probed = _first_records(path)
    if path.suffix == ".json" and _is_benchmark(probed[0]):
        return read_benchmark(path, databases)
    return _read_all(path, _records(path), databases, _reader(path, probed))


def _first_records(path: Path) -> list[dict[str, Any]]:
    try:
        probed = [record for _, record in itertools.islice(_records(path), _PROBED_RECORDS)]
    except ValueError as error:
        raise DataError(f"{path}: {error}; give a JSON array of records, or a .jsonl file with one a line") from None
    found = [record for record in probed if isinstance(record, dict)]
    if not probed:
        raise DataError(f"{path} holds no pairs; give one object with question and sql for each")
    if not found:
        raise DataError(f"{path}: none of its first records is an object with question and sql; first: {str(probed[0])[:200]}")
    return found


def _reader(path: Path, probed: Sequence[Mapping[str, Any]]) -> Read:
    """How the records of this file are read, by the first of them."""
    first = probed[0]
    if "interaction" in first:
        return read_interaction
    if "messages" in first or "conversations" in first:
        return read_chat
    if {"instruction", "input", "output"} <= first.keys():
        return alpaca_reader(probed)
    if all(ALIASES.get(key, key) in KEYS for key in first):
        return lambda record, databases, place: [example_of(record, databases, place)]
    if {"question", "sql"} <= _named(first).keys():
        return _read_named
    keys = ", ".join(map(str, first))
    raise DataError(f"{path}: its first record has the keys {keys}, which is no form that t2s knows; name them question and sql")


def _is_benchmark(record: Mapping[str, Any]) -> bool:
    return {"question", "db_id"} <= record.keys() and ("query" in record or "SQL" in record)


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, record); a line that is not a JSON object comes as the ValueError that says so."""
    if path.suffix == ".json":
        yield from ((f"[{key}]", record) for key, record in entries(path))
        return
    for number, line in numbered_lines(path):
        try:
            record: Any = json_object(line)
        except ValueError as error:
            record = error
        yield f":{number}", record


def _read_all(
    path: Path,
    records: Iterator[tuple[str, Any]],
    databases: Collection[str],
    read: Read,
    first: Callable[[Path, Mapping[str, Any]], None] = lambda path, record: None,
) -> list[Example]:
    examples: list[Example] = []
    problems: list[str] = []
    try:
        for number, (place, record) in enumerate(records):
            if not number:
                first(path, record)
            try:
                examples += read(_object(record), databases, f"{path.name}{place}")
            except ValueError as error:
                problems.append(f"{path}{place}: {error}")
    except DataError as error:  # nothing behind this place can be read, or the reader names more lines
        problems += error.problems or [str(error)]
    except ValueError as error:
        problems.append(f"{path}: {error}")
    if problems:
        raise DataError.from_problems(problems, hint=f"correct or delete these records of {path.name}; nothing was read")
    if not examples:
        raise DataError(f"{path} holds no pairs; give one record with question and sql for each")
    return examples


def _object(record: Any) -> Mapping[str, Any]:
    if isinstance(record, ValueError):
        raise record
    if not isinstance(record, dict):
        raise ValueError(f"a {type(record).__name__}, not an object")
    return record


def _check_columns(path: Path, row: Mapping[str, Any]) -> None:
    missing = [name for name in ("question", "sql") if not any(key.lower() in COLUMNS[name] for key in row)]
    if missing:
        wanted = " and ".join(f"{name} ({', '.join(COLUMNS[name])})" for name in missing)
        raise DataError(f"{path}:1: no column for {wanted}; its columns are {', '.join(row)}")


def _named(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record holds under our names; what is empty is not there, and Spider's parse tree is no SQL."""
    lower = {key.lower(): value for key, value in record.items() if isinstance(value, str | int) and str(value).strip()}
    return {
        name: next(lower[alias] for alias in aliases if alias in lower) for name, aliases in COLUMNS.items() if lower.keys() & {*aliases}
    }


def _read_named(record: Mapping[str, Any], databases: Collection[str], place: str) -> list[Example]:
    found = _named(record)
    difficulty = optional_text(record, "difficulty")
    return [
        Example(
            question=text_field(found, "question"),
            sql=query_of(text_field(found, "sql")),
            database=database_of(found, databases),
            tags=(f"difficulty:{difficulty}",) if difficulty else (),
            id=str(found.get("id", place)),
            evidence=optional_text(found, "evidence"),
        )
    ]
