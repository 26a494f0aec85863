"""What a query asks of the rows, as a reader of the query would say it."""

from __future__ import annotations

import pytest

from t2s.sql.hints import Asked, Link, Need, read_hints
from t2s.sql.schema import Column, Schema, Table


def _table(name: str, *columns: str) -> Table:
    return Table(name, tuple(Column(column, "TEXT", False, True, None, None, ()) for column in columns), None)


SCHEMA = Schema((_table("Shops", "id", "City", "opened"), _table("sales", "id", "shop_id", "price", "n", "city")))


@pytest.mark.parametrize(
    ("query", "needs"),
    [
        ("SELECT id FROM shops", [Need(0, "Shops")]),
        ("SELECT id FROM shops WHERE city = 'Oslo'", [Need(0, "Shops", (Asked(("City",), ("Oslo",)),))]),
        ('SELECT id FROM shops WHERE city = "Oslo"', [Need(0, "Shops", (Asked(("City",), ("Oslo",)),))]),
        ("SELECT id FROM sales WHERE n BETWEEN -1 AND 2.5", [Need(0, "sales", (Asked(("n",), (-1, 2.5)),))]),
        ("SELECT id FROM sales WHERE n IN (1, 2)", [Need(0, "sales", (Asked(("n",), (1, 2)),))]),
        ("SELECT id FROM sales WHERE n IS NOT NULL", [Need(0, "sales", (Asked(("n",), (None,)),))]),
        ("SELECT id FROM shops WHERE strftime('%Y', opened) = '2024'", [Need(0, "Shops", (Asked(("opened",), ("2024",)),))]),
        ("SELECT id FROM sales WHERE price * n > 100", [Need(0, "sales", (Asked(("price", "n"), (100,), neutral=1),))]),
        ("SELECT id FROM sales WHERE price + n > 100", [Need(0, "sales", (Asked(("price", "n"), (100,), neutral=0),))]),
        ("SELECT city FROM shops GROUP BY city HAVING COUNT(*) > 3", [Need(0, "Shops", (), (3,))]),
        (
            "SELECT a.id FROM shops a WHERE a.city = 'x' EXCEPT SELECT a.id FROM sales a WHERE a.city = 'y'",
            [Need(0, "Shops", (Asked(("City",), ("x",)),)), Need(0, "sales", (Asked(("city",), ("y",)),))],
        ),
    ],
)
def test_constants_belong_to_the_table_they_are_compared_in(query: str, needs: list[Need]) -> None:
    assert sorted(read_hints([query], SCHEMA).needs, key=repr) == sorted(needs, key=repr)


def test_columns_set_equal_or_looked_up_in_each_other_are_links() -> None:
    joined = "SELECT s.id FROM shops s JOIN sales x ON x.shop_id = s.id"
    looked_up = "SELECT id FROM shops WHERE id NOT IN (SELECT shop_id FROM sales)"
    assert read_hints([joined], SCHEMA).links == (Link("sales", "shop_id", "Shops", "id"),)
    assert read_hints([looked_up], SCHEMA).links == (Link("Shops", "id", "sales", "shop_id"),)


def test_a_name_that_only_a_query_gives_belongs_to_no_table() -> None:
    query = "WITH big AS (SELECT shop_id, SUM(price) AS total FROM sales GROUP BY shop_id) SELECT * FROM big WHERE total > 5"
    assert read_hints([query], SCHEMA).needs == (Need(0, "sales"),)
