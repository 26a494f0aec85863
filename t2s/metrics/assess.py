"""Judge many predictions by every comparison at once: each statement runs once, and what is known is read from disk."""

from __future__ import annotations

import itertools
import marshal
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from t2s.errors import DataError
from t2s.metrics.assessment import Assessment, Case, Hardness, Head
from t2s.metrics.cache import AnswerCache, key
from t2s.runtime import sha256
from t2s.sql.compare import Columns, as_run, same_answer
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


_Judged = tuple[Case, Judgement]


class _Answers(NamedTuple):
    """What gold and prediction give, as written and as `spider` runs them."""

    gold: Outcome
    spider_gold: Outcome
    predicted: Outcome
    spider_predicted: Outcome


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
        for batch in _batches(cases):
            keys = [self._key("verdict", case.file, case.gold, case.predicted) for case in batch]
            known = {k: Judgement(*answer) for k, answer in self.cache.get(dict.fromkeys(keys)).items()}
            new = {k: case for k, case in zip(keys, batch, strict=True) if k not in known}
            kept: dict[str, Any] = {}
            for k, answers in zip(new, self._answers(list(new.values())), strict=True):
                judgement = self._verdict(new[k], answers, problems)
                if judgement is not None:
                    known[k] = judgement
                    if not any(outcome.kind in _OF_THE_MOMENT for outcome in answers):
                        kept[k] = tuple(judgement)
            self.cache.put(kept)
            yield [(case, known[k]) for case, k in zip(batch, keys, strict=True) if k in known]
        if problems:
            raise DataError.from_problems(problems, hint="correct these gold queries, or raise the sandbox's limits where they are too low")

    def _answers(self, cases: list[Case]) -> Iterator[_Answers]:
        """What the statements of each case give, as they come: each is run once, and a gold's result taken from the cache."""
        asked = [_statements(case) for case in cases]
        keys = {gold: self._key("rows", *gold) for four in asked for gold in four[:2]}
        rows = self.cache.get(keys.values())
        found = {gold: Outcome("ok", *rows[k], "", 0.0) for gold, k in keys.items() if k in rows}
        missing = [statement for statement in dict.fromkeys(itertools.chain.from_iterable(asked)) if statement not in found]
        # While the last of these are under way, what came is compared.
        arriving = zip(missing, self.sandbox.execute_many((sql, file) for file, sql in missing), strict=True)
        for four in asked:
            while not all(statement in found for statement in four):
                found.update([next(arriving)])
            yield _Answers(*(found[statement] for statement in four))
        self.cache.put({keys[s]: (found[s].columns, found[s].rows) for s in missing if s in keys and found[s].kind == "ok"})

    def _verdict(self, case: Case, answers: _Answers, problems: list[str]) -> Judgement | None:
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
        keys = [self._key("reason", case.file, case.gold, case.predicted) for case, _ in judged]
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

    def _key(self, kind: str, file: Path, *statements: str) -> str:
        if file not in self._hashes:
            self._hashes[file] = sha256(file)
        return key(VERSION, kind, self.limits, self.columns, self._hashes[file], *statements)


def _statements(case: Case) -> tuple[_Statement, ...]:
    return tuple((case.file, as_run(sql, comparison)) for sql in (case.gold, case.predicted) for comparison in ("strict", "spider"))


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
