"""The loop: draw needs, run their queries, keep those with an answer, ask them in words."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from t2s.data.example import Example
from t2s.data.synthesis import groups, needs, sets
from t2s.data.synthesis.agreement import unsaid_literals
from t2s.data.synthesis.checks import Probe, failed, fault, probes
from t2s.data.synthesis.coverage import Coverage
from t2s.data.synthesis.facts import read_facts
from t2s.data.synthesis.grammar import FORMS, Grammar, Weights
from t2s.data.synthesis.graph import Graph
from t2s.data.synthesis.phrase.registers import ask, choose
from t2s.data.synthesis.queries import QueryWriter
from t2s.errors import DataError
from t2s.sql.canonical import canonical
from t2s.sql.execute import Sandbox
from t2s.sql.hardness import hardness
from t2s.sql.parse import skeleton, tables, tags
from t2s.sql.schema import Schema

assert {groups.ranked, sets.set_of} <= set(FORMS.values())  # importing them is what puts their forms there

_NEEDS_PER_ROUND = 96
# So many rounds in a row without one new pair: the database has no more to give.
_MOST_DRY_ROUNDS = 8
# How far a class of hardness may run ahead of its share.
_SLACK = 30
_TRIES_PER_QUESTION = 4


@dataclass(frozen=True)
class Generated:
    """One pair.

    Attributes:
        question: What somebody might ask.
        sql: The query that answers it.
        register: How it is asked.
        hardness: Spider's class of the query.
        form: The form of need it came from.
        round: The round of drawing it came from; see `synthesise`.
        empty: Whether the query rightly returns nothing.
    """

    question: str
    sql: str
    register: str
    hardness: str
    form: str
    round: int
    empty: bool

    def example(self, database: str) -> Example:
        """The pair as an example of the database of that name."""
        more = ("empty",) if self.empty else ()
        return Example(self.question, self.sql, database, tags=(*tags(self.sql), *more))


@dataclass(frozen=True)
class Plan:
    """What to make.

    Attributes:
        count: How many pairs.
        seed: Where chance begins.
        questions_per_query: How many questions each query is asked in, in different registers.
        most_per_skeleton: How many queries may differ in nothing but their literals.
        empty_share: How large a share of the queries may return nothing.
        free_wording: How often another word for a thing is taken than the schema's, from 0 to 1.
        weights: How often each form, condition, class of hardness and register comes up.
    """

    count: int
    seed: int
    questions_per_query: int
    most_per_skeleton: int
    empty_share: float
    free_wording: float
    weights: Weights


def synthesise(
    database: Path, schema: Schema, sandbox: Sandbox, plan: Plan, coverage: Coverage, finished: Iterable[Generated] = ()
) -> Iterator[Generated]:
    """Pairs of question and SQL about one database, as they are made.

    Needs are drawn in numbered rounds, each from a random generator of its own, seeded by the plan's seed and the round's number.
    A run that ended early therefore goes on where it was: give it the pairs that it had made, in their order, and what
    comes is what would have come next.

    Args:
        database: The SQLite file; it is read only, and generated SQL runs in the sandbox alone.
        schema: Its schema.
        sandbox: Where queries run. One that passes its deadline is thrown out, so the same pairs come only where none does.
        plan: What to make.
        coverage: Filled on the way; says at the end why fewer pairs came than were asked for, if so.
        finished: Pairs of an earlier run with the same plan; they count, and are not given again.

    Raises:
        DataError: no table has a row.
        DatabaseError: the file is missing or is not a SQLite database.
    """
    facts = read_facts(database, schema)
    coverage.start(facts)
    maker = _Maker(database, schema, sandbox, plan, coverage, Graph(facts, schema))
    yield from maker.pairs(list(finished))


@dataclass(frozen=True)
class _Candidate:
    form: str
    query: needs.Query
    sql: str
    hardness: str
    skeleton: str
    empty_is_fine: bool


@dataclass
class _Ledger:
    """What was kept so far; the same after the same pairs."""

    queries: set[str] = field(default_factory=set)
    questions: set[str] = field(default_factory=set)
    skeletons: Counter[str] = field(default_factory=Counter)
    hardness: Counter[str] = field(default_factory=Counter)
    empty: int = 0

    def note(self, pair: Generated) -> bool:
        """Enter a pair; whether its query is new."""
        self.questions.add(pair.question.casefold())
        if pair.sql in self.queries:
            return False
        self.queries.add(pair.sql)
        self.skeletons[skeleton(pair.sql)] += 1
        self.hardness[pair.hardness] += 1
        self.empty += pair.empty
        return True


class _Maker:
    def __init__(self, database: Path, schema: Schema, sandbox: Sandbox, plan: Plan, coverage: Coverage, graph: Graph) -> None:
        self.database, self.schema, self.sandbox = database, schema, sandbox
        self.plan, self.coverage, self.graph = plan, coverage, graph
        self.writer = QueryWriter(graph.facts)
        self.ledger = _Ledger()
        self.flags = frozenset(c.name.lower() for t in graph.facts.tables for c in t.columns if c.kind == "flag")

    def pairs(self, finished: list[Generated]) -> Iterator[Generated]:
        number = finished[-1].round if finished else 0
        started = sum(pair.round == number for pair in finished)
        last_fruitful = -1
        for pair in finished[: len(finished) - started]:
            self._enter(pair)
            last_fruitful = pair.round
        made = len(finished) - started
        while made < self.plan.count:
            dry = number - last_fruitful - 1
            if dry >= _MOST_DRY_ROUNDS:
                self.coverage.ended = self._why(made, dry)
                return
            for place, pair in enumerate(self._round(number, dry)):
                if made == self.plan.count:
                    return
                self._enter(pair)
                made, last_fruitful = made + 1, number
                if place >= started:
                    yield pair
            number, started = number + 1, 0

    def _why(self, made: int, dry: int) -> str:
        reasons = ", ".join(f"{reason} ({times})" for reason, times in self.coverage.refused.most_common(4))
        return (
            f"made {made} of {self.plan.count} pairs: {dry * _NEEDS_PER_ROUND} more needs in a row gave nothing new. "
            f"Refused so far: {reasons}. A larger most_per_skeleton, more questions_per_query or a fuller database gives more."
        )

    def _enter(self, pair: Generated) -> None:
        self.coverage.pairs += 1
        self.coverage.registers[pair.register] += 1
        if not self.ledger.note(pair):
            return
        self.coverage.queries += 1
        self.coverage.forms[pair.form] += 1
        self.coverage.hardness[pair.hardness] += 1
        self.coverage.operators.update(tags(pair.sql))
        self._cover(pair.sql)

    def _cover(self, sql: str) -> None:
        read, text = tables(sql), sql.casefold()
        for table in self.graph.facts.tables:
            if table.name.lower() in read:
                self.coverage.tables[table.name] += 1
                for column in table.columns:
                    self.coverage.columns[table.name, column.name] += column.name.casefold() in text

    # One round ----------------------------------------------------------------------------------------------------

    def _round(self, number: int, dry: int) -> Iterator[Generated]:
        """All pairs of a round. What is kept depends on the rounds before, never on how far this one was taken."""
        rng = random.Random(f"{self.plan.seed}/{number}")
        candidates = self._candidates(rng, dry)
        for candidate, empty in self._checked(candidates):
            yield from self._ask(candidate, number, rng, empty)

    def _candidates(self, rng: random.Random, dry: int) -> list[_Candidate]:
        """Needs whose query is new, within the shares of hardness."""
        grammar = Grammar(self.graph, rng, self.plan.weights)
        room = self._room(dry)
        found: dict[str, _Candidate] = {}
        shapes = Counter(self.ledger.skeletons)
        for _ in range(_NEEDS_PER_ROUND):
            drawn = grammar.need()
            if drawn is None:
                self.coverage.refused["nothing drawn"] += 1
                continue
            form, query = drawn
            sql = self.writer.sql(query)
            try:
                level = hardness(sql)
            except DataError:  # a name that SQLite takes and sqlglot does not
                self.coverage.refused["cannot be parsed"] += 1
                continue
            if room.get(level, 0.0) <= 0:
                self.coverage.refused["enough of that hardness"] += 1
                continue
            candidate = self._candidate(form, query, sql, level, rng)
            reason = self._unwanted(candidate, found, shapes)
            if reason:
                self.coverage.refused[reason] += 1
                continue
            found[candidate.sql] = candidate
            shapes[candidate.skeleton] += 1
            room[candidate.hardness] -= 1
        return list(found.values())

    def _candidate(self, form: str, query: needs.Query, written: str, level: str, rng: random.Random) -> _Candidate:
        sql = canonical(written, self.schema)
        fine = rng.random() < self.plan.empty_share and self.ledger.empty <= self.plan.empty_share * len(self.ledger.queries)
        return _Candidate(form, query, sql, level, skeleton(sql), fine)

    def _unwanted(self, candidate: _Candidate, found: dict[str, _Candidate], shapes: Counter[str]) -> str:
        if candidate.sql in found or candidate.sql in self.ledger.queries:
            return "a repeat"
        return "enough of that skeleton" if shapes[candidate.skeleton] >= self.plan.most_per_skeleton else ""

    def _room(self, dry: int) -> dict[str, float]:
        """How many more queries of each class may come now; after rounds without any, more of what there is."""
        shares, made = self.plan.weights.hardness, len(self.ledger.queries)
        whole = sum(shares.values())
        ahead = made + _SLACK + _NEEDS_PER_ROUND * dry * (dry + 1)
        return {name: share / whole * ahead - self.ledger.hardness[name] if share else 0.0 for name, share in shares.items()}

    def _checked(self, candidates: list[_Candidate]) -> Iterator[tuple[_Candidate, bool]]:
        """Those that have an answer, and a certain one, and no part without effect; and whether the answer is empty."""
        outcomes = list(self.sandbox.execute_many((candidate.sql, self.database) for candidate in candidates))
        fit = []
        for candidate, outcome in zip(candidates, outcomes, strict=True):
            reason = fault(candidate.query, outcome, candidate.empty_is_fine)
            if reason:
                self.coverage.refused[reason] += 1
            else:
                fit.append((candidate, outcome))
        asked: list[list[Probe]] = [list(probes(candidate.query, self.writer)) if outcome.rows else [] for candidate, outcome in fit]
        seen = iter(list(self.sandbox.execute_many((probe.sql, self.database) for several in asked for probe in several)))
        for (candidate, outcome), several in zip(fit, asked, strict=True):
            reasons = [failed(candidate.query, outcome, probe, next(seen)) for probe in several]
            reason = next(filter(None, reasons), "")
            if reason:
                self.coverage.refused[reason] += 1
            else:
                yield candidate, not outcome.rows

    def _ask(self, candidate: _Candidate, number: int, rng: random.Random, empty: bool) -> Iterator[Generated]:
        asked: list[str] = []
        for register in choose(rng, self.plan.weights.registers, self.plan.questions_per_query):
            question = self._question(candidate, register, rng, asked)
            if question:
                asked.append(question)
                yield Generated(question, candidate.sql, register, candidate.hardness, candidate.form, number, empty)
            else:
                self.coverage.refused["no words for it"] += 1

    def _question(self, candidate: _Candidate, register: str, rng: random.Random, asked: list[str]) -> str:
        """A question that says every literal, and that no other query has."""
        for _ in range(_TRIES_PER_QUESTION):
            text = ask(candidate.query, self.graph, rng, register, self.plan.free_wording)
            known = text.casefold() in self.ledger.questions or text in asked
            if not known and not unsaid_literals(text, candidate.sql, self.flags):
                return text
        return ""
