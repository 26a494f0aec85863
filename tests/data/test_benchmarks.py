"""Spider's and BIRD's files become examples, or are refused naming every bad entry."""

import json
from pathlib import Path
from typing import Any

import pytest

from t2s.data.benchmarks import find_databases, read_benchmark
from t2s.data.example import Example
from t2s.data.readers import jsonl_line, read_examples
from t2s.errors import DataError

SPIDER: dict[str, Any] = {
    "db_id": "pets",
    "query": "SELECT count(*) FROM pets",
    "query_toks": ["SELECT", "count", "(", "*", ")", "FROM", "pets"],
    "question": "How many pets are there?",
    "question_toks": ["How", "many"],
    "sql": {"select": [False, [[3, [0, [0, 0, False], None]]]]},
}
BIRD: dict[str, Any] = {
    "question_id": 7,
    "db_id": "pets",
    "question": "Name the grown-up pets.",
    "evidence": "grown-up refers to age > 2",
    "SQL": "SELECT name FROM pets WHERE age > 2 ;",
    "difficulty": "simple",
}


def written(folder: Path, *entries: object) -> Path:
    file = folder / "dev.json"
    file.write_text(json.dumps(entries), encoding="utf-8")
    return file


def test_spiders_entries_become_examples(tmp_path: Path) -> None:
    plain = {key: SPIDER[key] for key in ("db_id", "question", "query")}
    assert read_benchmark(written(tmp_path, SPIDER, plain), {"pets", "cars"}) == [
        Example("How many pets are there?", "SELECT count(*) FROM pets", "pets", id="dev.json:0"),
        Example("How many pets are there?", "SELECT count(*) FROM pets", "pets", id="dev.json:1"),
    ]


def test_birds_entries_keep_evidence_number_and_difficulty(tmp_path: Path) -> None:
    old = {key: value for key, value in BIRD.items() if key in ("db_id", "question", "SQL")}
    without = {**BIRD, "evidence": " ", "difficulty": None, "question_id": 0}
    sql, question = "SELECT name FROM pets WHERE age > 2", "Name the grown-up pets."
    assert read_benchmark(written(tmp_path, BIRD, old, without), {"pets"}) == [
        Example(question, sql, "pets", tags=("difficulty:simple",), id="7", evidence="grown-up refers to age > 2"),
        Example(question, sql, "pets", id="dev.json:1"),
        Example(question, sql, "pets", id="0"),
    ]


def test_gold_that_t2s_cannot_parse_is_taken_as_published(tmp_path: Path) -> None:
    odd = {**SPIDER, "query": "SELECT count(*) FROM pets WHERE name = \"it's"}
    assert read_benchmark(written(tmp_path, odd), {"pets"})[0].sql == odd["query"]


def test_evidence_survives_writing_and_reading(tmp_path: Path) -> None:
    [example] = read_benchmark(written(tmp_path, {**BIRD, "difficulty": ""}), {"pets"})
    file = tmp_path / "pairs.jsonl"
    file.write_text(jsonl_line(example) + jsonl_line(Example("Names?", "SELECT name FROM pets", "pets")), encoding="utf-8")
    first, second = read_examples(file, ["pets"])
    assert (first.question, first.sql, first.evidence, first.id) == (example.question, example.sql, example.evidence, "7")
    assert second.evidence == ""
    assert "evidence" not in file.read_text().splitlines()[1]


BAD: list[tuple[object, str]] = [
    ("SELECT 1", "a str, not an object"),
    ({**SPIDER, "question": " "}, "question is ' ', not a text"),
    ({"question": "why?", "query": "SELECT 1"}, "no db_id"),
    ({"question": "why?", "db_id": "pets", "sql": SPIDER["sql"]}, "no SQL"),
    ({**SPIDER, "query": None}, "query is None"),
    ({**SPIDER, "db_id": "cars"}, "db_id 'cars' is none of the 1 databases"),
    ({**SPIDER, "db_id": ["pets"]}, "db_id is ['pets'], not a text"),
    ({**BIRD, "evidence": 3}, "evidence is 3, not a text"),
    ({**BIRD, "question": "\ud800?"}, "half a character"),
]


def test_every_bad_entry_is_named_at_once_with_its_index_and_reason(tmp_path: Path) -> None:
    file = written(tmp_path, SPIDER, *(entry for entry, _ in BAD), BIRD)
    with pytest.raises(DataError) as refused:
        read_benchmark(file, ["pets"])
    places = [problem.partition(": ")[0] for problem in refused.value.problems]
    assert places == [f"{file}[{index}]" for index in range(1, len(BAD) + 1)]
    said = zip(refused.value.problems, BAD, strict=True)
    assert [(problem, reason) for problem, (_, reason) in said if reason not in problem] == []


def test_bytes_that_are_not_utf8_spoil_their_entry_alone(tmp_path: Path) -> None:
    file = tmp_path / "dev.json"
    entries = [json.dumps(entry, ensure_ascii=False).encode() for entry in (SPIDER, {**SPIDER, "question": "In Tromsø?"}, SPIDER)]
    file.write_bytes(b"[" + b",".join([entries[0], entries[1].replace("ø".encode(), b"\xf8"), entries[2]]) + b"]")
    with pytest.raises(DataError) as refused:
        read_benchmark(file, ["pets"])
    [problem] = refused.value.problems
    assert problem.startswith(f"{file}[1]: question is not UTF-8")


def test_an_empty_or_broken_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dev\.json holds no questions"):
        read_benchmark(written(tmp_path), ["pets"])
    (tmp_path / "dev.json").write_text("[{")
    with pytest.raises(DataError, match=r"dev\.json: not JSON"):
        read_benchmark(tmp_path / "dev.json", ["pets"])


def test_databases_are_found_by_folder_and_other_files_left(tmp_path: Path) -> None:
    for name in ("pets/pets.sqlite", "cars/cars.sqlite", "cars/cars_fuzzed.sqlite", "cars/schema.sql", "stray.sqlite", "empty/x.sqlite"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_databases(tmp_path)
    assert list(found.items()) == [("cars", tmp_path / "cars/cars.sqlite"), ("pets", tmp_path / "pets/pets.sqlite")]


def test_a_directory_without_databases_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere is not a directory"):
        find_databases(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no database"):
        find_databases(tmp_path)
