"""Near duplicates are all found, compared with looking at every pair; and fast."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2s.data.cleaning.pair import Pair
from t2s.data.cleaning.repeats import near_duplicates, wording
from t2s.data.example import Example

WORDS = [
    "how",
    "many",
    "shops",
    "sales",
    "are",
    "there",
    "in",
    "of",
    "the",
    "year",
    "city",
    "with",
    "more",
    "than",
    "list",
    "all",
    "please",
]


def likeness(one: str, other: str) -> float:
    first, second = ({f"  {text} "[i : i + 3] for i in range(len(text) + 1)} for text in (one, other))
    return len(first & second) / len(first | second)


def by_hand(questions: list[tuple[int, str]], least: float) -> set[int]:
    """Every question against every kept one before it."""
    repeats: set[int] = set()
    for place, (group, text) in enumerate(questions):
        earlier = (other for other in range(place) if other not in repeats and questions[other][0] == group)
        if any(likeness(text, questions[other][1]) >= least for other in earlier):
            repeats.add(place)
    return repeats


SENTENCES = st.lists(st.sampled_from(WORDS), min_size=0, max_size=8).map(" ".join) | st.text("ab ", max_size=6)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 1), SENTENCES), max_size=25), st.sampled_from([0.3, 0.5, 0.7, 0.85, 1.0]))
def test_what_is_found_is_what_looking_at_every_pair_finds(questions: list[tuple[int, str]], least: float) -> None:
    found = near_duplicates(questions, least)
    assert set(found) == by_hand(questions, least)
    assert all(likeness(questions[a][1], questions[b][1]) >= least and b < a and b not in found for a, b in found.items())


@pytest.mark.slow
def test_fifty_thousand_questions_on_five_thousand_queries_take_seconds() -> None:
    dice = random.Random(0)
    questions = [(n % 5000, " ".join(dice.choices(WORDS, k=8))) for n in range(50_000)]
    start = time.process_time()
    near_duplicates(questions, 0.85)
    assert time.process_time() - start < 60


def test_a_wording_is_the_question_without_its_values() -> None:
    pair = Pair(Example("Orders of Nordlys Oslo in 2024?", "SELECT 1 FROM o WHERE shop = 'Nordlys Oslo' AND y = '2024'", "d"))
    assert wording(pair) == "orders of # in #"
