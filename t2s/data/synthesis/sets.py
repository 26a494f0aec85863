"""Draws needs for what fulfils one condition and another, or one but not the other."""

from __future__ import annotations

from t2s.data.synthesis import needs, tree
from t2s.data.synthesis.grammar import FORMS, NO_ROWS_ELSEWHERE, SIMPLE, Grammar


def set_of(g: Grammar) -> needs.Query | None:
    """What fulfils one condition and another, or one but not the other, or is found in either of two tables."""
    if g.draw.chance(0.35):
        return _shared_values(g)
    table = g.event()
    if table is None:
        return None
    paths = [links for links, end in g.ends(table, 2) if links and end.label and len(links[-1].pairs) == 1]
    links = g.draw.one(paths)
    pair = g.two_parts(table)
    if links is None or pair is None:
        return None
    end = g.draw.graph.end(table.name, links)
    if len(end.label) != 1 or not end.label[0].unique:
        return None
    shown = (needs.Shown(tree.ByRow(links)),)
    arms = [needs.Listing(table.name, shown, (part.test,), None, 0, False) for part in pair]
    word = g.draw.weighted([("INTERSECT", 2.0), ("EXCEPT", 2.0)]) or "EXCEPT"
    return needs.SetOf(word, arms[0], arms[1], g.draw.chance(0.25))  # type: ignore[arg-type]


def _shared_values(g: Grammar) -> needs.Query | None:
    """Values of a column that two tables have: cities with customers but without a store."""
    pairs = [
        (a, c, b, d)
        for a in g.draw.facts.tables for c in a.columns
        for b in g.draw.facts.tables for d in b.columns
        if a is not b and not a.view and not b.view and c.kind == d.kind == "category" and c.noun == d.noun
        and {value for value, _ in c.values} & {value for value, _ in d.values} and c not in a.label and d not in b.label
    ]  # fmt: skip
    pair = g.draw.one(pairs)
    if pair is None:
        return None
    a, c, b, d = pair
    arms = [
        needs.Listing(t.name, (needs.Shown(tree.Ref((), col)),), g.tests(t, (4.0, 2.0), NO_ROWS_ELSEWHERE | SIMPLE), None, 0, False)
        for t, col in ((a, c), (b, d))
    ]
    if any(test for arm in arms for test in arm.tests if _speaks(test, arm)):
        return None
    word = g.draw.weighted([("INTERSECT", 2.0), ("EXCEPT", 2.0), ("UNION", 1.5)]) or "UNION"
    return needs.SetOf(word, arms[0], arms[1], g.draw.chance(0.15))  # type: ignore[arg-type]


def _speaks(test: tree.Test, arm: needs.Listing) -> bool:
    ref = getattr(test, "ref", None) or getattr(test, "what", None)
    return any(ref == shown.what for shown in arm.shown)


FORMS["set_of"] = set_of
