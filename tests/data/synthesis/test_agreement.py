"""A question must hold each literal of its query."""

from __future__ import annotations

import pytest

from t2s.data.synthesis.agreement import unsaid_literals

NO_FLAGS: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("question", "sql"),
    [
        ("shops in Oslo", "SELECT name FROM shops WHERE city = 'Oslo'"),
        ("Norwegian shops", "SELECT name FROM shops WHERE country = 'Norway'"),
        ("sales in March 2024", "SELECT COUNT(*) FROM sales WHERE strftime('%Y-%m', sold_at) = '2024-03'"),
        ("sales in the first half of 2024", "SELECT COUNT(*) FROM sales WHERE sold_at >= '2024-01-01' AND sold_at < '2024-07-01'"),
        ("sales on Sundays", "SELECT COUNT(*) FROM sales WHERE strftime('%w', sold_at) = '0'"),
        ("sales in December of any year", "SELECT COUNT(*) FROM sales WHERE strftime('%m', sold_at) = '12'"),
        ("top five cakes", "SELECT name FROM cakes ORDER BY list_price DESC, name LIMIT 5"),
        ("the dearest cake", "SELECT name FROM cakes ORDER BY list_price DESC, name LIMIT 1"),
        ("more than 1,500 grams", "SELECT name FROM cakes WHERE weight_g > 1500"),
        ("average price in cents", "SELECT ROUND(AVG(list_price), 2) FROM cakes"),
        ("cakes with 'nut' in the name", "SELECT name FROM cakes WHERE name LIKE '%nut%'"),
        ("gift card payments", "SELECT COUNT(*) FROM payments WHERE method = 'gift_card'"),
        ("share of open sales", "SELECT ROUND(100.0 * SUM(CASE WHEN status = 'open' THEN 1 ELSE 0 END) / COUNT(*), 2) FROM sales"),
    ],
)
def test_a_literal_may_be_said_as_people_say_it(question: str, sql: str) -> None:
    assert unsaid_literals(question, sql, NO_FLAGS) == []


@pytest.mark.parametrize(
    ("question", "sql", "unsaid"),
    [
        ("shops in Bergen", "SELECT name FROM shops WHERE city = 'Oslo'", ["Oslo"]),
        ("shops in Osloville", "SELECT name FROM shops WHERE city = 'Oslo'", ["Oslo"]),
        ("sales in April 2024", "SELECT COUNT(*) FROM sales WHERE strftime('%Y-%m', sold_at) = '2024-03'", ["2024-03"]),
        (
            "sales in Q3 2024",
            "SELECT COUNT(*) FROM sales WHERE sold_at >= '2024-04-01' AND sold_at < '2024-07-01'",
            ["2024-04-01", "2024-07-01"],
        ),
        ("top five cakes", "SELECT name FROM cakes ORDER BY list_price DESC, name LIMIT 3", ["3"]),
        ("over 150 grams", "SELECT name FROM cakes WHERE weight_g > 15", ["15"]),
        ("over 1.5 points", "SELECT name FROM cakes WHERE stars > 5", ["5"]),
        ("rated well", "SELECT COUNT(*) FROM reviews WHERE rating = 1", ["1"]),
        ("vegan cakes", "SELECT name FROM cakes WHERE vegan = 1", ["1"]),
    ],
)
def test_what_the_question_leaves_out_is_named(question: str, sql: str, unsaid: list[str]) -> None:
    assert unsaid_literals(question, sql, NO_FLAGS) == unsaid


def test_yes_and_no_are_said_in_other_words() -> None:
    assert unsaid_literals("vegan cakes", "SELECT name FROM cakes WHERE vegan = 1", frozenset({"vegan"})) == []
