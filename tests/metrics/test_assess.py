"""Many predictions judged at once: every comparison, reasons, and answers that are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from t2s.errors import DataError
from t2s.metrics.assess import Assessor
from t2s.metrics.assessment import Assessment, Case
from t2s.metrics.cache import AnswerCache, key
from t2s.sql.execute import Outcome, Sandbox

GOLD = "SELECT name FROM pets ORDER BY id"


class CountingSandbox(Sandbox):
    """Remembers what it ran."""

    def __init__(self) -> None:
        super().__init__(timeout_s=0.5, max_rows=1000, max_bytes=2_000_000, max_memory_bytes=128 << 20)
        self.ran: list[str] = []

    def execute_many(self, cases: Iterable[tuple[str, Path]]) -> Iterator[Outcome]:
        statements = list(cases)
        self.ran += [sql for sql, _ in statements]
        return super().execute_many(statements)


@pytest.fixture
def box() -> Iterator[CountingSandbox]:
    with CountingSandbox() as box:
        yield box


def cases(pets: Path, *pairs: tuple[str, str]) -> list[Case]:
    return [Case(i, f"question {i}", "pets", pets, gold, predicted) for i, (gold, predicted) in enumerate(pairs)]


def assess(box: Sandbox, asked: list[Case], cache: Path | None = None, limits: str = "") -> list[Assessment]:
    with AnswerCache(cache) as answers:
        return Assessor(box, {}, answers, limits, "fixed").assess(asked, lambda done: None)


def test_one_pass_gives_every_verdict_in_input_order(box: CountingSandbox, pets: Path) -> None:
    asked = cases(
        pets,
        (GOLD, GOLD),
        (GOLD, "SELECT name FROM pets ORDER BY id DESC"),
        ("SELECT name, age FROM pets", "SELECT age, name FROM pets"),
        ("SELECT 1", "SELECT 1 UNION ALL SELECT 1"),
        (GOLD, "SELECT colour FROM pets"),
        (GOLD, ""),
        (GOLD, "DELETE FROM pets"),
    )
    found = assess(box, asked)
    assert [a.case for a in found] == asked
    assert [(a.execution, a.spider, a.bird, a.strict) for a in found] == [
        ("ok", True, True, True),
        ("ok", False, True, False),
        ("ok", True, False, False),
        ("ok", False, True, False),
        ("missing_column", False, False, False),
        ("empty_prediction", False, False, False),
        ("refused", False, False, False),
    ]
    assert [bool(a.detail) for a in found] == [False, True, True, True, True, True, True]
    assert found[1].diagnosis[0] == "wrong_order"
    assert found[0].gold_head.rows == (("Mia",), ("Tom",), ("Zoe",))
    assert found[4].predicted_head is None


def test_a_wrong_value_is_named_with_the_one_that_was_meant(box: CountingSandbox, pets: Path) -> None:
    (found,) = assess(box, cases(pets, ("SELECT age FROM pets WHERE name = 'Mia'", "SELECT age FROM pets WHERE name = 'mia'")))
    assert found.diagnosis == ("wrong_value",)
    assert "Mia" in found.detail


def test_each_statement_runs_once(box: CountingSandbox, pets: Path) -> None:
    assess(box, cases(pets, (GOLD, "SELECT 1"), (GOLD, "SELECT 1"), (GOLD, GOLD)))
    assert sorted(box.ran) == sorted([GOLD, "SELECT 1"])


def test_known_answers_are_not_made_again(box: CountingSandbox, pets: Path, tmp_path: Path) -> None:
    asked = cases(pets, (GOLD, "SELECT name FROM pets"), ("SELECT x'00', 1.5, NULL", "SELECT 2"))
    first = assess(box, asked, tmp_path / "answers")
    ran = len(box.ran)
    assert assess(box, asked, tmp_path / "answers") == first
    assert len(box.ran) == ran
    assess(box, cases(pets, (GOLD, "SELECT 7")), tmp_path / "answers")
    assert box.ran[ran:] == ["SELECT 7"], "the gold's rows are known too"


def test_a_changed_file_or_other_limits_make_answers_anew(box: CountingSandbox, pets: Path, tmp_path: Path) -> None:
    import shutil
    import sqlite3
    from contextlib import closing

    copy = tmp_path / "pets.sqlite"
    shutil.copy(pets, copy)
    asked = cases(copy, (GOLD, "SELECT name FROM pets WHERE id < 4 ORDER BY id"))
    assert assess(box, asked, tmp_path / "answers")[0].strict
    before = len(box.ran)
    assert assess(box, asked, tmp_path / "answers", limits="others")[0].strict
    assert len(box.ran) > before
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("INSERT INTO pets VALUES (4, 'Ada', 1)")
    assert not assess(box, asked, tmp_path / "answers")[0].strict


def test_a_timeout_is_not_kept(box: CountingSandbox, pets: Path, tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"
    asked = cases(pets, (GOLD, endless))
    assert assess(box, asked, tmp_path / "answers")[0].execution == "timeout"
    before = len(box.ran)
    assess(box, asked, tmp_path / "answers")
    assert endless in box.ran[before:]


def test_every_broken_gold_is_named_at_once(box: CountingSandbox, pets: Path) -> None:
    with pytest.raises(DataError) as error:
        assess(box, cases(pets, ("SELECT colour FROM pets", "SELECT 1"), (GOLD, GOLD), ("SELEC", "SELECT 1")))
    assert len(error.value.problems) == 2
    assert "question 2 on pets" in error.value.problems[1]


def test_a_cache_that_cannot_be_used_is_no_error(box: CountingSandbox, pets: Path, tmp_path: Path) -> None:
    broken = tmp_path / "answers"
    broken.write_bytes(b"this is no database" * 100)
    assert assess(box, cases(pets, (GOLD, GOLD)), broken)[0].strict


def test_keys_part_what_joins_alike() -> None:
    assert key("ab", "c") != key("a", "bc")
