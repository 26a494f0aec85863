"""The test set asks what training never showed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from t2s.data.example import Example, Turn
from t2s.data.split import Split, split_by_shape, split_examples
from t2s.errors import DataError

ROOT = Path(__file__).resolve().parents[2]


def shape(sql: str) -> str:
    """A query without its numbers: enough of a skeleton for the queries below."""
    return re.sub(r"\d+", "?", sql)


def pool() -> list[Example]:
    """40 shapes of one, two and three tables, with one to five literals each."""
    sources = ("a", "a JOIN b ON a.id = b.id", "a JOIN b ON a.id = b.id JOIN c ON a.id = c.id")
    columns = "abcdefghijklmnopqrstuvwxyz"
    queries = [
        f"SELECT a.{columns[i % 26]} FROM {sources[i % 3]} WHERE a.{columns[i // 2]} > {literal}"
        for i in range(40)
        for literal in range(1 + i % 5)
    ]
    return [Example(f"question {i}", sql, "db") for i, sql in enumerate(queries)]


def everything(split: Split) -> list[Example]:
    return [*split.train, *split.val, *split.test]


@pytest.mark.parametrize("seed", range(5))
def test_no_shape_of_test_is_elsewhere_and_nothing_is_lost(seed: int) -> None:
    split = split_examples(pool(), val=15, test=25, seed=seed)
    asked = {shape(e.sql) for e in split.test}
    assert asked.isdisjoint(shape(e.sql) for e in [*split.train, *split.val])
    assert sorted(e.question for e in everything(split)) == sorted(e.question for e in pool())


@pytest.mark.parametrize(("val", "test"), [(15, 25), (1, 1), (50, 5), (5, 50)])
def test_sizes_are_as_asked_but_for_the_last_group_of_test(val: int, test: int) -> None:
    split = split_examples(pool(), val, test, seed=0)
    assert len(split.val) == val
    assert test <= len(split.test) <= test + 4  # the largest group has five


def test_test_mixes_small_and_large_queries_like_the_pool() -> None:
    joins = [e.sql.count("JOIN") for e in split_examples(pool(), val=15, test=30, seed=0).test]
    assert min(joins.count(n) for n in range(3)) >= 5


def test_the_same_seed_splits_alike_and_another_does_not() -> None:
    first, again, other = (split_examples(pool(), 15, 25, seed) for seed in (0, 0, 1))
    assert first == again
    assert [e.question for e in first.test] != [e.question for e in other.test]


@pytest.mark.parametrize(("val", "test"), [(60, 60), (119, 1), (0, 200)])
def test_a_pool_that_is_too_small_is_refused(val: int, test: int) -> None:
    with pytest.raises(DataError, match=r"120 pairs cannot give"):
        split_examples(pool(), val, test, seed=0)


def test_a_pool_of_one_shape_cannot_be_split_and_says_so() -> None:
    alike = [Example(f"question {i}", f"SELECT a FROM t WHERE b > {i}", "db") for i in range(10)]
    with pytest.raises(DataError):
        split_examples(alike, val=2, test=2, seed=0)


SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


@pytest.mark.parametrize("seed", range(5))
def test_splits_by_shape_share_no_shape_and_no_question_with_any_other(seed: int) -> None:
    asked_twice = [Example("QUESTION 0!", "SELECT x FROM y", "db"), Example("question 60", "SELECT z FROM y WHERE a = 1", "db")]
    split = split_by_shape([*pool(), *asked_twice], SHARES, seed)
    for keys in ({name: {shape(e.sql) for e in part} for name, part in split.items()},
                 {name: {e.question.lower().strip("!") for e in part} for name, part in split.items()}):  # fmt: skip
        assert len(set().union(*keys.values())) == sum(map(len, keys.values()))
    assert sorted(e.question for part in split.values() for e in part) == sorted(e.question for e in [*pool(), *asked_twice])
    assert 12 <= len(split["val"]) <= 16
    assert 24 <= len(split["test"]) <= 28


def test_turns_of_a_conversation_stay_together_and_follow_ups_in_common_words_bind_nothing() -> None:
    def talk(n: int) -> list[Example]:
        opening = Example(f"talk {n}", f"SELECT a{n} FROM t{n}", "db")
        turn = Turn(opening.question, opening.sql)
        return [opening, Example("and last year?", f"SELECT b{n} FROM t{n}", "db", (turn,))]

    talks = [talk(n) for n in range(20)]
    split = split_by_shape([e for pair in talks for e in pair], {"train": 0.5, "test": 0.5}, 0)
    assert len(split["train"]) == len(split["test"]) == 20
    for first, second in talks:
        assert any(first in part and second in part for part in split.values())


def test_a_shape_larger_than_a_split_goes_to_the_largest() -> None:
    alike = [Example(f"many {i}", f"SELECT q FROM t WHERE b > {i}", "db") for i in range(500)]
    split = split_by_shape([*alike, *pool()], SHARES, 0)
    assert all(e in split["train"] for e in alike)
    assert 60 <= len(split["val"]) <= 70


def test_the_same_seed_deals_alike_and_bad_shares_are_refused() -> None:
    assert split_by_shape(pool(), SHARES, 3) == split_by_shape(pool(), SHARES, 3)
    assert split_by_shape(pool(), SHARES, 3) != split_by_shape(pool(), SHARES, 4)
    for shares in ({}, {"train": 0.5}, {"train": 1.2, "test": -0.2}):
        with pytest.raises(DataError, match="shares"):
            split_by_shape(pool(), shares, 0)
    with pytest.raises(DataError, match="too few"):
        split_by_shape(pool()[:1] * 9, SHARES, 0)


def test_the_script_writes_three_files_that_keep_what_the_pairs_said(tmp_path: Path) -> None:
    rows = [{"question": e.question, "sql": e.sql, "database": "db", "tags": ["empty", "mine"], "id": f"crm-{e.question}"} for e in pool()]
    rows[0]["history"] = [{"question": "and before?", "sql": "SELECT 1"}]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = [sys.executable, str(ROOT / "scripts" / "split_pairs.py"), str(tmp_path / "pool.jsonl"), str(tmp_path / "out")]
    subprocess.run([*command, "--database", "db", "--val", "15", "--test", "25"], check=True, capture_output=True, timeout=120)
    files = {name: (tmp_path / "out" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() for name in ("train", "val", "test")}
    written = [json.loads(line) for lines in files.values() for line in lines]
    assert sorted(row["question"] for row in written) == sorted(row["question"] for row in rows)
    kept = {row["question"]: {key: row[key] for key in ("sql", "database", "id", "history") if key in row} for row in written}
    assert kept == {row["question"]: {key: row[key] for key in ("sql", "database", "id", "history") if key in row} for row in rows}
    assert all(row["tags"][:2] == ["empty", "mine"] and "filter" in row["tags"] for row in written)
    assert len(files["val"]) == 15


def test_the_script_refuses_a_bad_pool_in_one_message(tmp_path: Path) -> None:
    (tmp_path / "pool.jsonl").write_text("nonsense\n", encoding="utf-8")
    command = [sys.executable, str(ROOT / "scripts" / "split_pairs.py"), str(tmp_path / "pool.jsonl"), str(tmp_path / "out")]
    done = subprocess.run([*command, "--val", "1", "--test", "1"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "pool.jsonl:1: not JSON" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
