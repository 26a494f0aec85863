"""What a database holds is read from its names and its rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from t2s.data.synthesis.columns import column_noun
from t2s.data.synthesis.comments import read_hints
from t2s.data.synthesis.facts import Facts, read_facts, row_noun
from t2s.data.synthesis.graph import Graph
from t2s.errors import DataError
from t2s.sql.schema import read_schema


def built(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(script)
    return path


def facts_of(path: Path) -> Facts:
    return read_facts(path, read_schema(path, 4))


@pytest.mark.parametrize(
    ("table", "column", "kind"),
    [
        ("shops", "shop_id", "key"),
        ("shops", "name", "name"),
        ("shops", "country", "category"),
        ("shops", "opened_on", "date"),
        ("bakers", "shop_id", "link"),
        ("bakers", "salary", "number"),
        ("bakers", "phone", "contact"),
        ("cakes", "vegan", "flag"),
        ("sales", "status", "category"),
        ("sale_lines", "quantity", "number"),
    ],
)
def test_a_column_is_of_the_kind_its_name_and_values_say(facts: Facts, table: str, column: str, kind: str) -> None:
    assert facts.table(table).column(column).kind == kind


def test_rows_are_named_by_what_people_call_them(facts: Facts) -> None:
    labels = {table.name: [column.name for column in table.label] for table in facts.tables}
    assert labels == {"shops": ["name"], "bakers": ["first_name", "last_name"], "cakes": ["name"], "sales": [], "sale_lines": []}


def test_a_sale_of_goods_is_known_by_its_quantity_and_price(facts: Facts) -> None:
    goods = {table.name: [column.name for column in table.goods] for table in facts.tables}
    assert goods["sale_lines"] == ["quantity", "unit_price"]
    assert not any(columns for name, columns in goods.items() if name != "sale_lines")


def test_the_date_of_an_event_is_the_one_named_after_it(facts: Facts) -> None:
    date = facts.table("sales").date
    assert date is not None
    assert (date.name, date.form, date.first[:4], date.last[:4]) == ("sold_at", "datetime", "2023", "2024")


@pytest.mark.parametrize(
    ("name", "table", "noun"),
    [
        ("product_weight_g", "product", ("weight", "grams")),
        ("list_price", "product", ("list price", "")),
        ("OrderID", "order", ("ID", "")),
        ("discount_percent", "promotion", ("discount", "percent")),
        ("Milliseconds", "track", ("length", "milliseconds")),
        ("amount_eur", "payment", ("amount", "")),
    ],
)
def test_a_column_is_called_without_its_tables_noun_and_its_unit(name: str, table: str, noun: tuple[str, str]) -> None:
    assert column_noun(name, table) == noun


@pytest.mark.parametrize(
    ("name", "noun"),
    [("tblOrderDetails", "order detail"), ("categories", "category"), ("inventory", "inventory record"), ("Song", "song")],
)
def test_a_row_is_called_by_its_tables_noun(name: str, noun: str) -> None:
    assert row_noun(name) == noun


def test_comments_say_what_values_and_links_mean() -> None:
    assert read_hints("NULL while open").null == "open"
    assert read_hints("1 if subscribed").one == "subscribed"
    assert read_hints("agent, NULL if unassigned").role == "agent"
    assert read_hints("in NOK, incl. VAT").null == ""


def test_a_large_table_is_sampled_from_all_over(tmp_path: Path) -> None:
    path = built(
        tmp_path / "large.sqlite",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, day TEXT);"
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 29999) "
        "INSERT INTO t SELECT i, date('2000-01-01', '+' || (i / 10) || ' days') FROM n;",
    )
    column = facts_of(path).table("t").column("day")
    assert column.first < "2000-03-01"
    assert column.last > "2008-01-01"
    assert facts_of(path).table("t").rows == pytest.approx(30_000, rel=0.01)


def test_a_table_too_large_to_scan_is_sampled_from_all_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = built(
        tmp_path / "huge.sqlite",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, day TEXT);"
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 59999) "
        "INSERT INTO t SELECT i, date('2000-01-01', '+' || (i / 10) || ' days') FROM n;",
    )
    # A bound that reading the sample stays under, and reading every row does not.
    monkeypatch.setattr("t2s.data.synthesis.probe._STEPS_PER_TABLE", 26)
    assert facts_of(path).table("t").column("day").last > "2010-01-01"


def test_what_cannot_be_said_is_no_value(tmp_path: Path) -> None:
    path = built(
        tmp_path / "odd.sqlite",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, picture BLOB, mixed, void TEXT, essay TEXT);"
        "INSERT INTO t VALUES (1, x'00ff', 1, NULL, printf('%0200d', 1)), (2, x'01', 'a', NULL, printf('%0200d', 2)),"
        "(3, x'02', 2.5, NULL, 'x');",
    )
    table = facts_of(path).table("t")
    assert {column.name: column.kind for column in table.columns if column.name in ("picture", "mixed", "void")} == {
        "picture": "other",
        "mixed": "other",
        "void": "other",
    }
    assert not any(len(str(value)) > 100 for value, _ in table.column("essay").values)


def test_a_database_without_rows_is_refused(tmp_path: Path) -> None:
    path = built(tmp_path / "empty.sqlite", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT);")
    with pytest.raises(DataError, match=r"no table of .* has a row"):
        facts_of(path)


def test_links_have_the_role_their_column_names(graph: Graph) -> None:
    roles = {(link.child, link.pairs[0][0]): (link.role, link.plain) for link in graph.links}
    assert roles["bakers", "manager_id"] == ("manager", False)
    assert roles["sales", "seller_id"] == ("seller", False)
    assert roles["sales", "shop_id"] == ("shop", True)


def test_only_the_shortest_way_to_a_table_is_taken(graph: Graph) -> None:
    ways = [[link.pairs[0][0] for link in links] for links in graph.paths("sale_lines") if links and links[-1].parent == "shops"]
    assert ways == [["sale_id", "shop_id"]]


def test_two_keys_to_one_table_need_their_roles(tmp_path: Path) -> None:
    path = built(
        tmp_path / "flights.sqlite",
        "CREATE TABLE airports (code TEXT PRIMARY KEY, city TEXT); INSERT INTO airports VALUES ('OSL', 'Oslo'), ('BGO', 'Bergen');"
        "CREATE TABLE flights (id INTEGER PRIMARY KEY, source_airport TEXT REFERENCES airports, target_airport TEXT REFERENCES airports);"
        "INSERT INTO flights VALUES (1, 'OSL', 'BGO'), (2, 'BGO', 'OSL');",
    )
    schema = read_schema(path, 4)
    links = Graph(read_facts(path, schema), schema).links
    assert [(link.role, link.plain) for link in links] == [("source airport", False), ("target airport", False)]


def test_a_key_of_two_columns_is_one_link(tmp_path: Path) -> None:
    path = built(
        tmp_path / "beds.sqlite",
        "CREATE TABLE beds (ward INTEGER, bed INTEGER, kind TEXT, PRIMARY KEY (ward, bed));"
        "INSERT INTO beds VALUES (1, 1, 'a'), (1, 2, 'b');"
        "CREATE TABLE stays (id INTEGER PRIMARY KEY, ward INTEGER, bed INTEGER,"
        " FOREIGN KEY (ward, bed) REFERENCES beds (ward, bed));"
        "INSERT INTO stays VALUES (1, 1, 1), (2, 1, 2);",
    )
    schema = read_schema(path, 4)
    (link,) = Graph(read_facts(path, schema), schema).links
    assert link.pairs == (("ward", "ward"), ("bed", "bed"))
