"""Schema linking: which tables a question is about, joined so that a query can be written over them."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from t2s.sql.naming import spoken, stem, words
from t2s.sql.schema import Schema, Table
from t2s.sql.value_index import Hit, ValueIndex, folded_words

_HERE = Path(__file__).parent
_WEIGHTS = {"table": 3.0, "column": 1.0, "comment": 0.5, "value": 2.5}
_SYNONYM_SHARE = 0.5
# What a table gets of the best of its neighbours, where no pairs have taught which are needed beside those that are named.
_NEIGHBOUR_SHARE = 0.35
# Much joined tables are much asked for.
_CENTRALITY = 0.8
# What pairs of this database have taught counts as much as the names themselves.
_LEARNT = 6.0
# Sightings that a word needs before it is believed.
_DOUBT = 3.0
# A value in many columns points to none of them.
_MOST_PLACES_OF_A_VALUE = 4


@dataclass(frozen=True)
class Hint:
    """A value of the database that the question names."""

    table: str
    column: str
    value: str


@dataclass(frozen=True)
class Linked:
    """What a question is about.

    Attributes:
        tables: Names, in the schema's order.
        hints: Values it names, in its order.
    """

    tables: tuple[str, ...]
    hints: tuple[Hint, ...]


class Linker:
    """Finds a question's tables by the words of names, comments and cell values.

    Args:
        schema: The whole schema.
        index: Of its values; None does without.
        price: What showing a table costs, in whatever unit a budget is given.
    """

    def __init__(self, schema: Schema, index: ValueIndex | None, price: Callable[[Table], int]) -> None:
        self._schema = schema
        self._index = index
        self._prices = {table.name: price(table) for table in schema.tables}
        self._order = {table.name: place for place, table in enumerate(schema.tables)}
        self._neighbours = _neighbours(schema)
        self._terms = {table.name: _terms(table) for table in schema.tables}
        found_in = Counter(term for terms in self._terms.values() for term in terms)
        self._rarity = {term: math.log(1 + len(self._terms) / count) for term, count in found_in.items()}
        self._synonyms = _synonyms()
        self._table_words = {stem(word) for table in schema.tables for word in words(table.name)}
        self._usage: dict[str, float] = {}
        self._habits: dict[str, dict[str, float]] = {}

    @property
    def tables(self) -> int:
        """How many tables the schema has."""
        return len(self._order)

    def price(self, tables: Iterable[str] | None = None) -> int:
        """What these tables cost together; all of them where none are given."""
        return sum(self._prices[name] for name in (self._order if tables is None else tables))

    def learn(self, pairs: Iterable[tuple[str, Collection[str]]]) -> None:
        """Learns from questions and the tables their queries read which tables are asked for, and by which words.

        A word's evidence for a table is how much more often than usual the table is read where the word is said.
        """
        known = {name.lower(): name for name in self._order}
        seen: Counter[str] = Counter()
        together: dict[str, Counter[str]] = {}
        read: Counter[str] = Counter()
        total = 0
        for question, tables in pairs:
            used = [known[name.lower()] for name in tables if name.lower() in known]
            total += 1
            read.update(used)
            for word in self._said(question):
                seen[word] += 1
                together.setdefault(word, Counter()).update(used)
        if not total:
            return
        self._usage = {name: read[name] / total for name in self._order}
        self._habits = {
            word: {
                name: (together[word][name] + _DOUBT * usual) / (count + _DOUBT) - usual
                for name, usual in self._usage.items()
                if together[word][name] or usual
            }
            for word, count in seen.items()
        }

    def learnt(self) -> dict[str, Any]:
        """What `learn` has found, as JSON can hold it."""
        return {"usage": self._usage, "habits": self._habits}

    def remember(self, learnt: Mapping[str, Any]) -> None:
        """Takes over what another linker of the same schema has learnt."""
        self._usage, self._habits = dict(learnt["usage"]), dict(learnt["habits"])

    def link(self, question: str, budget: int, must_have: Collection[str], most_hints: int) -> Linked:
        """The tables of a question, within a budget.

        Best first; each comes with the tables on the shortest way to those already chosen, so that all can be joined where the
        schema allows it. At least one table is chosen, whatever it costs.

        Args:
            question: With its history, if any.
            budget: What all tables may cost together.
            must_have: Tables that are taken in any case.
            most_hints: How many values to name, at most.
        """
        hits = [] if self._index is None else _telling(self._index.find(question))
        scores = self._scores(question, hits)
        known = {name.lower(): name for name in self._order}
        chosen: dict[str, None] = {}
        for name in must_have:
            if name.lower() in known:
                self._take(known[name.lower()], chosen, None)
        for name in sorted(scores, key=lambda name: (-scores[name], self._order[name])):
            self._take(name, chosen, budget if chosen else None)
        hints = dict.fromkeys(Hint(hit.table, hit.column, hit.value) for hit in hits if hit.table in chosen and self._is_meant(hit))
        return Linked(tuple(sorted(chosen, key=self._order.__getitem__)), tuple(hints)[:most_hints])

    def _is_meant(self, hit: Hit) -> bool:
        """Whether a question means the value: "stores" means the table rather than the channel 'store', "signed" not the name 'Signe'."""
        names_a_table = hit.words == 1 and stem(hit.value) in self._table_words
        return not names_a_table and (hit.exact or hit.value.islower())

    def _take(self, name: str, chosen: dict[str, None], budget: int | None) -> None:
        new = [table for table in self._way(name, chosen) if table not in chosen]
        if budget is None or sum(self._prices[table] for table in (*chosen, *new)) <= budget:
            chosen.update(dict.fromkeys(new))

    def _way(self, start: str, targets: Collection[str]) -> list[str]:
        """Tables on the shortest way along keys, ends included; the start alone where there is none."""
        came_from: dict[str, str | None] = {start: None}
        queue = deque([start])
        while queue and targets:
            here = queue.popleft()
            if here in targets:
                way: list[str] = []
                step: str | None = here
                while step is not None:
                    way.append(step)
                    step = came_from[step]
                return way
            for there in self._neighbours[here]:
                if there not in came_from:
                    came_from[there] = here
                    queue.append(there)
        return [start]

    def _scores(self, question: str, hits: Sequence[Hit]) -> dict[str, float]:
        own = dict.fromkeys(self._order, 0.0)
        asked = self._asked(question)
        for name, terms in self._terms.items():
            own[name] = sum(share * terms[term] * self._rarity[term] for term, share in asked.items() if term in terms)
        for name, usual in self._usage.items():
            own[name] += _LEARNT * usual
        for word in self._said(question):
            for name, evidence in self._habits.get(word, {}).items():
                own[name] += _LEARNT * evidence
        for hit in hits:
            own[hit.table] += _WEIGHTS["value"] * hit.words / sum(other.place == hit.place for other in hits)
        of_neighbours = 0.0 if self._usage else _NEIGHBOUR_SHARE
        return {
            name: own[name]
            + of_neighbours * max((own[there] for there in self._neighbours[name]), default=0.0)
            + _CENTRALITY * len(self._neighbours[name])
            for name in own
        }

    def _asked(self, question: str) -> dict[str, float]:
        """Stems of the question's words, with how much each counts; what means the same counts half."""
        asked = dict.fromkeys(self._said(question), 1.0)
        for word in list(asked):
            for other in self._synonyms.get(word, ()):
                asked.setdefault(other, _SYNONYM_SHARE)
        return asked

    @staticmethod
    def _said(question: str) -> list[str]:
        return list(dict.fromkeys(stem(word) for word in folded_words(question) if word not in _stopwords()))


def _telling(hits: Iterable[Hit]) -> list[Hit]:
    """Hits that say something: no stopword, no value found all over the schema."""
    hits = list(hits)
    places = Counter(hit.place for hit in hits)
    return [
        hit for hit in hits
        if places[hit.place] <= _MOST_PLACES_OF_A_VALUE and not (hit.words == 1 and hit.value.lower() in _stopwords())
    ]  # fmt: skip


def _terms(table: Table) -> dict[str, float]:
    """Stems of a table's words, each with the weight of the best place it stands in."""
    terms: dict[str, float] = {}

    def add(text: str, weight: float) -> None:
        for word in words(text):
            if word not in _stopwords():
                terms[stem(word)] = max(terms.get(stem(word), 0.0), weight)

    for name in (table.name, spoken(table.name)):
        add(name, _WEIGHTS["table"])
    add(table.comment or "", _WEIGHTS["comment"])
    for column in table.columns:
        for name in (column.name, spoken(column.name)):
            add(name, _WEIGHTS["column"])
        add(column.comment or "", _WEIGHTS["comment"])
    return terms


def _neighbours(schema: Schema) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {table.name: {} for table in schema.tables}
    for key in schema.foreign_keys():
        if key.table != key.target_table:
            found[key.table][key.target_table] = None
            found[key.target_table][key.table] = None
    return {name: list(others) for name, others in found.items()}


def _lines(name: str) -> list[str]:
    return [line for line in (_HERE / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


@cache
def _stopwords() -> frozenset[str]:
    return frozenset(word for line in _lines("stopwords.txt") for word in line.split())


@cache
def _synonyms() -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for line in _lines("synonyms.txt"):
        stems = [stem(word) for word in line.split()]
        for one in stems:
            found.setdefault(one, {}).update(dict.fromkeys(other for other in stems if other != one))
    return {word: list(others) for word, others in found.items()}
