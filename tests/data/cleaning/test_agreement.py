"""What question and query say differently is told from what they say in two forms."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2s.data.cleaning.agreement import disagreements, siblings_of
from t2s.data.cleaning.query import read_query
from t2s.data.cleaning.spoken import codes, quoted, said
from t2s.sql.schema import Column, Schema, Table

STATUS = Column("status", "TEXT", False, True, None, None, ("pending", "shipped", "delivered"))
SIBLINGS = siblings_of(Schema((Table("orders", (STATUS,), None),)))


def cases(name: str) -> list[tuple[str, str]]:
    lines = (Path(__file__).with_name(name)).read_text(encoding="utf-8").splitlines()
    return [(question, sql) for question, _, sql in (line.partition("\t") for line in lines if line and not line.startswith("#"))]


@pytest.mark.parametrize(("question", "sql"), cases("agreeing.tsv"))
def test_the_same_in_another_form_agrees(question: str, sql: str) -> None:
    assert disagreements(question, "", read_query(sql), SIBLINGS, None) == []


@pytest.mark.parametrize(("question", "sql"), cases("disagreeing.tsv"))
def test_another_value_disagrees(question: str, sql: str) -> None:
    assert disagreements(question, "", read_query(sql), SIBLINGS, None) != []


def test_evidence_may_say_what_the_query_needs_but_asks_for_nothing() -> None:
    query = read_query("SELECT COUNT(*) FROM t WHERE hba1c > 9 AND city = 'Oslo'")
    assert disagreements("How many are badly off in the capital?", "", query, {}, None) != []
    evidence = "badly off: hba1c above 9; the capital is Oslo; normal is below 42"
    assert disagreements("How many are badly off in the capital?", evidence, query, {}, None) == []


def test_a_name_the_database_holds_has_to_be_in_the_query_wherever_it_stands() -> None:
    query = read_query("SELECT COUNT(*) FROM customers")
    held = {"Oslo", "Raven Tent"}
    assert disagreements("Oslo: how many customers?", "", query, {}, None) == []
    assert disagreements("Oslo: how many customers?", "", query, {}, held.__contains__) == [
        "the question names 'Oslo', which the database holds and the query does not say"
    ]
    assert disagreements("How many customers?", "", query, {}, held.__contains__) == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("five", {5}),
        ("2,000", {2000}),
        ("1.500,5", {1500.5}),
        ("3k", {3000}),
        ("twenty-five", {25}),
        ("two million", {2e6}),
        ("a dozen", {12}),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, numbers: set[float]) -> None:
    assert numbers <= said(text).numbers


def test_years_and_months_are_read_and_verbs_are_no_months() -> None:
    assert said("from May 2023 to Sept 2024, FY25").months == {5, 9}
    assert {2023, 2024, 2025} <= said("from May 2023 to Sept 2024, FY25").years
    assert said("may we march on?").months == frozenset()
    assert said("12000 euros, 20.24 or 2024 pieces").years == {2024}


def test_apostrophes_are_no_quotes_and_units_are_no_codes() -> None:
    assert quoted("what's the shops' favourite 'Raven Tent' and \"x y\"?") == ["Raven Tent", "x y"]
    assert codes("CAMP25 in H1, m2 and SKU-1234 for the 3-day trip") == ["CAMP25", "SKU-1234"]


@settings(max_examples=200)
@given(st.text(max_size=120))
def test_no_question_stops_the_check(question: str) -> None:
    query = read_query("SELECT name FROM t WHERE city = 'Oslo' AND n > 17 AND d LIKE '2024-03%' LIMIT 4")
    assert all(isinstance(sentence, str) for sentence in disagreements(question, "", query, SIBLINGS, lambda text: True))
