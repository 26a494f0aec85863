"""Figures in words, and what they are asked for each of."""

from __future__ import annotations

from collections.abc import Sequence

from t2s.data.synthesis import tree
from t2s.data.synthesis.facts import TableFacts
from t2s.data.synthesis.phrase import spoken as say
from t2s.data.synthesis.phrase.bits import bits
from t2s.data.synthesis.phrase.nouns import Speaker
from t2s.data.synthesis.phrase.rows import Rows, mods, rows
from t2s.sql.naming import stem

_AVERAGE = ("average", "average", "mean")
_HIGHEST, _LOWEST = ("highest", "highest", "maximum", "largest"), ("lowest", "lowest", "minimum", "smallest")


def base(measure: tree.Measure, s: Speaker, table: TableFacts) -> str:
    """The figure without its rows and conditions, and without an article: "average list price", "revenue"."""
    if isinstance(measure, tree.Count | tree.Part) and getattr(measure, "what", None) is None:
        return f"number of {rows(s, table, ()).text()}"
    if isinstance(measure, tree.CountOf):
        return f"number of different {counted(measure, s, table)}"
    if isinstance(measure, tree.Figure):
        return _figure(measure, s, table)
    if isinstance(measure, tree.Share):
        return f"percentage of {total(measure.what, s, table) if measure.what else s.many(table)}"
    if isinstance(measure, tree.Per):
        return per(measure, s, table)
    if isinstance(measure, tree.Part):
        assert measure.what is not None
        return total(measure.what, s, table)
    assert isinstance(measure, tree.Change)
    return f"change in the {base(measure.before, s, table)}"


def counted(measure: tree.CountOf, s: Speaker, table: TableFacts) -> str:
    """What a count of different things counts, in the plural."""
    return s.plural_of(s.role(measure.links)) if measure.links else s.plural_of(s.column(measure.ref.column))


def expr(what: tree.Expr, s: Speaker, table: TableFacts) -> str:
    """A value of a row."""
    if isinstance(what, tree.Ref):
        return s.column(what.column)
    if isinstance(what, tree.Product):
        return s.pick(["order value", "line value"]) if stem(table.noun.split()[0]) == stem("order") else f"value of {say.a(s.one(table))}"
    if isinstance(what, tree.Days):
        start, end = s.date_noun(what.start.column), s.date_noun(what.end.column)
        return s.pick([f"number of days between {start} and {end}", f"number of days from {start} to {end}"])
    return f"difference between {s.column(what.left.column)} and {s.column(what.right.column)}"


def total(what: tree.Expr, s: Speaker, table: TableFacts) -> str:
    """A sum: "revenue", "total shipping fee"."""
    if isinstance(what, tree.Product):
        return _revenue(what, s)
    if isinstance(what, tree.Ref) and what.column in table.goods[:1]:
        return s.pick(["number of units sold", "units sold", f"total {s.column(what.column)}"])
    noun = expr(what, s, table)
    return (
        noun
        if noun.startswith("total")
        else s.pick([f"total {noun}"] * 5 + [f"sum of the {say.several(noun)}"] * (" of " not in noun and noun[-1] != "y"))
    )


def _revenue(what: tree.Product, s: Speaker) -> str:
    """What sales add up to; called the same throughout a question."""
    if not s.revenue:
        plain = ["revenue", "revenue", "turnover", "sales revenue", "total revenue"]
        plain.append(f"total of {s.column(what.quantity.column)} times {s.column(what.price.column)}")
        less = ["revenue after discount", "net revenue (discount taken off)", "net revenue after discount"]
        s.revenue = s.pick(less if what.discount is not None else plain)
    return s.revenue


def _figure(measure: tree.Figure, s: Speaker, table: TableFacts) -> str:
    what = measure.what
    if measure.function == "SUM":
        return total(what, s, table)
    if isinstance(what, tree.Product):
        word = {"AVG": s.pick(_AVERAGE), "MAX": s.pick(_HIGHEST), "MIN": s.pick(_LOWEST)}[measure.function]
        times = f"{s.column(what.quantity.column)} times {s.column(what.price.column)}{', less discount' if what.discount else ''}"
        return f"{word} value of {say.a(s.one(table))} ({times})"
    noun = expr(what, s, table)
    if measure.function == "AVG":
        return f"{s.pick(_AVERAGE)} {noun}"
    if isinstance(what, tree.Ref) and (what.column.form or what.column.kind == "year"):
        latest = ("latest", "most recent") if what.column.form else ("latest",)
        return f"{s.pick(latest) if measure.function == 'MAX' else 'earliest'} {noun}"
    return f"{s.pick(_HIGHEST if measure.function == 'MAX' else _LOWEST)} {noun}"


def per(measure: tree.Per, s: Speaker, table: TableFacts) -> str:
    """An average over the rows pointed to: "average number of orders per customer with at least one"."""
    role = s.role(measure.links)
    if measure.what is None:
        return f"{s.pick(_AVERAGE)} number of {s.many(table)} per {role}"
    if isinstance(measure.what, tree.Product) and stem(role) == stem("order"):
        return s.pick([f"{s.pick(_AVERAGE)} order value", f"{s.pick(_AVERAGE)} revenue per order"])
    said = total(measure.what, s, table)
    # "average total per customer" would be the mean of a column called total.
    said = f"sum of the {say.several(said)}" if said == "total" else said
    return f"{s.pick(_AVERAGE)} {said} per {role}"


def names_rows(measure: tree.Measure) -> bool:
    """Whether the figure is said without naming its rows: revenue, units sold."""
    what = getattr(measure, "what", None)
    return isinstance(measure, tree.Figure | tree.Part | tree.Per) and isinstance(what, tree.Product)


def figure_text(measure: tree.Measure, s: Speaker, table: TableFacts, tests: Sequence[tree.Test]) -> str:
    """The figure with its rows and their conditions, without an article."""
    if isinstance(measure, tree.Count):
        return f"number of {rows(s, table, tests).text()}"
    if isinstance(measure, tree.CountOf):
        word = s.pick(["with", "that have"]) if measure.links else "among"
        if measure.links and s.end(table.name, measure.links).person:
            word = s.pick(["with", "who have"])
        return f"number of different {counted(measure, s, table)} {word} {rows(s, table, tests).text()}"
    if isinstance(measure, tree.Share):
        return share_text(measure, s, table, tests)
    said = base(measure, s, table)
    if names_rows(measure) or _is_of_goods(measure, table):
        return f"{said} {mods(s, table, tests, 'on')}".strip()
    if isinstance(measure, tree.Per):
        role = s.role(measure.links)
        if measure.what is None:
            always = not tests and table.label == () and not s.end(table.name, measure.links).label
            return f"{s.pick(_AVERAGE)} number of {rows(s, table, tests).text()} per {role}{'' if always else ' with at least one'}"
        return f"{said} {mods(s, table, tests, 'for')}".strip()
    if isinstance(measure, tree.Part) and measure.what is None:
        return f"number of {rows(s, table, [*tests, measure.test]).text()}"
    return f"{said} of {rows(s, table, tests).text()}"


def _is_of_goods(measure: tree.Measure, table: TableFacts) -> bool:
    what = getattr(measure, "what", None)
    return isinstance(measure, tree.Figure) and measure.function == "SUM" and isinstance(what, tree.Ref) and what.column in table.goods[:1]


def share_text(measure: tree.Share, s: Speaker, table: TableFacts, tests: Sequence[tree.Test]) -> str:
    """Per cent of rows, or of a sum."""
    if measure.what is None:
        found, part = rows(s, table, tests), does(s, table, measure.test)
        who = "who" if table.person else "that"
        if found.rels or found.tails:
            return f"percentage of those {who} {part} among {found.text()}"
        return f"{s.pick(['percentage', 'share in percent'])} of {found.text()} {who} {part}"
    whole = f"{total(measure.what, s, table)} {mods(s, table, tests, 'on')}".strip()
    return f"percentage of the {whole} that comes from {rows(s, table, [measure.test]).text()}"


def does(s: Speaker, table: TableFacts, test: tree.Test) -> str:
    """A condition as what rows do: "are cancelled", "belong to customers from Oslo"."""
    found: Rows = rows(s, table, [test])
    if found.tails:
        tail = found.tails[0]
        return (
            f"have their {tail[6:].replace(' is ', ' as ', 1)}"
            if tail.startswith("whose ")
            else tail.replace("with ", "have ", 1)
            if tail.startswith("with ")
            else f"are {tail}"
        )
    said = [bit.text for bit in bits(test, s, table) if bit.slot == "rel" and not bit.text.startswith("whose")]
    return s.pick(said) if said else f"are {found.text()}"


# Keys -------------------------------------------------------------------------------------------------------------


def key_text(key: tree.Key, s: Speaker, table: TableFacts) -> str:
    """What figures are asked for each of, in the singular: "store", "customer country", "month"."""
    if isinstance(key, tree.ByRow):
        return s.role(key.links) if key.links else s.one(table)
    if isinstance(key, tree.ByValue):
        return s.far(key.ref)
    if isinstance(key, tree.ByStep):
        return f"{s.column(key.ref.column)} range"
    return _time_key(key, s, table)


def _time_key(key: tree.ByTime, s: Speaker, table: TableFacts) -> str:
    unit = "weekday" if key.unit == "weekday" else key.unit
    if s.is_plain_date(table, key.ref):
        return unit
    noun = s.column(key.ref.column)
    owner = f"{s.role(key.ref.links)} " if key.ref.links and not noun.startswith(s.role(key.ref.links)) else ""
    if key.unit == "weekday":
        return f"weekday of the {owner}{noun}"
    return f"{owner}{noun[: -len(' date')]} {unit}" if noun.endswith(" date") else f"{unit} of the {owner}{noun}"


def each(keys: Sequence[tree.Key], s: Speaker, table: TableFacts, measure: tree.Measure | None = None) -> str:
    """Behind a figure: "per store and year", "for each customer"."""
    said = [key_text(key, s, table) for key in keys]
    if isinstance(measure, tree.Per):
        return f"for each {say.listed(said)}"
    if len(said) == 1 and isinstance(keys[0], tree.ByTime) and keys[0].unit != "weekday" and " " not in said[0] and s.chance(0.3):
        return s.pick([f"{said[0]} by {said[0]}", f"for every {said[0]}"])
    if len(said) == 2:
        return s.pick([f"per {said[0]} and {said[1]}", f"by {said[0]} and {said[1]}", f"for each {said[0]} and {said[1]}"])
    return s.pick([f"per {said[0]}", f"per {said[0]}", f"by {said[0]}", f"for each {said[0]}", f"for every {said[0]}"])


def steps_text(key: tree.ByStep, s: Speaker, table: TableFacts) -> str:
    """The ranges with their limits and names."""
    low, high = (s.value(limit) for limit in key.limits)
    unit = f" {key.ref.column.unit}" if key.ref.column.unit else ""
    noun = s.column(key.ref.column)
    if key.names[0] == "low":
        names = [s.value(name) for name in key.names]
        return f"{noun} {names[0]} (below {low}{unit}), {names[1]} ({low} to under {high}) and {names[2]} ({high} and more)"
    first, second, third = (s.value(name, 1.0) for name in key.names)
    return f"{noun} {first}, {second} and {third}{f' ({key.ref.column.unit})' if unit else ''}"
