"""What is shared with a benchmark, and what pairs use of a schema."""

from __future__ import annotations

from t2s.data.coverage import coverage
from t2s.data.example import Example
from t2s.data.leakage import Shared, shared_with
from t2s.sql.schema import Column, Schema, Table

PAIRS = [
    Example("How many pets?", "SELECT COUNT(*) FROM pets", "mine"),
    Example("Pets over nine", "SELECT name FROM pets WHERE age > 9", "mine"),
    Example("Who is it?", "SELECT name FROM pets ORDER BY age LIMIT 1", "mine"),
]


def test_questions_queries_and_shapes_are_counted_under_another_database_name_too() -> None:
    benchmark = [
        Example("how many PETS", "SELECT 1", "other"),
        Example("old ones", "select name\nfrom pets where age > 9;", "other"),
        Example("youngest two", "SELECT name FROM pets ORDER BY age LIMIT 2", "other"),
        Example("broken", "SELECT FROM WHERE", "other"),
    ]
    shared = shared_with(PAIRS, {"dev": benchmark, "none": []}, max_cases=2)
    assert shared["dev"] == Shared(3, 1, 1, 2, (("How many pets?", "question"), ("Pets over nine", "query, shape")))
    assert shared["none"] == Shared(3, 0, 0, 0, ())


def test_two_queries_nobody_can_read_share_no_shape() -> None:
    broken = [Example("a b", "SELECT FROM x", "d")], [Example("c d", "SELECT FROM y", "d")]
    assert shared_with(broken[0], {"other": broken[1]}, 5)["other"] == Shared(1, 0, 0, 0, ())


def column(name: str) -> Column:
    return Column(name, "TEXT", False, True, None, None, ())


SCHEMA = Schema((Table("Pets", (column("Name"), column("age"), column("owner")), None), Table("owners", (column("name"),), None)))


def test_tables_and_columns_are_counted_per_pair_and_the_unused_are_named() -> None:
    pairs = [*PAIRS, Example("owners' names", "SELECT o.name FROM owners AS o, pets p WHERE p.age = o.name AND p.age > 1", "mine")]
    found = coverage([*pairs, Example("broken", "SELECT FROM", "mine")], {"mine": SCHEMA})
    assert found["tables"] == {"Pets": 4, "owners": 1}
    assert found["columns"] == {"Pets.age": 3, "Pets.Name": 2, "owners.name": 1, "Pets.owner": 0}
    assert (found["clauses"]["filter"], found["clauses"]["window"]) == (2, 0)
    assert (found["operators"]["COUNT"], found["operators"][">"], found["operators"]["UNION"]) == (1, 2, 0)


def test_a_column_of_a_subquery_is_none_of_a_table() -> None:
    pair = Example("names as ages", "SELECT q.age FROM (SELECT p.name AS age FROM pets p) q", "mine")
    used = coverage([pair], {"mine": SCHEMA})["columns"]
    assert {name for name, count in used.items() if count} == {"Pets.Name"}


def test_with_several_databases_names_begin_with_theirs() -> None:
    found = coverage(PAIRS, {"mine": SCHEMA, "other": SCHEMA})
    assert (found["tables"]["mine.Pets"], found["tables"]["other.Pets"]) == (3, 0)
