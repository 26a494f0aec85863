"""Draws figures that mean something for the rows of a table, and what the rows can be grouped by."""

from __future__ import annotations

from t2s.data.synthesis import tree
from t2s.data.synthesis.draw import Draw
from t2s.data.synthesis.facts import ColumnFacts, TableFacts
from t2s.data.synthesis.graph import Links
from t2s.data.synthesis.sense import can_sum, likely, round_number

_MOST_GROUPS = 60
_MOST_YEARS = 30
_NEARER = (1.1, 1.0, 0.7, 0.45, 0.25)


def expression(draw: Draw, table: TableFacts) -> tree.Expr | None:
    """Something of each row that can be added up."""
    options: list[tuple[tree.Expr, float]] = [(tree.Ref((), c), 1.0) for c in table.columns if c.numeric and can_sum(c) and c.distinct > 1]
    if table.goods:
        options.append((goods(table), 5.0))
    return draw.weighted(options)


def goods(table: TableFacts) -> tree.Product:
    """The value of a row that is a sale."""
    quantity, price, *discount = (tree.Ref((), column) for column in table.goods)
    return tree.Product(quantity, price, discount[0] if discount else None)


def figure(draw: Draw, table: TableFacts) -> tree.Figure | None:
    """An aggregate of a number, an amount of money, a span of days or a date."""
    numbers = [c for c in table.columns if c.numeric and c.distinct > 1]
    options: list[tuple[tree.Expr, float]] = [(tree.Ref((), c), 1.0) for c in numbers]
    if table.goods:
        options = [(what, 0.5) for what, _ in options] + [(goods(table), 8.0)]
    span = draw.days(table)
    if span:
        options.append((span, 0.8))
    options += [(pair, 0.4) for pair in _differences(numbers)]
    options += [(tree.Ref((), c), 0.25) for c in table.columns if c.form or (c.kind == "year" and c.distinct > 3)]
    what = draw.weighted(options)
    if what is None:
        return None
    return tree.Figure(_function(draw, what), what)


def _differences(numbers: list[ColumnFacts]) -> list[tree.Minus]:
    """One price less another of the same row, where the first is nearly always higher."""
    prices = [c for c in numbers if c.sense == "money" and not can_sum(c)]
    return [
        tree.Minus(tree.Ref((), a), tree.Ref((), b))
        for a in prices
        for b in prices
        if a is not b and all(high >= low for high, low in zip(a.levels, b.levels, strict=True)) and a.levels[20] > b.levels[20]
    ]


def _function(draw: Draw, what: tree.Expr) -> tree.Function:
    if isinstance(what, tree.Product):
        return draw.weighted([("SUM", 9.0), ("AVG", 0.5), ("MAX", 0.5)]) or "SUM"
    if isinstance(what, tree.Days):
        return draw.weighted([("AVG", 5.0), ("MAX", 1.0)]) or "AVG"
    if isinstance(what, tree.Minus):
        return draw.weighted([("AVG", 4.0), ("MAX", 1.0)]) or "AVG"
    if what.column.form or what.column.kind == "year":
        return draw.weighted([("MAX", 1.0), ("MIN", 1.0)]) or "MAX"
    total = 4.0 if can_sum(what.column) else 0.0
    return draw.weighted([("SUM", total), ("AVG", 3.0), ("MAX", 1.2), ("MIN", 0.8)]) or "AVG"


def count_of(draw: Draw, table: TableFacts) -> tree.CountOf | None:
    """How many different rows of another table these rows point to, or how many different values they have."""
    graph = draw.graph
    options: list[tuple[tree.CountOf, float]] = []
    for links in graph.paths(table.name):
        if links and len(links) <= 2 and len(links[-1].pairs) == 1 and not graph.is_bare_link(graph.end(table.name, links)):
            column = draw.facts.table(links[-1].child).column(links[-1].pairs[0][0])
            if not column.unique:
                options.append((tree.CountOf(tree.Ref(links[:-1], column), links), 2.0 * likely(links)))
    for column in table.columns:
        if column.kind == "category" and column.distinct > 3 and column not in table.label:
            options.append((tree.CountOf(tree.Ref((), column), ()), 1.0))
    return draw.weighted(options)


def measure(draw: Draw, table: TableFacts) -> tree.Measure | None:
    """Any figure, the plain ones more often."""
    kind = draw.weighted([("count", 3.2), ("figure", 8.0 if table.goods else 4.5), ("count_of", 1.0), ("share", 0.7), ("per", 0.7)])
    if kind == "count":
        return tree.Count()
    if kind == "figure":
        return figure(draw, table)
    if kind == "count_of":
        return count_of(draw, table)
    return share(draw, table) if kind == "share" else per(draw, table)


def share(draw: Draw, table: TableFacts) -> tree.Share | None:
    """Per cent of the rows, or of what they add up to."""
    test = draw.test(table.name, frozenset({"either", "versus", "days", "mean", "group_mean", "extreme", "same_as", "like"}))
    if test is None or _needs_far_join(test):
        return None
    return tree.Share(test, expression(draw, table) if draw.chance(0.35) else None)


def _needs_far_join(test: tree.Test) -> bool:
    ref = getattr(test, "ref", None) or getattr(test, "what", None)
    links: Links = getattr(ref, "links", getattr(test, "links", ()))
    return len(links) > 1


def per(draw: Draw, table: TableFacts) -> tree.Per | None:
    """Average of a sum, or of the number of rows, over the rows that these point to."""
    paths = [
        links
        for links in draw.graph.paths(table.name)
        if len(links) == 1
        and len(links[0].pairs) == 1
        and not links[0].optional
        and links[0].child != links[0].parent
        and not draw.facts.table(table.name).column(links[0].pairs[0][0]).unique
    ]
    links = draw.one(paths)
    if links is None:
        return None
    ref = tree.Ref((), draw.facts.table(table.name).column(links[0].pairs[0][0]))
    return tree.Per(expression(draw, table) if draw.chance(0.6) else None, ref, links)


def key(draw: Draw, table: TableFacts, barred: tuple[tree.Key, ...] = ()) -> tree.Key | None:
    """What rows can be grouped by so that there are several groups, and not too many to look at."""
    options: list[tuple[tree.Key, float]] = []
    for links in draw.graph.paths(table.name):
        end, near = draw.graph.end(table.name, links), _NEARER[len(links)] * likely(links)
        if links:
            weight = 2.2 if end.label else 0.2
            options.append((tree.ByRow(links), weight * near if end.key and not draw.graph.is_bare_link(end) else 0.0))
        for column in end.columns:
            options.append((tree.ByValue(tree.Ref(links, column)), near * _value_weight(column, end)))
        if end.date and len(links) <= 1:
            plain = not links or (not end.label and not table.date)
            options += [(tree.ByTime(tree.Ref(links, end.date), unit), near * weight) for unit, weight in time_units(end.date, not plain)]
    return draw.weighted([(option, weight) for option, weight in options if option not in barred])


def _value_weight(column: ColumnFacts, table: TableFacts) -> float:
    if column in table.label or not 1 < column.distinct <= _MOST_GROUPS:
        return 0.0
    return {"category": 1.6, "year": 0.5, "flag": 0.15}.get(column.kind, 0.0)


def time_units(column: ColumnFacts, far: bool) -> list[tuple[tree.Bucket, float]]:
    years = int(column.last[:4]) - int(column.first[:4]) if column.first else 0
    if not 0 <= years <= _MOST_YEARS or column.first[:7] == column.last[:7]:
        return []
    scale = 0.06 if far else 1.0
    return [("year", 1.2 * scale if years else 0.0), ("month", 1.4 * scale), ("weekday", 0.15 * scale)]


def steps(draw: Draw, table: TableFacts) -> tree.ByStep | None:
    """Two limits that part the rows into three ranges, each with a name that says which."""
    column = draw.one([c for c in table.columns if c.numeric and c.distinct > 8])
    if column is None:
        return None
    low, high = (round_number(column.levels[draw.rng.randint(*span)], column.whole) for span in ((8, 16), (24, 34)))
    if not column.levels[0] < low < high < column.levels[-1]:
        return None
    names = (f"below {low:g}", f"{low:g} to under {high:g}", f"{high:g} and above") if draw.chance(0.5) else ("low", "medium", "high")
    return tree.ByStep(tree.Ref((), column), (low, high), names)
