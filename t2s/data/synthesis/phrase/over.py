"""Figures over groups in words: how many pass a limit, which lie above the average, shares and ranks."""

from __future__ import annotations

from t2s.data.synthesis import needs, tree
from t2s.data.synthesis.phrase import spoken as say
from t2s.data.synthesis.phrase.amounts import figure_text, key_text
from t2s.data.synthesis.phrase.grouped import entered, passing
from t2s.data.synthesis.phrase.nouns import Speaker
from t2s.data.synthesis.phrase.rows import rows
from t2s.data.synthesis.phrase.said import Said, said


@said.register
def _(query: needs.CountGroups, s: Speaker) -> Said:
    table = entered(query.inner, s)
    _, several, what = passing(query.inner, s, table)
    return Said((f"the number of {several} with {what}",), (f"how many {several} have {what}",) * 2)


@said.register
def _(query: needs.OverGroups, s: Speaker) -> Said:
    table, inner = entered(query.inner, s), query.inner
    key, text = key_text(inner.keys[0], s, table), figure_text(inner.measures[0], s, table, inner.tests)
    if query.function == "AVG":
        things = (f"the average {text} per {key}", f"the average {text} per {key}")
        return Said(things, (f"what is the average {text} per {key}",))
    word = "highest" if query.function == "MAX" else "lowest"
    last = "in a single" if isinstance(inner.keys[0], tree.ByTime) else "of any single"
    return Said((f"the {word} {text} {last} {key}",), (f"what is the {word} {text} {last} {key}",))


@said.register
def _(query: needs.GroupsAgainstMean, s: Speaker) -> Said:
    table, inner = entered(query.inner, s), query.inner
    key = key_text(inner.keys[0], s, table)
    several, side = s.plural_of(key), "above" if query.sign == ">" else "below"
    if isinstance(inner.measures[0], tree.Count):
        counted = rows(s, table, inner.tests).text()
        word = "more" if query.sign == ">" else "fewer"
        return Said(
            (
                f"the {several} with {word} {counted} than the average {key}",
                f"all {several} whose number of {counted} is {side} the average of all {several}",
            ),
            (f"which {several} have {word} {counted} than the average {key}",),
        )
    text = figure_text(inner.measures[0], s, table, inner.tests)
    return Said(
        (
            f"the {several} whose {text} is {side} the average of all {several}",
            f"all {several} with {say.a(text)} {side} the average over the {several}",
        ),
        (f"which {several} have {say.a(text)} {side} the average of all {several}",),
    )


@said.register
def _(query: needs.SharesOfTotal, s: Speaker) -> Said:
    table, inner = entered(query.inner, s), query.inner
    key, text = key_text(inner.keys[0], s, table), figure_text(inner.measures[0], s, table, inner.tests)
    whole = text.removeprefix("number of ") if isinstance(inner.measures[0], tree.Count) else text
    return Said(
        (f"each {key}'s share of the {whole}, in percent", f"each {key}'s percentage of the {whole}"),
        (f"what percentage of the {whole} does each {key} account for",),
    )


@said.register
def _(query: needs.Ranked, s: Speaker) -> Said:
    table, inner = entered(query.inner, s), query.inner
    key, text = key_text(inner.keys[0], s, table), figure_text(inner.measures[0], s, table, inner.tests)
    several = s.plural_of(key)
    things = (
        f"a ranking of the {several} by {text}, with figure and rank, best first",
        f"the {several} ranked by {text}: {key}, figure and rank, highest first",
    )
    return Said(things, (f"how do the {several} rank by {text}, with figure and rank, highest first",))
