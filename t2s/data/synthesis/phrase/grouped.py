"""Totals and groups in words."""

from __future__ import annotations

from collections.abc import Sequence

from t2s.data.synthesis import needs, tree
from t2s.data.synthesis.facts import TableFacts
from t2s.data.synthesis.phrase import spoken as say
from t2s.data.synthesis.phrase.amounts import base, counted, does, each, figure_text, key_text, names_rows, steps_text, total
from t2s.data.synthesis.phrase.bits import bare_limit, limit
from t2s.data.synthesis.phrase.nouns import Speaker
from t2s.data.synthesis.phrase.rows import mods, rows
from t2s.data.synthesis.phrase.said import Said, said


@said.register
def _(query: needs.Total, s: Speaker) -> Said:
    table = s.facts.table(query.table)
    measure = query.measures[0]
    if len(query.measures) == 2:
        text = _two_figures(query.measures, s, table, query.tests)
        return Said((f"the {text}",), (f"what are the {text}",))
    if isinstance(measure, tree.Count):
        return _count(query, s, table)
    if isinstance(measure, tree.Change):
        return _change(measure, s, table, query.tests)
    text = figure_text(measure, s, table, query.tests)
    asks = [f"what is the {text}"] * 2
    if isinstance(measure, tree.CountOf):
        things, found = counted(measure, s, table), rows(s, table, query.tests).text()
        asks = [f"how many different {things} have {found}" if measure.links else f"how many different {things} are there among {found}"]
    elif isinstance(measure, tree.Share) and measure.what is None:
        whole = rows(s, table, query.tests).text()
        asks += [
            f"what percentage of {whole} {does(s, table, measure.test)}",
            f"how many percent of {whole} {does(s, table, measure.test)}",
        ]
    elif text.startswith(("revenue", "turnover", "sales revenue", "total revenue")):
        asks += [f"how much {text.removeprefix('total ')} did we make"] if " " not in text else [f"how high is the {text}"]
    return Said((f"the {text}",), tuple(asks))


def _two_figures(measures: Sequence[tree.Measure], s: Speaker, table: TableFacts, tests: Sequence[tree.Test]) -> str:
    one, two = base(measures[0], s, table), figure_text(measures[1], s, table, tests)
    return f"{one} and the {two}"


def _count(query: needs.Total, s: Speaker, table: TableFacts) -> Said:
    found = rows(s, table, query.tests)
    text, halves = found.text(), found.split()
    asks = (
        [f"how many {halves[0]} {halves[1]}"] * 3
        if halves
        else [
            f"how many {text} are there",
            f"how many {text} do we have",
            f"how many {text} do we have in total" if not query.tests else f"how many {text} are there",
        ]
    )
    return Said((f"the number of {text}", f"the number of {text}", f"the count of {text}"), tuple(asks))


def span_of(part: tree.Part, s: Speaker) -> str:
    """What tells one part from the other: "2024", "status cancelled"."""
    test = part.test
    if isinstance(test, tree.Period):
        return say.mark(test.start)
    assert isinstance(test, tree.Compare)
    assert isinstance(test.what, tree.Ref)
    return f"{s.far(test.what)} {s.value(test.value)}"


def _within(part: tree.Part, s: Speaker, table: TableFacts) -> str:
    test = part.test
    if not isinstance(test, tree.Period):
        return f"for {span_of(part, s)}"
    if s.is_plain_date(table, test.ref):
        return f"in {span_of(part, s)}"
    verb = s.verb(test.ref.column)
    if verb is None:
        return f"with {s.far(test.ref)} in {span_of(part, s)}"
    return f"{'who' if table.person else 'that'} {verb[0]} in {span_of(part, s)}" if verb[1] else f"{verb[0]} in {span_of(part, s)}"


def _change(change: tree.Change, s: Speaker, table: TableFacts, tests: Sequence[tree.Test], behind: str = "") -> Said:
    before, after = _within(change.before, s, table), _within(change.after, s, table)
    figure = _parts_figure(change.before, s, table, tests)
    if isinstance(change.before.test, tree.Period):
        one, two = span_of(change.before, s), span_of(change.after, s)
        if not s.is_plain_date(table, change.before.test.ref):
            two = f"{two} (by {s.far(change.before.test.ref)})"
        percent = "percentage change" if change.percent else "change"
        asks = [f"by how {'many percent' if change.percent else 'much'} did the {figure} change from {one} to {two}{behind}"]
        return Said(
            (
                f"the {percent} in the {figure} from {one} to {two}{behind}",
                f"the {percent} of the {figure} between {one} and {two}{behind}",
            ),
            tuple(asks),
        )
    asks = [f"how much higher is the {figure} {after} than {before}{behind}"]
    return Said(
        (
            f"the difference between the {figure} {after} and that {before}{behind}",
            f"how much higher the {figure} is {after} than {before}{behind}",
        ),
        tuple(asks),
    )


def _parts_figure(part: tree.Part, s: Speaker, table: TableFacts, tests: Sequence[tree.Test]) -> str:
    if part.what is None:
        return f"number of {rows(s, table, tests).text()}"
    if isinstance(part.what, tree.Product):
        return f"{total(part.what, s, table)} {mods(s, table, tests, 'on')}".strip()
    return f"{total(part.what, s, table)} of {rows(s, table, tests).text()}"


@said.register
def _(query: needs.TwoTotals, s: Speaker) -> Said:
    texts = [
        figure_text(total_query.measures[0], s, s.facts.table(total_query.table), total_query.tests)
        for total_query in (query.first, query.second)
    ]
    if query.difference:
        return Said(
            (f"the difference between the {texts[0]} and the {texts[1]}",), (f"by how much does the {texts[0]} exceed the {texts[1]}",)
        )
    side = s.pick([" side by side", " next to each other", " in one row"])
    return Said((f"the {texts[0]} and the {texts[1]}{side}",), (f"what are the {texts[0]} and the {texts[1]}",))


# Groups -----------------------------------------------------------------------------------------------------------


@said.register
def _(query: needs.Grouped, s: Speaker) -> Said:
    table = entered(query, s)
    if query.having:
        return _having(query, s, table)
    if query.limit:
        return _top_groups(query, s, table)
    if query.zeros:
        return _zeros(query, s, table)
    if isinstance(query.keys[0], tree.ByStep):
        return _steps(query, s, table, query.keys[0])
    if isinstance(query.measures[0], tree.Part):
        return _parts(query, s, table)
    if isinstance(query.measures[0], tree.Change):
        inner = _change(query.measures[0], s, table, query.tests, behind=f", {each(query.keys, s, table)}")
        return Said(inner.things, inner.asks, _group_order(query, s, table))
    behind = each(query.keys, s, table, query.measures[0])
    if len(query.measures) == 2:
        text = _two_figures(query.measures, s, table, query.tests)
        return Said((f"the {text}, {behind}",), (f"what are the {text}, {behind}",), _group_order(query, s, table), (f"{behind}: {text}",))
    text = figure_text(query.measures[0], s, table, query.tests)
    things = [f"the {text} {behind}"]
    asks = [f"what is the {text} {behind}"]
    key = key_text(query.keys[0], s, table)
    if isinstance(query.measures[0], tree.Count):
        counted = rows(s, table, query.tests).text()
        asks = [f"how many {counted} are there {behind}", f"how many {counted} do we have {behind}"]
        if len(query.keys) == 1 and s.curt:
            things = [f"{counted} {behind}", f"{counted} {behind}", f"number of {counted} {behind}"]
        if len(query.keys) == 1 and isinstance(query.keys[0], tree.ByRow):
            asks.append(f"how many {counted} does each {key} have")
    elif len(query.keys) == 1 and isinstance(query.keys[0], tree.ByRow) and names_rows(query.measures[0]):
        asks.append(
            f"how much {text} did each {key} bring in" if text.startswith(("revenue", "turnover")) else f"what is the {text} of each {key}"
        )
    return Said(tuple(things), tuple(asks), _group_order(query, s, table), (f"{behind}: {text}", f"{text} {behind}"))


def entered(query: needs.Grouped, s: Speaker) -> TableFacts:
    """The table whose rows are grouped; seen from its key where it only ties two others."""
    table, first = s.facts.table(query.table), query.keys[0]
    if isinstance(first, tree.ByRow) and first.links:
        s.let_stand(table, first.links[0])
    return table


def _group_order(query: needs.Grouped, s: Speaker, table: TableFacts) -> str:
    if not query.order:
        return ""
    what, down = query.order.what, query.order.down
    if isinstance(what, tree.ByTime):
        return (
            s.pick([", in chronological order", ", oldest first", ", in order of time", ", earliest first"])
            if what.unit != "weekday"
            else ", in order of the weekday"
        )
    if isinstance(what, tree.ByRow | tree.ByValue | tree.ByStep):
        return f", sorted by {key_text(what, s, table)}"
    if len(query.measures) > 1:
        return f", sorted by {base(query.measures[0], s, table)}, {'highest' if down else 'lowest'} first"
    if isinstance(what, tree.Count):
        return (
            s.pick([", highest first", ", most first", ", largest number first", ", in descending order"])
            if down
            else s.pick([", fewest first", ", smallest number first", ", lowest first"])
        )
    if isinstance(what, tree.Figure) and isinstance(what.what, tree.Ref) and (what.what.column.form or what.what.column.kind == "year"):
        return ", latest first" if down else ", earliest first"
    return (
        s.pick([", highest first", ", biggest first", ", from highest to lowest", ", in descending order"])
        if down
        else s.pick([", lowest first", ", from lowest to highest", ", in ascending order"])
    )


def superlative(measure: tree.Measure, highest: bool, s: Speaker, table: TableFacts, tests: Sequence[tree.Test]) -> str:
    """What the best group has: "the most orders from 2024", "the highest average price of products"."""
    if isinstance(measure, tree.Count):
        return f"the {'most' if highest else 'fewest'} {rows(s, table, tests).text()}"
    text = figure_text(measure, s, table, tests)
    if text.startswith("total "):
        text = s.pick([text, text.removeprefix("total ")]) if text.startswith("total revenue") else text
    if text.startswith(("latest", "most recent", "earliest", "first")):
        return f"the {text}"
    if isinstance(measure, tree.CountOf):
        return f"the {'highest' if highest else 'lowest'} {text}"
    if text.split()[0] in ("highest", "lowest", "maximum", "minimum", "smallest", "largest"):
        rest = text.split(" ", 1)[1]
        word = "maximum" if getattr(measure, "function", "") == "MAX" else "minimum"
        return f"the {'highest' if highest else 'lowest'} {word} {rest}"
    return f"the {s.pick(['highest', 'highest', 'largest']) if highest else 'lowest'} {text}"


def _top_groups(query: needs.Grouped, s: Speaker, table: TableFacts) -> Said:
    assert query.order
    key, best = key_text(query.keys[0], s, table), superlative(query.measures[0], query.order.down, s, table, query.tests)
    count = s.pick([str(query.limit), say.small(query.limit)])
    figure = (
        s.pick(["figure", "number"])
        if isinstance(query.measures[0], tree.Count | tree.CountOf)
        else s.pick(["amount", "figure"])
        if names_rows(query.measures[0])
        else "figure"
    )
    with_it = (
        s.pick([f", with the {figure}", f", {figure} included", f", along with the {figure}", f", showing the {figure} as well"])
        if query.shows
        else ""
    )
    only = (
        ""
        if query.shows
        else s.pick(["", "", "", " (just the name)" if isinstance(query.keys[0], tree.ByRow) and query.limit == 1 else ""])
    )
    if query.limit == 1:
        asks = [f"which {key} has {best}"] * 2
        if isinstance(query.keys[0], tree.ByTime):
            asks = [f"in which {key} do we see {best}", f"which {key} has {best}"]
        return Said((f"the {key} with {best}",), tuple(asks), with_it or only)
    several = s.plural_of(key)
    things = [
        f"the {count} {several} with {best}",
        f"the top {count} {several} by {_by(query, s, table)}"
        if query.order.down
        else f"the bottom {count} {several} by {_by(query, s, table)}",
    ]
    return Said(tuple(things), (f"which {count} {several} have {best}", f"which are the {count} {several} with {best}"), with_it)


def _by(query: needs.Grouped, s: Speaker, table: TableFacts) -> str:
    text = figure_text(query.measures[0], s, table, query.tests)
    return text


def _limit(having: tree.Having, s: Speaker, table: TableFacts, tests: Sequence[tree.Test]) -> str:
    """What a group must have: "more than 3 orders", "a total amount of payments above 500"."""
    measure, value = having.measure, having.value
    assert isinstance(value, str | int | float)
    said_value = s.value(value)
    if isinstance(measure, tree.Count):
        return f"{bare_limit(having.sign, said_value, s)} {rows(s, table, tests, several=value != 1 or having.sign == '<').text()}"
    if isinstance(measure, tree.CountOf):
        text = figure_text(measure, s, table, tests).removeprefix("number of ")
        return f"{bare_limit(having.sign, said_value, s)} {text}"
    text = figure_text(measure, s, table, tests)
    return f"{say.a(text)} {limit(having.sign, said_value, s)}" if having.sign != "=" else f"{say.a(text)} of exactly {said_value}"


def _against(having: tree.Having, s: Speaker, table: TableFacts, tests: Sequence[tree.Test]) -> str:
    """One figure of the group against another: "more orders in 2024 than in 2023"."""
    one, two = having.measure, having.value
    assert isinstance(one, tree.Part)
    assert isinstance(two, tree.Part)
    first, second = _within(one, s, table), _within(two, s, table)
    if one.what is None:
        word = "more" if having.sign == ">" else "fewer"
        return f"{word} {rows(s, table, tests).text()} {first} than {second}"
    figure = _parts_figure(one, s, table, tests)
    return f"{'a higher' if having.sign == '>' else 'a lower'} {figure} {first} than {second}"


def _having(query: needs.Grouped, s: Speaker, table: TableFacts) -> Said:
    _key, several, what = passing(query, s, table)
    with_it = ""
    if query.shows:
        figure = s.pick(["number", "count"]) if isinstance(query.measures[0], tree.Count | tree.CountOf) else "figure"
        with_it = s.pick([f", with the {figure}", f", and the {figure}", f", showing the {figure} too"])
    word = "in" if isinstance(query.keys[0], tree.ByTime) else "with"
    if isinstance(query.keys[0], tree.ByTime):
        return Said(
            (f"the {several} with {what}", f"all {several} with {what}"),
            (f"in which {several} do we see {what}", f"which {several} have {what}"),
            with_it,
        )
    return Said(
        (f"all {several} {word} {what}", f"the {several} {word} {what}"),
        (f"which {several} have {what}",) * 2 + (f"which {several} are there with {what}",),
        with_it,
    )


def passing(query: needs.Grouped, s: Speaker, table: TableFacts) -> tuple[str, str, str]:
    key = key_text(query.keys[0], s, table)
    having = query.having[0]
    compares = isinstance(having.value, str | int | float)
    what = _limit(having, s, table, query.tests) if compares else _against(having, s, table, query.tests)
    return key, s.plural_of(key), what


def _zeros(query: needs.Grouped, s: Speaker, table: TableFacts) -> Said:
    key, counted = key_text(query.keys[0], s, table), rows(s, table, query.tests).text()
    none = s.pick(
        [", zeros included", ", including those with none", f", also for {s.plural_of(key)} without any", ", with 0 where there are none"]
    )
    things = (f"every {key} with the number of {counted}{none}", f"the number of {counted} for every {key}{none}")
    return Said(things, (f"how many {counted} does each {key} have{none}",), _group_order(query, s, table))


def _steps(query: needs.Grouped, s: Speaker, table: TableFacts, key: tree.ByStep) -> Said:
    counted, ranges = rows(s, table, query.tests).text(), steps_text(key, s, table)
    things = (f"the number of {counted} by {ranges}", f"the number of {counted}, grouped into {ranges}")
    return Said(things, (f"how many {counted} fall into each of the ranges {ranges}",))


def _parts(query: needs.Grouped, s: Speaker, table: TableFacts) -> Said:
    one, two = query.measures
    assert isinstance(one, tree.Part)
    assert isinstance(two, tree.Part)
    figure, behind = _parts_figure(one, s, table, query.tests), each(query.keys, s, table)
    first, second = _within(one, s, table), _within(two, s, table)
    beside = s.pick([" side by side", " in two columns", " next to each other", ""])
    things = (f"the {figure} {first} and {second} {behind}{beside}",)
    return Said(things, (f"what is the {figure} {first} and {second} {behind}",), heads=(f"{behind}: {figure} {first} and {second}",))
