"""Draws needs: syntax trees of questions somebody could ask of the database. One function for each form a need can take."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from t2s.data.synthesis import figures, needs, tree
from t2s.data.synthesis.draw import Draw
from t2s.data.synthesis.facts import ColumnFacts, TableFacts
from t2s.data.synthesis.graph import Graph
from t2s.data.synthesis.sense import columns_of, likely

NO_ROWS_ELSEWHERE = frozenset({"extreme", "same_as", "mean", "group_mean"})
# A table that somebody may want to see whole.
_SHORT = 80
# Rows times rows that a condition on rows elsewhere may look at, where it looks for each row anew.
_MOST_PAIRS = 3_000_000
SIMPLE = NO_ROWS_ELSEWHERE | {"either", "versus", "like", "days"}


@dataclass(frozen=True)
class Weights:
    """How often each thing comes up; only the proportions matter, and 0 bars it.

    Attributes:
        forms: By form of need; the names are those of `FORMS`.
        tests: By kind of condition; the names are those of `draw.TESTS`, and "has" for rows of other tables.
        hardness: The share of each class of `t2s.sql.hardness` among the queries.
        registers: By register; the names are those of `phrase.registers.REGISTERS`.
    """

    forms: Mapping[str, float]
    tests: Mapping[str, float]
    hardness: Mapping[str, float]
    registers: Mapping[str, float]


class Grammar:
    """Draws needs for one database.

    Args:
        graph: Its tables and their links.
        rng: Where chance comes from.
        weights: How often each form and each kind of condition comes up.
    """

    def __init__(self, graph: Graph, rng: random.Random, weights: Weights) -> None:
        self.draw = Draw(graph, rng, dict(weights.tests))
        self._forms = [(name, weight) for name, weight in weights.forms.items()]
        self._has = weights.tests.get("has", 0.0) / (sum(weights.tests.values()) or 1.0)

    def need(self) -> tuple[str, needs.Query] | None:
        """The name of a form and a need of that form; None where the database gave none this time."""
        name = self.draw.weighted(self._forms)
        query = FORMS[name](self) if name else None
        return (name, query) if name and query is not None else None

    # Tables -------------------------------------------------------------------------------------------------------

    def thing(self) -> TableFacts | None:
        """A table whose rows one lists."""
        graph = self.draw.graph
        return self.draw.weighted(
            [
                (t, self.of_views(t) * (3.0 if t.label else 1.0 if t.key else 0.2))
                for t in graph.facts.tables
                if t.rows > 1 and not graph.is_bare_link(t)
            ]
        )

    def of_views(self, table: TableFacts) -> float:
        """Views come up seldom, however many there are: people ask about the things behind them."""
        if not table.view:
            return 1.0
        views = sum(t.view for t in self.draw.facts.tables)
        alike = any(table.noun.startswith(t.noun) for t in self.draw.facts.tables if not t.view)
        return 0.0 if alike or len(table.noun.split()) > 3 else 0.3 / views

    def event(self) -> TableFacts | None:
        """A table whose rows one counts and adds up."""
        graph = self.draw.graph
        return self.draw.weighted([(t, self._events(t)) for t in graph.facts.tables if t.rows > 1])

    def _events(self, table: TableFacts) -> float:
        graph = self.draw.graph
        if graph.is_bare_link(table):
            return 0.0
        links = len(graph.up(table.name))
        return self.of_views(table) * (1.0 + min(links, 4) + (1.0 if table.date else 0.0) + (14.0 if table.goods else 0.0))

    # Conditions ---------------------------------------------------------------------------------------------------

    def tests(self, table: TableFacts, counts: tuple[float, ...], barred: frozenset[str] = frozenset()) -> tuple[tree.Test, ...]:
        """As many conditions as chance says: `counts` weighs none, one, two, three."""
        count = self.draw.weighted(list(enumerate(counts))) or 0
        return self.draw.tests(table.name, count, barred)

    def conditions(self, table: TableFacts, counts: tuple[float, ...], rows_elsewhere: float = 1.0) -> tuple[tree.Test, ...]:
        """Conditions on rows, now and then one on rows of other tables."""
        tests = self.tests(table, counts)
        if self.draw.chance(min(self._has * rows_elsewhere, 0.9)):
            has = self.has(table)
            more = self._also(has) if has and self.draw.chance(0.25) else None
            return (*tests[:1], has, *([more] if more else [])) if has else tests
        return tests

    def _also(self, has: tree.Has) -> tree.Has | None:
        """The same of other rows, or its opposite: bought one thing and another, ordered one year but not the next."""
        if len(has.tests) != 1 or has.sign not in ("=", "<>"):
            return None
        (test,) = has.tests
        other = self._another(test)
        sign = "=" if has.sign == "<>" else self.draw.rng.choice(("=", "<>", "<>"))
        return tree.Has(has.child, has.links, (other,), sign, 0) if other else None  # type: ignore[arg-type]

    def _another(self, test: tree.Test) -> tree.Test | None:
        """The condition with another literal."""
        if isinstance(test, tree.Period) and test.unit == "year" and not test.end:
            years = [
                year
                for year in range(int(test.ref.column.first[:4] or 0), int(test.ref.column.last[:4] or 0) + 1)
                if str(year) != test.start
            ]
            return replace(test, start=str(self.draw.rng.choice(years))) if years else None
        if isinstance(test, tree.Compare) and isinstance(test.what, tree.Ref) and test.sign == "=":
            values = [value for value in self.draw.literals(test.what.column, 2) if value != test.value]
            return replace(test, value=values[0]) if values else None
        if isinstance(test, tree.Named) and len(test.columns) == 1:
            values = [value for value in self.draw.literals(test.columns[0], 2) if value != test.values[0]]
            return replace(test, values=(values[0],)) if values else None
        return None

    def has(self, table: TableFacts) -> tree.Has | None:
        """Rows of another table that point to this one, directly or over a table between."""
        graph, draw = self.draw.graph, self.draw
        near = [((link,), link.child, 2.0 * likely((link,))) for link in graph.down(table.name) if link.child != table.name]
        far = [
            ((below, link), below.child, 0.9 * likely((below, link)))
            for link in graph.down(table.name)
            for below in graph.down(link.child)
            if below.child not in (table.name, link.child) and (below, link) in graph.paths(below.child)
        ]
        options = [((links, child), weight) for links, child, weight in (*near, *far)]
        chosen = draw.weighted(options)
        if chosen is None or any(len(link.pairs) > 1 for link in chosen[0][:-1]):
            return None
        links, child = chosen
        if links[-1].optional and table.rows * draw.facts.table(child).rows > _MOST_PAIRS:
            return None
        sign = draw.weighted([("=", 2.2), ("<>", 2.4), (">", 0.5), (">=", 0.6)]) or "="
        tests = tuple(t for t in draw.tests(child, 1 if draw.chance(0.65) else 0, SIMPLE) if not leads_to(t, links))
        if sign == "=" and not tests and draw.chance(0.5):
            return None
        return tree.Has(child, links, tests, sign, draw.rng.choice((1, 2, 2, 3, 4, 5)) if sign in (">", ">=") else 0)  # type: ignore[arg-type]

    # Listings -----------------------------------------------------------------------------------------------------

    def list_rows(self) -> needs.Query | None:
        """Some columns of the rows that fulfil conditions."""
        table = self.thing()
        if table is None:
            return None
        tests = self.conditions(table, (0.4 if table.rows < _SHORT else 0.0, 4.0, 4.0, 1.5))
        if not tests and table.rows >= _SHORT:
            return None
        shown = self.shown(table, tests)
        if not shown:
            return None
        order = self.order(table, shown) if self.draw.chance(0.28) else None
        return needs.Listing(table.name, shown, tests, order, 0, False)

    def shown(self, table: TableFacts, tests: tuple[tree.Test, ...]) -> tuple[needs.Shown, ...]:
        """The row's name, perhaps some of its columns, perhaps the name of a row it points to."""
        draw = self.draw
        columns = [
            c for c in table.columns if c not in table.label and c.kind not in ("link", "key", "other", "flag") and not _is_pinned(c, tests)
        ]
        more = draw.weighted([(0, 5.0), (1, 3.5), (2, 1.5)]) or 0
        first = [needs.Shown(tree.ByRow(()))] if table.label or table.key else []
        if not first and not columns:
            return ()
        found: list[needs.Shown] = list(first)
        for _ in range(more if first else max(more, 1)):
            above = [links for links in draw.graph.paths(table.name) if len(links) == 1 and draw.graph.end(table.name, links).label]
            if above and draw.chance(0.3):
                links = draw.one(above) or ()
                found.append(needs.Shown(tree.ByRow(links)))
                continue
            column = draw.weighted([(c, 0.4 if c.kind in ("text", "contact") else 1.0) for c in columns])
            if column:
                found.append(needs.Shown(tree.Ref((), column)))
        return tuple(dict.fromkeys(found))

    def order(self, table: TableFacts, shown: tuple[needs.Shown, ...]) -> tree.By | None:
        columns = [c for c in table.columns if (c.numeric or c.form or c.kind == "year") and c.distinct > 3 and not c.missing]
        seen = [s.what for s in shown if isinstance(s.what, tree.Ref) and s.what.column in columns]
        if seen:
            return tree.By(seen[0], self.draw.chance(0.6))
        if table.label and self.draw.chance(0.5):
            return tree.By(tree.ByRow(()), self.draw.chance(0.08))
        column = self.draw.one(columns)
        return tree.By(tree.Ref((), column), self.draw.chance(0.6)) if column else None

    def list_top(self) -> needs.Query | None:
        """The first rows by a number or a date."""
        table = self.thing()
        if table is None:
            return None
        column = self.draw.weighted([(c, 1.0) for c in table.columns if (c.numeric or c.form) and c.distinct > 5])
        if column is None:
            return None
        ref = tree.Ref((), column)
        tests = tuple(t for t in self.tests(table, (2.0, 4.0, 2.0), NO_ROWS_ELSEWHERE) if getattr(t, "ref", None) != ref)
        shown = [s for s in self.shown(table, tests) if s.what != ref]
        if self.draw.chance(0.45):
            shown.append(needs.Shown(ref))
        limit = self.draw.weighted([(1, 5.0), (3, 2.0), (5, 2.5), (10, 1.5)]) or 1
        # NULL comes first in ascending order, and is nobody's lowest value.
        order = tree.By(ref, column.missing > 0 or self.draw.chance(0.65))
        return needs.Listing(table.name, tuple(shown), tests, order, limit, False) if shown else None

    def look_up(self) -> needs.Query | None:
        """What one named row has in one or two columns, or what it points to."""
        table = self.thing()
        named = self.draw.named((), table) if table else None
        if table is None or named is None or not table.columns:
            return None
        columns = [c for c in table.columns if c not in table.label and c.kind not in ("link", "key", "other", "flag")]
        above = [
            links for links in self.draw.graph.paths(table.name) if 1 <= len(links) <= 2 and self.draw.graph.end(table.name, links).label
        ]
        options: list[tuple[needs.Shown, float]] = [(needs.Shown(tree.Ref((), c)), 1.0) for c in columns]
        options += [(needs.Shown(tree.ByRow(links)), 1.2) for links in above]
        shown = [s for s in (self.draw.weighted(options) for _ in range(self.draw.rng.choice((1, 1, 1, 2)))) if s]
        return needs.Listing(table.name, tuple(dict.fromkeys(shown)), (named,), None, 0, False) if shown else None

    def list_partners(self) -> needs.Query | None:
        """The different rows, or values, that the rows of a table point to."""
        table = self.event()
        if table is None:
            return None
        graph = self.draw.graph
        options: list[tuple[tree.ByRow | tree.Ref, float]] = [
            (tree.ByRow(links), 2.0) for links in graph.paths(table.name) if 1 <= len(links) <= 2 and graph.end(table.name, links).label
        ]
        options += [(tree.Ref((), c), 0.7) for c in table.columns if c.kind == "category" and c not in table.label and c.distinct > 2]
        what = self.draw.weighted(options)
        tests = self.tests(table, (0.2, 4.0, 3.5, 0.8), NO_ROWS_ELSEWHERE)
        if what is None or any(_speaks_of(test, what) for test in tests) or (isinstance(what, tree.ByRow) and not tests):
            return None
        return needs.Listing(table.name, (needs.Shown(what),), tests, None, 0, True)

    # Totals -------------------------------------------------------------------------------------------------------

    def total_count(self) -> needs.Query | None:
        """How many rows, or how many different rows they point to."""
        table = (self.event if self.draw.chance(0.6) else self.thing)()
        if table is None:
            return None
        measure: tree.Measure | None = tree.Count()
        if self.draw.chance(0.18):
            measure = figures.count_of(self.draw, table)
        tests = self.conditions(table, (0.5, 4.0, 4.0, 1.5), 1.2)
        return needs.Total(table.name, (measure,), tests) if measure else None

    def total_figure(self) -> needs.Query | None:
        """An aggregate over the rows that fulfil conditions."""
        table = self.event()
        measure = figures.figure(self.draw, table) if table else None
        if table is None or measure is None:
            return None
        more = figures.figure(self.draw, table) if self.draw.chance(0.12) else None
        both = (measure,) if more is None or more == measure else (measure, more)
        tests = self.tests(table, (0.8, 4.0, 4.5, 1.2), NO_ROWS_ELSEWHERE)
        return needs.Total(table.name, both, tuple(test for test in tests if not any(same_column(test, m) for m in both)))

    def total_share(self) -> needs.Query | None:
        """Per cent of rows, or what a row has on average for each row it points to."""
        table = self.event()
        if table is None:
            return None
        measure = (figures.share if self.draw.chance(0.6) else figures.per)(self.draw, table)
        tests = self.tests(table, (3.0, 4.0, 1.0), SIMPLE)
        return needs.Total(table.name, (measure,), tests) if measure else None

    def two_parts(self, table: TableFacts) -> tuple[tree.Part, tree.Part] | None:
        """The same figure for two values of one column, or for two years."""
        draw = self.draw
        what = figures.expression(draw, table) if draw.chance(0.7) else None
        dates = [
            tree.Ref(links, end.date)
            for links, end in self.ends(table, 1)
            if end.date and end.date.first[:4] < end.date.last[:4] and (not links or (not end.label and not table.date))
        ]
        groups = [tree.Ref(links, c) for links, end in self.ends(table, 1) for c in end.columns if c.kind == "category" and c.distinct > 1]
        if dates and draw.chance(0.65):
            ref = draw.rng.choice(dates)
            year = draw.rng.randrange(int(ref.column.first[:4]), int(ref.column.last[:4]))
            first, second = (tree.Period(ref, "year", str(y), "") for y in (year, year + 1))
            return tree.Part(first, what), tree.Part(second, what)
        column = draw.one([ref for ref in groups if ref.column not in draw.facts.table(ref.column.table).label])
        values = draw.literals(column.column, 2) if column else []
        if column is None or len(values) < 2:
            return None
        one, other = (tree.Compare(column, "=", value) for value in values)
        return tree.Part(one, what), tree.Part(other, what)

    def ends(self, table: TableFacts, longest: int) -> list[tuple[tuple, TableFacts]]:  # type: ignore[type-arg]
        graph = self.draw.graph
        return [(links, graph.end(table.name, links)) for links in graph.paths(table.name) if len(links) <= longest]

    def total_change(self) -> needs.Query | None:
        """By how much a figure differs between two years or two values."""
        table = self.event()
        parts = self.two_parts(table) if table else None
        if table is None or parts is None:
            return None
        percent = isinstance(parts[0].test, tree.Period) and self.draw.chance(0.6)
        tests = tuple(t for t in self.tests(table, (3.0, 3.0), SIMPLE | {"date"}) if not same_subject(t, parts[0].test))
        return needs.Total(table.name, (tree.Change(*parts, percent),), tests)

    def two_totals(self) -> needs.Query | None:
        """Two figures beside each other, or one less the other."""
        first, second = self.total_figure(), self.total_figure()
        if not isinstance(first, needs.Total) or not isinstance(second, needs.Total) or len(first.measures) + len(second.measures) > 2:
            return None
        if self.draw.chance(0.5):
            table = self.draw.facts.table(first.table)
            one = self.two_parts(table)
            if one is None:
                return None
            measure: tree.Measure = tree.Figure("SUM", one[0].what) if one[0].what else tree.Count()
            arms = [needs.Total(table.name, (measure,), (part.test,)) for part in one]
            return needs.TwoTotals(arms[0], arms[1], self.draw.chance(0.5))
        return needs.TwoTotals(first, second, False) if first.table != second.table else None


def same_subject(one: tree.Test, other: tree.Test) -> bool:
    """Whether two conditions speak of one column, or of a column and the row that it belongs to."""
    return bool(columns_of(one) & columns_of(other)) or any(
        path and isinstance(one, tree.Named) and path == one.links for path, _ in columns_of(other)
    )


def same_column(test: tree.Test, measure: tree.Measure) -> bool:
    """Whether a condition limits the very column that a figure is taken of."""
    what = getattr(measure, "what", None)
    ref = getattr(test, "ref", None) or getattr(test, "what", None)
    met = {what.start, what.end} if isinstance(what, tree.Days) else {what}
    return isinstance(ref, tree.Ref) and ref in met


def _is_pinned(column: ColumnFacts, tests: tuple[tree.Test, ...]) -> bool:
    """Whether a condition leaves the column one value, or none."""
    for test in tests:
        ref = test.what if isinstance(test, tree.Compare) and test.sign == "=" else getattr(test, "ref", None)
        if isinstance(ref, tree.Ref) and ref.column is column and isinstance(test, tree.Compare | tree.Missing | tree.Flag | tree.SameAs):
            return True
    return False


def leads_to(test: tree.Test, links: tuple) -> bool:  # type: ignore[type-arg]
    """Whether a condition on the rows elsewhere would look back through the link that led there."""
    ref = getattr(test, "ref", None) or getattr(test, "what", None)
    path = getattr(ref, "links", getattr(test, "links", ()))
    return bool(path) and path[: len(links)] == links


def _speaks_of(test: tree.Test, what: tree.ByRow | tree.Ref) -> bool:
    ref = getattr(test, "ref", None) or getattr(test, "what", None)
    if isinstance(what, tree.Ref):
        return bool(ref == what)
    return isinstance(test, tree.Named) and test.links == what.links


FORMS: dict[str, Callable[[Grammar], needs.Query | None]] = {
    "list_rows": Grammar.list_rows,
    "list_top": Grammar.list_top,
    "look_up": Grammar.look_up,
    "list_partners": Grammar.list_partners,
    "total_count": Grammar.total_count,
    "total_figure": Grammar.total_figure,
    "total_share": Grammar.total_share,
    "total_change": Grammar.total_change,
    "two_totals": Grammar.two_totals,
}
