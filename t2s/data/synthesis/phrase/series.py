"""The best of each, the newest of each, and series over time, in words."""

from __future__ import annotations

from t2s.data.synthesis import needs, tree
from t2s.data.synthesis.phrase import spoken as say
from t2s.data.synthesis.phrase.amounts import figure_text, key_text
from t2s.data.synthesis.phrase.grouped import superlative
from t2s.data.synthesis.phrase.listings import first_by, shown_text
from t2s.data.synthesis.phrase.nouns import Speaker
from t2s.data.synthesis.phrase.rows import rows
from t2s.data.synthesis.phrase.said import Said, said


@said.register
def _(query: needs.TopOfEach, s: Speaker) -> Said:
    inner = query.inner
    table = s.facts.table(inner.table)
    within, each = (key_text(key, s, table) for key in inner.keys)
    best = superlative(inner.measures[0], query.highest, s, table, inner.tests)
    figure = s.pick([", with the figure", ", and the figure", ", figure included"]) if inner.shows else ""
    lead = s.pick([f"for each {within}", f"for every {within}", f"per {within}"])
    if query.best == 1:
        things, asks = [f"{lead}, the {each} with {best}"], [f"{lead}, which {each} has {best}"]
        if not inner.tests:
            things.append(f"the {each} with {best} {lead}")
            asks.append(f"which {each} has {best} {lead}")
        return Said(tuple(things), tuple(asks), figure)
    count = s.pick([str(query.best), say.small(query.best)])
    several = s.plural_of(each)
    return Said((f"{lead}, the {count} {several} with {best}",), (f"{lead}, which {count} {several} have {best}",), figure)


@said.register
def _(query: needs.LatestOfEach, s: Speaker) -> Said:
    listing = query.listing
    table = s.facts.table(listing.table)
    assert listing.order
    before, behind = first_by(listing, listing.order, s, table)
    key, found = key_text(query.key, s, table), rows(s, table, listing.tests)
    columns = shown_text(listing, s, table)
    name = s.label_noun(table)
    extra = f", with {say.listed([name, *columns])}" if not table.label or columns else ""
    among = f" among the {found.text()}" if found.text() != s.many(table) else ""
    one = f"the {before} {s.one(table)}{among}" if before else f"the {s.one(table)} {behind}{among}"
    lead = s.pick([f"for each {key}", f"for every {key}", f"per {key}"])
    return Said((f"{one} {lead}{extra}", f"{lead}, {one}{extra}"), (f"what is {one} {lead}{extra}", f"{lead}, which is {one}{extra}"))


@said.register
def _(query: needs.OverTime, s: Speaker) -> Said:
    inner = query.inner
    table = s.facts.table(inner.table)
    (key,) = inner.keys
    assert isinstance(key, tree.ByTime)
    unit, text = key_text(key, s, table), figure_text(inner.measures[0], s, table, inner.tests)
    beside = {
        "before": [f"with the figure of the {key.unit} before next to it", f"and beside it the previous {key.unit}'s figure"],
        "difference": [f"with the change from the {key.unit} before", f"and the difference to the previous {key.unit}"],
        "so far": ["with a running total", "and the cumulative total so far"],
    }[query.beside]
    extra = s.pick(beside)
    order = s.pick([", in chronological order", ", oldest first", ", earliest first"])
    return Said((f"the {text} per {unit}, {extra}", f"the {text} by {unit}, {extra}"), (f"what is the {text} per {unit}, {extra}",), order)
