"""A live database is compared with the one trained on, and each spoilt pair is told with its reason."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import awkward
import pytest

from t2s.data.drift import Drift, SchemaChange, compare, fingerprints, schema_changes
from t2s.data.example import Example
from t2s.sql.execute import Sandbox
from t2s.sql.schema import Schema, read_schema

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT, joined TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers, total REAL, status TEXT);
CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
INSERT INTO customers VALUES
  (1, 'Ada', 'Oslo', '2024-01-01'), (2, 'Bo', 'Bergen', '2024-02-01'), (3, 'Cy', 'Oslo', '2024-03-01'),
  (4, 'Di', 'Bergen', '2024-01-09'), (5, 'Ed', 'Oslo', '2024-03-02'), (6, 'Flo', 'Oslo', '2024-03-03');
INSERT INTO orders VALUES
  (1, 1, 9.5, 'open'), (2, 1, 20, 'paid'), (3, 2, 5, 'paid'), (4, 3, 5, 'open'), (5, 3, 1, 'paid'), (6, 3, 2, 'paid');
INSERT INTO notes VALUES (1, 'hello');
"""
PAIRS = [
    Example("how many customers", "SELECT COUNT(*) FROM customers", "shop", id="1"),
    Example("cities", "SELECT DISTINCT city FROM customers", "shop", id="2"),
    Example("paid orders", "SELECT id FROM orders WHERE status = 'paid'", "shop", id="3"),
    Example("totals", "SELECT customer_id, SUM(total) FROM orders GROUP BY customer_id", "shop", id="4"),
    Example("notes", "SELECT body FROM notes", "shop", id="5"),
    Example("never ran", "SELECT nothing FROM notes", "shop", id="6"),
    Example("all orders", "SELECT * FROM orders", "shop", id="7"),
]


def built(folder: Path, change: str, name: str = "live") -> Path:
    with closing(sqlite3.connect(folder / f"{name}.sqlite")) as connection:
        connection.executescript(SHOP + change)
    return folder / f"{name}.sqlite"


def schema(path: Path) -> Schema:
    return read_schema(path, 5)


def drift(folder: Path, change: str, sandbox: Sandbox) -> Drift:
    old = built(folder, "", "old")
    results = fingerprints(PAIRS, old, sandbox)
    live = built(folder, change)
    return compare(schema(old), schema(live), PAIRS, results, live, sandbox)


def changes(folder: Path, change: str) -> list[str]:
    return [str(found) for found in schema_changes(schema(built(folder, "", "old")), schema(built(folder, change)))]


def test_a_database_that_stayed_has_no_drift(tmp_path: Path, sandbox: Sandbox) -> None:
    found = drift(tmp_path, "CREATE INDEX i ON orders (status); UPDATE notes SET id = 7", sandbox)
    assert (found.schema, found.pairs, found.checked, found.without_result) == ((), (), 6, 0)
    assert list(found.lines()) == ["schema: unchanged", "pairs: 0 of 6 fail, 0 return other rows"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("DROP TABLE notes", ["notes is gone"]),
        ("CREATE TABLE stock (a)", ["stock is new"]),
        ("ALTER TABLE notes RENAME TO note", ["notes is probably called note now"]),
        ("ALTER TABLE orders RENAME TO sales_orders", ["orders is probably called sales_orders now"]),
        (
            "ALTER TABLE orders DROP COLUMN status; ALTER TABLE orders ADD COLUMN remark TEXT",
            ["orders.status is gone", "orders.remark is new"],
        ),
        ("ALTER TABLE orders DROP COLUMN status; ALTER TABLE orders ADD COLUMN stat INT", ["orders.status is gone", "orders.stat is new"]),
        ("ALTER TABLE orders DROP COLUMN total; ALTER TABLE orders ADD COLUMN toll REAL", ["orders.total is gone", "orders.toll is new"]),
        ("ALTER TABLE notes RENAME TO n; ALTER TABLE n RENAME TO NOTES", []),
        ("DROP TABLE notes; CREATE TABLE stock (sku TEXT, amount INT, place TEXT)", ["notes is gone", "stock is new"]),
        ("ALTER TABLE orders DROP COLUMN total", ["orders.total is gone"]),
        ("ALTER TABLE orders ADD COLUMN paid_on TEXT", ["orders.paid_on is new"]),
        ("ALTER TABLE orders RENAME COLUMN total TO total_amount", ["orders.total is probably called total_amount now"]),
        ("ALTER TABLE orders RENAME COLUMN status TO state", ["orders.status is probably called state now"]),
        ("ALTER TABLE customers RENAME COLUMN city TO town", ["customers.city is probably called town now"]),
        (
            "ALTER TABLE orders DROP COLUMN total; ALTER TABLE orders ADD COLUMN shipped_by TEXT",
            ["orders.total is gone", "orders.shipped_by is new"],
        ),
        (
            "ALTER TABLE customers DROP COLUMN name; ALTER TABLE customers ADD COLUMN fax TEXT",
            ["customers.name is gone", "customers.fax is new"],
        ),
    ],
)
def test_changes_of_the_schema_are_named(change: str, expected: list[str], tmp_path: Path) -> None:
    assert changes(tmp_path, change) == expected


def test_another_type_is_a_change_and_another_spelling_is_none(tmp_path: Path) -> None:
    old = built(tmp_path, "CREATE TABLE t (a VARCHAR(20), b INT, c DECIMAL(10, 2))", "old")
    live = built(tmp_path, "CREATE TABLE t (a VARCHAR(40), b TEXT, c decimal(10,2))")
    assert [str(found) for found in schema_changes(schema(old), schema(live))] == [
        "t.a has another type now: VARCHAR(40), was VARCHAR(20)",
        "t.b has another type now: TEXT, was INT",
    ]


def test_a_renamed_table_has_its_columns_compared(tmp_path: Path) -> None:
    change = "ALTER TABLE customers RENAME TO clients; ALTER TABLE clients ADD COLUMN vat TEXT"
    assert changes(tmp_path, change) == ["customers is probably called clients now", "customers.vat is new"]


def test_two_that_fit_equally_well_are_no_rename(tmp_path: Path) -> None:
    change = (
        "DROP TABLE notes; CREATE TABLE note1 (id INTEGER PRIMARY KEY, body TEXT); CREATE TABLE note2 (id INTEGER PRIMARY KEY, body TEXT)"
    )
    assert changes(tmp_path, change) == ["notes is gone", "note1 is new", "note2 is new"]


def test_each_pair_that_fails_says_why(tmp_path: Path, sandbox: Sandbox) -> None:
    found = drift(tmp_path, "ALTER TABLE orders RENAME COLUMN status TO state; DROP TABLE notes", sandbox)
    renamed = SchemaChange("column_renamed", "orders", "status", "state")
    assert [(pair.example.id, pair.kind, pair.because) for pair in found.pairs] == [
        ("3", "fails", (renamed,)),
        ("5", "fails", (SchemaChange("table_gone", "notes"),)),
    ]
    assert found.pairs[0].detail.startswith("missing_column: ")
    assert list(found.lines())[-2:] == [
        f"  3 fails ({found.pairs[0].detail}): orders.status is probably called state now",
        f"  5 fails ({found.pairs[1].detail}): notes is gone",
    ]


def test_only_what_a_pair_names_is_its_reason(tmp_path: Path, sandbox: Sandbox) -> None:
    found = drift(tmp_path, "ALTER TABLE orders DROP COLUMN total; ALTER TABLE orders RENAME COLUMN status TO state", sandbox)
    assert [(pair.example.id, [change.column for change in pair.because]) for pair in found.pairs] == [
        *[("3", ["status"]), ("4", ["total"]), ("7", ["total"])],
    ]


def test_pairs_whose_rows_changed_are_told_with_both_sizes(tmp_path: Path, sandbox: Sandbox) -> None:
    found = drift(tmp_path, "INSERT INTO orders VALUES (7, 2, 1, 'paid'); UPDATE customers SET city = 'Voss' WHERE id = 2", sandbox)
    assert [(pair.example.id, pair.kind, pair.detail, pair.because) for pair in found.pairs] == [
        ("2", "other_rows", "2 rows before, 3 now", ()),
        ("3", "other_rows", "4 rows before, 5 now", ()),
        ("4", "other_rows", "3 rows as before, with other values", ()),
        ("7", "other_rows", "6 rows before, 7 now", ()),
    ]


def test_a_new_column_explains_the_rows_of_a_star(tmp_path: Path, sandbox: Sandbox) -> None:
    found = drift(tmp_path, "ALTER TABLE orders ADD COLUMN paid_on TEXT", sandbox)
    assert [(pair.example.id, pair.because) for pair in found.pairs] == [("7", (SchemaChange("column_new", "orders", "paid_on"),))]


def test_a_pair_without_an_old_result_is_only_run(tmp_path: Path, sandbox: Sandbox) -> None:
    live = built(tmp_path, "DELETE FROM orders; DROP TABLE notes")
    found = compare(schema(live), schema(live), PAIRS[:5], {}, live, sandbox)
    assert [(pair.example.id, pair.kind) for pair in found.pairs] == [("5", "fails")]
    assert (found.checked, found.without_result) == (5, 5)


def test_hundreds_of_renamed_tables_are_found(tmp_path: Path) -> None:
    before = schema(awkward.build_erp(tmp_path / "old.sqlite", 300))
    after = Schema(tuple(replace(table, name=f"Z{table.name}") for table in before.tables))
    found = list(schema_changes(before, after))
    renames = {change.table: change.now for change in found if change.kind == "table_renamed"}
    assert len(renames) > 290
    assert all(now == f"Z{name}" for name, now in renames.items())
