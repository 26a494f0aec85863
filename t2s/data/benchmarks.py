"""Spider and BIRD as they are published: one JSON array of questions, one folder for each database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from t2s.data.example import Example
from t2s.data.json_stream import read_entries
from t2s.data.readers import optional_text, text_field
from t2s.errors import DataError


def find_databases(directory: Path) -> dict[str, Path]:
    """SQLite file by database name, sorted; each lies at `<directory>/<name>/<name>.sqlite`, other files beside it are left.

    Raises:
        DataError: the directory is missing, or holds no such file.
    """
    if not directory.is_dir():
        raise DataError(f"{directory} is not a directory; give the one that holds <name>/<name>.sqlite for each database")
    found = {file.stem: file for file in sorted(directory.glob("*/*.sqlite")) if file.stem == file.parent.name}
    if not found:
        raise DataError(f"{directory} holds no database; each must lie at <name>/<name>.sqlite in it")
    return found


def read_benchmark(file: Path, databases: Collection[str]) -> list[Example]:
    """Reads the questions of Spider, BIRD, or a benchmark written like one of them.

    An entry has `question`, `db_id` and, for the gold query, `query` (Spider) or `SQL` (BIRD). BIRD's `evidence` is
    kept, its `question_id` becomes the id and its `difficulty` a tag, as in `difficulty:simple`. What else an entry
    holds, such as Spider's tokens and parse tree, is left out. Gold SQL is taken as published, without a last `;`.

    Args:
        file: The JSON array: `dev.json`, `train_spider.json` and the like.
        databases: Names of the databases at hand.

    Raises:
        DataError: names every bad entry, as `dev.json[index]` with the index from 0.
    """
    examples = read_entries(
        file,
        lambda index, entry: _example(entry, databases, f"{file.name}:{index}"),
        hint=f"correct or delete these entries of {file.name}; nothing was read",
    )
    if not examples:
        raise DataError(f"{file} holds no questions; each entry is an object with question, query (or SQL) and db_id")
    return examples


def _example(entry: Any, databases: Collection[str], place: str) -> Example:
    if not isinstance(entry, dict):
        raise ValueError(f"a {type(entry).__name__}, not an object")
    difficulty = optional_text(entry, "difficulty")
    number = entry.get("question_id")
    return Example(
        question=text_field(entry, "question"),
        sql=text_field(entry, "query" if "query" in entry else "SQL").removesuffix(";").rstrip(),
        database=_database(entry, databases),
        tags=(f"difficulty:{difficulty}",) if difficulty else (),
        id=place if number is None else str(number),
        evidence=optional_text(entry, "evidence"),
    )


def _database(entry: Mapping[str, Any], databases: Collection[str]) -> str:
    name = text_field(entry, "db_id")
    if name not in databases:
        raise ValueError(f"db_id {name!r} is none of the {len(databases)} databases at hand; put it there as {name}/{name}.sqlite")
    return name
