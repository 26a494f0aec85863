"""Execution accuracy: run the gold and the prediction, and compare what they give."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from t2s.errors import DataError
from t2s.metrics.intervals import wilson
from t2s.sql.compare import Comparison, as_run, same_answer
from t2s.sql.execute import Outcome, OutcomeKind, Row, Sandbox
from t2s.sql.testsuite import Suite

# An outcome's kind other than "ok" is the verdict as it stands.
VerdictKind = Literal["match", "mismatch"] | OutcomeKind


@dataclass(frozen=True)
class Verdict:
    """What became of one prediction; `detail` says in one line why it is no match."""

    kind: VerdictKind
    detail: str

    @property
    def ran(self) -> bool:
        """Whether the predicted SQL gave a result, right or wrong."""
        return self.kind in ("match", "mismatch")


class Judge:
    """Judges predictions and remembers the results of gold queries.

    Args:
        sandbox: Where the SQL runs; the caller closes it.
        comparison: What counts as the same result; see `t2s.sql.compare.same_result`.
        suites: By database file: where there is one, right is what is right on all of its databases too.
    """

    def __init__(self, sandbox: Sandbox, comparison: Comparison, suites: Mapping[Path, Suite] | None = None) -> None:
        self._sandbox = sandbox
        self._suites = suites or {}
        self._comparison = comparison
        self._gold: dict[tuple[Path, str], Outcome] = {}

    def judge(self, database: Path, gold: str, predicted: str) -> Verdict:
        """What becomes of one prediction.

        Raises:
            DataError: the gold SQL itself does not run.
            DatabaseError: the database is missing or cannot be read.
        """
        verdict = self._judge_on(database, gold, predicted)
        if verdict.kind == "match" and database in self._suites:
            for file in self._suites[database].files(gold):
                if self._judge_on(file, gold, predicted).kind != "match":
                    return Verdict("mismatch", by_luck(file.name))
        return verdict

    def _judge_on(self, database: Path, gold: str, predicted: str) -> Verdict:
        expected = self._run_gold(database, as_run(gold, self._comparison))
        outcome = self._sandbox.execute(as_run(predicted, self._comparison), database)
        if outcome.kind != "ok":
            return Verdict(outcome.kind, outcome.detail)
        if same_answer(gold, expected.rows, outcome.rows, self._comparison):
            return Verdict("match", "")
        return Verdict("mismatch", _difference(expected.rows, outcome.rows))

    def judge_many(self, cases: Iterable[tuple[Path, str, str]]) -> list[Verdict]:
        """Verdicts on (database, gold, predicted), in order; see `judge`."""
        return [self.judge(database, gold, predicted) for database, gold, predicted in cases]

    def _run_gold(self, database: Path, gold: str) -> Outcome:
        known = self._gold.get((database, gold))
        if known is None:
            known = self._sandbox.execute(gold, database)
            if known.kind != "ok":
                raise DataError(
                    f"gold SQL does not run on {database} ({known.kind}: {known.detail}): {gold!r}; "
                    "correct the example, or raise the sandbox's limits if it is too large or too slow"
                )
            self._gold[database, gold] = known
        return known


def judge(sandbox: Sandbox, database: Path, gold: str, predicted: str, comparison: Comparison) -> Verdict:
    """What becomes of a single prediction; for many, a `Judge` runs each gold query only once.

    Raises:
        DataError: the gold SQL itself does not run.
        DatabaseError: the database is missing or cannot be read.
    """
    return Judge(sandbox, comparison).judge(database, gold, predicted)


def by_luck(file: str) -> str:
    """What is said of a prediction that is right on one database and wrong on another of its suite."""
    return f"right rows by luck: not those of the gold on {file}"


def _difference(gold: Sequence[Row], predicted: Sequence[Row]) -> str:
    if len(gold) != len(predicted):
        return f"{len(predicted)} rows instead of {len(gold)}"
    if gold and len(gold[0]) != len(predicted[0]):
        return f"{len(predicted[0])} columns instead of {len(gold[0])}"
    return "other values, or another order"


@dataclass(frozen=True)
class Score:
    """How good a set of predictions is.

    Attributes:
        execution_accuracy: Share of predictions that match, in [0, 1].
        valid_sql: Share whose SQL ran, right or wrong, in [0, 1].
        n: How many predictions were judged.
        interval: 95 % Wilson interval of the execution accuracy.
        verdicts: How many predictions got each kind of verdict, the most frequent first.
    """

    execution_accuracy: float
    valid_sql: float
    n: int
    interval: tuple[float, float]
    verdicts: dict[str, int]


def score(verdicts: Sequence[Verdict]) -> Score:
    """Sum up verdicts.

    Raises:
        DataError: there are none, so there is no accuracy to speak of.
    """
    n = len(verdicts)
    if n == 0:
        raise DataError("no verdicts to score; evaluate at least one example")
    kinds = Counter(str(verdict.kind) for verdict in verdicts)
    matches = kinds["match"]
    return Score(
        execution_accuracy=matches / n,
        valid_sql=sum(verdict.ran for verdict in verdicts) / n,
        n=n,
        interval=wilson(matches, n),
        verdicts={kind: count for kind, count in kinds.most_common() if count},
    )
