"""Scoring files of predicted SQL by the command, on a benchmark of two databases."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
QUESTIONS = [
    ("zoo", "How many animals are there?", "SELECT COUNT(*) FROM animals"),
    ("zoo", "Which kinds are there?", "SELECT DISTINCT kind FROM animals"),
    ("zoo", "Names from the lightest to the heaviest", "SELECT name FROM animals ORDER BY kg"),
    ("shop", "What does the tea cost?", "SELECT price FROM goods WHERE name = 'Tea'"),
    ("shop", "Dearest goods first", "SELECT name, price FROM goods ORDER BY price DESC"),
]
GOOD = [
    "select count(id) from animals;",
    "SELECT kind FROM animals GROUP BY kind",
    "SELECT name FROM animals ORDER BY kg ASC",
    "SELECT price FROM goods WHERE name = 'tea'",
    "SELECT price, name FROM goods ORDER BY price DESC",
]
BAD = ["SELECT 1", "SELECT kind FROM", "DROP TABLE animals", "", "SELECT name, price FROM goods ORDER BY price"]


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bench")
    tables = {
        "zoo": (
            "CREATE TABLE animals (id INTEGER PRIMARY KEY, name TEXT, kind TEXT, kg REAL)",
            "INSERT INTO animals VALUES (1, 'Leo', 'lion', 190), (2, 'Pip', 'mouse', 0.02), (3, 'Tom', 'lion', 170)",
        ),
        "shop": ("CREATE TABLE goods (name TEXT, price REAL)", "INSERT INTO goods VALUES ('Tea', 3.5), ('Jam', 4.25), ('Salt', 1)"),
    }
    for name, statements in tables.items():
        (root / "database" / name).mkdir(parents=True)
        with closing(sqlite3.connect(root / "database" / name / f"{name}.sqlite")) as connection, connection:
            for statement in statements:
                connection.execute(statement)
    (root / "dev.json").write_text(json.dumps([{"db_id": d, "question": q, "query": s} for d, q, s in QUESTIONS]), encoding="utf-8")
    for name, lines in (("good", GOOD), ("bad", BAD)):
        (root / f"{name}.sql").write_text(
            "".join(f"{sql}\t{d}\n" for sql, (d, _, _) in zip(lines, QUESTIONS, strict=True)), encoding="utf-8"
        )
    return root


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "t2s.evaluate", "data=spider", f"data.root={root}", f"paths.cache_dir={root}/cache", *words]
    return subprocess.run(command, cwd=root, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_predictions_are_scored_by_every_comparison_in_input_order(benchmark: Path) -> None:
    done = run(benchmark, "predictions=good.sql")
    assert done.returncode == 0, done.stderr
    rows = lines(benchmark / "evaluation/predictions.jsonl")
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]
    assert [(row["spider"], row["bird"], row["strict"]) for row in rows] == [
        (True, True, True),
        (False, True, True),  # without its DISTINCT the gold gives three rows, and GROUP BY two
        (True, True, True),
        (False, False, False),
        (True, False, False),
    ]
    assert rows[3]["diagnosis"] == ["wrong_value"]
    assert "Tea" in rows[3]["detail"]
    assert {"question", "gold", "predicted", "execution", "hardness"} <= rows[0].keys()
    totals = json.loads((benchmark / "evaluation/summary.json").read_text(encoding="utf-8"))
    assert (totals["n"], totals["spider"]["matches"], totals["bird"]["matches"], totals["strict"]["matches"]) == (5, 3, 3, 3)
    assert "What does the tea cost?" in (benchmark / "evaluation/report.html").read_text(encoding="utf-8")
    assert max(map(len, done.stdout.splitlines())) <= 80 or "report" in done.stdout.splitlines()[-1]


def test_columns_in_any_order_are_strict_s_choice(benchmark: Path) -> None:
    run(benchmark, "predictions=good.sql", "columns=free", "output=free")
    assert [row["strict"] for row in lines(benchmark / "free/predictions.jsonl")] == [True, True, True, False, True]


def test_a_score_below_the_wanted_one_is_an_exit_code_for_ci(benchmark: Path) -> None:
    assert run(benchmark, "predictions=good.sql", "min_ex=0.6", "output=ci").returncode == 0
    failed = run(benchmark, "predictions=good.sql", "min_ex=0.7", "output=ci")
    assert failed.returncode == 1
    assert "0.600 (strict) is below min_ex=0.7" in failed.stderr
    assert (benchmark / "ci/report.html").exists(), "what was found is kept"


def test_a_baseline_is_compared_question_by_question(benchmark: Path) -> None:
    done = run(benchmark, "predictions=good.sql", "baseline=bad.sql", "output=paired")
    assert done.returncode == 0, done.stderr
    paired = json.loads((benchmark / "paired/paired.json").read_text(encoding="utf-8"))
    assert (paired["strict"]["only_first"], paired["strict"]["only_second"], paired["strict"]["both_wrong"]) == (0, 3, 2)
    assert paired["strict"]["p_value"] == pytest.approx(0.25)
    assert [row["index"] for row in lines(benchmark / "paired/changes.jsonl")] == [0, 1, 2, 4]


def test_luck_on_one_database_is_none_on_a_suite(benchmark: Path) -> None:
    golds = [{"question": question, "sql": sql} for database, question, sql in QUESTIONS if database == "shop"]
    (benchmark / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in golds), encoding="utf-8")
    script = [
        sys.executable,
        str(ROOT / "scripts/build_suite.py"),
        "--pairs",
        "pairs.jsonl",
        "--out",
        "suite",
        "--variants",
        "8",
        "--probes",
        "2",
    ]
    made = subprocess.run(
        [*script, "--database", "database/shop/shop.sqlite"], cwd=benchmark, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )
    assert made.returncode == 0, made.stderr
    lucky = [*GOOD[:3], "SELECT price FROM goods WHERE price BETWEEN 3 AND 4", "SELECT name, price FROM goods ORDER BY price DESC"]
    (benchmark / "lucky.sql").write_text("".join(f"{sql}\n" for sql in lucky), encoding="utf-8")
    run(benchmark, "predictions=lucky.sql", "output=one")
    done = run(benchmark, "predictions=lucky.sql", "output=all", "suite=suite")
    assert done.returncode == 0, done.stderr
    assert [row["strict"] for row in lines(benchmark / "one/predictions.jsonl")] == [True, True, True, True, True]
    rows = lines(benchmark / "all/predictions.jsonl")
    assert [row["strict"] for row in rows] == [True, True, True, False, True]
    assert "by luck" in rows[3]["detail"]
    assert "2 of 5 questions judged on the suite's" in done.stdout


def test_a_suite_is_built_for_the_questions_at_hand_and_kept(benchmark: Path) -> None:
    lucky = [*GOOD[:3], "SELECT price FROM goods WHERE price BETWEEN 3 AND 4", GOOD[4]]
    (benchmark / "lucky.sql").write_text("".join(f"{sql}\n" for sql in lucky), encoding="utf-8")
    run(benchmark, "predictions=lucky.sql", "output=without", "suite=false")
    assert lines(benchmark / "without/predictions.jsonl")[3]["strict"]
    done = run(benchmark, "predictions=lucky.sql", "output=with", "suite=true", "columns=free")
    assert done.returncode == 0, done.stderr
    built = {file: file.stat().st_mtime_ns for file in (benchmark / "cache/suites").glob("*/*")}
    assert len([file for file in built if file.name == "suite.json"]) == 2, "one for each database"
    assert not lines(benchmark / "with/predictions.jsonl")[3]["strict"]
    assert "5 of 5 questions judged on the suite's" in done.stdout
    totals = json.loads((benchmark / "with/summary.json").read_text(encoding="utf-8"))
    assert (totals["columns"], totals["suite"][:5]) == ("free", "built")
    assert "in any order (columns=free); right on a suite" in (benchmark / "with/report.html").read_text(encoding="utf-8")
    again = run(benchmark, "predictions=lucky.sql", "output=again", "suite=true", "columns=free")
    assert again.returncode == 0, again.stderr
    assert {file: file.stat().st_mtime_ns for file in (benchmark / "cache/suites").glob("*/*")} == built


def test_broken_predictions_get_verdicts_and_leave_the_database_alone(benchmark: Path) -> None:
    before = (benchmark / "database/zoo/zoo.sqlite").read_bytes()
    run(benchmark, "predictions=bad.sql", "output=bad")
    assert [row["execution"] for row in lines(benchmark / "bad/predictions.jsonl")] == [
        "ok",
        "syntax_error",
        "refused",
        "empty_prediction",
        "ok",
    ]
    assert (benchmark / "database/zoo/zoo.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predictions=nowhere.sql"], "nowhere.sql does not exist"),
        (["predictions=dev.json"], "dev.json"),
        (["predictions=good.sql", "force=true"], "force=True has no effect beside predictions="),
        (["predictions=good.sql", "run=outputs/x"], "give either run=outputs/... or predictions=file.sql"),
        (["predictions=good.sql", "splits=[test]"], "choose from dev"),
        (["predictions=good.sql", "comparison=loose"], "strict or spider or bird"),
        (["predictions=good.sql", "suite=nowhere"], "no suite in nowhere"),
        (["predictions=good.sql", "min_ex=2"], "min_ex=2.0 is out of range"),
    ],
)
def test_bad_input_ends_in_one_sentence(benchmark: Path, words: list[str], message: str) -> None:
    done = run(benchmark, *words)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_set_of_conversations_is_scored_by_question_and_by_interaction(benchmark: Path, tmp_path: Path) -> None:
    talk = [{"question": q, "sql": sql} for _, q, sql in QUESTIONS[:3]]
    other = [{"question": q, "sql": sql} for _, q, sql in QUESTIONS[:2]]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps({"turns": turns}) + "\n" for turns in (talk, other)), encoding="utf-8")
    (tmp_path / "wrote.sql").write_text("\n".join([sql for _, _, sql in QUESTIONS[:3]] + [QUESTIONS[0][2], "SELECT 1"]), encoding="utf-8")
    words = ["data=jsonl", f"data.database={benchmark}/database/zoo/zoo.sqlite", "data.held_out.test=test.jsonl", "predictions=wrote.sql"]
    command = [sys.executable, "-m", "t2s.evaluate", *words, f"paths.cache_dir={tmp_path}/cache"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    totals = json.loads((tmp_path / "evaluation/summary.json").read_text(encoding="utf-8"))
    assert (totals["question_match"]["n"], totals["question_match"]["strict"]["matches"]) == (5, 4)
    assert (totals["interaction_match"]["n"], totals["interaction_match"]["strict"]["matches"]) == (2, 1)
    assert [(row["conversation"], row["turn"]) for row in lines(tmp_path / "evaluation/predictions.jsonl")] == [
        ("test.jsonl:1", 1), ("test.jsonl:1", 2), ("test.jsonl:1", 3), ("test.jsonl:2", 1), ("test.jsonl:2", 2),
    ]  # fmt: skip
    assert "interaction match" in done.stdout
    refused = subprocess.run([*command, "history=own"], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert "history=own has no effect beside predictions=" in refused.stderr
