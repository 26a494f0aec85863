"""Suites that are built when they are needed, and kept."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from t2s.metrics import suite as suite_room
from t2s.metrics.execution_accuracy import Judge
from t2s.metrics.suite import cached_suite
from t2s.sql.execute import Sandbox

GOLD = "SELECT name FROM pets WHERE age > 3"
LUCKY = "SELECT name FROM pets WHERE age >= 4"  # no pet of the original is between the two
OTHER = "SELECT max(age) FROM pets"


@pytest.fixture
def shelter(tmp_path: Path) -> Path:
    file = tmp_path / "shelter.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE pets (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age REAL)")
        connection.execute("INSERT INTO pets VALUES (1, 'Mia', 3), (2, 'Tom', 5), (3, 'Zoe', 4.5)")
    return file


def test_a_suite_is_built_once_for_the_same_database_and_queries(shelter: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    first = cached_suite(shelter, [GOLD, OTHER], tmp_path / "suites", lambda step, done, of: steps.append(step))
    assert {"mutants", "variants"} <= set(steps)
    steps.clear()
    assert cached_suite(shelter, [OTHER, GOLD, GOLD], tmp_path / "suites", lambda step, done, of: steps.append(step)) == first
    assert steps == []
    assert first.variants[0].file.is_file()


def test_another_database_other_queries_and_another_version_are_other_suites(
    shelter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built() -> int:
        return len(list((tmp_path / "suites").iterdir()))

    cached_suite(shelter, [GOLD], tmp_path / "suites")
    cached_suite(shelter, [OTHER], tmp_path / "suites")
    assert built() == 2
    with closing(sqlite3.connect(shelter)) as connection, connection:
        connection.execute("INSERT INTO pets VALUES (4, 'Ada', 1)")
    cached_suite(shelter, [GOLD], tmp_path / "suites")
    assert built() == 3
    monkeypatch.setattr(suite_room, "VERSION", 2**31)
    cached_suite(shelter, [GOLD], tmp_path / "suites")
    assert built() == 4


def test_what_was_interrupted_is_no_suite(shelter: Path, tmp_path: Path) -> None:
    def interrupt(step: str, done: int, of: int) -> None:
        if step == "variants":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_suite(shelter, [GOLD], tmp_path / "suites", interrupt)
    assert list((tmp_path / "suites").iterdir()) == []
    assert cached_suite(shelter, [GOLD], tmp_path / "suites").variants


def test_a_judge_with_a_suite_is_not_taken_in_by_luck(shelter: Path, tmp_path: Path) -> None:
    suite = cached_suite(shelter, [GOLD], tmp_path / "suites")
    with Sandbox(timeout_s=5, max_rows=5000, max_bytes=10_000_000, max_memory_bytes=128 << 20) as sandbox:
        assert Judge(sandbox, "strict").judge(shelter, GOLD, LUCKY).kind == "match"
        judge = Judge(sandbox, "strict", {shelter: suite})
        verdict = judge.judge(shelter, GOLD, LUCKY)
        assert verdict.kind == "mismatch"
        assert "right rows by luck" in verdict.detail
        assert judge.judge(shelter, GOLD, "SELECT p.name FROM pets AS p WHERE 3 < p.age").kind == "match"
        assert judge.judge(shelter, OTHER, OTHER).kind == "match", "a gold the suite was not made for is judged on one database"
