"""A suite tells right from nearly right where one database does not, and never judges by chance."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from t2s.errors import DataError
from t2s.sql.execute import Sandbox
from t2s.sql.testsuite import Suite, build_suite, is_settled, load_suite, with_ties_broken

ROOT = Path(__file__).resolve().parents[2]
# Small and tidy: no price of exactly 10, no ties, no shop without a sale, nothing missing.
TABLES = """
CREATE TABLE shops (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT);
CREATE TABLE sales (id INTEGER PRIMARY KEY, shop_id INTEGER NOT NULL REFERENCES shops, price REAL NOT NULL, day TEXT NOT NULL);
INSERT INTO shops VALUES (1, 'Aker', 'Oslo'), (2, 'Bryg', 'Bergen'), (3, 'Cella', 'Paris');
INSERT INTO sales VALUES (1, 1, 4.5, '2023-05-02'), (2, 1, 12.25, '2024-03-08'), (3, 2, 20.75, '2024-06-11'), (4, 3, 30.0, '2024-07-01'),
  (5, 3, 8.0, '2023-01-09');
"""
DEAR = "SELECT COUNT(*) FROM sales WHERE price > 10"
SOLD = "SELECT s.name, COUNT(x.id) FROM shops AS s LEFT JOIN sales AS x ON x.shop_id = s.id GROUP BY s.id"
LATE = "SELECT id FROM sales WHERE day >= '2024-01-01'"
DEAREST = "SELECT id FROM sales ORDER BY price DESC, id LIMIT 1"
CITIES = "SELECT DISTINCT city FROM shops WHERE city IS NOT NULL"
ANY_DEAREST = "SELECT id FROM sales ORDER BY price DESC LIMIT 1"
GOLDS = (DEAR, SOLD, LATE, DEAREST, CITIES, ANY_DEAREST)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timeout_s=5, max_rows=100_000, max_bytes=10_000_000, max_memory_bytes=1_000_000_000) as box:
        yield box


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("suite") / "shop.sqlite", TABLES)


def made(file: Path, script: str) -> Path:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(script)
    return file


@pytest.fixture(scope="module")
def suite(shop: Path, sandbox: Sandbox) -> Suite:
    return build_suite(shop, [*GOLDS, DEAR, "SELECT nothing FROM nowhere"], shop.parent / "made", sandbox, variants=12, probes=12)


def rows(file: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize(
    ("gold", "slip"),
    [
        (DEAR, "SELECT COUNT(*) FROM sales WHERE price >= 10"),
        (DEAR, "SELECT COUNT(DISTINCT price) FROM sales WHERE price > 10"),
        (SOLD, "SELECT s.name, COUNT(*) FROM shops AS s JOIN sales AS x ON x.shop_id = s.id GROUP BY s.id"),
        (SOLD, "SELECT s.name, COUNT(*) FROM shops AS s LEFT JOIN sales AS x ON x.shop_id = s.id GROUP BY s.id"),
        (SOLD, "SELECT s.name, COUNT(x.id) FROM shops AS s LEFT JOIN sales AS x ON x.shop_id = s.id GROUP BY s.name"),
        (LATE, "SELECT id FROM sales WHERE day > '2024-01-01'"),
        (DEAREST, "SELECT id FROM sales ORDER BY price DESC, id DESC LIMIT 1"),
        (CITIES, "SELECT DISTINCT city FROM shops"),
        (CITIES, "SELECT city FROM shops WHERE city IS NOT NULL"),
    ],
)
def test_a_slip_that_one_database_lets_pass_shows_on_the_suite(gold: str, slip: str, suite: Suite, shop: Path) -> None:
    assert sorted(rows(shop, gold)) == sorted(rows(shop, slip))
    assert any(sorted(rows(file, gold), key=repr) != sorted(rows(file, slip), key=repr) for file in suite.files(gold))


@pytest.mark.parametrize(
    ("gold", "same"),
    [
        (DEAR, "SELECT COUNT(id) FROM sales WHERE NOT price <= 10"),
        (SOLD, "SELECT name, (SELECT COUNT(*) FROM sales WHERE shop_id = shops.id) FROM shops"),
        (DEAREST, "SELECT MIN(id) FROM sales WHERE price = (SELECT MAX(price) FROM sales) HAVING COUNT(*) > 0"),
        (CITIES, "SELECT city FROM shops GROUP BY city HAVING city IS NOT NULL"),
        (ANY_DEAREST, "SELECT id FROM sales ORDER BY price DESC, id LIMIT 1"),
        (ANY_DEAREST, "SELECT id FROM sales ORDER BY price DESC, id DESC LIMIT 1"),
    ],
)
def test_the_same_in_other_words_passes_everywhere(gold: str, same: str, suite: Suite) -> None:
    assert suite.files(CITIES)
    for file in suite.files(gold):
        assert sorted(rows(file, gold), key=repr) == sorted(rows(file, same), key=repr)


def test_nine_tenths_of_what_one_database_lets_pass_falls(suite: Suite) -> None:
    figures = suite.figures
    assert figures.mutants > figures.survive_one > figures.survive_suite
    assert figures.survive_suite == figures.missed + figures.equivalent
    assert figures.fallen >= 0.9
    assert sum(ran for ran, *_ in figures.by_rule.values()) == figures.mutants


def test_every_gold_runs_on_every_variant_and_what_never_ran_is_named(suite: Suite) -> None:
    assert suite.queries == GOLDS
    assert [gold for gold, _ in suite.skipped] == ["SELECT nothing FROM nowhere"]
    for variant in suite.variants:
        for gold in GOLDS:
            rows(variant.file, gold)


def test_no_variant_is_kept_that_the_others_make_needless(suite: Suite) -> None:
    assert 1 <= len(suite.variants) <= 6
    assert [variant.file.name for variant in suite.variants] == sorted(file.name for file in suite.variants[0].file.parent.glob("*.sqlite"))


def test_a_suite_reads_back_as_it_was_written(suite: Suite) -> None:
    assert load_suite(suite.variants[0].file.parent) == suite


def test_the_same_seed_gives_the_same_suite(suite: Suite, shop: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    again = build_suite(shop, [*GOLDS, "SELECT nothing FROM nowhere"], tmp_path, sandbox, variants=12, probes=12)
    assert again.figures == suite.figures
    assert [(v.style, v.seed, v.unsettled) for v in again.variants] == [(v.style, v.seed, v.unsettled) for v in suite.variants]
    for mine, other in zip(again.variants, suite.variants, strict=True):
        assert rows(mine.file, "SELECT * FROM sales") == rows(other.file, "SELECT * FROM sales")


def test_a_database_on_which_a_gold_fails_is_not_kept(sandbox: Sandbox, tmp_path: Path) -> None:
    # The second query plants a text that the first one cannot read as JSON.
    docs = made(
        tmp_path / "docs.sqlite", """CREATE TABLE docs (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO docs VALUES (1, '{"a": 1}');"""
    )
    golds = ["SELECT json_extract(body, '$.a') FROM docs", "SELECT id FROM docs WHERE body = 'none'"]
    suite = build_suite(docs, golds, tmp_path / "made", sandbox, variants=12, probes=0)
    assert all(rows(variant.file, gold) is not None for variant in suite.variants for gold in golds)
    assert len(list((tmp_path / "made").iterdir())) == len(suite.variants) + 1


def test_a_suite_built_anew_leaves_nothing_of_the_old_one(shop: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    for variants in (6, 1):
        again = build_suite(shop, GOLDS, tmp_path, sandbox, variants=variants, probes=0)
        assert sorted(file.name for file in tmp_path.iterdir()) == ["suite.json", *(variant.file.name for variant in again.variants)]


def test_progress_is_told_step_by_step(shop: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    build_suite(shop, [DEAR], tmp_path, sandbox, variants=3, probes=2, progress=lambda *step: told.append(step))
    assert told == [("mutants", 1, 1), *(("variants", n, 3) for n in (1, 2, 3)), *(("probes", n, 2) for n in (1, 2))]


@pytest.mark.parametrize(
    ("sql", "settled"),
    [
        ("SELECT a FROM t ORDER BY b", False),
        ("SELECT b FROM t ORDER BY b", True),
        ("SELECT a FROM t ORDER BY b, a", True),
        ("SELECT a FROM t ORDER BY b LIMIT 1", False),
        ("SELECT a FROM t LIMIT 2", False),
        ("SELECT a FROM t", True),
        ("SELECT * FROM t ORDER BY b", False),
        ("SELECT SUM(a) FROM (SELECT a FROM t ORDER BY b LIMIT 1)", False),
        ("SELECT SUM(a) FROM (SELECT a FROM t ORDER BY b)", True),
        ("SELECT a FROM t WHERE a IN (SELECT a FROM t ORDER BY b DESC LIMIT 1)", True),
        ("SELECT b FROM t UNION ALL SELECT b FROM t ORDER BY 1", True),
        ("SELECT a, b FROM t UNION ALL SELECT a, b FROM t ORDER BY 2", False),
    ],
)
def test_a_query_is_settled_where_ties_cannot_change_its_rows(sql: str, settled: bool, sandbox: Sandbox, tmp_path: Path) -> None:
    file = made(tmp_path / "t.sqlite", "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 5), (2, 5), (3, 6);")
    assert is_settled(sql, sandbox.execute(sql, file), file, sandbox) is settled


def test_ties_are_broken_by_all_columns_either_way() -> None:
    assert with_ties_broken("SELECT a, b FROM t ORDER BY b", 2, descending=False) == "SELECT a, b FROM t ORDER BY b, 1, 2"
    assert (
        with_ties_broken("SELECT a FROM t ORDER BY b DESC LIMIT 1", 1, descending=True) == "SELECT a FROM t ORDER BY b DESC, 1 DESC LIMIT 1"
    )


def test_without_a_query_that_runs_there_is_no_suite(shop: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of 1"):
        build_suite(shop, ["SELECT nothing FROM nowhere"], tmp_path, sandbox)


def test_a_missing_or_broken_suite_is_an_error(suite: Suite, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="build_suite"):
        load_suite(tmp_path)
    written = (suite.variants[0].file.parent / "suite.json").read_text(encoding="utf-8")
    (tmp_path / "suite.json").write_text(written, encoding="utf-8")
    with pytest.raises(DataError, match="gone"):
        load_suite(tmp_path)
    (tmp_path / "suite.json").write_text(written.replace('"version": 1', '"version": 99'), encoding="utf-8")
    with pytest.raises(DataError, match="anew"):
        load_suite(tmp_path)


def test_the_script_prints_the_figures_and_writes_the_suite(shop: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(f'{{"question": "dear ones?", "sql": "{DEAR}"}}\n', encoding="utf-8")
    command = [sys.executable, str(ROOT / "scripts/build_suite.py"), "--database", str(shop), "--pairs", str(pairs)]
    command += ["--out", str(tmp_path / "out"), "--variants", "6", "--probes", "2", "--seed", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert "fall on the suite" in done.stdout
    assert load_suite(tmp_path / "out").queries == (DEAR,)
