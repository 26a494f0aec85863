"""The sample company is the same everywhere, and its pairs ask what its database can answer, in one way only."""

import hashlib
import math
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest

from t2s.data import company
from t2s.data.example import Example
from t2s.data.readers import read_examples
from t2s.sql.canonical import canonical
from t2s.sql.compare import is_ordered
from t2s.sql.execute import Sandbox
from t2s.sql.parse import skeleton, tags
from t2s.sql.schema import read_schema

FOLDER = Path(__file__).resolve().parents[1] / "data" / "company"
SCHEMA = FOLDER / "schema.sql"
SPLITS = ("train", "val", "test", "test_paraphrase")
CONVERSATIONS = ("conversations_train", "conversations_val", "conversations_test")
SEED = 7
# All rows of all tables in order. When it changes on purpose, the committed pairs must be run again.
ROWS_SHA256 = "9e30e48e89e6d15ecfe99d5254e2185389a162aefac7f6a7662619221432859d"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return company.build(tmp_path_factory.mktemp("company") / "company.sqlite", SCHEMA, SEED)


def contents(database: Path) -> dict[str, list[company.Row]]:
    with closing(sqlite3.connect(database)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")]
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}


@cache
def examples(split: str) -> list[Example]:
    file = FOLDER / f"{split}.jsonl"
    return read_examples(file, ["company"]) if file.is_file() else []


def pairs() -> Iterator[Example]:
    for split in (*SPLITS, *CONVERSATIONS):
        yield from examples(split)


def test_rows_are_those_the_pairs_were_written_for() -> None:
    digest = hashlib.sha256()
    for table, rows in company.company_rows(company.Dice(SEED)).items():
        for row in rows:
            digest.update(repr((table, *row)).encode() + b"\n")
    assert digest.hexdigest() == ROWS_SHA256


def test_two_builds_hold_the_same_and_another_seed_does_not(database: Path, tmp_path: Path) -> None:
    again = company.build(tmp_path / "new" / "again.sqlite", SCHEMA, SEED)
    assert contents(again) == contents(database)
    assert contents(company.build(tmp_path / "other.sqlite", SCHEMA, SEED + 1)) != contents(database)


def test_the_database_holds_the_rows_it_was_given(database: Path) -> None:
    given = company.company_rows(company.Dice(SEED))
    found = contents(database)
    assert found.keys() == given.keys()
    assert all(Counter(found[table]) == Counter(given[table]) for table in given)


def test_the_company_is_of_the_promised_size(database: Path) -> None:
    tables = contents(database)
    assert 14 <= len(tables) <= 18
    assert 20_000 <= sum(map(len, tables.values())) <= 200_000
    assert all(tables.values())


def test_the_database_is_sound_and_its_foreign_keys_hold(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        pointing = connection.execute("SELECT COUNT(*) FROM sqlite_master AS m, pragma_foreign_key_list(m.name)").fetchone()
    assert pointing[0] >= 14


def test_a_database_that_is_there_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "company.sqlite"
    file.write_bytes(b"mine")
    company.build(file, SCHEMA, SEED)
    assert file.read_bytes() == b"mine"


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.sql"
    wrong.write_text("CREATE TABLE stores (store_id INTEGER PRIMARY KEY);")
    with pytest.raises(sqlite3.Error):
        company.build(tmp_path / "company.sqlite", wrong, SEED)
    assert [entry.name for entry in tmp_path.iterdir()] == ["wrong.sql"]


def test_two_builders_at_once_both_succeed(database: Path, tmp_path: Path) -> None:
    file = tmp_path / "company.sqlite"
    program = f"from pathlib import Path; from t2s.data import company; company.build(Path({str(file)!r}), Path({str(SCHEMA)!r}), {SEED})"
    builders = [subprocess.Popen([sys.executable, "-c", program], cwd=SCHEMA.parents[2], stderr=subprocess.PIPE) for _ in range(2)]
    said = [builder.communicate(timeout=120)[1] for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0], said
    assert contents(file) == contents(database)
    assert [entry.name for entry in tmp_path.iterdir()] == ["company.sqlite"]


@pytest.mark.parametrize(("split", "least"), [("train", 500), ("val", 60), ("test", 100), ("test_paraphrase", 50)])
def test_every_split_is_large_enough(split: str, least: int) -> None:
    assert len(examples(split)) >= least


def test_there_are_at_least_eight_hundred_pairs() -> None:
    assert len(list(pairs())) >= 800


def test_every_query_runs_in_the_sandbox_and_finds_rows_unless_it_is_tagged_empty(database: Path) -> None:
    asked = list({e.sql: e for e in pairs()}.values())
    # Far above what any query takes: how busy the machine is must not decide here.
    with Sandbox(timeout_s=60, max_rows=20_000, max_bytes=50_000_000, max_memory_bytes=1_000_000_000) as box:
        outcomes = dict(zip([e.sql for e in asked], box.execute_many((e.sql, database) for e in asked), strict=True))
    assert [(e.id, outcomes[e.sql].kind, outcomes[e.sql].detail) for e in asked if outcomes[e.sql].kind != "ok"] == []
    assert [e.id for e in pairs() if bool(outcomes[e.sql].rows) == ("empty" in e.tags)] == []


def rounded(row: company.Row) -> company.Row:
    return tuple(round(cell, 6) if isinstance(cell, float) and math.isfinite(cell) else cell for cell in row)


def test_every_query_has_one_answer_whatever_order_sqlite_reads_in(database: Path) -> None:
    asked = {e.sql: e.id for e in pairs()}
    answers: list[dict[str, list[company.Row]]] = []
    for backwards in (0, 1):
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute(f"PRAGMA reverse_unordered_selects = {backwards}")
            answers.append({sql: [rounded(row) for row in connection.execute(sql)] for sql in asked})
    forth, back = answers
    unstable = [
        (name, sql)
        for sql, name in asked.items()
        if (forth[sql] != back[sql] if is_ordered(sql) else Counter(forth[sql]) != Counter(back[sql]))
    ]
    assert unstable == []


def test_no_query_depends_on_the_day_or_on_chance() -> None:
    moving = re.compile(r"'now'|\bcurrent_(date|time|timestamp)\b|\brandom\s*\(", re.IGNORECASE)
    assert [e.id for e in pairs() if moving.search(e.sql)] == []


def words(question: str) -> str:
    return " ".join(re.findall(r"\w+", question.lower()))


def test_no_query_of_test_has_a_shape_seen_in_train_or_val() -> None:
    learnt = ("train", "val", "conversations_train", "conversations_val")
    seen = {skeleton(e.sql) for split in learnt for e in examples(split)}
    assert [e.id for e in examples("test") if skeleton(e.sql) in seen] == []


@pytest.mark.parametrize("split", ["val", "test", "test_paraphrase"])
def test_no_question_stands_in_train_too(split: str) -> None:
    seen = {words(e.question) for e in examples("train")}
    assert [e.id for e in examples(split) if words(e.question) in seen] == []


def test_paraphrases_ask_anew_for_queries_of_train() -> None:
    known = {e.sql for e in examples("train")}
    assert [e.id for e in examples("test_paraphrase") if e.sql not in known] == []


@pytest.mark.parametrize("split", SPLITS)
def test_no_question_is_asked_twice_with_different_answers(split: str) -> None:
    queries: dict[str, set[str]] = {}
    for example in examples(split):
        queries.setdefault(words(example.question), set()).add(example.sql)
    assert [question for question, found in queries.items() if len(found) > 1] == []


def test_tags_say_what_the_query_is_made_of() -> None:
    asked_alone = [e for split in SPLITS for e in examples(split)]
    assert [e.id for e in asked_alone if {*e.tags} - {"empty"} != {*tags(e.sql)} or len(e.tags) != len({*e.tags})] == []


@pytest.mark.parametrize("split", [*SPLITS, *CONVERSATIONS])
def test_every_pair_names_the_company_and_has_no_line_break(split: str) -> None:
    assert [e.id for e in examples(split) if e.database != "company" or "\n" in e.sql + e.question] == []


def conversations(split: str) -> list[list[Example]]:
    talks: dict[str, list[Example]] = {}
    for example in examples(split):
        talks.setdefault(example.conversation, []).append(example)
    return list(talks.values())


@pytest.mark.parametrize(("split", "least"), [("conversations_train", 60), ("conversations_val", 12), ("conversations_test", 12)])
def test_there_are_enough_conversations_of_two_to_four_turns(split: str, least: int) -> None:
    talks = conversations(split)
    assert len(talks) >= least
    assert {len(talk) for talk in talks} <= {2, 3, 4}
    assert [talk[0].id for talk in talks if not talk[0].tags] == []


def test_no_conversation_of_test_ends_in_a_query_shape_seen_in_train_or_val() -> None:
    learnt = ("train", "val", "conversations_train", "conversations_val")
    seen = {skeleton(e.sql) for split in learnt for e in examples(split)}
    assert [talk[-1].id for talk in conversations("conversations_test") if skeleton(talk[-1].sql) in seen] == []


def test_no_conversation_begins_as_another_does_or_as_a_question_asked_alone() -> None:
    opening = [words(talk[0].question) for split in CONVERSATIONS for talk in conversations(split)]
    alone = {words(e.question) for split in SPLITS for e in examples(split)}
    assert [question for question in opening if opening.count(question) > 1 or question in alone] == []


def test_no_conversation_asks_for_the_same_twice() -> None:
    talks = [talk for split in CONVERSATIONS for talk in conversations(split)]
    assert [talk[0].id for talk in talks if len({e.sql for e in talk}) < len(talk)] == []


def test_queries_of_conversations_are_in_canonical_style(database: Path) -> None:
    schema = read_schema(database, 0)
    assert [e.id for split in CONVERSATIONS for e in examples(split) if canonical(e.sql, schema) != e.sql] == []
