"""Prediction files of every kind come into the order of the questions, or are refused naming what is wrong."""

import json
from pathlib import Path

import pytest

from t2s.data.example import Example
from t2s.data.predictions import read_predictions
from t2s.errors import DataError

PETS = [Example("How many?", "SELECT count(*) FROM pets", "pets", id="11")]
THREE = [*PETS, Example("Cars?", "SELECT 1", "cars", id="25"), Example("Names?", "SELECT name FROM pets", "pets", id="0")]
MARK = "\t----- bird -----\t"


def written(folder: Path, name: str, content: object) -> Path:
    """A file of these bytes, of this text, or of this as JSON."""
    file = folder / name
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode("utf-8")
    file.write_bytes(content)
    return file


GOOD: list[tuple[str, object, list[str]]] = [
    ("plain.sql", "SELECT 1\nSELECT 2\nSELECT 3\n", ["SELECT 1", "SELECT 2", "SELECT 3"]),
    ("no_end.sql", "SELECT 1\nSELECT 2\nSELECT 3", ["SELECT 1", "SELECT 2", "SELECT 3"]),
    ("windows.sql", "\ufeffSELECT 1\r\n\r\nSELECT 'ø' \r\n", ["SELECT 1", "", "SELECT 'ø'"]),
    ("spider.sql", "SELECT 1\tpets\nSELECT 2\tcars\r\nSELECT 3 \t pets \n", ["SELECT 1", "SELECT 2", "SELECT 3"]),
    ("empty_ones.sql", "\tpets\n\n  \n", ["", "", ""]),
    ("blank_end.sql", "SELECT 1\nSELECT 2\nSELECT 3\n\n \n", ["SELECT 1", "SELECT 2", "SELECT 3"]),
    (
        "tabs.sql",
        "SELECT\t1\nSELECT 2 FROM\ttrucks\n\tSELECT 3\tFROM x\tpets\n",
        ["SELECT\t1", "SELECT 2 FROM\ttrucks", "SELECT 3\tFROM x"],
    ),
    ("line_separators.sql", "SELECT '\u2028'\nSELECT '\x0b'\nSELECT 3\n", ["SELECT '\u2028'", "SELECT '\x0b'", "SELECT 3"]),
    ("in_order.jsonl", '{"sql": "SELECT 1"}\r\n\n{"query": ""}\n{"predicted": null}\n', ["SELECT 1", "", ""]),
    (
        "indexed.jsonl",
        '{"index": 2, "predicted": "SELECT 3"}\n{"index": 0, "predicted": "SELECT 1"}\n{"index": 1, "predicted": "SELECT\\n2"}',
        ["SELECT 1", "SELECT\n2", "SELECT 3"],
    ),
    (
        "beside_gold.jsonl",
        "".join(json.dumps({"query": "gold", "sql": "gold", "prediction": f"SELECT {i}", "score": 1}) + "\n" for i in range(3)),
        ["SELECT 0", "SELECT 1", "SELECT 2"],
    ),
    (
        "bird.json",
        {"1": f"SELECT\n2{MARK}cars", "0": f"SELECT 1{MARK}pets", "2": f"{MARK}pets"},
        ["SELECT 1", "SELECT\n2", ""],
    ),
    (
        "ids.json",
        {"0": f"SELECT 3{MARK}pets", "11": f"SELECT 1{MARK}pets", "25": f"SELECT 2{MARK}cars"},
        ["SELECT 1", "SELECT 2", "SELECT 3"],
    ),
    ("bare.json", {"0": "SELECT 1", "1": None, "2": "SELECT '\t'"}, ["SELECT 1", "", "SELECT '\t'"]),
    ("list.json", ["SELECT 1", f"SELECT 2{MARK}cars", None], ["SELECT 1", "SELECT 2", ""]),
]


@pytest.mark.parametrize(("name", "content", "expected"), GOOD, ids=[name for name, _, _ in GOOD])
def test_predictions_come_in_the_order_of_the_questions(tmp_path: Path, name: str, content: object, expected: list[str]) -> None:
    assert read_predictions(written(tmp_path, name, content), THREE) == expected


BAD: list[tuple[str, object, list[str]]] = [
    ("short.sql", "SELECT 1\nSELECT 2\n", ["short.sql holds 2 predictions for 3 questions"]),
    ("long.sql", "SELECT 1\n\nSELECT 2\nFROM t\n", ["long.sql holds 4 predictions for 3 questions"]),
    ("one_empty_too_many.sql", "SELECT 1\tpets\nSELECT 2\tcars\nSELECT 3\tpets\n\tpets\n", ["one_empty_too_many.sql holds 4 predictions"]),
    ("none.sql", "", ["none.sql holds 0 predictions"]),
    (
        "shifted.sql",
        "SELECT 1\tpets\nSELECT 2\tpets\nSELECT 3\tcars\n",
        ["shifted.sql:2: for database 'pets'", "shifted.sql:3: for database 'cars'"],
    ),
    ("latin.sql", b"SELECT 1\nSELECT '\xf8'\nSELECT '\xf8'\n", ["latin.sql:2: not UTF-8", "latin.sql:3: not UTF-8"]),
    ("short.jsonl", '{"sql": "SELECT 1"}\n', ["short.jsonl holds 1 predictions for 3 questions"]),
    (
        "wrong.jsonl",
        '{"sql": "SELECT 1"}\n{"sql": \n[]\n{"gold": "SELECT 1"}\n{"sql": 7}\n{"sql": "", "index": "0"}\n{"sql": "", "index": true}\n',
        [
            "wrong.jsonl:2: not JSON",
            "wrong.jsonl:3: a list",
            "wrong.jsonl:4: no prediction; its key may be predicted",
            "wrong.jsonl:5: the prediction is 7",
            "wrong.jsonl:6: index is '0'",
            "wrong.jsonl:7: index is True",
        ],
    ),
    (
        "indexed.jsonl",
        "".join(json.dumps({"sql": "", "index": index}) + "\n" for index in (1, 1, 3, -1, None)),
        [
            "indexed.jsonl:2: index 1 again, after",
            "indexed.jsonl:3: no question has this index; there are 0 to 2",
            "indexed.jsonl:4: no question has this index",
            "indexed.jsonl:5: no index, though other lines have one",
            "indexed.jsonl: no prediction for index 0, 2",
        ],
    ),
    ("half.jsonl", '{"sql": "SELECT 1"}\n{"sql": "\\ud800"}\n{"sql": ""}\n', ["half.jsonl:2: not UTF-8, or half a character"]),
    (
        "bird.json",
        '{"0": "SELECT 1", "0": "SELECT 2", "3": "SELECT 3", "two": "SELECT 4"}',
        [
            "bird.json[0]: index 0 again, after",
            "bird.json[3]: no question has this index",
            "bird.json[two]: no question has this index",
            "bird.json: no prediction for index 1, 2",
        ],
    ),
    (
        "other.json",
        {str(i): f"SELECT 1{MARK}{name}" for i, name in enumerate(["pets", "pets", "trucks"])},
        ["other.json[1]: for database 'pets', but the question is for 'cars'", "other.json[2]: for database 'trucks'"],
    ),
    (
        "types.json",
        {"0": 1, "1": ["SELECT 2"], "2": "SELECT 3"},
        ["types.json[0]: the prediction is 1", "types.json[1]: the prediction is ['SEL"],
    ),
    ("broken.json", '{"0": "SELECT 1", ', ["broken.json: not JSON"]),
    ("short.json", ["SELECT 1"], ["short.json holds 1 predictions for 3 questions"]),
]


@pytest.mark.parametrize(("name", "content", "said"), BAD, ids=[name for name, _, _ in BAD])
def test_everything_wrong_is_named_at_once(tmp_path: Path, name: str, content: object, said: list[str]) -> None:
    with pytest.raises(DataError) as refused:
        read_predictions(written(tmp_path, name, content), THREE)
    lines = list(refused.value.problems) or [str(refused.value)]
    assert [line.startswith(f"{tmp_path}/{words}") for line, words in zip(lines, said, strict=True)] == [True] * len(said), lines


def test_many_missing_predictions_are_counted_and_the_first_named(tmp_path: Path) -> None:
    file = written(tmp_path, "few.jsonl", {"index": 9, "sql": ""})
    with pytest.raises(DataError, match="no prediction for index 0, 1, 2, 3, 4 and 4 more"):
        read_predictions(file, PETS * 10)


@pytest.mark.parametrize("name", ["predictions.txt", "predictions"])
def test_an_unknown_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"use \.sql, \.jsonl or \.json"):
        read_predictions(written(tmp_path, name, "SELECT 1\n"), PETS)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.sql does not exist"):
        read_predictions(tmp_path / "nowhere.sql", PETS)
