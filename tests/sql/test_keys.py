"""Foreign keys that nobody declared are found where names and values agree, and nowhere else."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import awkward
import pytest

from t2s.data import company
from t2s.sql.schema import ForeignKey, Schema, read_schema

SCHEMA = Path(__file__).resolve().parents[2] / "data" / "company" / "schema.sql"
CUSTOMERS = "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO customers VALUES (11, 'Ada'), (12, 'Bo'), (13, 'Cy');"


def schema_of(folder: Path, script: str) -> Schema:
    with closing(sqlite3.connect(folder / "built.sqlite")) as connection:
        connection.executescript(script)
    return read_schema(folder / "built.sqlite", 0, infer_keys=True)


def guessed(folder: Path, script: str) -> set[str]:
    """Guessed keys as `table.column -> table.column`."""
    return {f"{k.table}.{k.column} -> {k.target_table}.{k.target_column}" for k in schema_of(folder, script).foreign_keys() if k.inferred}


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        *(("customer_id", "INTEGER"), ("customer_id", ""), ("customer_id", "REAL"), ("CustomerID", "INT"), ("customerid", "BIGINT")),
        *(("cust_id", "INTEGER"), ("custId", "INTEGER"), ("CUST_NO", "INTEGER"), ("fk_customer", "INTEGER"), ("id_customer", "INTEGER")),
        *(("customer", "INTEGER"), ('"paying customer id"', "INTEGER"), ("billing_customer_id", "INTEGER"), ("cstmr_id", "INTEGER")),
    ],
)
def test_a_column_that_names_another_table_points_to_its_key(column: str, kind: str, tmp_path: Path) -> None:
    script = (
        CUSTOMERS + f"CREATE TABLE orders (nr INTEGER PRIMARY KEY, {column} {kind}); INSERT INTO orders VALUES (1, 11), (2, NULL), (3, 13)"
    )
    name = column.strip('"')
    assert guessed(tmp_path, script) == {f"orders.{name} -> customers.id"}


@pytest.mark.parametrize(
    "orders",
    [
        "orders (nr INTEGER PRIMARY KEY, customer_id INTEGER); INSERT INTO orders VALUES (1, 11), (2, 99)",
        "orders (nr INTEGER PRIMARY KEY, customer_id INTEGER); INSERT INTO orders VALUES (1, 11.5)",
        "orders (nr INTEGER PRIMARY KEY, customer_id TEXT); INSERT INTO orders VALUES (1, '11')",
        "orders (nr INTEGER PRIMARY KEY, customer_id DATE); INSERT INTO orders VALUES (1, 11)",
        "orders (nr INTEGER PRIMARY KEY, customer_name TEXT); INSERT INTO orders VALUES (1, 'Ada')",
        "orders (nr INTEGER PRIMARY KEY, customer_count INTEGER); INSERT INTO orders VALUES (1, 11), (2, 12)",
        "orders (nr INTEGER PRIMARY KEY, custodian_id INTEGER); INSERT INTO orders VALUES (1, 11), (2, 12)",
        "orders (nr INTEGER PRIMARY KEY, cust_id INTEGER)",
        "orders (nr INTEGER PRIMARY KEY, customer INTEGER)",
        "orders (nr INTEGER PRIMARY KEY, customer_id INTEGER, customer_type TEXT); INSERT INTO orders VALUES (1, 11, 'person')",
        "orders (nr INTEGER PRIMARY KEY, parent_id INTEGER); INSERT INTO orders VALUES (1, 11), (2, 12)",
    ],
    ids=["orphan", "fraction", "text", "date", "name", "count", "other word", "empty, short", "empty, bare", "polymorphic", "no parent"],
)
def test_what_values_types_or_names_speak_against_is_left(orders: str, tmp_path: Path) -> None:
    assert guessed(tmp_path, CUSTOMERS + f"CREATE TABLE {orders}") == set()


def test_a_column_without_values_needs_the_exact_name(tmp_path: Path) -> None:
    script = CUSTOMERS + "CREATE TABLE orders (nr INTEGER PRIMARY KEY, customer_id INTEGER, paying_customer_id INTEGER, custnr INTEGER)"
    assert guessed(tmp_path, script) == {"orders.customer_id -> customers.id"}


def test_a_zero_for_nobody_is_no_value(tmp_path: Path) -> None:
    orders = "CREATE TABLE orders (nr INTEGER PRIMARY KEY, customer_id INT, payer_customer_id INT);"
    script = CUSTOMERS + orders + "INSERT INTO orders VALUES (1, 11, 12), (2, 0, -1), (3, 12, 13)"
    assert guessed(tmp_path, script) == {"orders.customer_id -> customers.id", "orders.payer_customer_id -> customers.id"}


def test_a_zero_for_nobody_and_a_few_deleted_partners_do_not_matter(tmp_path: Path) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100)"
    script = f"""
        CREATE TABLE customers (id INTEGER PRIMARY KEY); CREATE TABLE orders (nr INTEGER PRIMARY KEY, customer_id INT, cust_nr INT);
        {numbers} INSERT INTO customers SELECT i FROM n WHERE i NOT IN (50, 60);
        {numbers} INSERT INTO orders SELECT i, CASE WHEN i % 9 THEN i ELSE 0 END, i FROM n;
    """
    # What only resembles the name has to fit without exception.
    assert guessed(tmp_path, script) == {"orders.customer_id -> customers.id"}


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ("(1, NULL, 'a'), (2, 1, 'b'), (3, 1, 'c')", {"parts.parent_id -> parts.id"}),
        ("(1, 1, 'a'), (2, 1, 'b')", {"parts.parent_id -> parts.id"}),
        ("(1, NULL, 'a'), (2, NULL, 'b')", set()),
        ("(1, 1, 'a'), (2, 2, 'b')", set()),
        ("(1, NULL, 'a'), (2, 7, 'b')", set()),
    ],
    ids=["tree", "root is its own parent", "empty", "each its own", "orphan"],
)
def test_a_parent_is_a_row_of_the_same_table_where_the_values_show_it(rows: str, found: set[str], tmp_path: Path) -> None:
    script = f"CREATE TABLE parts (id INTEGER PRIMARY KEY, parent_id INTEGER, name TEXT); INSERT INTO parts VALUES {rows}"
    assert guessed(tmp_path, script) == found


def test_managers_are_looked_for_among_people_only(tmp_path: Path) -> None:
    script = "".join(
        f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, manager_id INTEGER); INSERT INTO {table} VALUES (1, NULL), (2, 1), (3, 2);"
        for table in ("employees", "warehouses")
    )
    assert guessed(tmp_path, script) == {"employees.manager_id -> employees.id"}


def test_two_tables_that_fit_equally_well_leave_it_open(tmp_path: Path) -> None:
    script = """
        CREATE TABLE tbl_customers (id INTEGER PRIMARY KEY); CREATE TABLE customer_master (id INTEGER PRIMARY KEY);
        CREATE TABLE orders (nr INTEGER PRIMARY KEY, customer_id INTEGER);
        INSERT INTO tbl_customers VALUES (1), (2); INSERT INTO customer_master VALUES (1), (2); INSERT INTO orders VALUES (1, 1), (2, 2);
    """
    assert guessed(tmp_path, script) == set()
    (tmp_path / "built.sqlite").unlink()
    assert guessed(tmp_path, script + "DELETE FROM customer_master;") == {"orders.customer_id -> tbl_customers.id"}


def test_a_key_of_two_columns_is_not_pointed_to(tmp_path: Path) -> None:
    script = """
        CREATE TABLE rooms (room_id INTEGER, floor INTEGER, PRIMARY KEY (room_id, floor)); INSERT INTO rooms VALUES (1, 1), (2, 1);
        CREATE TABLE stays (id INTEGER PRIMARY KEY, room_id INTEGER); INSERT INTO stays VALUES (1, 1), (2, 2);
    """
    assert guessed(tmp_path, script) == set()


def test_a_unique_column_is_pointed_to_by_the_name_of_table_and_column(tmp_path: Path) -> None:
    script = """
        CREATE TABLE countries (id INTEGER PRIMARY KEY, code TEXT UNIQUE, name TEXT UNIQUE);
        CREATE TABLE stays (id INTEGER PRIMARY KEY, country_code TEXT, country_name TEXT);
        INSERT INTO countries VALUES (1, 'NO', 'Norway'), (2, 'SE', 'Sweden');
        INSERT INTO stays VALUES (1, 'NO', 'Norway'), (2, 'SE', 'Sweden');
    """
    assert guessed(tmp_path, script) == {"stays.country_code -> countries.code"}


@pytest.mark.parametrize(("rows", "found"), [("(1), (2), (3)", True), ("(1), (2), (3), (3)", False), ("(1), (2), (3), (NULL)", False)])
def test_an_undeclared_key_must_be_unique(rows: str, found: bool, tmp_path: Path) -> None:
    script = f"""
        CREATE TABLE customers (customer_id INTEGER); INSERT INTO customers VALUES {rows};
        CREATE TABLE orders (nr INTEGER PRIMARY KEY, customer_id INTEGER); INSERT INTO orders VALUES (1, 1), (2, 2);
    """
    assert guessed(tmp_path, script) == ({"orders.customer_id -> customers.customer_id"} if found else set())


def test_one_row_for_each_row_of_another_table(tmp_path: Path) -> None:
    script = """
        CREATE TABLE employees (employee_id INTEGER PRIMARY KEY);
        CREATE TABLE employee_photos (employee_id INTEGER PRIMARY KEY, photo BLOB);
        INSERT INTO employees VALUES (1), (2); INSERT INTO employee_photos VALUES (1, NULL), (2, NULL);
    """
    assert guessed(tmp_path, script) == {"employee_photos.employee_id -> employees.employee_id"}


def test_declared_keys_stay_and_views_get_none(tmp_path: Path) -> None:
    script = (
        CUSTOMERS
        + """
        CREATE TABLE orders (nr INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers, payer_customer_id INTEGER);
        INSERT INTO orders VALUES (1, 11, 12), (2, 12, 13); CREATE VIEW v AS SELECT customer_id FROM orders;
    """
    )
    assert schema_of(tmp_path, script).foreign_keys() == (
        ForeignKey("orders", "customer_id", "customers", "id"),
        ForeignKey("orders", "payer_customer_id", "customers", "id", inferred=True),
    )
    assert not any(key.inferred for key in read_schema(tmp_path / "built.sqlite", 0).foreign_keys())


def test_the_clinic_has_its_keys_back_but_those_only_a_reader_could_know(tmp_path: Path) -> None:
    schema = read_schema(awkward.build_clinic(tmp_path / "clinic.sqlite"), 0, infer_keys=True)
    found = {(key.table, key.column, key.target_table, key.target_column) for key in schema.foreign_keys()}
    assert found <= set(awkward.CLINIC_KEYS)
    # A Japanese number of a patient has no letter in common with PatientID.
    assert set(awkward.CLINIC_KEYS) - found == {("患者メモ", "患者番号", "Patient Register", "PatientID")}


def test_the_erp_has_its_keys_back_in_seconds(tmp_path: Path) -> None:
    database = awkward.build_erp(tmp_path / "erp.sqlite", 300)
    read_schema(awkward.build_erp(tmp_path / "small.sqlite", 3), 0, infer_keys=True)  # loads what guessing needs
    start = time.process_time()
    schema = read_schema(database, 0, infer_keys=True)
    assert time.process_time() - start < 5
    found = {(key.table, key.column, key.target_table, key.target_column) for key in schema.foreign_keys()}
    assert found == set(awkward.erp_keys(300))
    assert read_schema(database, 0, infer_keys=True) == schema


def test_the_sample_company_has_its_keys_back_without_declaring_them(tmp_path: Path) -> None:
    company.build(tmp_path / "company.sqlite", SCHEMA, 7)
    declared = read_schema(tmp_path / "company.sqlite", 0)
    with closing(sqlite3.connect(tmp_path / "company.sqlite")) as connection:
        statements = [(n, s) for n, s in connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'") if s]
        connection.execute("PRAGMA writable_schema = ON")
        for name, sql in statements:
            bare = _without_references(sql)
            connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (bare, name))
        connection.commit()
    schema = read_schema(tmp_path / "company.sqlite", 0, infer_keys=True)
    assert all(key.inferred for key in schema.foreign_keys())
    assert {(k.table, k.column, k.target_table, k.target_column) for k in schema.foreign_keys()} == {
        (k.table, k.column, k.target_table, k.target_column) for k in declared.foreign_keys()
    }


def _without_references(sql: str) -> str:
    while " REFERENCES " in sql:
        before, _, after = sql.partition(" REFERENCES ")
        sql = before + after.partition(")")[2]
    return sql


def test_a_large_table_is_looked_at_in_a_few_places(tmp_path: Path) -> None:
    script = """
        CREATE TABLE stores (id INTEGER PRIMARY KEY); INSERT INTO stores VALUES (1), (2), (3);
        CREATE TABLE sales (id INTEGER PRIMARY KEY, store_id INTEGER, rare_store_id INTEGER);
        CREATE TABLE visits (id INTEGER PRIMARY KEY, store_id INTEGER, empty_store_id INTEGER);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000)
        INSERT INTO sales SELECT i, i % 3 + 1, CASE WHEN i > 299990 THEN i % 3 + 1 END FROM n;
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1500000) INSERT INTO visits SELECT i, i % 3 + 1, NULL FROM n;
    """
    found = guessed(tmp_path, script)
    # Nobody reads a million rows to learn that a column is empty; that says nothing of the others.
    assert found == {"sales.store_id -> stores.id", "sales.rare_store_id -> stores.id", "visits.store_id -> stores.id"}
    start = time.process_time()
    read_schema(tmp_path / "built.sqlite", 0, infer_keys=True)
    assert time.process_time() - start < 1
