"""Files become examples, or are refused naming every bad line."""

import json
from pathlib import Path
from typing import Any

import pytest

from t2s.data.example import Example, Turn
from t2s.data.readers import jsonl_line, read_examples, read_questions
from t2s.errors import DataError

GOOD = {"question": "How many pets?", "sql": "SELECT COUNT(*) FROM pets"}


def written(folder: Path, *lines: object, name: str = "pairs.jsonl") -> Path:
    """A file of these lines: bytes as they are, anything else as JSON."""
    file = folder / name
    file.write_bytes(b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines))
    return file


def refusal(folder: Path, *lines: object, databases: tuple[str, ...] = ("pets",)) -> DataError:
    with pytest.raises(DataError) as refused:
        read_examples(written(folder, *lines), databases)
    return refused.value


def test_a_good_file_gives_its_examples_in_order(tmp_path: Path) -> None:
    full = {
        "question": " Which are old? ",
        "sql": "SELECT name FROM pets WHERE age > 9 ;\n",
        "database": "pets",
        "history": [{"question": "Names?", "sql": "SELECT name FROM pets;"}],
        "tags": ["empty"],
        "id": "old-1",
    }
    assert read_examples(written(tmp_path, GOOD, b"", full), ["pets"]) == [
        Example("How many pets?", "SELECT COUNT(*) FROM pets", "pets", id="pairs.jsonl:1"),
        Example(
            "Which are old?",
            "SELECT name FROM pets WHERE age > 9",
            "pets",
            (Turn("Names?", "SELECT name FROM pets"),),
            ("empty",),
            "old-1",
        ),
    ]


@pytest.mark.parametrize(
    "line",
    [
        {"instruction": "Names?", "output": "SELECT name FROM pets", "database": "pets"},
        {"question": "Names?", "query": "SELECT name FROM pets", "db_id": "pets"},
    ],
)
def test_alpaca_and_spider_names_are_understood(tmp_path: Path, line: dict[str, str]) -> None:
    assert read_examples(written(tmp_path, line), ["pets", "cars"]) == [
        Example("Names?", "SELECT name FROM pets", "pets", id="pairs.jsonl:1")
    ]


BAD: list[tuple[object, str]] = [
    (b'{"question": "why", ', "not JSON"),
    ([1, 2], "a list, not an object"),
    (b"null", "not an object"),
    ({"question": "Names?"}, "no sql"),
    ({"sql": "SELECT 1"}, "no question"),
    ({**GOOD, "question": "  "}, "question is"),
    ({**GOOD, "sql": ""}, "sql is"),
    ({**GOOD, "question": 7}, "question is 7"),
    ({**GOOD, "answer": "3"}, "unknown key 'answer'"),
    ({**GOOD, "query": "SELECT 1"}, "'query' repeats 'sql'"),
    ({**GOOD, "sql": "SELEC name FROM"}, "SELEC name FROM"),
    ({**GOOD, "sql": "SELECT 1; SELECT 2"}, "not a single query"),
    ({**GOOD, "sql": "DELETE FROM pets"}, "not a single query"),
    ({**GOOD, "database": "cars"}, "unknown database 'cars'; known: pets"),
    ({**GOOD, "database": ["pets"]}, "database"),
    ({**GOOD, "tags": "empty"}, "not a list"),
    ({**GOOD, "history": ["Names?"]}, "a turn of history"),
    ({**GOOD, "history": [{"question": "Names?", "sql": "SELEC"}]}, "SELEC"),
    (b'{"question": "Troms\xf8?", "sql": "SELECT 1"}', "not UTF-8"),
    (b'{"question": "\\ud800?", "sql": "SELECT 1"}', "question"),
]


@pytest.mark.parametrize(("line", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_bad_line_is_refused_with_file_number_and_reason(tmp_path: Path, line: object, reason: str) -> None:
    error = refusal(tmp_path, GOOD, b"", line, databases={"pets": Path("pets.sqlite")})  # type: ignore[arg-type]
    [problem] = error.problems
    assert problem.startswith(f"{tmp_path / 'pairs.jsonl'}:3: ")
    assert reason in problem
    assert problem in str(error)


def test_every_bad_line_is_named_at_once(tmp_path: Path) -> None:
    error = refusal(tmp_path, *(line for line, _ in BAD if line != ({**GOOD, "database": ["pets"]})))
    numbers = [int(problem.removeprefix(f"{tmp_path / 'pairs.jsonl'}:").partition(":")[0]) for problem in error.problems]
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= len(BAD) - 2
    assert str(error).endswith("correct or delete these lines of pairs.jsonl; nothing was read")


def test_a_line_must_name_its_database_where_there_are_several(tmp_path: Path) -> None:
    error = refusal(tmp_path, GOOD, databases=("pets", "cars"))
    assert "no database; name one of cars, pets" in str(error)


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(content)
    with pytest.raises(DataError, match="holds no pairs"):
        read_examples(file, ["pets"])
    with pytest.raises(DataError, match="holds no questions"):
        read_questions(file, ["pets"])


@pytest.mark.parametrize("read", [read_examples, read_questions])
def test_a_missing_file_is_refused_by_name(tmp_path: Path, read: Any) -> None:
    with pytest.raises(DataError, match=r"nowhere\.jsonl does not exist"):
        read(tmp_path / "nowhere.jsonl", ["pets"])


def test_questions_need_no_sql_and_may_carry_anything_else(tmp_path: Path) -> None:
    file = written(tmp_path, {"question": "Names?", "difficulty": 3}, GOOD, {"instruction": "Ages?"})
    read = read_questions(file, ["pets"])
    assert [(e.question, e.sql) for e in read] == [("Names?", ""), ("How many pets?", "SELECT COUNT(*) FROM pets"), ("Ages?", "")]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte order mark"])
def test_questions_come_from_csv(tmp_path: Path, mark: bytes) -> None:
    file = tmp_path / "questions.csv"
    file.write_bytes(mark + 'question,asked_by,id\r\n"Pets in Tromsø,\r\nby age?",Ida,q1\r\nNames?,,\r\n'.encode())
    assert read_questions(file, ["pets"]) == [
        Example("Pets in Tromsø,\r\nby age?", "", "pets", id="q1"),
        Example("Names?", "", "pets", id="questions.csv:4"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("q.csv", b"text\nNames?\n", "no column is called question; its columns are text"),
        ("q.csv", b"", "no column is called question"),
        ("q.csv", b"question,id\n,1\n", r"q\.csv:2: no question"),
        ("q.csv", b"question\nTroms\xf8?\n", "UTF-8"),
        ("q.txt", b"Names?\n", r"use \.jsonl or \.csv"),
        ("q.jsonl", b"Names?\n", r"q\.jsonl:1: not JSON"),
        ("q.jsonl", b'{"question": ""}\n', r"q\.jsonl:1: question is"),
    ],
)
def test_bad_question_files_are_refused_with_the_reason(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_questions(tmp_path / name, ["pets"])


ASKED = [
    {"question": "Names?", "sql": "SELECT name FROM pets;"},
    {"question": "the old ones", "query": "SELECT name FROM pets WHERE age > 9"},
]


def test_a_conversation_gives_an_example_for_each_turn(tmp_path: Path) -> None:
    line = {"turns": ASKED, "database": "pets", "tags": ["refine"], "evidence": "old: over 9"}
    [first, second] = read_examples(written(tmp_path, b"", line), ["pets", "cars"])
    common: dict[str, Any] = {"tags": ("refine",), "evidence": "old: over 9", "conversation": "pairs.jsonl:2"}
    names = Turn("Names?", "SELECT name FROM pets")
    assert first == Example(names.question, names.sql, "pets", id="pairs.jsonl:2/1", **common)
    assert second == Example("the old ones", "SELECT name FROM pets WHERE age > 9", "pets", (names,), id="pairs.jsonl:2/2", **common)


def test_a_conversation_may_have_a_name_of_its_own(tmp_path: Path) -> None:
    named = read_examples(written(tmp_path, {"turns": ASKED, "id": "talk"}, {"turns": ASKED, "conversation": "chat"}, GOOD), ["pets"])
    assert [(e.conversation, e.id) for e in named] == [
        ("talk", "talk/1"), ("talk", "talk/2"), ("chat", "chat/1"), ("chat", "chat/2"), ("", "pairs.jsonl:3"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", [{}, {"id": "talk"}], ids=["by its place", "by its name"])
def test_turns_written_line_by_line_are_read_as_they_were(tmp_path: Path, name: dict[str, str]) -> None:
    turns = read_examples(written(tmp_path, GOOD, {"turns": ASKED, **name}, name="talks.jsonl"), ["pets"])
    lines = [jsonl_line(example) for example in turns]
    assert ["id" in json.loads(line) for line in lines] == [False, bool(name), bool(name)]
    again = read_examples(written(tmp_path, *(line.encode() for line in lines)), ["pets"])
    told = [(e.question, e.sql, e.history, e.conversation) for e in turns]
    assert [(e.question, e.sql, e.history, e.conversation) for e in again] == told


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"turns": [ASKED[0], {"question": "and?"}]}, "turn 2: no sql"),
        ({"turns": [{**ASKED[0], "sql": "SELEC"}, ASKED[1]]}, "turn 1: not a single query: 'SELEC'"),
        ({"turns": [*ASKED, {**ASKED[0], "question": " "}]}, "turn 3: question is"),
        ({"turns": [*ASKED, "Names?"]}, "turn 3: 'Names?' is no object with question and sql"),
        ({"turns": [{**ASKED[0], "tags": ["x"]}]}, "turn 1: unknown key 'tags'; keys are question, sql"),
        ({"turns": [{**ASKED[0], "query": "SELECT 1"}]}, "turn 1: 'query' repeats 'sql'"),
        ({"turns": []}, "turns is empty"),
        ({"turns": None}, "turns is empty"),
        ({"turns": {"1": ASKED[0]}}, "not a list"),
        ({"turns": ASKED, "question": "Names?"}, "question beside turns"),
        ({"turns": ASKED, "history": []}, "history beside turns"),
        ({"turns": ASKED, "database": "cars"}, "unknown database 'cars'"),
        ({**GOOD, "conversation": 3}, "conversation is 3, not a text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_turn_is_refused_with_file_line_and_turn(tmp_path: Path, line: object, reason: str) -> None:
    [problem] = refusal(tmp_path, GOOD, line).problems
    assert problem.startswith(f"{tmp_path / 'pairs.jsonl'}:2: ")
    assert reason in problem


def test_questions_of_a_conversation_need_no_sql(tmp_path: Path) -> None:
    line = {"turns": [{"question": "Names?"}, ASKED[1], {"question": "how many?"}], "asked_by": "Ida"}
    read = read_questions(written(tmp_path, line), ["pets"])
    assert [(e.question, e.sql, [turn.sql for turn in e.history]) for e in read] == [
        ("Names?", "", []),
        ("the old ones", ASKED[1]["query"], [""]),
        ("how many?", "", ["", ASKED[1]["query"]]),
    ]
    with pytest.raises(DataError, match=r":1: turn 2: no question"):
        read_questions(written(tmp_path, {"turns": [{"question": "Names?"}, {"sql": "SELECT 1"}]}), ["pets"])
