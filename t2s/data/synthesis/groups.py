"""Draws needs about groups: figures for each, the best of them, those above a limit, series over time."""

from __future__ import annotations

from dataclasses import replace

from t2s.data.synthesis import figures, needs, tree
from t2s.data.synthesis.facts import TableFacts
from t2s.data.synthesis.grammar import FORMS, SIMPLE, Grammar, leads_to, same_column, same_subject
from t2s.data.synthesis.sense import round_number


def _grouped(g: Grammar, counts: tuple[float, ...], keys: int = 1, measure: tree.Measure | None = None) -> needs.Grouped | None:
    """A figure for each group."""
    if keys == 1 and measure is None and g.draw.chance(0.06):
        return _partners(g)
    table = g.event()
    if table is None:
        return None
    first = figures.key(g.draw, table)
    second = figures.key(g.draw, table, (first,)) if first and keys == 2 else None
    measure = measure or figures.measure(g.draw, table)
    if first is None or measure is None or (keys == 2 and second is None):
        return None
    chosen = (first,) if second is None else (first, second)
    if any(_is_settled(measure, key) or _is_same_date(measure, key) for key in chosen):
        return None
    tests = tuple(t for t in g.tests(table, counts, SIMPLE) if not any(_fixes(t, key) for key in chosen) and not same_column(t, measure))
    tests = _within_a_year(g, first, tests)
    return needs.Grouped(table.name, chosen, (measure,), tests, (), None, 0, True, False)


def _within_a_year(g: Grammar, key: tree.Key, tests: tuple[tree.Test, ...]) -> tuple[tree.Test, ...]:
    """Months are mostly asked for within one year."""
    if not isinstance(key, tree.ByTime) or key.unit != "month" or key.ref.column.first[:4] == key.ref.column.last[:4] or g.draw.chance(0.5):
        return tests
    year = g.draw.rng.randint(int(key.ref.column.first[:4]), int(key.ref.column.last[:4]))
    others = [test for test in tests if getattr(test, "ref", None) != key.ref]
    return (*others, tree.Period(key.ref, "year", str(year), ""))


def _partners(g: Grammar) -> needs.Grouped | None:
    """How many rows lie on the other side of a table that only ties two others."""
    graph = g.draw.graph
    table = g.draw.one([t for t in graph.facts.tables if graph.is_bare_link(t) and len(graph.up(t.name)) == 2])
    links = [link for link in graph.up(table.name) if graph.end(table.name, (link,)).label] if table else []
    link = g.draw.one(links)
    if table is None or link is None:
        return None
    tests = tuple(t for t in g.draw.tests(table.name, g.draw.rng.choice((0, 0, 1)), SIMPLE) if not leads_to(t, (link,)))
    return needs.Grouped(table.name, (tree.ByRow((link,)),), (tree.Count(),), tests, (), None, 0, True, False)


def _is_settled(measure: tree.Measure, key: tree.Key) -> bool:
    """Whether each group has one of what a figure counts or divides by."""
    if not isinstance(measure, tree.CountOf | tree.Per):
        return False
    if isinstance(key, tree.ByRow):
        return measure.links[: len(key.links)] == key.links if measure.links else False
    return isinstance(key, tree.ByValue) and measure.ref == key.ref


def _is_same_date(measure: tree.Measure, key: tree.Key) -> bool:
    return isinstance(key, tree.ByTime) and getattr(measure, "what", None) == key.ref


def _fixes(test: tree.Test, key: tree.Key) -> bool:
    """Whether a condition leaves only one of the groups."""
    if isinstance(key, tree.ByRow):
        return isinstance(test, tree.Named) and test.links[: len(key.links)] == key.links
    ref = getattr(test, "ref", None) or getattr(test, "what", None)
    if isinstance(key, tree.ByTime):
        return ref == key.ref and isinstance(test, tree.Period) and (test.unit != "year" or key.unit == "year")
    return bool(ref == key.ref) and isinstance(test, tree.Compare) and test.sign == "="


def group_figure(g: Grammar) -> needs.Query | None:
    """A figure for each group, perhaps two, perhaps in order."""
    grouped = _grouped(g, (2.0, 4.0, 2.5, 0.5))
    if grouped is None:
        return None
    if g.draw.chance(0.15):
        more = figures.measure(g.draw, g.draw.facts.table(grouped.table))
        if (
            more
            and more != grouped.measures[0]
            and all(_is_short(m) and not _is_settled(m, grouped.keys[0]) for m in (more, grouped.measures[0]))
        ):
            grouped = replace(grouped, measures=(*grouped.measures, more))
    key = grouped.keys[0]
    if isinstance(key, tree.ByTime) and g.draw.chance(0.75):
        return replace(grouped, order=tree.By(key, False))
    if g.draw.chance(0.35):
        return replace(grouped, order=tree.By(grouped.measures[0], _may_be_null(grouped.measures[0]) or g.draw.chance(0.85)))
    return grouped


def _is_short(measure: tree.Measure) -> bool:
    """Whether the figure is named in a word or two, so that another fits beside it."""
    return (
        isinstance(measure, tree.Count | tree.CountOf | tree.Figure)
        and not isinstance(getattr(measure, "what", None), tree.Days)
        and not _of_dates(measure)
    )


def _of_dates(measure: tree.Measure) -> bool:
    what = getattr(measure, "what", None)
    return isinstance(what, tree.Ref) and (bool(what.column.form) or what.column.kind == "year")


def _may_be_null(measure: tree.Measure) -> bool:
    """Whether a group may have no figure; NULL would come first in ascending order."""
    what = getattr(measure, "what", None)
    parts = [what.start, what.end] if isinstance(what, tree.Days) else [what] if isinstance(what, tree.Ref) else []
    return any(part.column.missing for part in parts)


def group_top(g: Grammar) -> needs.Query | None:
    """The groups with the highest or lowest figure."""
    grouped = _grouped(g, (2.0, 4.0, 2.5, 0.5))
    if grouped is None or (isinstance(grouped.measures[0], tree.Share) and g.draw.chance(0.5)) or _of_dates(grouped.measures[0]):
        return None
    limit = g.draw.weighted([(1, 4.0), (3, 2.0), (5, 2.5), (10, 1.5)]) or 1
    order = tree.By(grouped.measures[0], _may_be_null(grouped.measures[0]) or g.draw.chance(0.82))
    return replace(grouped, order=order, limit=limit, shows=g.draw.chance(0.55))


def group_having(g: Grammar) -> needs.Query | None:
    """The groups whose figure passes a limit, or is higher for one year or value than for another."""
    grouped = _grouped(g, (2.5, 4.0, 2.0), measure=tree.Count() if g.draw.chance(0.5) else None)
    if grouped is None:
        return None
    table = g.draw.facts.table(grouped.table)
    if g.draw.chance(0.2):
        parts = g.two_parts(table)
        if parts is None or any(same_subject(test, parts[0].test) for test in grouped.tests) or _settles(grouped.keys[0], parts[0]):
            return None
        return replace(grouped, measures=(), having=(tree.Having(parts[1], g.draw.rng.choice((">", "<")), parts[0]),), shows=False)
    having = _limit(g, table, grouped)
    return replace(grouped, having=(having,), shows=g.draw.chance(0.4)) if having else None


def _settles(key: tree.Key, part: tree.Part) -> bool:
    """Whether all rows of a group are alike in what tells one part from the other."""
    ref = getattr(part.test, "ref", None) or getattr(part.test, "what", None)
    links = getattr(ref, "links", ())
    if isinstance(key, tree.ByRow):
        return bool(links[: len(key.links)] == key.links)
    return bool(ref == key.ref)


def _limit(g: Grammar, table: TableFacts, grouped: needs.Grouped) -> tree.Having | None:
    """A limit about where the groups lie; whether some pass it and some do not is seen when the query runs."""
    measure, draw = grouped.measures[0], g.draw
    sign: tree.Sign = draw.weighted([(">", 4.0), (">=", 3.0), ("<", 1.5), ("=", 0.5)]) or ">"
    groups = max(_groups(g, table, grouped.keys[0]), 1)
    if isinstance(measure, tree.Count | tree.CountOf):
        about = max(table.rows / groups, 1.0) * draw.rng.choice((0.5, 0.8, 1.0, 1.3, 2.0)) / (3 if grouped.tests else 1)
        return tree.Having(measure, sign, max(int(round_number(about, True)), 1 if sign in (">", ">=") else 2))
    if not isinstance(measure, tree.Figure) or isinstance(measure.what, tree.Days) or sign == "=":
        return None
    column = (
        measure.what.price.column
        if isinstance(measure.what, tree.Product)
        else measure.what.column
        if isinstance(measure.what, tree.Ref)
        else None
    )
    if column is None or not column.levels or column.kind == "year":
        return None
    level = column.levels[draw.rng.randint(12, 30)]
    scale = table.rows / groups * draw.rng.choice((0.5, 1.0, 1.5)) / (3 if grouped.tests else 1) if measure.function == "SUM" else 1.0
    return tree.Having(measure, sign, round_number(level * max(scale, 1.0), column.whole and measure.function != "AVG"))


def _groups(g: Grammar, table: TableFacts, key: tree.Key) -> int:
    """About how many groups there are."""
    if isinstance(key, tree.ByRow):
        return g.draw.graph.end(table.name, key.links).rows
    if isinstance(key, tree.ByTime):
        years = int(key.ref.column.last[:4]) - int(key.ref.column.first[:4]) + 1
        return years * {"year": 1, "month": 12, "weekday": 7}[key.unit]
    return key.ref.column.distinct


def group_zeros(g: Grammar) -> needs.Query | None:
    """Rows with how many rows of another table belong to them, none included."""
    graph = g.draw.graph
    links = [link for link in graph.links if len(link.pairs) == 1 and graph.end("", (link,)).label and link.child != link.parent]
    link = g.draw.one(links)
    if link is None or graph.is_bare_link(g.draw.facts.table(link.child)):
        return None
    tests = tuple(t for t in g.draw.tests(link.child, g.draw.rng.choice((0, 0, 1)), SIMPLE) if not _joins(t))
    order = tree.By(tree.Count(), g.draw.chance(0.7)) if g.draw.chance(0.3) else None
    return needs.Grouped(link.child, (tree.ByRow((link,)),), (tree.Count(),), tests, (), order, 0, True, True)


def _joins(test: tree.Test) -> bool:
    ref = getattr(test, "ref", None) or getattr(test, "what", None)
    return bool(getattr(ref, "links", getattr(test, "links", ())))


def group_two(g: Grammar) -> needs.Query | None:
    """A figure for each pair of two keys."""
    grouped = _grouped(g, (4.0, 3.0), keys=2)
    if grouped is None:
        return None
    if g.draw.chance(0.3):
        return replace(grouped, order=tree.By(grouped.keys[0], False))
    return grouped


def group_step(g: Grammar) -> needs.Query | None:
    """How many rows lie in each range of a number."""
    table = g.event()
    steps = figures.steps(g.draw, table) if table else None
    if table is None or steps is None:
        return None
    return needs.Grouped(table.name, (steps,), (tree.Count(),), g.tests(table, (4.0, 3.0), SIMPLE | {"number"}), (), None, 0, True, False)


def group_parts(g: Grammar) -> needs.Query | None:
    """For each group the figure of one year or value beside that of another, or how it changed."""
    grouped = _grouped(g, (4.0, 2.0))
    parts = g.two_parts(g.draw.facts.table(grouped.table)) if grouped else None
    if grouped is None or parts is None or any(same_subject(test, parts[0].test) for test in grouped.tests):
        return None
    if any(_fixes(part.test, key) or _settles(key, part) for part in parts for key in grouped.keys) or isinstance(
        grouped.keys[0], tree.ByTime
    ):
        return None
    if g.draw.chance(0.35):
        change = tree.Change(*parts, percent=False)
        return replace(grouped, measures=(change,), order=tree.By(change, True) if g.draw.chance(0.5) else None)
    return replace(grouped, measures=parts)


def count_groups(g: Grammar) -> needs.Query | None:
    """How many rows there are for which a figure passes a limit."""
    grouped = group_having(g)
    if not isinstance(grouped, needs.Grouped) or not isinstance(grouped.keys[0], tree.ByRow) or len(grouped.keys[0].links[-1].pairs) > 1:
        return None
    return needs.CountGroups(replace(grouped, shows=False))


def over_groups(g: Grammar) -> needs.Query | None:
    """The average, highest or lowest figure of the groups."""
    grouped = _plain(g, _grouped(g, (2.5, 3.5, 1.0)))
    if grouped is None or not isinstance(grouped.keys[0], tree.ByRow | tree.ByTime):
        return None
    # An average over the rows pointed to has a shorter form: see `tree.Per`.
    near = isinstance(grouped.keys[0], tree.ByRow) and len(grouped.keys[0].links) == 1 and not grouped.keys[0].links[0].optional
    function: tree.Function = g.draw.weighted([("AVG", 0.0 if near else 6.0), ("MAX", 2.0), ("MIN", 1.0)]) or "MAX"
    return needs.OverGroups(function, grouped)


def _plain(g: Grammar, grouped: needs.Grouped | None) -> needs.Grouped | None:
    """The groups, if their figure is a count or a sum."""
    if grouped is None:
        return None
    measure = grouped.measures[0]
    plain = isinstance(measure, tree.Count) or (isinstance(measure, tree.Figure) and measure.function == "SUM")
    if plain:
        return grouped
    table = g.draw.facts.table(grouped.table)
    what = figures.expression(g.draw, table)
    return replace(grouped, measures=(tree.Figure("SUM", what) if what else tree.Count(),))


def groups_against_mean(g: Grammar) -> needs.Query | None:
    """The groups above or below the average of all groups."""
    grouped = _plain(g, _grouped(g, (2.5, 3.5, 1.0)))
    if grouped is None or isinstance(grouped.keys[0], tree.ByTime):
        return None
    return needs.GroupsAgainstMean(grouped, g.draw.rng.choice((">", ">", "<")))


def top_of_each(g: Grammar) -> needs.Query | None:
    """For each value of one key, the best of another."""
    grouped = _plain(g, _grouped(g, (2.5, 3.5, 1.0), keys=2))
    if grouped is None or isinstance(grouped.keys[0], tree.ByStep) or not isinstance(grouped.keys[1], tree.ByRow | tree.ByValue):
        return None
    within, each = grouped.keys
    if _determines(each, within) is None:
        return None
    return needs.TopOfEach(
        replace(grouped, shows=g.draw.chance(0.7)), g.draw.weighted([(1, 5.0), (2, 1.0), (3, 2.0)]) or 1, g.draw.chance(0.85)
    )


def _determines(each: tree.Key, within: tree.Key) -> bool | None:
    """None where each of the second has only ever one first: then there is nothing to choose among."""
    if isinstance(each, tree.ByRow) and isinstance(within, tree.ByRow) and within.links[: len(each.links)] == each.links:
        return True
    if isinstance(within, tree.ByRow) and isinstance(each, tree.ByRow) and each.links[: len(within.links)] == within.links:
        return None
    return False


def latest_of_each(g: Grammar) -> needs.Query | None:
    """The newest, or the top row, of a table for each row it points to or each value."""
    table = g.thing() if g.draw.chance(0.5) else g.event()
    if table is None or (not table.key and not table.label):
        return None
    columns = [c for c in table.columns if (c.numeric or c.form) and c.distinct > 5]
    key, column = figures.key(g.draw, table), g.draw.one(columns)
    if (
        column is None
        or not table.key
        or not isinstance(key, tree.ByRow | tree.ByValue)
        or (isinstance(key, tree.ByValue) and key.ref.links)
    ):
        return None
    ref = tree.Ref((), column)
    shown = [needs.Shown(tree.ByRow(()))] + ([needs.Shown(ref)] if g.draw.chance(0.7) else [])
    tests = g.tests(table, (4.0, 2.0), SIMPLE)
    if any(_fixes(test, key) for test in tests):
        return None
    return needs.LatestOfEach(key, needs.Listing(table.name, tuple(shown), tests, tree.By(ref, g.draw.chance(0.7)), 0, False))


def over_time(g: Grammar) -> needs.Query | None:
    """A series with the step before, the difference to it, or the sum so far."""
    grouped = _plain(g, _grouped(g, (2.5, 3.5, 1.0)))
    if grouped is None:
        return None
    table = g.draw.facts.table(grouped.table)
    dates = [
        (tree.Ref(links, end.date), unit)
        for links, end in g.ends(table, 1)
        if end.date and (not links or (not end.label and not table.date))
        for unit, weight in figures.time_units(end.date, False)
        if weight and unit != "weekday"
    ]
    chosen = g.draw.one(dates)
    if chosen is None:
        return None
    tests = tuple(test for test in grouped.tests if getattr(test, "ref", None) != chosen[0] or chosen[1] == "month")
    key = tree.ByTime(*chosen)
    return needs.OverTime(
        replace(grouped, keys=(key,), tests=tests), g.draw.weighted([("before", 2.0), ("difference", 1.5), ("so far", 1.5)]) or "before"
    )


def shares_of_total(g: Grammar) -> needs.Query | None:
    """Each group's share of the whole."""
    grouped = _plain(g, _grouped(g, (2.5, 3.5, 1.0)))
    return needs.SharesOfTotal(grouped) if grouped and not isinstance(grouped.keys[0], tree.ByTime) else None


def ranked(g: Grammar) -> needs.Query | None:
    """Groups with their rank."""
    grouped = _plain(g, _grouped(g, (2.5, 3.5, 1.0)))
    return needs.Ranked(grouped) if grouped and isinstance(grouped.keys[0], tree.ByRow | tree.ByValue) else None


FORMS.update(
    group_figure=group_figure,
    group_top=group_top,
    group_having=group_having,
    group_zeros=group_zeros,
    group_two=group_two,
    group_step=group_step,
    group_parts=group_parts,
    count_groups=count_groups,
    over_groups=over_groups,
    groups_against_mean=groups_against_mean,
    top_of_each=top_of_each,
    latest_of_each=latest_of_each,
    over_time=over_time,
    shares_of_total=shares_of_total,
    ranked=ranked,
)
