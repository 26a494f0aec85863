"""The loop: what comes is right, certain, varied, and the same each time."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from bakery import build_bakery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import WEIGHTS, plan

from t2s.data.synthesis import Coverage, Generated, Plan, synthesise
from t2s.errors import DataError
from t2s.sql.execute import Sandbox
from t2s.sql.parse import skeleton
from t2s.sql.schema import read_schema

Made = tuple[list[Generated], Coverage]


def pairs(database: Path, sandbox: Sandbox, plan: Plan, finished: list[Generated] | None = None) -> tuple[list[Generated], Coverage]:
    coverage = Coverage()
    return list(synthesise(database, read_schema(database, 4), sandbox, plan, coverage, finished or [])), coverage


def answers(connection: sqlite3.Connection, sql: str) -> list[tuple[object, ...]]:
    return connection.execute(sql).fetchall()


def test_every_answer_stays_the_same_whichever_way_sqlite_reads_its_tables(made: Made, bakery: Path) -> None:
    with closing(sqlite3.connect(bakery)) as forward, closing(sqlite3.connect(bakery)) as backward:
        backward.execute("PRAGMA reverse_unordered_selects = 1")
        for pair in made[0]:
            one, two = answers(forward, pair.sql), answers(backward, pair.sql)
            in_order = "ORDER BY" in re.sub(r"OVER \([^)]*\)", "", pair.sql.partition("FROM ranked")[2] or pair.sql)
            assert one == two if in_order else sorted(map(repr, one)) == sorted(map(repr, two)), pair.sql
            assert one, pair.sql


def test_every_text_that_is_compared_stands_in_the_question(made: Made) -> None:
    known = {"Norway": "Norwegian", "Sweden": "Swedish"}
    for pair in made[0]:
        for value in re.findall(r"(?<!\))\s(?:=|<>) '([^']+)'", re.sub(r"strftime\([^)]*\) (?:=|<>) '[^']*'", "", pair.sql)):
            assert any(form.lower() in pair.question.lower() for form in (value, known.get(value, value))), pair


def test_every_year_asked_for_is_in_the_query_and_the_other_way_round(made: Made) -> None:
    for pair in made[0]:
        assert set(re.findall(r"\b20\d\d\b", pair.question)) >= set(re.findall(r"strftime\('%Y', [^)]*\) = '(\d{4})'", pair.sql)), pair
        if not re.search(r"20\d\d", pair.sql):
            assert not re.findall(r"\b20\d\d\b", pair.question), pair


def test_no_question_has_two_answers(made: Made) -> None:
    found: dict[str, str] = {}
    for pair in made[0]:
        assert found.setdefault(pair.question.casefold(), pair.sql) == pair.sql


def test_a_query_is_asked_in_different_registers(made: Made) -> None:
    asked = Counter((pair.sql, pair.register) for pair in made[0])
    assert max(asked.values()) == 1
    assert Counter(Counter(pair.sql for pair in made[0]).values())[2] > 120


def test_no_skeleton_comes_too_often(made: Made) -> None:
    counts = Counter(skeleton(sql) for sql in {pair.sql for pair in made[0]})
    assert max(counts.values()) <= 3


def test_the_classes_of_hardness_come_in_the_shares_asked_for(bakery: Path, sandbox: Sandbox) -> None:
    only = replace(plan(60), weights=replace(WEIGHTS, hardness={"easy": 1.0, "extra": 1.0}))
    found = Counter(pair.hardness for pair in pairs(bakery, sandbox, only)[0])
    assert set(found) == {"easy", "extra"}
    assert min(found.values()) >= 15


def test_a_form_without_weight_never_comes(bakery: Path, sandbox: Sandbox) -> None:
    only = replace(plan(40), weights=replace(WEIGHTS, forms={"total_count": 1.0, "set_of": 0.0}))
    found, _ = pairs(bakery, sandbox, only)
    assert {pair.form for pair in found} == {"total_count"}


def test_all_forms_and_operators_come_up(made: Made) -> None:
    found, coverage = made
    wanted = {
        "join",
        "multi_join",
        "filter",
        "group",
        "having",
        "order",
        "limit",
        "distinct",
        "subquery",
        "cte",
        "window",
        "case",
        "null",
        "date",
    }
    assert wanted <= set(coverage.operators)
    assert len(coverage.forms) >= 20
    assert coverage.uncovered_tables() == []
    assert coverage.queries == len({pair.sql for pair in found})
    assert sum(coverage.registers.values()) == coverage.pairs == len(found)
    assert coverage.ended == ""


def test_the_same_seed_gives_the_same_pairs_and_another_gives_others(bakery: Path, sandbox: Sandbox) -> None:
    one, two, other = (pairs(bakery, sandbox, plan(40, seed=seed))[0] for seed in (3, 3, 4))
    assert one == two
    assert len({pair.sql for pair in one} & {pair.sql for pair in other}) < 10


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 60))
def test_a_run_that_was_cut_off_goes_on_to_the_same_end(cut: int, made_short: list[Generated], bakery: Path, sandbox: Sandbox) -> None:
    rest, coverage = pairs(bakery, sandbox, plan(60, seed=8, questions_per_query=2), made_short[:cut])
    assert made_short[:cut] + rest == made_short
    assert coverage.pairs == len(made_short)


@pytest.fixture(scope="module")
def made_short(bakery: Path, sandbox: Sandbox) -> list[Generated]:
    return pairs(bakery, sandbox, plan(60, seed=8, questions_per_query=2))[0]


def test_a_small_database_ends_early_and_says_why(tmp_path: Path, sandbox: Sandbox) -> None:
    path = tmp_path / "small.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE pets (name TEXT, age INTEGER)")
        connection.executemany("INSERT INTO pets VALUES (?, ?)", [("Rex", 3), ("Mia", 5), ("Tom", 9)])
    found, coverage = pairs(path, sandbox, plan(5_000, most_per_skeleton=1))
    assert 5 < len(found) < 500
    assert max(Counter(skeleton(pair.sql) for pair in found).values()) == 1
    assert coverage.ended.startswith(f"made {len(found)} of 5000 pairs")
    assert "gave nothing new" in coverage.ended


def test_a_database_without_rows_is_refused(tmp_path: Path, sandbox: Sandbox) -> None:
    path = tmp_path / "empty.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE pets (name TEXT)")
    with pytest.raises(DataError, match="fill the database first"):
        pairs(path, sandbox, plan(5))


def test_names_may_hold_anything(tmp_path: Path, sandbox: Sandbox) -> None:
    path = tmp_path / "odd.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            'CREATE TABLE "order" ("select" INTEGER PRIMARY KEY, "group" TEXT, "100%" REAL, "it\'s ""here""" TEXT, "høyde cm" INTEGER);'
            'CREATE TABLE "Ordre linjer" (id INTEGER PRIMARY KEY, "order" INTEGER REFERENCES "order", "日付" TEXT);'
            'CREATE VIEW "from" AS SELECT "group", COUNT(*) AS n FROM "order" GROUP BY 1;'
        )
        for number in range(1, 41):
            row = (number, "abc"[number % 3], number * 1.5, f"x{number % 4} y", 100 + number % 7)
            connection.execute('INSERT INTO "order" VALUES (?, ?, ?, ?, ?)', row)
            connection.execute('INSERT INTO "Ordre linjer" VALUES (?, ?, ?)', (number, 1 + number % 9, f"2024-{1 + number % 12:02d}-03"))
    found, _ = pairs(path, sandbox, plan(80))
    assert len(found) == 80
    with closing(sqlite3.connect(path)) as connection:
        assert all(answers(connection, pair.sql) for pair in found)


def test_a_pair_becomes_an_example(made: Made) -> None:
    example = made[0][0].example("bakery")
    assert (example.database, example.question, example.sql) == ("bakery", made[0][0].question, made[0][0].sql)
    assert "empty" not in example.tags


def test_empty_answers_come_only_in_their_share(tmp_path: Path, sandbox: Sandbox) -> None:
    path = build_bakery(tmp_path / "bakery.sqlite", sales=60)
    found, _ = pairs(path, sandbox, plan(100, empty_share=0.5))
    empty = [pair for pair in found if pair.empty]
    assert 0 < len(empty) <= 0.5 * len(found)
    assert all("empty" in pair.example("bakery").tags for pair in empty)
    with closing(sqlite3.connect(path)) as connection:
        assert all(bool(answers(connection, pair.sql)) != pair.empty for pair in found)
