"""SQL from the syntax tree: conditions, expressions and figures of one SELECT."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

from t2s.data.prompt import quote_name
from t2s.data.synthesis import tree
from t2s.data.synthesis.facts import Facts
from t2s.data.synthesis.graph import Links
from t2s.data.synthesis.scope import Scope, end_key, literal

_FORMATS = {"year": "%Y", "month": "%Y-%m", "weekday": "%w", "season": "%m", "day": "%Y-%m-%d"}


class Writer:
    """Writes the parts of one SELECT.

    Args:
        facts: What the tables hold.
        scope: The SELECT's tables; naming a column joins its table.
    """

    def __init__(self, facts: Facts, scope: Scope) -> None:
        self.facts = facts
        self.scope = scope

    # Values of a row ----------------------------------------------------------------------------------------------

    def expr(self, what: tree.Expr) -> str:
        column = self.scope.column
        if isinstance(what, tree.Ref):
            return column(what)
        if isinstance(what, tree.Product):
            discount = f" * (1 - {column(what.discount)})" if what.discount else ""
            return f"{column(what.quantity)} * {column(what.price)}{discount}"
        if isinstance(what, tree.Days):
            return f"julianday({column(what.end)}) - julianday({column(what.start)})"
        return f"{column(what.left)} - {column(what.right)}"

    def shown(self, what: tree.ByRow | tree.Expr) -> list[str]:
        """Columns of a SELECT list."""
        if isinstance(what, tree.ByRow):
            return self.label(what.links)
        rounded = isinstance(what, tree.Days) or (not isinstance(what, tree.Ref) and not is_whole(what))
        return [f"ROUND({self.expr(what)}, 2)" if rounded else self.expr(what)]

    def label(self, links: Links) -> list[str]:
        """What a row at the end of a path is called: its name, or else its key."""
        end = self.facts.table(links[-1].parent if links else self.scope.table)
        if end.label:
            return [self.scope.named(links, column.name) for column in end.label]
        return [self.row_key(links)]

    def row_key(self, links: Links) -> str:
        """The column that tells rows at the end of a path apart, without joining their table if it is not joined yet."""
        near = end_key(links)
        if near is not None:
            return self.scope.named(*near)
        key = self.facts.table(links[-1].parent if links else self.scope.table).key
        if key is None:
            raise LookupError("rows without a key cannot be told apart")
        return self.scope.named(links, key.name)

    # Conditions ---------------------------------------------------------------------------------------------------

    def where(self, tests: Sequence[tree.Test], more: Sequence[str] = ()) -> str:
        written = [*(test_sql(test, self) for test in tests), *more]
        return f" WHERE {' AND '.join(written)}" if written else ""

    def nested(self, table: str, correlated: bool) -> Writer:
        """The writer of a SELECT inside a condition."""
        if table != self.scope.table or correlated:
            self.scope.reading.joined += 1
        return Writer(self.facts, Scope(table, self.scope.reading, self.scope.used if correlated else frozenset()))

    # Figures ------------------------------------------------------------------------------------------------------

    def measure(self, measure: tree.Measure, rounded: bool = True) -> str:
        written, exact = self._measure(measure)
        return f"ROUND({written}, 2)" if rounded and not exact else written

    def _measure(self, measure: tree.Measure) -> tuple[str, bool]:
        """The figure, and whether it needs no rounding."""
        if isinstance(measure, tree.Count):
            return "COUNT(*)", True
        if isinstance(measure, tree.CountOf):
            return f"COUNT(DISTINCT {self.scope.column(measure.ref)})", True
        if isinstance(measure, tree.Figure):
            whole = measure.function in ("MIN", "MAX") and isinstance(measure.what, tree.Ref)
            exact = whole or (measure.function != "AVG" and is_whole(measure.what))
            return f"{measure.function}({self.expr(measure.what)})", exact
        if isinstance(measure, tree.Share):
            total = "COUNT(*)" if measure.what is None else f"SUM({self.expr(measure.what)})"
            return f"100.0 * {self._part(measure.test, measure.what)} / {total}", False
        if isinstance(measure, tree.Per):
            total = (
                "1.0 * COUNT(*)" if measure.what is None else f"{'1.0 * ' if is_whole(measure.what) else ''}SUM({self.expr(measure.what)})"
            )
            return f"{total} / COUNT(DISTINCT {self.scope.column(measure.ref)})", False
        if isinstance(measure, tree.Part):
            return self._part(measure.test, measure.what), measure.what is None or is_whole(measure.what)
        return self._change(measure)

    def _part(self, test: tree.Test, what: tree.Expr | None) -> str:
        value = "1" if what is None else self.expr(what)
        return f"SUM(CASE WHEN {test_sql(test, self)} THEN {value} ELSE 0 END)"

    def _change(self, change: tree.Change) -> tuple[str, bool]:
        before, after = self._part(change.before.test, change.before.what), self._part(change.after.test, change.after.what)
        if change.percent:
            return f"100.0 * ({after} - {before}) / {before}", False
        return f"{after} - {before}", change.before.what is None or is_whole(change.before.what)

    # Groups -------------------------------------------------------------------------------------------------------

    def key(self, key: tree.Key) -> tuple[list[str], list[str]]:
        """The columns that show a group's key, and what they are grouped by."""
        if isinstance(key, tree.ByRow):
            end = self.facts.table(key.links[-1].parent if key.links else self.scope.table)
            shown = self.label(key.links)
            if len(end.label) == 1 and (end.label[0].unique or end.key is None):
                return shown, shown
            if end.key is None:
                return shown, shown
            return shown, [self.scope.named(key.links, end.key.name) if end.label else shown[0]]
        if isinstance(key, tree.ByValue):
            return [self.scope.column(key.ref)], [self.scope.column(key.ref)]
        if isinstance(key, tree.ByTime):
            bucket = f"strftime('{_FORMATS[key.unit]}', {self.scope.column(key.ref)})"
            return [bucket], [bucket]
        column = self.scope.column(key.ref)
        whens = " ".join(
            f"WHEN {column} < {literal(limit)} THEN {literal(name)}" for limit, name in zip(key.limits, key.names, strict=False)
        )
        case = f"CASE {whens} ELSE {literal(key.names[-1])} END"
        return [case], [case]

    def having(self, conditions: Sequence[tree.Having]) -> str:
        written = []
        for condition in conditions:
            value = condition.value
            other = literal(value) if isinstance(value, str | int | float) else self.measure(value, rounded=False)
            written.append(f"{self.measure(condition.measure, rounded=False)} {condition.sign} {other}")
        return f" HAVING {' AND '.join(written)}" if written else ""

    def tie_break(self, key: tree.Key) -> list[str]:
        """What orders groups that are equal otherwise."""
        shown, grouped = self.key(key)
        return grouped if len(shown) > 1 else shown


def is_whole(what: tree.Expr) -> bool:
    """Whether the values need no rounding."""
    if isinstance(what, tree.Ref):
        return what.column.whole
    if isinstance(what, tree.Product):
        return what.price.column.whole and what.discount is None
    return isinstance(what, tree.Minus) and what.left.column.whole and what.right.column.whole


@singledispatch
def test_sql(test: tree.Test, writer: Writer) -> str:
    """One condition."""
    raise TypeError(f"no SQL for {test!r}")


@test_sql.register
def _(test: tree.Compare, writer: Writer) -> str:
    return f"{writer.expr(test.what)} {test.sign} {literal(test.value)}"


@test_sql.register
def _(test: tree.Named, writer: Writer) -> str:
    pairs = zip(test.columns, test.values, strict=True)
    near = end_key(test.links)
    if near is not None and len(test.columns) == 1 and test.columns[0].name == test.links[-1].pairs[0][1]:
        return f"{writer.scope.named(*near)} = {literal(test.values[0])}"
    return " AND ".join(f"{writer.scope.named(test.links, column.name)} = {literal(value)}" for column, value in pairs)


@test_sql.register
def _(test: tree.Between, writer: Writer) -> str:
    return f"{writer.scope.column(test.ref)} BETWEEN {literal(test.low)} AND {literal(test.high)}"


@test_sql.register
def _(test: tree.OneOf, writer: Writer) -> str:
    return f"{writer.scope.column(test.ref)} IN ({', '.join(map(literal, test.values))})"


@test_sql.register
def _(test: tree.Like, writer: Writer) -> str:
    pattern = {"in": f"%{test.piece}%", "start": f"{test.piece}%", "end": f"%{test.piece}"}[test.place]
    return f"{writer.scope.column(test.ref)} LIKE {literal(pattern)}"


@test_sql.register
def _(test: tree.Missing, writer: Writer) -> str:
    return f"{writer.scope.column(test.ref)} IS {'NOT ' if test.there else ''}NULL"


@test_sql.register
def _(test: tree.Linked, writer: Writer) -> str:
    return f"{writer.scope.named(test.links, test.column.name)} IS {'NOT ' if test.there else ''}NULL"


@test_sql.register
def _(test: tree.Flag, writer: Writer) -> str:
    return f"{writer.scope.column(test.ref)} = {literal(test.ref.column.on if test.yes else test.ref.column.off)}"


@test_sql.register
def _(test: tree.Period, writer: Writer) -> str:
    column = writer.scope.column(test.ref)
    if test.ref.column.kind == "year":
        return _year_sql(column, test)
    if test.unit == "day":
        parts = [f"{column} >= {literal(test.start)}"] if test.start else []
        parts += [f"{column} < {literal(test.end)}"] if test.end else []
        return " AND ".join(parts)
    bucket = f"strftime('{_FORMATS[test.unit]}', {column})"
    return f"{bucket} IN ({literal(test.start)}, {literal(test.end)})" if test.end else f"{bucket} = {literal(test.start)}"


def _year_sql(column: str, test: tree.Period) -> str:
    """A column of years: one, one of two, or all from one year up to another."""
    if test.unit == "year":
        return f"{column} IN ({test.start}, {test.end})" if test.end else f"{column} = {test.start}"
    parts = [f"{column} >= {test.start[:4]}"] if test.start else []
    parts += [f"{column} < {test.end[:4]}"] if test.end else []
    return " AND ".join(parts)


@test_sql.register
def _(test: tree.Either, writer: Writer) -> str:
    return f"({test_sql(test.left, writer)} OR {test_sql(test.right, writer)})"


@test_sql.register
def _(test: tree.Versus, writer: Writer) -> str:
    return f"{writer.scope.column(test.left)} {test.sign} {writer.scope.column(test.right)}"


@test_sql.register
def _(test: tree.AgainstMean, writer: Writer) -> str:
    inner = writer.nested(writer.scope.table if not test.ref.links else test.ref.links[-1].parent, correlated=test.within is not None)
    mean = f"AVG({inner.scope.named((), test.ref.column.name)})"
    where = ""
    if test.within is not None:
        where = f" WHERE {inner.scope.column(test.within)} = {writer.scope.column(test.within)}"
    return f"{writer.scope.column(test.ref)} {test.sign} (SELECT {mean} FROM {inner.scope.source()}{where})"


@test_sql.register
def _(test: tree.Extreme, writer: Writer) -> str:
    inner = writer.nested(writer.scope.table, correlated=False)
    where = inner.where(test.tests)
    best = f"{'MAX' if test.highest else 'MIN'}({inner.scope.column(test.ref)})"
    return f"{writer.scope.column(test.ref)} = (SELECT {best} FROM {inner.scope.source()}{where})"


@test_sql.register
def _(test: tree.SameAs, writer: Writer) -> str:
    inner = writer.nested(writer.scope.table, correlated=False)
    where = inner.where([test.named])
    return f"{writer.scope.column(test.ref)} = (SELECT {inner.scope.column(test.ref)} FROM {inner.scope.source()}{where})"


@test_sql.register
def _(test: tree.Has, writer: Writer) -> str:
    link = test.links[-1]
    pointing = writer.facts.table(link.child).column(link.pairs[0][0])
    if len(link.pairs) > 1 or (test.sign == "<>" and pointing.missing):
        return _exists(test, writer)
    inner = writer.nested(test.child, correlated=False)
    where = inner.where(test.tests)
    found = inner.scope.named(test.links[:-1], pointing.name)
    group = f" GROUP BY {found} HAVING COUNT(*) {test.sign} {test.count}" if test.sign in (">", ">=") else ""
    word = "NOT IN" if test.sign == "<>" else "IN"
    here = writer.scope.named((), link.pairs[0][1])
    return f"{here} {word} (SELECT {found} FROM {inner.scope.source()}{where}{group})"


def _exists(test: tree.Has, writer: Writer) -> str:
    inner = writer.nested(test.child, correlated=True)
    met = [f"{inner.scope.named(test.links[:-1], child)} = {writer.scope.named((), parent)}" for child, parent in test.links[-1].pairs]
    where = f" WHERE {' AND '.join([*met, *(test_sql(t, inner) for t in test.tests)])}"
    count = f" HAVING COUNT(*) {test.sign} {test.count}" if test.sign in (">", ">=") else ""
    word = "NOT EXISTS" if test.sign == "<>" else "EXISTS"
    return f"{word} (SELECT 1 FROM {inner.scope.source()}{where}{count})"


def as_name(words_said: str) -> str:
    """An alias for a column of a common table expression."""
    name = "_".join("".join(c if c.isalnum() and c.isascii() else " " for c in words_said.lower()).split()) or "value"
    name = f"value_{name}" if name[0].isdigit() else name
    return name if quote_name(name) == name and name not in ("count", "sum", "total", "rank") else f"{name}_value"
