"""What teachers are asked, and what becomes of their answers: a small teacher that answers by rule stands in for a model."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, saying
from hypothesis import given
from hypothesis import strategies as st

from t2s.data.example import Example
from t2s.data.prompt import SchemaStyle
from t2s.data.query_log import LoggedQuery
from t2s.data.teacher.answers import entries, first_object, objects
from t2s.data.teacher.back import back_translate
from t2s.data.teacher.budget import Limits
from t2s.data.teacher.cache import ReplyCache
from t2s.data.teacher.client import HttpTeacher, Patience
from t2s.data.teacher.generate import Review, ask_for_pairs, paraphrase, phrase_queries, review
from t2s.data.teacher.prompts import LEVELS, REGISTERS
from t2s.data.teacher.protocol import Answer, Failure, Request
from t2s.data.teacher.subject import Disclosure, Subject, read_subject
from t2s.data.teacher.wire import Endpoint, Sampling
from t2s.errors import ConfigError
from t2s.sql.schema import read_schema

STYLE = SchemaStyle(types=True, keys=True, comments=True, samples=4)
OPEN = Disclosure(values=True, withheld=(), rows_per_table=2)
PAIR = {"question": "How many shops?", "sql": "SELECT COUNT(*) FROM shops"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda i: st.lists(i, max_size=3) | st.dictionaries(st.text(), i, max_size=3),
    max_leaves=8,
)


class RuleTeacher:
    """Answers each request by a rule; keeps what it was asked. The last comes first, as a quick server may have it."""

    def __init__(self, rule: Callable[[Request], Answer]) -> None:
        self.rule = rule
        self.asked: list[Request] = []

    def complete_all(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        batch = list(requests)
        self.asked += batch
        for index in reversed(range(len(batch))):
            yield index, self.rule(batch[index])


def text_of(request: Request) -> str:
    return "\n".join(message.content for message in request.messages)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("shops") / "shops.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(
            """
            CREATE TABLE shops (id INTEGER PRIMARY KEY, town TEXT, owner TEXT, logo BLOB);
            CREATE TABLE "daily sales" (id INTEGER PRIMARY KEY, shop_id INTEGER REFERENCES shops (id), total REAL, note TEXT);
            CREATE TABLE lines (id INTEGER PRIMARY KEY, sale_id INTEGER REFERENCES "daily sales" (id), article TEXT);
            CREATE TABLE empty (x TEXT);
            """
        )
        towns, owners = ["Molde", "Bodø", "Hamar"], ["Zacharias Vik", "Ylva Strøm", "Xenia Dahl"]
        connection.executemany(
            "INSERT INTO shops (town, owner, logo) VALUES (?, ?, x'00ff')", [(towns[i % 3], owners[i % 3]) for i in range(30)]
        )
        connection.executemany(
            'INSERT INTO "daily sales" (shop_id, total, note) VALUES (?, ?, ?)', [(i, i + 0.25, "paid late") for i in range(1, 20)]
        )
        connection.executemany("INSERT INTO lines (sale_id, article) VALUES (?, ?)", [(i, "gaffer tape") for i in range(1, 20)])
    return file


def subject_of(database: Path, disclosure: Disclosure = OPEN, max_schema_chars: int = 10_000, seed: int = 1) -> Subject:
    return read_subject(database, read_schema(database, 4), STYLE, disclosure, "Totals are in kroner.", max_schema_chars, seed)


@pytest.fixture(scope="module")
def subject(database: Path) -> Subject:
    return subject_of(database)


def pairs(*found: dict[str, Any]) -> str:
    return json.dumps({"pairs": found})


def test_pairs_become_tagged_examples_in_the_order_of_the_requests(subject: Subject) -> None:
    teacher = RuleTeacher(lambda request: pairs(PAIR, {"question": "Towns?", "sql": f"SELECT town FROM shops LIMIT {len(teacher.asked)};"}))
    written = ask_for_pairs(teacher, subject, requests=3, pairs_per_request=2, seed=5, tries=2)
    assert [e.id for e in written.examples] == [f"teacher:{i}.{j}" for i in range(3) for j in range(2)]
    assert written.examples[1].sql == "SELECT town FROM shops LIMIT 3"
    assert written.examples[0] == Example(**PAIR, database="shops", tags=("teacher", "register:plain"), id="teacher:0.0")
    assert (written.broken, written.failures) == ((), ())


def test_requests_are_the_same_for_the_same_seed_and_more_of_them_leave_the_first(subject: Subject, database: Path) -> None:
    def asked(count: int, seed: int, subject: Subject = subject) -> list[Request]:
        teacher = RuleTeacher(lambda request: pairs(PAIR))
        ask_for_pairs(teacher, subject, count, 3, seed, 1)
        return teacher.asked

    assert asked(6, 1) == asked(6, 1, subject_of(database)) == asked(12, 1)[:6]
    assert asked(6, 1) != asked(6, 2)
    assert len(set(map(text_of, asked(40, 1)))) == 40


def test_requests_take_turns_in_tables_levels_wordings_and_values(subject: Subject) -> None:
    teacher = RuleTeacher(lambda request: pairs(PAIR))
    ask_for_pairs(teacher, subject, len(REGISTERS) * len(LEVELS), 4, 1, 1)
    texts = [text_of(request) for request in teacher.asked]
    focus = [re.findall(r"Tables in focus: (.*)\.\n", text)[0].split(", ")[0] for text in texts]
    assert {name: focus.count(name) for name in ("shops", "daily sales", "lines", "empty")} == dict.fromkeys(
        ("shops", "daily sales", "lines", "empty"), 7
    )
    met = {(re.findall("Level: (.*?):", text)[0], re.findall("Wording of all questions: (.*)", text)[0]) for text in texts}
    assert len(met) == len(REGISTERS) * len(LEVELS)
    assert any("Molde" in message.content for request in teacher.asked for message in request.messages[1:])
    assert any("Tables in focus: shops, daily sales" in text or "Tables in focus: daily sales, shops" in text for text in texts)
    assert all("Totals are in kroner." in text and "JSON" in text for text in texts)


def test_nothing_of_the_content_is_told_where_values_are_switched_off(database: Path) -> None:
    shut = subject_of(database, Disclosure(values=False, withheld=(), rows_per_table=5))
    teacher = RuleTeacher(lambda request: pairs(PAIR))
    ask_for_pairs(teacher, shut, 30, 2, 1, 1)
    review(teacher, shut, [Example("How many?", "SELECT COUNT(*) FROM shops", "shops")], 1)
    said = "\n".join(map(text_of, teacher.asked))
    assert [
        value for value in ("Molde", "Bodø", "Hamar", "Zacharias", "Ylva", "Xenia", "paid late", "gaffer", ".25") if value in said
    ] == []
    assert "town text" in said


def test_values_that_are_switched_off_are_not_even_read(database: Path, tmp_path: Path) -> None:
    schema = read_schema(database, 4)
    subject = read_subject(tmp_path / "gone.sqlite", schema, STYLE, Disclosure(False, (), 5), "", 10_000, 1)
    assert (subject.rows, subject.literals) == ({}, {})
    assert [column for table in subject.schema.tables for column in table.columns if column.samples] == []


def test_withheld_columns_show_no_values(database: Path) -> None:
    subject = subject_of(database, Disclosure(values=True, withheld={("shops", "owner"), ("lines", "article")}, rows_per_table=5))
    teacher = RuleTeacher(lambda request: pairs(PAIR))
    ask_for_pairs(teacher, subject, 30, 2, 1, 1)
    said = "\n".join(map(text_of, teacher.asked))
    assert [value for value in ("Zacharias", "Ylva", "Xenia", "gaffer") if value in said] == []
    assert "Molde" in said
    assert "owner text" in said


def test_a_large_schema_is_cut_to_the_focus_and_what_lies_around_it(database: Path) -> None:
    subject = subject_of(database, Disclosure(values=False, withheld=(), rows_per_table=0), max_schema_chars=190)
    shown = subject.describe(["lines"])
    assert shown.index('"daily sales"(') < shown.index("lines(")
    assert "empty(" not in shown
    assert "shops(id integer" not in shown
    assert "empty(" in subject_of(database).describe(["lines"])


def test_rows_and_literals_are_few_and_hold_no_blobs(subject: Subject) -> None:
    shown = subject.describe(["shops"])
    assert shown.count("shops: {") == 2
    assert "daily sales: {" not in shown
    assert "logo:" not in shown
    assert not any(column in ("id", "shop_id", "sale_id", "logo") for _, column in subject.literals)


BROKEN = [
    ({"question": "x?", "sql": "SELEC"}, "not a single query"),
    ({"question": "x?", "sql": "DROP TABLE shops"}, "not a single query"),
    ({"question": "x?", "sql": "SELECT 1; SELECT (FROM"}, None),
    ({"question": "x?", "sql": "SELECT a FROM malls, shops"}, "no table malls"),
    ({"question": "SELECT 1", "sql": "select 1"}, "the question is the SQL"),
    ({"question": "x?", "sql": "WITH m AS (SELECT 1) SELECT * FROM m"}, None),
    ({"question": "x?", "sql": "```sql\nSELECT town FROM shops;\n```"}, None),
]


@pytest.mark.parametrize(("pair", "reason"), BROKEN, ids=[pair["sql"] for pair, _ in BROKEN])
def test_pairs_that_cannot_be_right_are_counted_apart(subject: Subject, pair: dict[str, str], reason: str | None) -> None:
    written = ask_for_pairs(RuleTeacher(lambda request: pairs(PAIR, pair)), subject, 1, 2, 1, 1)
    assert len(written.examples) + len(written.broken) == 2
    assert [reason is not None and reason in broken.reason for broken in written.broken] == ([] if reason is None else [True])


def test_an_unusable_answer_is_drawn_anew_and_then_counted(subject: Subject) -> None:
    teacher = RuleTeacher(lambda request: pairs(PAIR) if request.attempt == 1 and "easy" in text_of(request) else "I would rather not.")
    written = ask_for_pairs(teacher, subject, 2, 1, 1, tries=3)
    assert [e.id for e in written.examples] == ["teacher:0.0"]
    assert written.failures == (Failure("unusable", "the answer holds no pairs, 3 times"),)
    assert [request.attempt for request in teacher.asked] == [0, 0, 1, 1, 2]


def test_a_failure_is_that_requests_alone_and_not_asked_for_again(subject: Subject) -> None:
    failure = Failure("timeout", "late")
    teacher = RuleTeacher(lambda request: failure if "medium" in text_of(request) else pairs(PAIR))
    written = ask_for_pairs(teacher, subject, 4, 1, 1, tries=3)
    assert written.failures == (failure,)
    assert [e.id for e in written.examples] == ["teacher:0.0", "teacher:2.0", "teacher:3.0"]
    assert len(teacher.asked) == 4


def test_a_second_run_finds_every_answer_in_the_cache(database: Path, tmp_path: Path) -> None:
    limits = Limits(max_tokens=None, max_cost=None, prompt_price=0, completion_price=0)
    patience = Patience(timeout_s=5, tries=2, first_wait_s=0.01, longest_wait_s=0.1)
    found = []
    with ChatServer(lambda number, body: saying(pairs(PAIR) if body["seed"] > 1 else "no JSON")) as server:
        for _ in range(2):
            with (
                ReplyCache(tmp_path / "replies.db") as cache,
                HttpTeacher(Endpoint(server.url, "wise", ""), Sampling(0.7, 500, 1), patience, limits, 4, cache) as teacher,
            ):
                found.append(ask_for_pairs(teacher, subject_of(database), 9, 1, 1, tries=3))
        assert len(server.bodies) == 18  # each of nine was asked twice, in the first run
    assert found[0] == found[1]
    assert len(found[0].examples) == 9


def test_no_tries_are_refused(subject: Subject) -> None:
    with pytest.raises(ConfigError, match="tries=0"):
        ask_for_pairs(RuleTeacher(lambda request: ""), subject, 1, 1, 1, tries=0)


def questions(*found: tuple[str, str]) -> str:
    return json.dumps({"questions": [{"wording": wording, "question": question} for wording, question in found]})


def test_other_words_keep_the_values_and_the_rest_of_the_example() -> None:
    example = Example("Shops in Molde?", "SELECT 1 FROM shops WHERE town = 'Molde' LIMIT 10", "shops", tags=("mine",), id="a", evidence="e")
    teacher = RuleTeacher(lambda request: questions(("terse", "molde shops"), ("?", "Shops over there"), ("formal", "Kindly list Molde")))
    written = paraphrase(teacher, [example], wordings=3, seed=1, tries=1)
    first, second = written.examples
    assert (first.question, first.sql, first.evidence, first.id) == ("molde shops", example.sql, "e", "a.paraphrase0")
    assert first.tags[:3] == ("mine", "teacher", "paraphrase")
    assert [example.question for example in (first, second)] == ["molde shops", "Kindly list Molde"]
    assert [(b.question, b.reason) for b in written.broken] == [("Shops over there", "lost 'Molde'")]
    assert all(tag.removeprefix("register:") in {r.name for r in REGISTERS} for e in written.examples for tag in e.tags[3:])


def test_a_wording_is_tagged_with_the_register_that_it_names() -> None:
    example = Example("Shops?", "SELECT 1 FROM shops", "shops", id="a")
    asked: list[str] = []

    def backwards(request: Request) -> str:
        asked[:] = re.findall(r"^- (\w+):", text_of(request), re.MULTILINE)
        return questions(*((name, f"as {name}") for name in reversed(asked)))

    written = paraphrase(RuleTeacher(backwards), [example], 4, 1, 1)
    assert len(set(asked)) == 4
    assert {(e.question, e.tags[-1]) for e in written.examples} == {(f"as {name}", f"register:{name}") for name in asked}


def test_logged_queries_get_questions(subject: Subject) -> None:
    logged = [LoggedQuery("SELECT town FROM shops", 7, "all towns", "log.sql:3"), LoggedQuery("SELECT 1 FROM malls", 1, "", "log.sql:9")]
    teacher = RuleTeacher(lambda request: questions(("plain", "Which towns?"), ("terse", "towns")))
    written = phrase_queries(teacher, subject, logged, wordings=2, seed=1, tries=1)
    assert [(e.question, e.sql, e.id) for e in written.examples] == [
        ("Which towns?", "SELECT town FROM shops", "log.sql:3.0"),
        ("towns", "SELECT town FROM shops", "log.sql:3.1"),
    ]
    assert written.examples[0].tags[:2] == ("teacher", "query_log")
    assert len(written.broken) == 2
    assert "Its author noted: all towns" in text_of(teacher.asked[0])
    assert "Its author noted" not in text_of(teacher.asked[1])


@pytest.mark.parametrize(
    ("answer", "opinion"),
    [
        ('{"reason": "fine", "answers": true}', Review(True, "fine")),
        ('Well. ```json\n{"reason": "no join", "answers": "No"}\n```', Review(False, "no join")),
        ('{"answers": 1}', Failure("unusable", "the answer says neither yes nor no: 1, 2 times")),
        ("yes", Failure("unusable", "no JSON object in the answer, 2 times")),
    ],
)
def test_a_review_is_yes_or_no_with_a_reason(subject: Subject, answer: str, opinion: Review | Failure) -> None:
    example = Example("How many?", "SELECT COUNT(*) FROM shops", "shops")
    assert review(RuleTeacher(lambda request: answer), subject, [example, example], tries=2) == [opinion, opinion]


def test_pairs_are_sent_to_questions_and_back(subject: Subject) -> None:
    examples = [Example(q, f"SELECT {n} FROM shops", "shops") for n, q in enumerate(["a", "b", "c"])]
    teacher = RuleTeacher(
        lambda r: Failure("timeout", "") if "SELECT 2" in text_of(r) else questions(("plain", re.findall(r"SELECT (\d)", text_of(r))[0]))
    )
    found = back_translate(
        teacher, subject, examples, lambda asked: [f"SELECT {max(1, int(q))}" for q in asked], lambda a, b: a.startswith(b), 1, 1
    )
    assert [(b.example.question, b.question, b.sql, b.same) for b in found] == [
        ("a", "0", "SELECT 1", False),
        ("b", "1", "SELECT 1", True),
        ("c", "", "", False),
    ]


WRAPPED = [
    ('{"pairs": [%s]}', 1),
    ('Sure, here you are:\n```json\n{"pairs": [%s]}\n```\nAnything else?', 1),
    ("```\n[%s, %s]\n```", 2),
    ("%s\n%s\n", 2),
    ('<think>{"pairs": [{"question": "no", "sql": "no"}]}</think>{"pairs": [%s]}', 1),
    ('{"pairs": [%s, {"question": "cut', 1),
    ('{ no } {"pairs": [%s, 7, null]}', 1),
    ('{"pairs": {"question": "x"}} %s', 2),
]


@pytest.mark.parametrize(("wrapping", "count"), WRAPPED, ids=[wrapping for wrapping, _ in WRAPPED])
def test_pairs_are_found_however_they_are_wrapped(wrapping: str, count: int) -> None:
    found = entries(wrapping % ((json.dumps(PAIR),) * wrapping.count("%s")), "pairs")
    assert found.count(PAIR) == wrapping.count("%s")
    assert len(found) == count


@given(
    value=st.dictionaries(st.text(), JSON, max_size=4),
    before=st.text(st.characters(exclude_characters="{<")),
    after=st.text(st.characters(exclude_characters="{")),
)
def test_an_object_between_any_prose_is_found(value: dict[str, Any], before: str, after: str) -> None:
    text = json.dumps(value)
    assert list(objects(before + text + after)) == [value] if "<think>" not in text else True
    assert first_object(before + "{}" + after) == {}
