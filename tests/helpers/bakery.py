"""A bakery with shops, bakers, cakes and sales: small, but with every kind of column that questions speak of."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

SCHEMA = """
CREATE TABLE shops (
  shop_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, city TEXT NOT NULL, country TEXT NOT NULL,
  opened_on TEXT NOT NULL, closed_on TEXT -- NULL while open
);
CREATE TABLE bakers (
  baker_id INTEGER PRIMARY KEY, first_name TEXT NOT NULL, last_name TEXT NOT NULL, shop_id INTEGER REFERENCES shops (shop_id),
  manager_id INTEGER REFERENCES bakers (baker_id), salary REAL NOT NULL, phone TEXT
);
CREATE TABLE cakes (
  cake_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
  weight_g INTEGER, vegan INTEGER NOT NULL, list_price REAL NOT NULL
);
CREATE TABLE sales (
  sale_id INTEGER PRIMARY KEY, shop_id INTEGER NOT NULL REFERENCES shops (shop_id),
  seller_id INTEGER REFERENCES bakers (baker_id), status TEXT NOT NULL, sold_at TEXT NOT NULL
);
CREATE TABLE sale_lines (
  sale_id INTEGER NOT NULL REFERENCES sales (sale_id), cake_id INTEGER NOT NULL REFERENCES cakes (cake_id),
  quantity INTEGER NOT NULL, unit_price REAL NOT NULL, PRIMARY KEY (sale_id, cake_id)
);
"""
_SHOPS = (("Old Mill", "Oslo", "Norway"), ("Corner", "Oslo", "Norway"), ("Harbour", "Bergen", "Norway"), ("Nybro", "Malmo", "Sweden"))
_BAKERS = ("Ida Moe", "Per Dahl", "Eva Lind", "Jon Vik", "Siri Berg", "Ola Ness", "Tor Lien", "Liv Aas")
_CAKES = (
    ("Brownie", "tray"),
    ("Carrot", "layer"),
    ("Lemon", "tray"),
    ("Opera", "layer"),
    ("Plum", "tart"),
    ("Pear", "tart"),
    ("Walnut", "tray"),
)


def build_bakery(path: Path, sales: int = 400) -> Path:
    """The same database each time, with so many sales."""
    rng = random.Random(5)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        for number, shop in enumerate(_SHOPS, 1):
            closed = "2024-05-31" if number == 2 else None
            connection.execute("INSERT INTO shops VALUES (?, ?, ?, ?, ?, ?)", (number, *shop, f"20{10 + number}-03-0{number}", closed))
        for number, name in enumerate(_BAKERS, 1):
            boss, phone = (None if number <= 2 else 1 + number % 2), (None if number % 3 == 0 else f"555-0{number}")
            connection.execute(
                "INSERT INTO bakers VALUES (?, ?, ?, ?, ?, ?, ?)",
                (number, *name.split(), 1 + number % 4, boss, 2500 + 137.5 * number, phone),
            )
        for number, (name, kind) in enumerate(_CAKES, 1):
            weight = None if number == 4 else 300 + 55 * number
            connection.execute("INSERT INTO cakes VALUES (?, ?, ?, ?, ?, ?)", (number, name, kind, weight, number % 2, 20 + 3.5 * number))
        for number in range(1, sales + 1):
            day = date(2023, 1, 1) + timedelta(days=number * 730 // sales)
            seller = None if number % 5 == 0 else rng.randint(1, 8)
            status = rng.choice(("paid", "paid", "paid", "cancelled", "open"))
            row = (number, rng.randint(1, 4), seller, status, f"{day} 1{number % 9}:30:00")
            connection.execute("INSERT INTO sales VALUES (?, ?, ?, ?, ?)", row)
            for cake in rng.sample(range(1, 7), rng.randint(1, 3)):
                price = 20 + 3.5 * cake - rng.choice((0, 0, 2.25))
                connection.execute("INSERT INTO sale_lines VALUES (?, ?, ?, ?)", (number, cake, rng.randint(1, 6), price))
    return path
