"""Spans of time and missing values in words."""

from __future__ import annotations

from t2s.data.synthesis import lexicon, tree
from t2s.data.synthesis.facts import ColumnFacts, TableFacts
from t2s.data.synthesis.phrase import spoken as say
from t2s.data.synthesis.phrase.bits import Bit, bits, null_bits, post, rel, there_bits
from t2s.data.synthesis.phrase.nouns import Speaker


def span(test: tree.Period, s: Speaker) -> str:
    """When: "in March 2024", "since 1 May 2023"."""
    return s.pick(_spans(test, s))


def _spans(test: tree.Period, s: Speaker) -> list[str]:
    if test.unit == "year":
        years = [say.mark(year) for year in (test.start, test.end) if year]
        return [f"in {say.listed(years, 'or')}"] * 3 + ([f"during {years[0]}"] if len(years) == 1 else [f"in {years[0]} and {years[1]}"])
    if test.unit == "month":
        return [f"in {say.mark(say.month(test.start))}"] * 4 + [f"in {say.mark(test.start)}"]
    if test.unit == "weekday":
        return [f"on {say.mark(lexicon.WEEKDAYS[int(test.start)] + 's')}", f"on a {say.mark(lexicon.WEEKDAYS[int(test.start)])}"]
    if test.unit == "season":
        name = say.mark(lexicon.MONTHS[int(test.start) - 1])
        return [f"in {name} of any year", f"in the month of {name}, whatever the year"]
    if test.ref.column.kind == "year":
        year = say.mark((test.start or test.end)[:4])
        return [f"in {year} or later", f"from {year} on"] if test.start else [f"before {year}"]
    return _days(test)


def _days(test: tree.Period) -> list[str]:
    start, end = test.start, test.end
    if not end:
        if start.endswith("-01-01"):
            year = say.mark(start[:4])
            return [f"since the start of {year}", f"in {year} or later", f"from {year} on", f"since {say.mark(start)}"]
        return [f"since {say.mark(say.day(start))}", f"from {say.mark(say.day(start))} on", f"on or after {say.mark(start)}"]
    if not start:
        if end.endswith("-01-01"):
            return [f"before {say.mark(end[:4])}"] * 2 + [f"before {say.mark(say.day(end))}"]
        return [f"before {say.mark(say.day(end))}", f"before {say.mark(end)}"]
    names = say.span_name(start, end)
    return [f"in {say.mark(name)}" for name in names] or [say.mark(text) for text in say.days_from_to(start, say.before(end))]


@bits.register
def _(test: tree.Period, s: Speaker, table: TableFacts) -> list[Bit]:
    when, column = span(test, s), test.ref.column
    verb = s.verb(column)
    if s.is_plain_date(table, test.ref):
        plain = [post(when)] * 3 + (
            [post(f"from {when[3:]}")] if test.unit in ("year", "month") and when.startswith("in ") and not test.end else []
        )
        if verb and not verb[1] and not _says_the_same(verb[0], table):
            plain.append(post(f"{verb[0]} {when}"))
        if s.curt and when.startswith("in ") and test.unit in ("year", "month"):
            plain.append(post(when[3:]))
        return [*plain, rel(f"are from {when[3:]}" if plain[3:] and when.startswith("in ") else f"are dated {when}")]
    if verb and verb[1]:
        return [rel(f"{verb[0]} {when}")]
    if verb:
        return [post(f"{verb[0]} {when}")] * 2 + [rel(f"were {verb[0]} {when}")]
    noun = s.column(column)
    return [post(f"with {say.a(noun)} {when}"), rel(f"have {say.a(noun)} {when}")]


def _says_the_same(verb: str, table: TableFacts) -> bool:
    return verb[:5] == table.noun.split()[-1][:5]


@bits.register
def _(test: tree.Missing, s: Speaker, table: TableFacts) -> list[Bit]:
    column = test.ref.column
    hints = column.hints
    if test.there:
        return _there(column, s) + there_bits(hints.null_word, hints.null, s) * 2
    return _missing(column, s) + null_bits(hints.null_word, hints.null, s) * 2


def _missing(column: ColumnFacts, s: Speaker) -> list[Bit]:
    noun, verb = s.column(column), s.verb(column) if column.form else None
    if verb:
        return [rel(f"have not {verb[0]} yet")] if verb[1] else [rel(f"have not been {verb[0]} yet"), rel(f"are not {verb[0]} yet")]
    found = [post(f"without {say.a(noun)}"), rel(f"have no {noun}"), post(f"with no {noun}")]
    return [*found, rel(f"whose {noun} is not known"), post(f"with no {noun} on file")]


def _there(column: ColumnFacts, s: Speaker) -> list[Bit]:
    noun, verb = s.column(column), s.verb(column) if column.form else None
    if verb:
        return [rel(f"have {verb[0]}")] if verb[1] else [rel(f"have been {verb[0]}"), rel(f"have already been {verb[0]}")]
    return [post(f"with {say.a(noun)}"), rel(f"have {say.a(noun)}"), rel(f"have {say.a(noun)} on file")]
