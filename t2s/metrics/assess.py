"""Judge many predictions by every comparison at once: each statement runs once, and what is known is read from disk."""

from __future__ import annotations

import functools
import marshal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from t2s.errors import DataError
from t2s.metrics.assessment import Assessment, Case, Head
from t2s.metrics.cache import AnswerCache, key
from t2s.runtime import sha256
from t2s.sql.compare import Columns, as_run, same_answer
from t2s.sql.diagnose import Diagnosis, diagnose
from t2s.sql.execute import Outcome, OutcomeKind, Sandbox
from t2s.sql.hardness import Hardness, hardness
from t2s.sql.schema import Schema
from t2s.sql.values import Nearest, nearest_among

VERSION = "1"  # of what is kept; raise it when a comparison, an outcome or a diagnosis changes
CASES_AT_ONCE = 256  # whose results are in memory together
HEAD_ROWS = 8
HEAD_CHARS = 200
MOST_TEXTS = 5000  # of a column, among which the value somebody meant is looked for
# Outcomes that a busy machine may bring about: never kept.
_OF_THE_MOMENT = ("timeout", "crashed")

_Statement = tuple[str, str]  # the database's file and the SQL
_Reason = tuple[Hardness, tuple[str, ...], str]  # hardness, kinds of diagnosis, the first in words


class Judgement(NamedTuple):
    """What running gold and prediction tells; see `Assessment`. Heads are (columns, first rows, how many rows)."""

    execution: OutcomeKind
    detail: str
    spider: bool
    bird: bool
    strict: bool
    gold_head: tuple[Any, ...]
    predicted_head: tuple[Any, ...] | None


_Judged = tuple[Case, Judgement]
# Gold and prediction, each as written and as `spider` runs it.
_Four = tuple[_Statement, _Statement, _Statement, _Statement]


@dataclass
class _Batch:
    """Cases on their way to a verdict.

    Attributes:
        cases: All of them.
        keys: Of their verdicts.
        judgements: What is known, by key.
        new: Those without a verdict, each with its statements.
        golds: Gold statements among these whose rows are not kept yet, with their keys.
        outcomes: What statements gave.
        missing: Statements to run, in the order in which `new` needs them.
        kept: What goes into the cache.
    """

    cases: list[Case]
    keys: list[str]
    judgements: dict[str, Judgement]
    new: deque[tuple[str, tuple[Case, _Four]]]
    golds: dict[_Statement, str]
    outcomes: dict[_Statement, Outcome]
    missing: deque[_Statement]
    kept: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Assessor:
    """Judges predictions.

    Attributes:
        sandbox: Where statements run; its workers run side by side.
        schemas: By database name, for diagnoses.
        cache: Answers of earlier times.
        limits: What besides file and statement decides an outcome, in words: answers made under others are not taken.
        columns: Whether `strict` lets columns come in any order.
    """

    sandbox: Sandbox
    schemas: Mapping[str, Schema]
    cache: AnswerCache
    limits: str
    columns: Columns
    _hashes: dict[str, str] = field(default_factory=dict)
    _nearest: dict[Path, Nearest] = field(default_factory=dict)

    def assess(self, cases: Iterable[Case], progress: Callable[[int], object]) -> list[Assessment]:
        """Verdicts and their reasons, in the order of the cases.

        Args:
            cases: What to judge, taken as they come.
            progress: Told how many are done.

        Raises:
            DataError: names every gold query that does not run.
            DatabaseError: a database is missing or cannot be read.
        """
        found: list[Assessment] = []
        for judged in self._judged(cases):
            found += map(_assessment, judged, self._reasons(judged))
            progress(len(found))
        return found

    def judge(self, cases: Iterable[Case]) -> list[Judgement]:
        """Verdicts alone, in the order of the cases: `assess` without its reading of syntax trees, which takes most of its time.

        Raises:
            DataError: names every gold query that does not run.
            DatabaseError: a database is missing or cannot be read.
        """
        return [judgement for judged in self._judged(cases) for _, judgement in judged]

    def _judged(self, cases: Iterable[Case]) -> Iterator[list[_Judged]]:
        """Batch by batch; a gold query that does not run leaves its case out, and is told of when all have been run."""
        problems: list[str] = []
        under_way: deque[_Batch] = deque()

        def wanted() -> Iterator[tuple[str, Path]]:
            for batch in _batches(cases):
                files = {str(case.file): case.file for case in batch}
                under_way.append(self._looked_up(batch))
                yield from [(sql, files[file]) for file, sql in under_way[-1].missing]

        # One run over all batches: while one is compared, workers go on with the next.
        for outcome in self.sandbox.execute_many(wanted()):
            while not under_way[0].missing:
                yield self._finished(under_way.popleft())
            under_way[0].outcomes[under_way[0].missing.popleft()] = outcome
            self._compare(under_way[0], problems)
        for batch in under_way:
            yield self._finished(batch)
        if problems:
            raise DataError.from_problems(problems, hint="correct these gold queries, or raise the sandbox's limits where they are too low")

    def _looked_up(self, cases: list[Case]) -> _Batch:
        """What the cache knows of these cases, and what there is still to run."""
        keys = [self._key("verdict", str(case.file), case.gold, case.predicted) for case in cases]
        known = {k: Judgement(*answer) for k, answer in self.cache.get(dict.fromkeys(keys)).items()}
        new = {k: (case, _statements(case)) for k, case in zip(keys, cases, strict=True) if k not in known}
        golds = {gold: self._key("rows", *gold) for gold in dict.fromkeys(gold for _, four in new.values() for gold in four[:2])}
        rows = self.cache.get(golds.values())
        outcomes = {gold: Outcome("ok", rows[k][0], rows[k][1], "", 0.0) for gold, k in golds.items() if k in rows}
        missing = dict.fromkeys(statement for _, four in new.values() for statement in four if statement not in outcomes)
        return _Batch(cases, keys, known, deque(new.items()), {g: k for g, k in golds.items() if k not in rows}, outcomes, deque(missing))

    def _compare(self, batch: _Batch, problems: list[str]) -> None:
        """Judges the next cases, as far as their statements have been run."""
        while batch.new and all(statement in batch.outcomes for statement in batch.new[0][1][1]):
            k, (case, four) = batch.new.popleft()
            answers = [batch.outcomes[statement] for statement in four]
            judgement = self._verdict(case, answers, problems)
            if judgement is not None:
                batch.judgements[k] = judgement
                if not any(outcome.kind in _OF_THE_MOMENT for outcome in answers):
                    batch.kept[k] = tuple(judgement)

    def _finished(self, batch: _Batch) -> list[_Judged]:
        golds = {k: batch.outcomes[gold] for gold, k in batch.golds.items()}
        self.cache.put(batch.kept | {k: (gold.columns, gold.rows) for k, gold in golds.items() if gold.kind == "ok"})
        return [(case, batch.judgements[k]) for case, k in zip(batch.cases, batch.keys, strict=True) if k in batch.judgements]

    def _verdict(self, case: Case, answers: Sequence[Outcome], problems: list[str]) -> Judgement | None:
        gold, spider_gold, predicted, spider_predicted = answers
        if gold.kind != "ok":
            problems.append(f"question {case.index} on {case.database}: gold SQL does not run ({gold.kind}: {gold.detail}): {case.gold}")
            return None
        ok = predicted.kind == "ok"
        spider_ok = spider_gold.kind == "ok" and spider_predicted.kind == "ok"
        return Judgement(
            execution=predicted.kind,
            detail=predicted.detail or _difference(gold, predicted),
            spider=spider_ok and same_answer(case.gold, spider_gold.rows, spider_predicted.rows, "spider"),
            bird=ok and same_answer(case.gold, gold.rows, predicted.rows, "bird"),
            strict=ok and same_answer(case.gold, gold.rows, predicted.rows, "strict", self.columns),
            gold_head=_head(gold),
            predicted_head=_head(predicted) if ok else None,
        )

    def _reasons(self, judged: list[_Judged]) -> list[_Reason]:
        keys = [self._key("reason", str(case.file), case.gold, case.predicted) for case, _ in judged]
        known = self.cache.get(dict.fromkeys(keys))
        made = {k: self._reason(*one) for k, one in zip(keys, judged, strict=True) if k not in known}
        self.cache.put(made)
        known |= made
        return [known[k] for k in keys]

    def _reason(self, case: Case, judgement: Judgement) -> _Reason:
        why = () if judgement.strict else self._why(case)
        return _hardness(case.gold), tuple(dict.fromkeys(one.kind for one in why)), next((one.detail for one in why if one.detail), "")

    def _why(self, case: Case) -> tuple[Diagnosis, ...]:
        if case.file not in self._nearest:
            self._nearest[case.file] = nearest_among(lambda table, column: self._texts(case.file, table, column))
        return diagnose(case.gold, case.predicted, self.schemas.get(case.database), self._nearest[case.file])

    def _texts(self, file: Path, table: str, column: str) -> list[str]:
        names = [name.replace('"', '""') for name in (column, table)]
        sql = 'SELECT DISTINCT "{0}" FROM "{1}" WHERE typeof("{0}") = \'text\' LIMIT {2}'.format(*names, MOST_TEXTS)
        return [str(value) for (value,) in self.sandbox.execute(sql, file).rows]

    def _key(self, kind: str, file: str, *statements: str) -> str:
        if file not in self._hashes:
            self._hashes[file] = sha256(Path(file))
        return key(VERSION, kind, self.limits, self.columns, self._hashes[file], *statements)


def _statements(case: Case) -> _Four:
    file = str(case.file)
    return (file, case.gold), (file, _for_spider(case.gold)), (file, case.predicted), (file, as_run(case.predicted, "spider"))


@functools.lru_cache(maxsize=1024)
def _for_spider(gold: str) -> str:
    return as_run(gold, "spider")


def _hardness(gold: str) -> Hardness:
    try:
        return hardness(gold)
    except DataError:
        return "unknown"


def _batches(cases: Iterable[Case]) -> Iterator[list[Case]]:
    rest = iter(cases)
    while batch := list(islice(rest, CASES_AT_ONCE)):
        yield batch


def _difference(gold: Outcome, predicted: Outcome) -> str:
    if len(gold.columns) != len(predicted.columns):
        return f"{len(predicted.columns)} columns instead of {len(gold.columns)}"
    if len(gold.rows) != len(predicted.rows):
        return f"{len(predicted.rows)} rows instead of {len(gold.rows)}"
    return "other values, or another order"


def _head(outcome: Outcome) -> tuple[Any, ...]:
    rows = outcome.rows[:HEAD_ROWS]
    if len(marshal.dumps(rows)) > HEAD_CHARS:  # a quick look: what takes fewer bytes holds no longer text
        rows = tuple(tuple(_short(cell) for cell in row) for row in rows)
    return outcome.columns, rows, len(outcome.rows)


def _short(cell: Any) -> Any:
    return cell[:HEAD_CHARS] if isinstance(cell, str | bytes) else cell


def _assessment(judged: _Judged, reason: _Reason) -> Assessment:
    case, judgement = judged
    hard, diagnosis, in_words = reason
    execution, detail, spider, bird, strict, gold, predicted = judgement
    if execution == "ok":
        detail = "" if strict else in_words or detail
    heads = Head(*gold), None if predicted is None else Head(*predicted)
    return Assessment(case, execution, detail, spider, bird, strict, hard, diagnosis, *heads)
