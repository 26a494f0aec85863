"""Draws conditions with literals that exist, figures that make sense, and keys that rows can be grouped by."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Literal, TypeVar

from t2s.data.synthesis import tree
from t2s.data.synthesis.facts import ColumnFacts, Facts, TableFacts
from t2s.data.synthesis.graph import Graph, Link, Links
from t2s.data.synthesis.probe import Value
from t2s.data.synthesis.sense import (
    columns_of,
    contradict,
    is_sayable,
    likely,
    month_start,
    overlap,
    round_number,
    share_scale,
    splits,
    written_place,
)

T = TypeVar("T")

_MOST_GROUPS = 60
# Shares of the rows between which a threshold lies, in fortieths.
_LOW_LEVEL, _HIGH_LEVEL = 4, 36
_FEW_NUMBERS = 12
_FAR = (1.0, 0.7, 0.5, 0.25, 0.12)
# A condition that looks at all rows for each row is only drawn for tables up to this size.
_MOST_COMPARED = 2_000


class Draw:
    """Random choices, all from one generator.

    Args:
        graph: The tables, their facts and links.
        rng: Where chance comes from.
        tests: How often each kind of condition comes up.
    """

    def __init__(self, graph: Graph, rng: random.Random, tests: dict[str, float]) -> None:
        self.graph = graph
        self.facts: Facts = graph.facts
        self.rng = rng
        self._weights = tests
        self._makers: dict[str, Callable[[Links, TableFacts], tree.Test | None]] = {
            "category": self._category,
            "name": self._name,
            "number": self._number,
            "date": self._date,
            "flag": self._flag,
            "missing": self._missing,
            "like": self._like,
            "either": self._either,
            "versus": self._versus,
            "days": self._days,
            "mean": self._mean,
            "group_mean": self._group_mean,
            "extreme": self._extreme,
            "same_as": self._same_as,
        }

    # Choices ------------------------------------------------------------------------------------------------------

    def one(self, options: Sequence[T]) -> T | None:
        return options[self.rng.randrange(len(options))] if options else None

    def weighted(self, options: Sequence[tuple[T, float]]) -> T | None:
        possible = [(option, weight) for option, weight in options if weight > 0]
        if not possible:
            return None
        return self.rng.choices([option for option, _ in possible], [weight for _, weight in possible])[0]

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    # Conditions ---------------------------------------------------------------------------------------------------

    def tests(self, table: str, count: int, barred: frozenset[str] = frozenset()) -> tuple[tree.Test, ...]:
        """Up to so many conditions, no two on one column; `barred` are kinds that will not do here."""
        found: list[tree.Test] = []
        met: set[tuple[Links, str]] = set()
        for _ in range(count * 4):
            if len(found) == count:
                break
            test = self.test(table, barred)
            told = columns_of(test) if test else set()
            if test and not told & met and not any(contradict(test, other) for other in found):
                found.append(test)
                met |= told
        return tuple(sorted(found, key=written_place))

    def test(self, table: str, barred: frozenset[str] = frozenset()) -> tree.Test | None:
        kind = self.weighted([(kind, weight) for kind, weight in self._weights.items() if kind in self._makers and kind not in barred])
        links = self._path(table)
        return self._makers[kind](links, self.graph.end(table, links)) if kind else None

    def _path(self, table: str) -> Links:
        paths = self.graph.paths(table)
        chosen = self.weighted([(path, _FAR[len(path)] * likely(path) if path else 1.2 * max(1, len(paths) / 3)) for path in paths])
        return chosen or ()

    def columns(self, table: TableFacts, *kinds: str) -> list[ColumnFacts]:
        return [column for column in table.columns if column.kind in kinds and column.distinct > 1]

    def _category(self, links: Links, table: TableFacts) -> tree.Test | None:
        labels = set(table.label)
        column = self.weighted([(c, 1.0 if c.distinct < 40 else 0.5) for c in self.columns(table, "category") if c not in labels])
        if column is None:
            return self._low_number(links, table) if self.chance(0.2) else None
        ref, values = tree.Ref(links, column), self.literals(column, 2)
        if not values:
            return None
        if len(values) == 2 and column.distinct > 2 and self.chance(0.14):
            return tree.OneOf(ref, tuple(values))
        if not column.missing and column.distinct <= _FEW_NUMBERS and self.chance(0.1):
            return tree.Compare(ref, "<>", values[0])
        return tree.Compare(ref, "=", values[0])

    def _low_number(self, links: Links, table: TableFacts) -> tree.Test | None:
        columns = [c for c in self.columns(table, "number") if c.whole and c.distinct <= _FEW_NUMBERS and c.sense != "money"]
        column = self.one(columns)
        value = self.literals(column, 1) if column else []
        return tree.Compare(tree.Ref(links, column), "=", value[0]) if column and value else None

    def literals(self, column: ColumnFacts, count: int) -> list[Value]:
        """Different values that can be said, the frequent ones more often."""
        options = [(value, times) for value, times in column.values if is_sayable(value)]
        found: list[Value] = []
        for _ in range(count):
            value = self.weighted([(value, float(times)) for value, times in options if value not in found])
            if value is None:
                break
            found.append(value)
        return found

    def named(self, links: Links, table: TableFacts) -> tree.Named | None:
        """A row by its name, or by its number where rows have none."""
        if len(table.label) == 2:
            values = self.one(table.names)
            told = values and all(isinstance(value, str) and is_sayable(value) for value in values)
            return tree.Named(links, table.label, tuple(str(value) for value in values)) if values and told else None
        column = table.label[0] if table.label else table.key
        if column is None or (not table.label and not column.unique):
            return None
        value = self.literals(column, 1)
        return tree.Named(links, (column,), (value[0],)) if value else None

    def _name(self, links: Links, table: TableFacts) -> tree.Test | None:
        if not links:
            return None
        return self.named(links, table) if table.label or self.chance(0.04) else None

    def _number(self, links: Links, table: TableFacts) -> tree.Test | None:
        column = self.one([c for c in self.columns(table, "number") if c.levels and c.levels[0] < c.levels[-1]])
        if column is None or len(links) > 1:
            return None
        ref = tree.Ref(links, column)
        if self.chance(0.12):
            low, high = sorted((self.rng.randint(4, 18), self.rng.randint(20, 36)))
            a, b = (round_number(column.levels[i], column.whole) for i in (low, high))
            return tree.Between(ref, a, b) if column.levels[0] < a < b < column.levels[-1] else None
        value = round_number(column.levels[self.rng.randint(_LOW_LEVEL, _HIGH_LEVEL)], column.whole)
        sign: tree.Sign | None = self.weighted([(">", 4.0), ("<", 2.5), (">=", 2.5), ("<=", 1.0)])
        if sign is None or not splits(column, sign, value):
            return None
        return tree.Compare(ref, sign, value)

    def _date(self, links: Links, table: TableFacts) -> tree.Test | None:
        dates = [(c, 4.0 if c is table.date else 1.5) for c in table.columns if c.form and c.first[:7] < c.last[:7]]
        years = [(c, 1.5) for c in self.columns(table, "year")]
        column = self.weighted([*dates, *years])
        if column is None and not links:
            return self._event_date(table)
        if column is None or (links and (table.date is not column or table.label or len(links) > 1) and self.chance(0.75)):
            return None
        return self.period(tree.Ref(links, column))

    def _event_date(self, table: TableFacts) -> tree.Test | None:
        """When the event took place that the row is part of."""
        paths = [(links, self.graph.end(table.name, links)) for links in self.graph.paths(table.name) if len(links) == 1]
        dates = [tree.Ref(links, end.date) for links, end in paths if end.date and not end.label]
        ref = self.one(dates)
        return self.period(ref) if ref else None

    def period(self, ref: tree.Ref) -> tree.Period | None:
        """A span in which the column has values."""
        value = self.weighted([(value, float(times)) for value, times in ref.column.values])
        if value is None:
            return None
        if ref.column.kind == "year":
            year = str(value)
            kind = self.weighted([("year", 5.0), ("since", 2.0), ("before", 2.0)])
            if kind == "year":
                return tree.Period(ref, "year", year, "")
            return tree.Period(ref, "day", f"{year}-01-01", "") if kind == "since" else tree.Period(ref, "day", "", f"{year}-01-01")
        return self._span(ref, str(value)[:10])

    def _span(self, ref: tree.Ref, day: str) -> tree.Period | None:
        year, month = int(day[:4]), int(day[5:7])
        years = int(ref.column.last[:4]) - int(ref.column.first[:4])
        kind = self.weighted(
            [("year", 6.0 if years else 0.0), ("month", 2.5), ("quarter", 1.5), ("half", 1.0), ("since", 1.2), ("before", 1.2),
             ("days", 1.0), ("years", 0.6 if years > 1 else 0.0), ("weekday", 0.3), ("season", 0.3 if years > 1 else 0.0)]
        )  # fmt: skip
        if kind == "year":
            return tree.Period(ref, "year", str(year), "")
        if kind == "years":
            return tree.Period(ref, "year", str(year), str(year + 1)) if str(year + 1) <= ref.column.last[:4] else None
        if kind == "month":
            return tree.Period(ref, "month", day[:7], "")
        if kind == "weekday":
            return tree.Period(ref, "weekday", str(self.rng.randrange(7)), "")
        if kind == "season":
            return tree.Period(ref, "season", day[5:7], "")
        if kind in ("quarter", "half"):
            size = 3 if kind == "quarter" else 6
            start = (month - 1) // size * size + 1
            return tree.Period(ref, "day", f"{year}-{start:02d}-01", month_start(year, start + size))
        if kind == "days":
            begin = date.fromisoformat(day)
            return tree.Period(ref, "day", day, (begin + timedelta(days=self.rng.choice((7, 10, 14, 21, 30)))).isoformat())
        edge = f"{year}-{month:02d}-01" if self.chance(0.5) or not years else f"{year}-01-01"
        if not ref.column.first < edge < ref.column.last:
            return None
        return tree.Period(ref, "day", edge, "") if kind == "since" else tree.Period(ref, "day", "", edge)

    def _flag(self, links: Links, table: TableFacts) -> tree.Test | None:
        column = self.one(self.columns(table, "flag"))
        return tree.Flag(tree.Ref(links, column), self.chance(0.7)) if column else None

    def _missing(self, links: Links, table: TableFacts) -> tree.Test | None:
        if len(links) > 1:
            return None
        columns = [
            (c, 3.0 if c.hints.null else 0.4 if c.kind == "contact" else 1.0)
            for c in table.columns
            if 0 < c.missing < c.rows and c.kind not in ("other", "key", "link")
        ]
        optional: list[tuple[ColumnFacts | Link, float]] = [
            (link, 0.8) for link in self.graph.up(table.name) if link.optional and len(link.pairs) == 1
        ]
        chosen = self.weighted([*columns, *optional])
        if isinstance(chosen, ColumnFacts):
            return tree.Missing(tree.Ref(links, chosen), self.chance(0.3))
        return tree.Linked(links, table.column(chosen.pairs[0][0]), self.chance(0.35)) if chosen else None

    def _like(self, links: Links, table: TableFacts) -> tree.Test | None:
        columns = [c for c in self.columns(table, "name", "text", "code") if not links or c in table.label]
        column = self.one(columns)
        value = self.literals(column, 1) if column else []
        if not column or not value or not isinstance(value[0], str):
            return None
        if self.chance(0.3):
            first = value[0][0]
            return tree.Like(tree.Ref(links, column), "start", first.upper()) if first.isalpha() else None
        pieces = [piece for piece in value[0].split() if piece.isalpha() and 3 <= len(piece) <= 12]
        piece = self.one(pieces)
        return tree.Like(tree.Ref(links, column), "in", piece) if piece else None

    def _either(self, links: Links, table: TableFacts) -> tree.Test | None:
        left, right = (self._makers[kind]((), table) for kind in self.rng.sample(["category", "number", "missing", "flag"], 2))
        if links or not left or not right or columns_of(left) & columns_of(right):
            return None
        return tree.Either(left, right)

    def _versus(self, links: Links, table: TableFacts) -> tree.Test | None:
        numbers = [c for c in self.columns(table, "number") if c.levels]
        pairs = [(a, b) for i, a in enumerate(numbers) for b in numbers[i + 1 :] if a.sense == b.sense or share_scale(a, b)]
        dates = [c for c in table.columns if c.form]
        pairs += [(a, b) for i, a in enumerate(dates) for b in dates[i + 1 :] if a.form == b.form]
        pair = self.one([pair for pair in pairs if overlap(*pair)])
        if links or not pair:
            return None
        sign: Literal["<", ">"] = self.rng.choice((">", "<"))
        return tree.Versus(tree.Ref((), pair[0]), sign, tree.Ref((), pair[1]))

    def days(self, table: TableFacts) -> tree.Days | None:
        """Days between two dates of a row of which the second comes after the first."""
        dates = [c for c in table.columns if c.form and "birth" not in c.name.lower()]
        begun = [(a, b) for a in dates for b in dates if a is not b and a is table.date and a.first <= b.first and a.last <= b.last]
        pair = self.one(begun)
        return tree.Days(tree.Ref((), pair[0]), tree.Ref((), pair[1])) if pair else None

    def _days(self, links: Links, table: TableFacts) -> tree.Test | None:
        span = self.days(table) if not links else None
        if not span:
            return None
        return tree.Compare(span, self.rng.choice((">", "<=")), self.rng.choice((1, 2, 3, 5, 7, 10, 14, 30, 60)))

    def _mean(self, links: Links, table: TableFacts) -> tree.Test | None:
        column = self.one([c for c in self.columns(table, "number") if c.levels and c.distinct > 5])
        return tree.AgainstMean(tree.Ref((), column), self.rng.choice((">", ">", "<")), None) if column and not links else None

    def _group_mean(self, links: Links, table: TableFacts) -> tree.Test | None:
        column = self.one([c for c in self.columns(table, "number") if c.levels and c.distinct > 5])
        groups = [tree.Ref((), c) for c in self.columns(table, "category") if c.distinct <= _MOST_GROUPS and c not in table.label]
        groups += [tree.Ref((), table.column(link.pairs[0][0])) for link in self.graph.up(table.name) if self.graph.end("", (link,)).label]
        group = self.one(groups) if table.rows <= _MOST_COMPARED else None
        return tree.AgainstMean(tree.Ref((), column), self.rng.choice((">", "<")), group) if column and group and not links else None

    def _extreme(self, links: Links, table: TableFacts) -> tree.Test | None:
        column = self.one([c for c in table.columns if (c.numeric or c.form) and c.distinct > 3])
        return tree.Extreme(tree.Ref((), column), self.chance(0.65), ()) if column and not links else None

    def _same_as(self, links: Links, table: TableFacts) -> tree.Test | None:
        columns = [c for c in self.columns(table, "category") if c not in table.label]
        columns += [table.column(link.pairs[0][0]) for link in self.graph.up(table.name) if link.child != link.parent]
        column, named = self.one(columns), self.named((), table)
        if links or not column or not named or not table.label or not table.label[0].unique:
            return None
        return tree.SameAs(tree.Ref((), column), named)


TESTS = (
    "category", "name", "number", "date", "flag", "missing", "like", "either", "versus", "days", "mean", "group_mean", "extreme", "same_as",
)  # fmt: skip
