"""Pairs in other programs' forms become the examples that their author meant, or are refused naming every bad record."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t2s.data.example import Example, Turn
from t2s.data.imports import read_pairs
from t2s.data.readers import jsonl_line
from t2s.errors import DataError

COUNT, NAMES = "SELECT COUNT(*) FROM pets", "SELECT name FROM pets"
SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
# No line ends of their own: CSV and JSON keep them, but readers strip white space around a text.
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(str.strip).filter(bool)
QUERIES = st.sampled_from([COUNT, NAMES, "SELECT name FROM pets WHERE name = 'a;b,\"c'", 'SELECT "a b" FROM pets', "SELECT 'ø\t1'"])
PAIRS = st.lists(st.tuples(TEXTS, QUERIES), min_size=1, max_size=5)


def lines(folder: Path, *records: object, name: str = "pairs.jsonl") -> Path:
    file = folder / name
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return file


def document(folder: Path, value: object, name: str = "pairs.json") -> Path:
    file = folder / name
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


def text(folder: Path, content: str | bytes, name: str = "pairs.csv") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def pairs_of(examples: list[Example]) -> list[tuple[str, str]]:
    return [(example.question, example.sql) for example in examples]


def chat(*said: str, system: str = "CREATE TABLE pets (name TEXT)") -> dict[str, Any]:
    roles = ["user", "assistant"] * len(said)
    turns = [{"role": role, "content": content} for role, content in zip(roles, said, strict=False)]
    return {"messages": [{"role": "system", "content": system}, *turns]}


@SAME_FOLDER
@given(pairs=PAIRS, ending=st.sampled_from([".csv", ".tsv"]), mark=st.booleans())
def test_what_is_written_as_a_table_reads_back(tmp_path: Path, pairs: list[tuple[str, str]], ending: str, mark: bool) -> None:
    file = tmp_path / f"pairs{ending}"
    with file.open("w", encoding="utf-8-sig" if mark else "utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t" if ending == ".tsv" else ",")
        writer.writerows([("question", "sql"), *pairs])
    assert pairs_of(read_pairs(file, ["pets"])) == pairs


@SAME_FOLDER
@given(
    pairs=PAIRS, ending=st.sampled_from([".jsonl", ".json"]), form=st.sampled_from(["t2s", "messages", "conversations", "alpaca", "named"])
)
def test_what_is_written_as_records_reads_back(tmp_path: Path, pairs: list[tuple[str, str]], ending: str, form: str) -> None:
    records: list[dict[str, Any]] = []
    for question, sql in pairs:
        shapes: dict[str, dict[str, Any]] = {
            "t2s": {"question": question, "sql": sql},
            "messages": chat(question, f"```sql\n{sql};\n```"),
            "conversations": {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": sql}]},
            "alpaca": {"instruction": question, "input": "CREATE TABLE pets (name)", "output": sql},
            "named": {"question": question, "context": "CREATE TABLE pets (name)", "answer": sql},
        }
        records.append(shapes[form])
    file = lines(tmp_path, *records) if ending == ".jsonl" else document(tmp_path, records)
    read = read_pairs(file, ["pets"])
    assert pairs_of(read) == pairs
    assert all(not example.evidence and example.database == "pets" for example in read)


@SAME_FOLDER
@given(pairs=PAIRS, form=st.sampled_from(["messages", "conversations", "interaction"]))
def test_each_turn_becomes_an_example_with_those_before_it(tmp_path: Path, pairs: list[tuple[str, str]], form: str) -> None:
    said = [part for pair in pairs for part in pair]
    shapes: dict[str, dict[str, Any]] = {
        "messages": chat(*said),
        "conversations": {
            "conversations": [{"from": who, "value": what} for who, what in zip(["human", "gpt"] * len(pairs), said, strict=True)]
        },
        "interaction": {"interaction": [{"utterance": question, "query": sql} for question, sql in pairs]},
    }
    read = read_pairs(lines(tmp_path, {**shapes[form], "database_id": "pets"}), ["pets", "cars"])
    assert pairs_of(read) == pairs
    assert [example.history for example in read] == [tuple(Turn(*pair) for pair in pairs[:at]) for at in range(len(pairs))]
    assert len({example.id for example in read}) == len(pairs)


@SAME_FOLDER
@given(pairs=PAIRS)
def test_our_own_lines_read_back_whole(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    examples = [Example(question, sql, "pets", (Turn("first?", COUNT),), id=f"n{i}") for i, (question, sql) in enumerate(pairs)]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(map(jsonl_line, examples)), encoding="utf-8")
    read = read_pairs(file, ["pets"])
    assert [(e.question, e.sql, e.history, e.id) for e in read] == [(e.question, e.sql, e.history, e.id) for e in examples]


def test_columns_are_known_by_many_names_and_others_left(tmp_path: Path) -> None:
    file = text(
        tmp_path, f'Author,NL,Query,db_id,hint,question_id\nIda,"How, many?",{COUNT};,pets,all count,q7\n,,,,,\nBo,Names?,{NAMES},cars,,\n'
    )
    assert read_pairs(file, ["pets", "cars"]) == [
        Example("How, many?", COUNT, "pets", id="q7", evidence="all count"),
        Example("Names?", NAMES, "cars", id="pairs.csv:4"),
    ]


def test_excels_semicolons_part_columns_where_no_comma_does(tmp_path: Path) -> None:
    file = text(tmp_path, f'question;sql\n"How many; all?";{COUNT}\nNames, ages?;"SELECT name, age FROM pets"\n')
    assert pairs_of(read_pairs(file, ["pets"])) == [("How many; all?", COUNT), ("Names, ages?", "SELECT name, age FROM pets")]


def test_spider_and_bird_are_read_as_published(tmp_path: Path) -> None:
    spider = {"question": "How many?", "db_id": "pets", "query": COUNT, "sql": {"select": []}}
    bird = {"question": "Names?", "db_id": "pets", "SQL": NAMES, "evidence": "e", "difficulty": "simple", "question_id": 3}
    assert pairs_of(read_pairs(document(tmp_path, [spider]), ["pets"])) == [("How many?", COUNT)]
    expected = [Example("Names?", NAMES, "pets", tags=("difficulty:simple",), id="3", evidence="e")]
    assert read_pairs(document(tmp_path, [bird]), ["pets"]) == expected
    assert read_pairs(lines(tmp_path, bird), ["pets"]) == expected
    assert pairs_of(read_pairs(lines(tmp_path, {**spider, "extra": 1}), ["pets"])) == [("How many?", COUNT)]


def test_a_conversations_goal_is_a_question_of_its_own(tmp_path: Path) -> None:
    turns = [{"utterance": "Names?", "query": NAMES + " ;"}, {"utterance": "How many?", "query": COUNT}]
    entry = {"database_id": "pets", "interaction": turns, "final": {"utterance": "All in all?", "query": COUNT}}
    assert read_pairs(document(tmp_path, [entry], "dev.json"), ["pets"]) == [
        Example("Names?", NAMES, "pets", id="dev.json[0].1"),
        Example("How many?", COUNT, "pets", (Turn("Names?", NAMES),), id="dev.json[0].2"),
        Example("All in all?", COUNT, "pets", tags=("final",), id="dev.json[0].final"),
    ]


def test_an_instruction_that_all_records_share_is_the_task_and_no_question(tmp_path: Path) -> None:
    task = {"instruction": "Write SQL."}
    shared = lines(tmp_path, {**task, "input": "How many?", "output": COUNT}, {**task, "input": "Names?", "output": NAMES})
    assert pairs_of(read_pairs(shared, ["pets"])) == [("How many?", COUNT), ("Names?", NAMES)]
    own = lines(
        tmp_path,
        {"instruction": "Old ones?", "input": "old is over 9", "output": COUNT},
        {"instruction": "All?", "input": "", "output": NAMES},
    )
    assert [(e.question, e.evidence) for e in read_pairs(own, ["pets"])] == [("Old ones?", "old is over 9"), ("All?", "")]


def test_a_question_that_is_asked_of_two_schemas_stays_the_question(tmp_path: Path) -> None:
    record = {"instruction": "How many?", "output": COUNT}
    file = lines(tmp_path, {**record, "input": "CREATE TABLE pets (a)"}, {**record, "input": "create table pets (b)"})
    assert [(e.question, e.evidence) for e in read_pairs(file, ["pets"])] == [("How many?", "")] * 2


def test_an_answer_of_weight_zero_is_history_alone(tmp_path: Path) -> None:
    record = chat("Names?", NAMES, "How many?", COUNT)
    record["messages"][2]["weight"] = 0
    assert read_pairs(lines(tmp_path, record), ["pets"]) == [
        Example("How many?", COUNT, "pets", (Turn("Names?", NAMES),), id="pairs.jsonl:1.2")
    ]


GOOD_CHAT = chat("Names?", NAMES)
GOOD_TURN = {"interaction": [{"utterance": "Names?", "query": NAMES}]}
BAD: list[tuple[dict[str, Any], Any, str]] = [
    (GOOD_CHAT, chat("Names?"), "each question needs its answer"),
    (GOOD_CHAT, chat("Names?", "I do not know."), "turn 1: cannot parse"),
    (GOOD_CHAT, chat("Names?", NAMES, "x", "DROP TABLE pets"), "turn 2: not a single query"),
    (GOOD_CHAT, chat("", NAMES), "turn 1: question is ''"),
    (GOOD_CHAT, {"messages": [{"role": "assistant", "content": NAMES}, {"role": "user", "content": "x"}]}, "must take turns"),
    (GOOD_CHAT, {"messages": [{"role": "tool", "content": "x"}]}, "message 1 is by 'tool'"),
    (GOOD_CHAT, {"messages": [{"role": ["user"], "content": "x"}]}, "message 1 is by"),
    (GOOD_CHAT, {"messages": [{"role": "user", "content": 7}]}, "message 1 holds 7"),
    (GOOD_CHAT, {"messages": "hello"}, "messages is no list"),
    (GOOD_CHAT, {"messages": ["hello"]}, "message 1 is 'hello'"),
    (GOOD_CHAT, {"question": "Names?"}, "no messages"),
    (GOOD_TURN, {"question": "Names?"}, "no list of turns"),
    (GOOD_CHAT, {**GOOD_CHAT, "database": "cars"}, "unknown database 'cars'"),
    (GOOD_TURN, {"interaction": []}, "no list of turns"),
    (GOOD_TURN, {"interaction": [{"utterance": "x"}]}, "turn 1: no query"),
    (GOOD_TURN, {"interaction": ["x"]}, "turn 1 is 'x'"),
    (GOOD_TURN, {**GOOD_TURN, "final": {"utterance": "x", "query": ""}}, "final: query is"),
    (GOOD_TURN, [1], "a list, not an object"),
    ({"question": "Names?", "answer": NAMES}, {"question": "Names?"}, "no sql"),
    ({"question": "Names?", "answer": NAMES}, {"question": "Names?", "answer": "SELEC"}, "SELEC"),
    ({"question": "Names?", "sql": NAMES}, {"questoin": "Names?", "sql": NAMES}, "unknown key 'questoin'"),
]


@pytest.mark.parametrize("ending", ["jsonl", "json"])
@pytest.mark.parametrize(("good", "bad", "reason"), BAD, ids=[f"{n} {reason}" for n, (_, _, reason) in enumerate(BAD)])
def test_every_bad_record_is_named_with_its_place(tmp_path: Path, good: dict[str, Any], bad: Any, reason: str, ending: str) -> None:
    file = lines(tmp_path, good, bad, good, bad) if ending == "jsonl" else document(tmp_path, [good, bad, good, bad])
    with pytest.raises(DataError) as refused:
        read_pairs(file, ["pets"])
    places = [f"{file}:2: ", f"{file}:4: "] if ending == "jsonl" else [f"{file}[1]: ", f"{file}[3]: "]
    assert [problem.startswith(place) for problem, place in zip(refused.value.problems, places, strict=True)] == [True, True]
    assert all(reason in problem for problem in refused.value.problems)
    assert str(refused.value).endswith(f"correct or delete these records of {file.name}; nothing was read")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("p.csv", b"question,answr\nNames?,SELECT 1\n", r"p\.csv:1: no column for sql \(sql, query.*its columns are question, answr"),
        ("p.csv", b"question,sql\nNames?,SELEC\nAges?,\n", r"p\.csv:2: not a single query(.|\n)*p\.csv:3: no sql"),
        ("p.csv", b"question,sql\nNames?,SELECT a, b FROM t\nx,SELECT 1\nx,1,2,3\n", r"p\.csv:2: 3 fields for 2(.|\n)*p\.csv:4: 4 fields"),
        ("p.csv", b'question,sql\nNames?,"SELECT 1\n', r"p\.csv:\d: unexpected end"),
        ("p.csv", b"question,sql\nTroms\xf8?,SELECT 1\n", r"p\.csv:2: not UTF-8; save"),
        ("p.csv", b"question,sql\n", "holds no pairs"),
        ("p.csv", b"", "holds no pairs"),
        ("p.csv", "question,sql\nNames?,SELECT 1\n".encode("utf-16"), "UTF-16.*save the file as UTF-8"),
        ("p.jsonl", '{"question": "Names?"}'.encode("utf-16-le"), "UTF-16.*save the file as UTF-8"),
        ("p.json", b'[{"question": "a", "answer": "SELECT 1"}, {"question"', r"not JSON.*line 1"),
        ("p.json", b"{", "not JSON"),
        ("p.json", b"[]", "holds no pairs"),
        ("p.json", b"[1, 2]", "none of its first records is an object"),
        ("p.json", b'[{"a": 1}]', "keys a, which is no form"),
        ("p.jsonl", b"", "holds no pairs"),
        ("p.jsonl", b"Names?\n", "not JSON"),
        ("p.xlsx", b"PK", r"ending \.xlsx is not known; use \.jsonl"),
    ],
)
def test_a_bad_file_says_what_is_wrong_and_what_to_do(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_pairs(text(tmp_path, content, name), ["pets"])


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv does not exist"):
        read_pairs(tmp_path / "nowhere.csv", ["pets"])


def test_a_large_file_is_not_held_whole(tmp_path: Path) -> None:
    record = {**GOOD_CHAT, "padding": "x" * 20_000}
    file = lines(tmp_path, *[record] * 300)
    tracemalloc.start()
    read = read_pairs(file, ["pets"])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(read) == 300
    assert peak_bytes < file.stat().st_size / 3
