"""What of a schema a prompt shows."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from t2s.data.example import Example, Turn
from t2s.data.linked import LinkedSchemas, LinkingSpec
from t2s.data.prompt import SchemaStyle, render_schema
from t2s.sql.linking import Linker
from t2s.sql.schema import Schema, read_schema
from t2s.sql.value_index import ValueIndex

STYLE = SchemaStyle(types=False, keys=True, comments=False, samples=0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Schema, Linker]:
    directory = tmp_path_factory.mktemp("shop")
    file: Path = directory / "shop.sqlite"
    with sqlite3.connect(file) as connection:
        connection.executescript(
            "CREATE TABLE owners (owner_id INTEGER PRIMARY KEY, name TEXT);"
            "CREATE TABLE shops (shop_id INTEGER PRIMARY KEY, owner_id INTEGER REFERENCES owners, city TEXT);"
            "CREATE TABLE weather (day TEXT, rain REAL); INSERT INTO shops VALUES (1, 1, 'L''Aquila'); INSERT INTO owners VALUES (1, 'Ann')"
        )
    connection.close()
    schema = read_schema(file, 3)
    index = ValueIndex.build(file, schema, directory / "values.sqlite")
    return schema, Linker(schema, index, lambda table: len(render_schema(Schema((table,)), STYLE)))


def shown(shop, mode: str, max_tokens: int, hints: bool = False) -> LinkedSchemas:
    schema, linker = shop
    return LinkedSchemas({"shop": schema}, lambda name: linker, STYLE, LinkingSpec(mode, max_tokens, hints), len)


ASKED = Example("cities of shops", "SELECT rain FROM weather", "shop")


def test_the_whole_schema_is_shown_where_nothing_is_linked_or_it_fits(shop):
    whole = render_schema(shop[0], STYLE)
    assert shown(shop, "none", 1).show(ASKED, training=False) == (whole, "")
    assert shown(shop, "auto", len(whole)).show(ASKED, training=False) == (whole, "")
    assert shown(shop, "auto", len(whole) - 1).linked("shop")


def test_a_part_is_shown_without_keys_to_what_is_not(shop):
    text, _ = shown(shop, "keyword", 40).show(ASKED, training=False)
    assert text == "shops(shop_id primary key, owner_id, city)"


def test_gold_tables_are_kept_in_training_and_unknown_elsewhere(shop):
    assert "weather(day, rain)" in shown(shop, "keyword", 40).show(ASKED, training=True)[0]
    assert "weather" not in shown(shop, "keyword", 40).show(ASKED, training=False)[0]


def test_tables_of_earlier_turns_stay(shop):
    later = Example("cities of shops", "", "shop", history=(Turn("rain?", "SELECT rain FROM weather"),))
    assert "weather" in shown(shop, "keyword", 40).show(later, training=False)[0]


def test_hints_are_written_as_sql_would_compare_them_in_training_and_use_alike(shop):
    asked = Example("who owns the shop in l'aquila", "SELECT 1", "shop")
    for training in (True, False):
        assert shown(shop, "none", 1, hints=True).show(asked, training)[1] == "Values:\nshops.city = 'L''Aquila'"
    assert shown(shop, "none", 1, hints=True).show(ASKED, training=True)[1] == ""
