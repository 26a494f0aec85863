"""One style for queries that say the same."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from t2s.errors import DataError
from t2s.sql.canonical import canonical
from t2s.sql.schema import read_schema

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests/fixtures/sql/canonical.sql"
TABLES = """
CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE shops (id INTEGER PRIMARY KEY, owner_id INTEGER REFERENCES owners, city TEXT);
CREATE TABLE staff (id INTEGER PRIMARY KEY, boss_id INTEGER REFERENCES staff, shop_id INTEGER REFERENCES shops, name TEXT);
CREATE TABLE sales (id INTEGER PRIMARY KEY, shop_id INTEGER REFERENCES shops, seller_id INTEGER REFERENCES staff, amount REAL);
INSERT INTO owners VALUES (1, 'Ada'), (2, 'Bo');
INSERT INTO shops VALUES (1, 1, 'Oslo'), (2, 1, 'Bergen'), (3, 2, 'JOIN x ON');
INSERT INTO staff VALUES (1, NULL, 1, 'Cy'), (2, 1, 1, 'Di'), (3, 1, 2, 'Ed');
INSERT INTO sales VALUES (1, 1, 2, 5.5), (2, 1, 1, 4), (3, 2, 3, 9), (4, 3, 3, 1);
"""


def _cases() -> list[tuple[str, str]]:
    lines = [line for line in FIXTURE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("--")]
    queries = [line.removesuffix(";") for line in lines]
    return list(zip(queries[::2], queries[1::2], strict=True))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("canonical") / "shops.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(TABLES)
    return file


@pytest.mark.parametrize(("written", "expected"), _cases())
def test_a_query_in_canonical_style_says_what_it_said(written: str, expected: str, database: Path) -> None:
    schema = read_schema(database, 0)
    assert canonical(written, schema) == expected
    assert canonical(expected, schema) == expected
    with closing(sqlite3.connect(database)) as connection:
        before, after = (connection.execute(sql).fetchall() for sql in (written, expected))
    assert before
    assert sorted(before) == sorted(after)


def test_what_is_no_query_is_refused(database: Path) -> None:
    with pytest.raises(DataError):
        canonical("DROP TABLE shops", read_schema(database, 0))


def test_cleaning_rewrites_what_returns_the_same_and_drops_held_out_shapes(database: Path, tmp_path: Path) -> None:
    city = "SELECT s.city FROM shops s JOIN sales x ON x.shop_id = s.id WHERE x.amount > {}"
    history = [{"question": "shops?", "sql": "SELECT id FROM shops"}]
    pairs = [
        {"question": "cities that sold for more than 4", "sql": city.format(4), "tags": ["mine"], "id": "crm-17", "history": history},
        {"question": "owners", "sql": "SELECT o.name FROM owners o", "tags": ["review"]},
    ]
    for name, rows in (("train", pairs), ("test", [{"question": "names of owners", "sql": "SELECT name FROM owners"}])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = [sys.executable, str(ROOT / "scripts/clean_pairs.py"), str(database), "train.jsonl", "out.jsonl", "--held-out", "test.jsonl"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "1 pairs, 1 rewritten, 1 dropped" in done.stderr
    cleaned = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [pair["sql"] for pair in cleaned] == ["SELECT s.city FROM sales x JOIN shops s ON x.shop_id = s.id WHERE x.amount > 4"]
    assert cleaned[0]["id"] == "crm-17"
    assert cleaned[0]["history"] == history
    assert cleaned[0]["tags"] == ["mine", "filter", "join"]
