"""Readers turn files into examples, or refuse them naming every bad line; what is written back reads as it was."""

from __future__ import annotations

import csv
import io
import json
import re
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from t2s.data.example import Example, Turn
from t2s.errors import DataError
from t2s.sql.parse import skeleton, tags

# What each of our words may also be called: Alpaca-style files say instruction/output, Spider says query/db_id.
ALIASES = {"instruction": "question", "output": "sql", "query": "sql", "db_id": "database"}
CSV_KEYS = ("question", "database", "id")
KEYS = ("question", "sql", "database", "evidence", "history", "turns", "conversation", "tags", "id")
TURN_KEYS = ("question", "sql")
_PLACE = re.compile(r"(.+\.(jsonl|json|csv):\d+(/\d+)?)?")  # the id an example gets when it has none


def read_examples(path: Path, databases: Collection[str]) -> list[Example]:
    """Reads question/SQL pairs from a JSONL file.

    Each line is an object with `question`, `sql` and, where there is more than one database, `database`; `evidence`,
    `history` (a list of objects with `question` and `sql`), `conversation` (which lines belong together), `tags` and
    `id` are optional. `instruction`/`output` and `query`/`db_id` are read as `question`/`sql`/`database`.

    A line may hold a whole conversation instead: `turns`, a list of objects with `question` and `sql`. It gives an
    example for each turn, with the turns before as its history; `tags` and `evidence` are those of the conversation.

    Args:
        path: The JSONL file, UTF-8.
        databases: Names an example may use. A single one is the default.

    Raises:
        DataError: names every bad line with its number and reason.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; give the path of a JSONL file with one question/SQL pair a line")
    examples: list[Example] = []
    problems: list[str] = []
    for number, line in numbered_lines(path):
        try:
            record = json_object(line)
            examples += _examples(record, databases, f"{path.name}:{number}")
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
    if problems:
        raise DataError.from_problems(problems, hint=f"correct or delete these lines of {path.name}; nothing was read")
    if not examples:
        raise DataError(f"{path} holds no pairs; each line is an object with question and sql")
    return examples


def read_questions(path: Path, databases: Collection[str]) -> list[Example]:
    """Reads questions alone, for inference: JSONL (as `read_examples`, `sql` optional) or CSV with a `question` column.

    A turn without `sql` stands with an empty one in the history of the turns behind it.

    Raises:
        DataError: names every bad line with its number and reason.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; give a .jsonl or .csv file with a question a line")
    examples: list[Example] = []
    problems: list[str] = []
    for number, record in _records(path):
        try:
            fields = json_object(record) if isinstance(record, str) else {k: v for k, v in record.items() if k in CSV_KEYS and v}
            # An inference file may carry anything else beside the question.
            known = {key: value for key, value in fields.items() if ALIASES.get(key, key) in KEYS}
            examples += _examples(known, databases, f"{path.name}:{number}", with_sql=False)
        except ValueError as error:
            problems.append(f"{path}:{number}: {error}")
    if problems:
        raise DataError.from_problems(problems, hint=f"correct or delete these lines of {path.name}; nothing was run")
    if not examples:
        raise DataError(f"{path} holds no questions; write one a line")
    return examples


def _records(path: Path) -> Iterator[tuple[int, str | Mapping[str, str]]]:
    if path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(_utf8(path), newline=""))
        if "question" not in (rows.fieldnames or ()):
            raise DataError(f"{path}:1: no column is called question; its columns are {', '.join(rows.fieldnames or ())}")
        yield from ((rows.line_num, row) for row in rows)
    elif path.suffix == ".jsonl":
        yield from numbered_lines(path)
    else:
        raise DataError(f"{path}: ending {path.suffix or 'missing'} is not known; use .jsonl or .csv")


def _utf8(path: Path) -> str:
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers; bytes that are not UTF-8 become lone surrogates."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if raw.strip():
                yield number, raw.removeprefix(BOM_UTF8).decode("utf-8", errors="surrogateescape")


def json_object(line: str) -> dict[str, Any]:
    """The object a line of a JSONL file holds.

    Raises:
        ValueError: the line is not UTF-8, not JSON, or something else than an object.
    """
    try:
        line.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"not UTF-8 (character {error.start + 1}); save the file as UTF-8") from None
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(record, dict):
        raise ValueError(f"a {type(record).__name__}, not an object")
    return record


def jsonl_line(example: Example) -> str:
    """One line of a JSONL file: all an example holds, its own tags first and then what its query uses.

    An id that only says where the example was read from is left out: the line's new place says it better.
    """
    row: dict[str, Any] = {"question": example.question, "sql": example.sql, "database": example.database}
    if example.evidence:
        row["evidence"] = example.evidence
    if example.history:
        row["history"] = [asdict(turn) for turn in example.history]
    if example.conversation:
        row["conversation"] = example.conversation
    row["tags"] = list(dict.fromkeys((*example.tags, *tags(example.sql))))
    if not _PLACE.fullmatch(example.id):
        row["id"] = example.id
    return json.dumps(row, ensure_ascii=False) + "\n"


def example_of(record: Mapping[str, Any], databases: Collection[str], place: str, *, with_sql: bool = True) -> Example:
    """The example that a record of our own keys, or of their other names, holds.

    Args:
        record: As it was read.
        databases: Names an example may use. A single one is the default.
        place: Where it was read; its id where it has none.
        with_sql: Whether it must have SQL.

    Raises:
        ValueError: says what is wrong.
    """
    return _example(_fields(record, KEYS), databases, place, with_sql=with_sql)


def _examples(record: Mapping[str, Any], databases: Collection[str], place: str, *, with_sql: bool = True) -> list[Example]:
    """What a line holds: one example, or one for each turn of a conversation."""
    fields = _fields(record, KEYS)
    if "turns" in fields:
        return _conversation(fields, databases, place, with_sql=with_sql)
    return [_example(fields, databases, place, with_sql=with_sql)]


def _fields(record: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """The record under our names for its keys."""
    fields: dict[str, Any] = {}
    for key, value in record.items():
        name = ALIASES.get(key, key)
        if name not in keys:
            raise ValueError(f"unknown key {key!r}; keys are {', '.join(keys)}")
        if name in fields:
            raise ValueError(f"{key!r} repeats {name!r} under another name; keep one")
        fields[name] = value
    return fields


def _conversation(fields: Mapping[str, Any], databases: Collection[str], place: str, *, with_sql: bool) -> list[Example]:
    """An example for each turn, `<conversation>/<turn>` its id."""
    needless = [key for key in ("question", "sql", "history") if key in fields]
    if needless:
        raise ValueError(f"{needless[0]} beside turns; a conversation's questions and SQL stand in its turns")
    name = optional_text(fields, "conversation") or str(fields.get("id") or place)
    shared = {key: value for key, value in fields.items() if key not in ("turns", "id")}
    shared |= {"database": database_of(fields, databases), "conversation": name}
    turns = _list(fields, "turns")
    if not turns:
        raise ValueError("turns is empty; give at least one, with question and sql")
    examples: list[Example] = []
    for number, turn in enumerate(turns, 1):
        try:
            if not isinstance(turn, dict):
                raise ValueError(f"{turn!r} is no object with question and sql")
            example = _example({**shared, **_fields(turn, TURN_KEYS)}, databases, f"{name}/{number}", with_sql=with_sql)
        except ValueError as error:
            raise ValueError(f"turn {number}: {error}") from None
        examples.append(replace(example, history=tuple(Turn(e.question, e.sql) for e in examples)))
    return examples


def _example(fields: Mapping[str, Any], databases: Collection[str], place: str, *, with_sql: bool) -> Example:
    question = text_field(fields, "question")
    sql = query_of(text_field(fields, "sql")) if with_sql or fields.get("sql") else ""
    return Example(
        question=question,
        sql=sql,
        database=database_of(fields, databases),
        history=tuple(_turn(turn) for turn in _list(fields, "history")),
        tags=tuple(str(tag) for tag in _list(fields, "tags")),
        id=str(fields.get("id") or place),
        evidence=optional_text(fields, "evidence"),
        conversation=optional_text(fields, "conversation"),
    )


def text_field(fields: Mapping[str, Any], key: str) -> str:
    """The text under that key, without white space around it.

    Raises:
        ValueError: there is no text there, or one that UTF-8 cannot hold.
    """
    if key not in fields:
        raise ValueError(f"no {key}")
    value = fields[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key} is {value!r}, not a text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{key} is not UTF-8, or holds half a character (a lone surrogate): {value!r}") from None
    return value.strip()


def optional_text(fields: Mapping[str, Any], key: str) -> str:
    """The text under that key; empty where there is none.

    Raises:
        ValueError: there is something else, or a text that UTF-8 cannot hold.
    """
    value = fields.get(key)
    blank = value is None or (isinstance(value, str) and not value.strip())
    return "" if blank else text_field(fields, key)


def query_of(text: str) -> str:
    """The query without a last `;`.

    Raises:
        ValueError: this is not exactly one SQLite query.
    """
    try:
        skeleton(text)
    except DataError as error:
        raise ValueError(str(error)) from None
    return text.rstrip().removesuffix(";").rstrip()


def database_of(fields: Mapping[str, Any], databases: Collection[str]) -> str:
    """The name under `database`, or the only one there is.

    Raises:
        ValueError: there is none, or an unknown one.
    """
    if "database" not in fields:
        if len(databases) == 1:
            return next(iter(databases))
        raise ValueError(f"no database; name one of {', '.join(sorted(databases))}")
    name = fields["database"]
    if not isinstance(name, str) or name not in databases:
        raise ValueError(f"unknown database {name!r}; known: {', '.join(sorted(databases))}")
    return name


def _list(fields: Mapping[str, Any], key: str) -> list[Any]:
    value = fields.get(key) or []
    if not isinstance(value, list):
        raise ValueError(f"{key} is {value!r}, not a list")
    return value


def _turn(turn: Any) -> Turn:
    if not isinstance(turn, dict):
        raise ValueError(f"a turn of history is {turn!r}, not an object with question and sql")
    return Turn(text_field(turn, "question"), query_of(text_field(turn, "sql")))
