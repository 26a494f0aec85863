"""Each step refuses what it is for, says why, and lets the rest pass; all pairs are accounted for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t2s.data.cleaning import STEPS, Cleaned, CleaningRules, clean
from t2s.data.example import Example, Turn
from t2s.errors import ConfigError, DatabaseError
from t2s.sql.canonical import canonical
from t2s.sql.execute import Sandbox
from t2s.sql.schema import Schema, read_schema

RULES = CleaningRules(
    min_question_words=2,
    max_question_chars=300,
    max_sql_chars=2000,
    max_per_skeleton=None,
    max_per_wording=None,
    near_duplicate_likeness=0.85,
    personal_data="mask",
    refuse_toxic=True,
    check_luck=True,
    check_agreement=True,
    one_style=True,
)
SHOP = """
CREATE TABLE shops (id INTEGER PRIMARY KEY, city TEXT, opened TEXT);
INSERT INTO shops VALUES (1, 'Oslo', '2020-01-01'), (2, 'Bergen', '2021-01-01'), (3, 'Oslo', '2022-01-01');
CREATE TABLE sales (id INTEGER PRIMARY KEY, shop_id INTEGER REFERENCES shops (id), amount REAL, buyer TEXT);
INSERT INTO sales VALUES (1, 1, 10.5, 'kari@firma.no'), (2, 1, 20, NULL), (3, 2, 20, NULL), (4, 3, 7, NULL);
CREATE INDEX by_amount ON sales (amount);
CREATE TABLE left_side (n INTEGER, k INTEGER);
CREATE TABLE right_side (n INTEGER, k INTEGER);
INSERT INTO left_side VALUES (1, 7), (2, 7);
INSERT INTO right_side VALUES (1, 7), (2, 7);
"""
GOOD = [
    Example("How many shops are there?", "SELECT COUNT(*) FROM shops", "shop", id="g1"),
    Example("shops in Oslo, how many", "SELECT COUNT(*) FROM shops WHERE city = 'Oslo'", "shop", id="g2"),
    Example("the two smallest sales please", "SELECT id FROM sales ORDER BY amount, id LIMIT 2", "shop", id="g3"),
    Example(
        "total amount per city",
        "SELECT s.city, SUM(a.amount) FROM sales a JOIN shops s ON a.shop_id = s.id GROUP BY s.city",
        "shop",
        id="g4",
    ),
    Example("店舗はいくつありますか、教えてください", "SELECT COUNT(*) FROM shops", "shop", id="g5"),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("shop") / "shop.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(SHOP)
    return file


@pytest.fixture(scope="module")
def schema(shop: Path) -> Schema:
    return read_schema(shop, 5)


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(timeout_s=1, max_rows=1000, max_bytes=2_000_000, max_memory_bytes=128 << 20) as sandbox:
        yield sandbox


class Washer:
    """Cleans pairs on the shop."""

    def __init__(self, shop: Path, schema: Schema, sandbox: Sandbox) -> None:
        self.shop, self.schema, self.sandbox = shop, schema, sandbox

    def __call__(self, *examples: Example, **rules: Any) -> Cleaned:
        return clean(examples, {"shop": self.shop}, {"shop": self.schema}, self.sandbox, replace(RULES, **rules))

    def refused_by(self, question: str, sql: str, **rules: Any) -> str:
        """The step that refuses a pair; empty where none does."""
        found = self(Example(question, sql, "shop"), **rules).rejected
        return found[0].step if found else ""


@pytest.fixture(scope="module")
def wash(shop: Path, schema: Schema, box: Sandbox) -> Washer:
    return Washer(shop, schema, box)


def test_good_pairs_pass_every_step_as_they_are(wash: Washer) -> None:
    done = wash(*GOOD)
    assert done.kept == GOOD
    assert done.rejected == []
    assert [step.name for step in done.steps] == [step.name for step in STEPS if step.name not in ("wordings", "shapes")]


@pytest.mark.parametrize(
    ("question", "sql", "step"),
    [
        ("half a \ud800 character", "SELECT COUNT(*) FROM shops", "text"),
        ("a \0 character", "SELECT COUNT(*) FROM shops", "text"),
        ("How many shops?", "  ", "text"),
        ("How many " * 100, "SELECT COUNT(*) FROM shops", "length"),
        ("How many shops?", f"SELECT COUNT(*) FROM shops WHERE id IN ({'1, ' * 1000}1)", "length"),
        ("How many shops?", "SELECT COUNT(* FROM shops", "parses"),
        ("How many shops?", "DELETE FROM shops", "parses"),
        ("How many shops?", "SELECT 1; DROP TABLE shops", "parses"),
        ("How many shops?", "WITH s AS (SELECT 1) INSERT INTO shops SELECT * FROM s", "parses"),
        ("How many shops?", "VALUES (1)", "parses"),
        ("How many shops?", "SELECT " + "(" * 800 + "1" + ")" * 800, "parses"),
        ("shops", "SELECT COUNT(*) FROM shops", "wording"),
        ("How many {table} are there?", "SELECT COUNT(*) FROM shops", "wording"),
        ("SELECT city FROM shops", "SELECT city FROM shops", "wording"),
        ("how manyyyyyyyyyyyyy shops", "SELECT COUNT(*) FROM shops", "wording"),
        ("How many caf\u00c3\u00a9s?", "SELECT COUNT(*) FROM shops", "wording"),
        ("?? -- ## a b // ##", "SELECT COUNT(*) FROM shops", "wording"),
        ("how many fucking shops", "SELECT COUNT(*) FROM shops", "toxic"),
        ("How many shops?", "SELECT COUNT(*) FROM shop", "runs"),
        ("How many shops?", "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT COUNT(*) FROM r", "runs"),
        ("shops in Paris", "SELECT id FROM shops WHERE city = 'Paris'", "empty"),
        ("total of Paris", "SELECT SUM(id) FROM shops WHERE city = 'Paris'", "empty"),
        ("shops opened by today", "SELECT id FROM shops WHERE opened < date('now')", "clock"),
        ("any shop, by chance", "SELECT abs(random()) % 2 FROM shops", "clock"),
        ("shops opened by now", "SELECT id FROM shops WHERE opened < strftime('%Y-%m-%d')", "clock"),
        ("any two shops", "SELECT id FROM shops LIMIT 2", "luck"),
        ("any two cities", "SELECT id FROM shops WHERE id IN (SELECT id FROM shops LIMIT 2)", "luck"),
        ("the two greatest sales", "SELECT id FROM sales ORDER BY amount DESC LIMIT 1", "luck"),
        ("second greatest of all sales", "SELECT id FROM sales ORDER BY amount DESC LIMIT 1 OFFSET 1", "luck"),
        ("the second and third greatest sale", "SELECT id FROM sales ORDER BY amount DESC LIMIT 2 OFFSET 1", "luck"),
        ("ids of all shops in a row", "SELECT group_concat(id) FROM shops", "luck"),
        ("How many shops in Bergen?", "SELECT COUNT(*) FROM shops WHERE city = 'Oslo'", "agreement"),
    ],
)  # fmt: skip
def test_each_step_refuses_what_it_is_for(wash: Washer, question: str, sql: str, step: str) -> None:
    assert wash.refused_by(question, sql) == step


@pytest.mark.parametrize(
    ("question", "sql"),
    [
        ("the greatest three sales", "SELECT id FROM sales ORDER BY amount DESC LIMIT 3"),  # the tie lies within
        ("the greatest amount of a sale", "SELECT amount FROM sales ORDER BY amount DESC LIMIT 1"),  # tied, and the same
        ("all shops at most ten", "SELECT id FROM shops LIMIT 10"),
        ("the date of the day of shop 1", "SELECT date(opened) FROM shops WHERE id = 1"),
        ("shops opened now and then", "SELECT id, 'now' FROM shops"),
        ("which cities, each once, first two by name", "SELECT DISTINCT city FROM shops ORDER BY city LIMIT 2"),
        ("city of the best shop", "SELECT shop_id, SUM(amount) AS total FROM sales GROUP BY shop_id ORDER BY total DESC LIMIT 1"),
        ("shops with a limit in their name", "SELECT id FROM shops WHERE city <> 'LIMIT' AND city = 'Oslo' ORDER BY id"),
    ],
)  # fmt: skip
def test_what_only_looks_like_luck_passes(wash: Washer, question: str, sql: str) -> None:
    assert wash.refused_by(question, sql, check_agreement=False) == ""


def test_a_pair_tagged_empty_may_return_nothing(wash: Washer) -> None:
    pair = Example("shops in Paris", "SELECT id FROM shops WHERE city = 'Paris'", "shop", tags=("empty",))
    assert wash(pair).kept == [pair]


def test_an_unknown_database_refuses_its_pairs_and_a_missing_file_stops(wash: Washer, tmp_path: Path, schema: Schema) -> None:
    done = wash(replace(GOOD[0], database="other"))
    assert [one.step for one in done.rejected] == ["database"]
    with pytest.raises(DatabaseError, match=r"gone\.sqlite"):
        clean(GOOD, {"shop": tmp_path / "gone.sqlite"}, {"shop": schema}, wash.sandbox, RULES)


def test_repeats_go_but_the_first(wash: Washer) -> None:
    again = [replace(GOOD[0], question="how many SHOPS are there", sql="select count( * ) from shops;", id="again")]
    done = wash(*GOOD, *again)
    assert done.kept == GOOD
    assert [(one.example.id, one.step, one.reason) for one in done.rejected] == [("again", "duplicates", "repeats g1")]


def test_nearly_the_same_question_for_one_query_goes_and_for_another_stays(wash: Washer) -> None:
    long = "How many shops do we run in the whole country as of the last count"
    near = Example(long + " please", "SELECT COUNT(*) FROM shops", "shop", id="near")
    other = Example(long + ", Oslo", "SELECT COUNT(*) FROM shops WHERE city = 'Oslo'", "shop")
    done = wash(Example(long, "SELECT COUNT(*) FROM shops", "shop", id="first"), near, other)
    assert [(one.example.id, one.step, one.reason) for one in done.rejected] == [("near", "near duplicates", "nearly repeats first")]


def test_one_question_with_the_same_rows_twice_stays_once(wash: Washer) -> None:
    done = wash(GOOD[0], replace(GOOD[0], sql="SELECT COUNT(id) FROM shops", id="other"))
    assert [(one.example.id, one.step) for one in done.rejected] == [("other", "near duplicates")]


def test_of_contradicting_answers_that_of_more_than_half_stays(wash: Washer) -> None:
    answers = ["SELECT COUNT(*) FROM shops", "SELECT COUNT(*) FROM sales", "SELECT COUNT(id) FROM shops"]
    pairs = [Example("How many are there?", sql, "shop", id=str(place)) for place, sql in enumerate(answers)]
    none = wash(*pairs[:2])
    assert none.kept == []
    assert {one.step for one in none.rejected} == {"contradictions"}
    assert [pair.id for pair in wash(*pairs).kept] == ["0"]


def test_the_same_question_after_other_turns_or_on_other_evidence_is_another(wash: Washer) -> None:
    turn = Turn("How many sales?", "SELECT COUNT(*) FROM sales")
    asked = Example("How many are there?", "SELECT COUNT(*) FROM shops", "shop")
    others = [
        replace(asked, sql="SELECT COUNT(*) FROM sales", history=(turn,)),
        replace(asked, sql="SELECT COUNT(*) FROM sales", evidence="sales"),
    ]
    assert wash(asked, *others).kept == [asked, *others]


def test_shapes_and_wordings_are_capped_at_the_first_few(wash: Washer) -> None:
    pairs = [Example(f"sale number {n}, the amount", f"SELECT amount FROM sales WHERE id = {n}", "shop", id=str(n)) for n in range(1, 5)]
    other = Example("I need what sale 4 brought in", "SELECT amount FROM sales WHERE id = 4", "shop", id="other")
    rules = {"check_agreement": False}
    assert [pair.id for pair in wash(*pairs, other, max_per_wording=2, **rules).kept] == ["1", "2", "other"]
    assert [pair.id for pair in wash(*pairs, other, max_per_skeleton=3, **rules).kept] == ["1", "2", "3"]


def test_masked_pairs_agree_run_and_are_tagged(wash: Washer) -> None:
    pair = Example("What did kari@firma.no buy?", "SELECT amount FROM sales WHERE buyer = 'kari@firma.no'", "shop", tags=("mine",))
    done = wash(pair)
    (kept,) = done.kept
    assert kept.question == "What did person1@example.com buy?"
    assert kept.sql == "SELECT amount FROM sales WHERE buyer = 'person1@example.com'"
    assert kept.tags == ("mine", "masked", "empty")
    assert done.personal_data == {"email": 2}
    assert [step.changed for step in done.steps if step.name == "personal data"] == [1]


@pytest.mark.parametrize(("choice", "kept", "found"), [("report", 1, {"email": 2}), ("refuse", 0, {"email": 2}), ("off", 1, {})])
def test_personal_data_may_be_counted_refused_or_left_alone(wash: Washer, choice: str, kept: int, found: dict[str, int]) -> None:
    pair = Example("What did kari@firma.no buy?", "SELECT amount FROM sales WHERE buyer = 'kari@firma.no'", "shop")
    done = wash(pair, personal_data=choice)
    assert done.kept == [pair][:kept]
    assert done.personal_data == found
    assert all("kari" not in one.reason for one in done.rejected)


def test_style_changes_the_query_where_the_rows_stay(wash: Washer) -> None:
    pair = Example("amounts in Oslo", "SELECT a.amount FROM shops s JOIN sales a ON s.id = a.shop_id WHERE s.city = 'Oslo'", "shop")
    (kept,) = wash(pair).kept
    assert kept.sql == "SELECT a.amount FROM sales a JOIN shops s ON a.shop_id = s.id WHERE s.city = 'Oslo'"
    assert wash(pair, one_style=False).kept == [pair]


def test_style_leaves_a_query_whose_rows_it_would_change(wash: Washer) -> None:
    sql = "SELECT l.n, r.n FROM left_side l JOIN right_side r ON l.k = r.k LIMIT 2"
    assert wash.sandbox.execute(sql, wash.shop).rows != wash.sandbox.execute(canonical(sql, wash.schema), wash.shop).rows
    pair = Example("any two of both sides", sql, "shop")
    assert wash(pair, check_luck=False).kept == [pair]


def test_no_pairs_and_all_refused_are_fine(wash: Washer) -> None:
    none, refused = wash(), wash(Example("x", "y", "z"), Example("", "", ""))
    assert (none.kept, none.rejected, {step.before for step in none.steps}) == ([], [], {0})
    assert refused.kept == []
    assert len(refused.rejected) == 2


def test_progress_is_told_step_by_step(wash: Washer, shop: Path, schema: Schema) -> None:
    told: list[tuple[str, int, int]] = []
    clean(GOOD, {"shop": shop}, {"shop": schema}, wash.sandbox, RULES, report=lambda *news: told.append(news))
    assert [news[1:] for news in told if news[0] == "runs"] == [(n, 5) for n in range(1, 6)]


@pytest.mark.parametrize(
    ("rule", "value"), [("near_duplicate_likeness", 0.0), ("max_per_skeleton", 0), ("min_question_words", 0), ("personal_data", "hide")]
)
def test_a_rule_out_of_range_is_refused_by_name(wash: Washer, rule: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rule):
        wash(*GOOD, **{rule: value})


TEXTS = st.text(max_size=30) | st.sampled_from(["How many shops?", "shops in Oslo", "\ud800", "{table}"])
QUERIES = st.text(max_size=30) | st.sampled_from([pair.sql for pair in GOOD] + ["SELECT city FROM shops", "SELECT 1;;", "SELECT '\ud800'"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.builds(Example, TEXTS, QUERIES, st.sampled_from(["shop", "no shop"])), max_size=12))
def test_whatever_comes_every_pair_is_kept_or_refused_once_and_the_same_again(wash: Washer, pairs: list[Example]) -> None:
    done = wash(*pairs, one_style=False, personal_data="off")
    assert sorted(map(repr, [*done.kept, *(one.example for one in done.rejected)])) == sorted(map(repr, pairs))
    assert [step.before for step in done.steps] == [len(pairs), *(step.after for step in done.steps[:-1])]
    assert sum(step.rejected for step in done.steps) == len(done.rejected)
    assert wash(*pairs, one_style=False, personal_data="off") == done
    assert wash(*done.kept, one_style=False, personal_data="off").kept == done.kept
