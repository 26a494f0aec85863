"""Judge many predictions by every comparison at once: each statement runs once, and what is known is read from disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from t2s.errors import DataError
from t2s.metrics.assessment import Assessment, Case, Hardness, Head
from t2s.metrics.cache import AnswerCache, key
from t2s.runtime import sha256
from t2s.sql.compare import Columns, as_spider_runs, is_ordered, same_result, spider_orders
from t2s.sql.diagnose import Diagnosis, diagnose
from t2s.sql.execute import Outcome, OutcomeKind, Sandbox
from t2s.sql.hardness import hardness
from t2s.sql.schema import Schema
from t2s.sql.values import Nearest, nearest_among

VERSION = "1"  # of what is kept; raise it when a comparison, an outcome or a diagnosis changes
CASES_AT_ONCE = 256  # whose results are in memory together
HEAD_ROWS = 8
HEAD_CHARS = 200
MOST_TEXTS = 5000  # of a column, among which the value somebody meant is looked for
# Outcomes that a busy machine may bring about: never kept.
_OF_THE_MOMENT = ("timeout", "crashed")

_Statement = tuple[Path, str]
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
    _hashes: dict[Path, str] = field(default_factory=dict)
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
        for batch, judgements in self._judged(cases):
            reasons = self._reasons(batch, judgements)
            found += [_assessment(case, judgements[case], reasons[case]) for case in batch]
            progress(len(found))
        return found

    def judge(self, cases: Iterable[Case]) -> list[Judgement]:
        """Verdicts alone, in the order of the cases: `assess` without its reading of syntax trees, which takes most of its time.

        Raises:
            DataError: names every gold query that does not run.
            DatabaseError: a database is missing or cannot be read.
        """
        return [judgements[case] for batch, judgements in self._judged(cases) for case in batch]

    def _judged(self, cases: Iterable[Case]) -> Iterator[tuple[list[Case], dict[Case, Judgement]]]:
        """Batch by batch; a gold query that does not run leaves its case out, and is told of when all have been run."""
        problems: list[str] = []
        for batch in _batches(cases):
            keys = {case: self._key("verdict", case.file, case.gold, case.predicted) for case in batch}
            known = {k: Judgement(*answer) for k in dict.fromkeys(keys.values()) if (answer := self.cache.get(k)) is not None}
            new = {keys[case]: case for case in batch if keys[case] not in known}
            outcomes = self._outcomes(list(new.values()))
            made = {k: judgement for k, case in new.items() if (judgement := self._verdict(case, outcomes, problems))}
            self.cache.put({k: tuple(made[k]) for k in made if made[k].execution not in _OF_THE_MOMENT})
            known |= made
            yield [case for case in batch if keys[case] in known], {case: known[k] for case, k in keys.items() if k in known}
        if problems:
            raise DataError.from_problems(problems, hint="correct these gold queries, or raise the sandbox's limits where they are too low")

    def _outcomes(self, cases: list[Case]) -> dict[_Statement, Outcome]:
        """What each statement of these cases gives, gold results from the cache where it has them."""
        golds = dict.fromkeys((case.file, sql) for case in cases for sql in (case.gold, as_spider_runs(case.gold)))
        keys = {statement: self._key("rows", *statement) for statement in golds}
        found = {s: Outcome("ok", answer[0], answer[1], "", 0.0) for s, k in keys.items() if (answer := self.cache.get(k)) is not None}
        wanted = [*golds, *((case.file, sql) for case in cases for sql in (case.predicted, as_spider_runs(case.predicted)))]
        missing = [statement for statement in dict.fromkeys(wanted) if statement not in found]
        found |= zip(missing, self.sandbox.execute_many((sql, file) for file, sql in missing), strict=True)
        self.cache.put({keys[s]: (found[s].columns, found[s].rows) for s in missing if s in keys and found[s].kind == "ok"})
        return found

    def _verdict(self, case: Case, outcomes: Mapping[_Statement, Outcome], problems: list[str]) -> Judgement | None:
        gold, predicted = outcomes[case.file, case.gold], outcomes[case.file, case.predicted]
        if gold.kind != "ok":
            problems.append(f"question {case.index} on {case.database}: gold SQL does not run ({gold.kind}: {gold.detail}): {case.gold}")
            return None
        ok = predicted.kind == "ok"
        return Judgement(
            execution=predicted.kind,
            detail=predicted.detail or _difference(gold, predicted),
            spider=self._spider(case, outcomes),
            bird=ok and same_result(gold.rows, predicted.rows, "bird", False),
            strict=ok and same_result(gold.rows, predicted.rows, "strict", is_ordered(case.gold), self.columns),
            gold_head=_head(gold),
            predicted_head=_head(predicted) if ok else None,
        )

    def _reasons(self, batch: list[Case], judgements: Mapping[Case, Judgement]) -> dict[Case, _Reason]:
        keys = {case: self._key("reason", case.file, case.gold, case.predicted) for case in batch}
        known = {case: answer for case, k in keys.items() if (answer := self.cache.get(k)) is not None}
        made = {case: self._reason(case, judgements[case]) for case in batch if case not in known}
        self.cache.put({keys[case]: reason for case, reason in made.items()})
        return known | made

    def _reason(self, case: Case, judgement: Judgement) -> _Reason:
        why = () if judgement.strict else self._why(case)
        return _hardness(case.gold), tuple(dict.fromkeys(one.kind for one in why)), next((one.detail for one in why if one.detail), "")

    def _spider(self, case: Case, outcomes: Mapping[_Statement, Outcome]) -> bool:
        gold, predicted = (outcomes[case.file, as_spider_runs(sql)] for sql in (case.gold, case.predicted))
        both_ran = gold.kind == "ok" and predicted.kind == "ok"
        return both_ran and same_result(gold.rows, predicted.rows, "spider", spider_orders(as_spider_runs(case.gold)))

    def _why(self, case: Case) -> tuple[Diagnosis, ...]:
        if case.file not in self._nearest:
            self._nearest[case.file] = nearest_among(lambda table, column: self._texts(case.file, table, column))
        return diagnose(case.gold, case.predicted, self.schemas.get(case.database), self._nearest[case.file])

    def _texts(self, file: Path, table: str, column: str) -> list[str]:
        names = [name.replace('"', '""') for name in (column, table)]
        sql = 'SELECT DISTINCT "{0}" FROM "{1}" WHERE typeof("{0}") = \'text\' LIMIT {2}'.format(*names, MOST_TEXTS)
        return [str(value) for (value,) in self.sandbox.execute(sql, file).rows]

    def _key(self, kind: str, file: Path, *statements: str) -> str:
        if file not in self._hashes:
            self._hashes[file] = sha256(file)
        return key(VERSION, kind, self.limits, self.columns, self._hashes[file], *statements)


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
    rows = tuple(tuple(_short(cell) for cell in row) for row in outcome.rows[:HEAD_ROWS])
    return outcome.columns, rows, len(outcome.rows)


def _short(cell: Any) -> Any:
    return cell[:HEAD_CHARS] if isinstance(cell, str | bytes) else cell


def _assessment(case: Case, judgement: Judgement, reason: _Reason) -> Assessment:
    hard, diagnosis, in_words = reason
    execution, detail, spider, bird, strict, gold, predicted = judgement
    if execution == "ok":
        detail = "" if strict else in_words or detail
    heads = Head(*gold), None if predicted is None else Head(*predicted)
    return Assessment(case, execution, detail, spider, bird, strict, hard, diagnosis, *heads)
