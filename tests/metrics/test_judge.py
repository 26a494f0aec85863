"""Verdicts on predictions, and their sum."""

from pathlib import Path

import pytest

from t2s.errors import DatabaseError, DataError
from t2s.metrics.execution_accuracy import Judge, Score, Verdict, VerdictKind, judge, score
from t2s.sql.execute import Outcome, Sandbox


@pytest.mark.parametrize(
    ("predicted", "kind"),
    [
        ("SELECT name FROM pets ORDER BY id", "match"),
        ("SELECT name FROM pets ORDER BY id DESC", "mismatch"),
        ("SELECT name, age FROM pets ORDER BY id", "mismatch"),
        ("SELECT name FROM pets LIMIT 1", "mismatch"),
        ("SELECT colour FROM pets", "missing_column"),
        ("DELETE FROM pets", "refused"),
        ("", "empty_prediction"),
        ("I do not know.", "syntax_error"),
    ],
)
def test_a_prediction_gets_the_verdict_it_deserves(sandbox: Sandbox, pets: Path, predicted: str, kind: VerdictKind) -> None:
    verdict = judge(sandbox, pets, "SELECT name FROM pets ORDER BY id", predicted, "strict")
    assert verdict.kind == kind
    assert bool(verdict.detail) == (kind != "match")


def test_the_comparison_decides_what_matches(sandbox: Sandbox, pets: Path) -> None:
    case = (pets, "SELECT 1", "SELECT 1 UNION ALL SELECT 1")
    assert Judge(sandbox, "strict").judge(*case).kind == "mismatch"
    assert Judge(sandbox, "bird").judge(*case).kind == "match"


def test_gold_sql_that_does_not_run_is_an_error_that_names_it(sandbox: Sandbox, pets: Path) -> None:
    with pytest.raises(DataError, match=r"missing_column.*SELECT colour FROM pets"):
        Judge(sandbox, "strict").judge(pets, "SELECT colour FROM pets", "SELECT 1")


def test_a_missing_database_is_an_error_and_no_verdict(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="nowhere"):
        Judge(sandbox, "strict").judge(tmp_path / "nowhere", "SELECT 1", "SELECT 1")


class CountingSandbox(Sandbox):
    """Remembers what it ran."""

    ran: tuple[str, ...] = ()

    def execute(self, sql: str, database: Path) -> Outcome:
        self.ran += (sql,)
        return super().execute(sql, database)


def test_each_gold_query_runs_once(pets: Path) -> None:
    with CountingSandbox(timeout_s=1, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20) as sandbox:
        verdicts = Judge(sandbox, "strict").judge_many([(pets, "SELECT 1", sql) for sql in ("SELECT 2", "SELECT 1.0")])
    assert [verdict.kind for verdict in verdicts] == ["mismatch", "match"]
    assert sandbox.ran == ("SELECT 1", "SELECT 2", "SELECT 1.0")


def test_a_score_counts_matches_and_valid_sql() -> None:
    kinds: list[VerdictKind] = ["match", "match", "mismatch", "timeout"]
    found = score([Verdict(kind, "") for kind in kinds])
    # The interval by hand: z = 1.96, n = 4, share = 1/2 -> 0.5 ± 0.34996.
    assert found == Score(0.5, 0.75, 4, found.interval, {"match": 2, "mismatch": 1, "timeout": 1})
    assert found.interval == pytest.approx((0.15004, 0.84996), abs=1e-4)


def test_a_score_without_any_match_is_zero() -> None:
    found = score([Verdict("refused", "x")])
    assert (found.execution_accuracy, found.valid_sql, found.verdicts) == (0.0, 0.0, {"refused": 1})


def test_nothing_cannot_be_scored() -> None:
    with pytest.raises(DataError, match="at least one"):
        score([])
