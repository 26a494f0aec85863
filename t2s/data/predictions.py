"""Files of predicted SQL, whoever wrote them, brought into the order of the questions."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.data.example import Example
from t2s.data.json_stream import read_entries
from t2s.data.readers import json_object, numbered_lines
from t2s.errors import DataError

KEYS = ("predicted", "prediction", "sql", "query")
# What BIRD writes between a query and the name of its database.
BIRD_MARK = "\t----- bird -----\t"
_MISSING_SHOWN = 5


@dataclass(frozen=True)
class _Prediction:
    """One prediction as its file has it.

    Attributes:
        place: File and line or entry, for messages.
        sql: The query.
        database: The database it names, if it names one.
        index: The question it answers; None where the order of the file says that. No question has a negative one.
    """

    place: str
    sql: str
    database: str | None = None
    index: int | None = None


def read_predictions(file: Path, examples: Sequence[Example]) -> list[str]:
    """Reads one prediction for each question.

    - `.sql`, as for Spider: one query a line, in the order of the questions; a tab and the database's name may follow.
      A blank line is an empty prediction, but for blank lines too many at the end.
    - `.jsonl`: one object a line, the query under the first of `predicted`, `prediction`, `sql` and `query` that is
      there; either all lines or none have an `index`, which counts the questions from 0.
    - `.json`, as for BIRD: an object from index to query, mark (`----- bird -----`) and database's name. Keys may be
      the questions' ids instead. An array of such texts in the order of the questions is read, too.

    An empty text or null is an empty prediction: data, not an error.

    Args:
        file: The predictions, UTF-8.
        examples: The questions in their order.

    Returns:
        The query for each question, white space around it gone.

    Raises:
        DataError: the file is not UTF-8 or of no known form, it has a prediction too few or too many, an index twice
            or not at all, or a database that is not the question's; names every such line or entry.
    """
    if not file.is_file():
        raise DataError(f"{file} does not exist; give a .sql, .jsonl or .json file of predictions")
    if file.suffix == ".sql":
        found = _from_sql(file, examples)
    elif file.suffix == ".jsonl":
        found = _from_jsonl(file)
    elif file.suffix == ".json":
        found = _from_json(file, examples)
    else:
        raise DataError(f"{file}: ending {file.suffix or 'missing'} is not known; use .sql, .jsonl or .json")
    return _checked(file, _in_order(file, found, len(examples)), examples)


def _from_sql(file: Path, examples: Sequence[Example]) -> list[_Prediction]:
    names = {example.database for example in examples}
    with file.open("rb") as lines:
        found = [_sql_line(f"{file}:{number}", line.removeprefix(BOM_UTF8), names) for number, line in enumerate(lines, 1)]
    while len(found) > len(examples) and not (found[-1].sql or found[-1].database):
        del found[-1]
    return found


def _sql_line(place: str, line: bytes, names: Collection[str]) -> _Prediction:
    text = line.decode("utf-8", "surrogateescape")
    sql, tab, name = text.rpartition("\t")
    # A tab may be part of the query, too.
    return _Prediction(place, sql, name.strip()) if tab and name.strip() in names else _Prediction(place, text.strip())


def _from_jsonl(file: Path) -> list[_Prediction]:
    found: list[_Prediction] = []
    problems: list[str] = []
    for number, line in numbered_lines(file):
        try:
            found.append(_json_line(f"{file}:{number}", line))
        except ValueError as error:
            problems.append(f"{file}:{number}: {error}")
    _refuse(file, problems)
    return found


def _json_line(place: str, line: str) -> _Prediction:
    record = json_object(line)
    key = next((key for key in KEYS if key in record), None)
    if key is None:
        raise ValueError(f"no prediction; its key may be {', '.join(KEYS)}")
    index = record.get("index")
    if index is not None and (not isinstance(index, int) or isinstance(index, bool)):
        raise ValueError(f"index is {index!r}, not a whole number")
    return _Prediction(place, _text(record[key]), index=index)


def _from_json(file: Path, examples: Sequence[Example]) -> list[_Prediction]:
    found = read_entries(file, lambda key, value: (key, _text(value)), _hint(file))
    indices = {str(index): index for index in range(len(examples))}
    ids = {example.id: index for index, example in enumerate(examples)}
    if all(key in ids for key, _ in found):
        indices = ids
    return [_bird_entry(file, text, key, None if isinstance(key, int) else indices.get(key, -1)) for key, text in found]


def _bird_entry(file: Path, text: str, key: int | str, index: int | None) -> _Prediction:
    sql, mark, name = text.rpartition(BIRD_MARK)
    return _Prediction(f"{file}[{key}]", sql if mark else text, name.strip() if mark else None, index)


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"the prediction is {value!r}, not a text")
    return value or ""


def _in_order(file: Path, found: list[_Prediction], count: int) -> list[_Prediction]:
    if all(item.index is None for item in found):
        if len(found) != count:
            raise DataError(
                f"{file} holds {len(found)} predictions for {count} questions; give one for each, on one line, if need be empty"
            )
        return found
    by_index: dict[int, _Prediction] = {}
    problems: list[str] = []
    for item in found:
        if item.index is None:
            problems.append(f"{item.place}: no index, though other lines have one")
        elif not 0 <= item.index < count:
            problems.append(f"{item.place}: no question has this index; there are 0 to {count - 1}")
        elif item.index in by_index:
            problems.append(f"{item.place}: index {item.index} again, after {by_index[item.index].place}")
        else:
            by_index[item.index] = item
    _refuse(file, problems + _missing(file, [index for index in range(count) if index not in by_index]))
    return [by_index[index] for index in range(count)]


def _missing(file: Path, indices: list[int]) -> list[str]:
    if not indices:
        return []
    more = f" and {len(indices) - _MISSING_SHOWN} more" if len(indices) > _MISSING_SHOWN else ""
    return [f"{file}: no prediction for index {', '.join(map(str, indices[:_MISSING_SHOWN]))}{more}"]


def _checked(file: Path, found: list[_Prediction], examples: Sequence[Example]) -> list[str]:
    problems: list[str] = []
    for item, example in zip(found, examples, strict=True):
        if item.database not in (None, example.database):
            problems.append(f"{item.place}: for database {item.database!r}, but the question is for {example.database!r}")
        if not _is_utf8(item.sql):
            problems.append(f"{item.place}: not UTF-8, or half a character (a lone surrogate); save the file as UTF-8")
    _refuse(file, problems)
    return [item.sql.strip() for item in found]


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _refuse(file: Path, problems: list[str]) -> None:
    if problems:
        raise DataError.from_problems(problems, _hint(file))


def _hint(file: Path) -> str:
    return f"correct {file.name}, which must hold one prediction for each question; nothing was scored"
