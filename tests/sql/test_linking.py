"""Linking on a small shop whose tables hang together in a known way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from t2s.sql.linking import Hint, Linker
from t2s.sql.schema import Schema, read_schema
from t2s.sql.value_index import ValueIndex, folded_words

SHOP = """
CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers, status TEXT);
CREATE TABLE order_items (order_id INTEGER REFERENCES orders, product_id INTEGER REFERENCES products, quantity INTEGER);
CREATE TABLE products (product_id INTEGER PRIMARY KEY, title TEXT, supplier_id INTEGER REFERENCES suppliers);
CREATE TABLE suppliers (supplier_id INTEGER PRIMARY KEY, company TEXT);
CREATE TABLE "audit log" (at TEXT, "who did it" TEXT);
INSERT INTO customers VALUES (1, 'Åsa Berg', 'São Paulo'), (2, 'Ben', 'Oslo');
INSERT INTO orders VALUES (1, 1, 'cancelled'), (2, 2, 'shipped'), (3, 2, 'cancelled');
INSERT INTO products VALUES (1, 'Storm Lamp', 1), (2, 'The', 1);
INSERT INTO suppliers VALUES (1, 'Oslo Lamps');
INSERT INTO "audit log" VALUES ('2024-01-01', 'root');
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Schema]:
    file = tmp_path_factory.mktemp("shop") / "shop.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(SHOP)
    connection.close()
    return file, read_schema(file, 3)


@pytest.fixture(scope="module")
def index(shop, tmp_path_factory: pytest.TempPathFactory) -> ValueIndex:
    return ValueIndex.build(*shop, tmp_path_factory.mktemp("index") / "values.sqlite")


@pytest.fixture
def linker(shop, index) -> Linker:
    return Linker(shop[1], index, lambda table: 1)


def linked(linker: Linker, question: str, budget: int, must_have=()) -> set[str]:
    return set(linker.link(question, budget, must_have, 5).tables)


def test_a_table_is_found_by_its_name_its_columns_and_its_values(linker):
    assert linked(linker, "How many suppliers are there?", 1) == {"suppliers"}
    assert linked(linker, "list every title", 1) == {"products"}
    assert linked(linker, "everyone in sao paulo", 1) == {"customers"}
    assert linked(linker, "which ones were CANCELLED", 1) == {"orders"}
    assert linked(linker, "the audit trail", 1) == {"audit log"}


def test_tables_come_with_those_between_them(linker):
    assert linked(linker, "which customers bought from suppliers called Oslo Lamps", 5) == {
        "customers", "orders", "order_items", "products", "suppliers",
    }  # fmt: skip


def test_what_does_not_fit_with_its_way_is_left_out(linker):
    found = linked(linker, "customers and suppliers", 2)
    assert len(found) <= 2
    assert found & {"customers", "suppliers"}


def test_tables_that_must_be_there_are_whatever_the_budget_and_joined(linker):
    found = linked(linker, "anything", 1, must_have=("ORDERS", "products"))
    assert {"orders", "order_items", "products"} <= found


def test_a_question_about_nothing_still_gets_a_table_and_the_order_is_the_schemas(linker, shop):
    assert linked(linker, "", 1)
    names = [table.name for table in shop[1].tables]
    found = linker.link("customers suppliers products", 6, (), 5).tables
    assert list(found) == [name for name in names if name in found]


def test_hints_name_values_as_the_database_writes_them(linker):
    hints = linker.link("cancelled orders of people in sao paulo for the storm lamp", 6, (), 5).hints
    assert hints == (Hint("orders", "status", "cancelled"), Hint("customers", "city", "São Paulo"), Hint("products", "title", "Storm Lamp"))
    assert linker.link("cancelled orders of people in sao paulo", 6, (), 1).hints == hints[:1]


def test_a_value_that_is_a_tables_name_or_another_form_of_a_name_is_no_hint(tmp_path):
    file = tmp_path / "shop.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(
            "CREATE TABLE stores (n TEXT); CREATE TABLE orders (channel TEXT, seller TEXT);"
            "INSERT INTO orders VALUES ('store', 'Signe'), ('web', 'Ann')"
        )
    connection.close()
    schema = read_schema(file, 3)
    linker = Linker(schema, ValueIndex.build(file, schema, tmp_path / "values.sqlite"), lambda table: 1)
    hints = linker.link("web orders of stores, signed", 9, (), 5).hints
    assert hints == (Hint("orders", "channel", "web"),)
    assert linker.link("orders of Signe", 9, (), 5).hints == (Hint("orders", "seller", "Signe"),)


def test_a_longer_phrase_takes_its_words_and_a_stopword_is_no_value(index):
    assert [hit.value for hit in index.find("what does oslo lamps make")] == ["Oslo Lamps"]
    assert [hit.value for hit in index.find("the lamps of Oslo")] == ["The", "Oslo"]


def test_other_forms_of_a_categorys_word_are_found(index):
    assert [(hit.value, hit.exact) for hit in index.find("any cancelling?")] == [("cancelled", False)]


def test_stopwords_as_values_give_no_hint(linker):
    assert linker.link("how is the weather", 6, (), 5).hints == ()


def test_pairs_teach_which_tables_a_word_means(linker):
    assert "order_items" not in linked(linker, "our turnover", 1)
    linker.learn([("turnover of 2024", ["order_items"]), ("turnover per year", ["ORDER_ITEMS"]), ("names", ["customers"])] * 3)
    assert linked(linker, "our turnover", 1) == {"order_items"}


def test_what_was_learnt_can_be_handed_on(linker, shop, index):
    linker.learn([("turnover", ["order_items"])] * 5)
    other = Linker(shop[1], index, lambda table: 1)
    other.remember(linker.learnt())
    assert linked(other, "turnover", 1) == {"order_items"}


def test_price_is_of_the_tables_given_or_of_all(linker):
    assert (linker.price(), linker.price(("orders",)), linker.tables) == (6, 1, 6)


def test_accents_and_case_do_not_count():
    assert folded_words("São Paulo, ÅSA!") == ["sao", "paulo", "asa"]


def test_a_build_that_fails_leaves_no_file(shop, tmp_path, monkeypatch):
    monkeypatch.setattr("t2s.sql.value_index._entries", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ValueIndex.build(*shop, tmp_path / "values.sqlite")
    assert list(tmp_path.iterdir()) == []
