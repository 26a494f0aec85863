"""Conditions in words. Each has several: before the noun, behind it, or as what "that" and "who" are followed by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Literal

from t2s.data.synthesis import lexicon, tree
from t2s.data.synthesis.facts import ColumnFacts, TableFacts
from t2s.data.synthesis.phrase import spoken as say
from t2s.data.synthesis.phrase.nouns import Speaker
from t2s.data.synthesis.probe import Value
from t2s.sql.naming import plural, singular, stem, words

Slot = Literal["pre", "post", "rel"]
_MORE = {
    ">": ("above", "over", "of more than", "higher than"),
    ">=": ("of at least", "of at least", "of {} or more"),
    "<": ("below", "under", "of less than", "lower than"),
    "<=": ("of at most", "of at most", "of {} or less"),
}


@dataclass(frozen=True)
class Bit:
    """One way to say a condition: "pre" stands before the noun, "post" behind it, "rel" behind "that" or "who", in the plural."""

    slot: Slot
    text: str


def pre(text: str) -> Bit:
    return Bit("pre", text)


def post(text: str) -> Bit:
    return Bit("post", text)


def rel(text: str) -> Bit:
    return Bit("rel", text)


@singledispatch
def bits(test: tree.Test, s: Speaker, table: TableFacts) -> list[Bit]:
    """Ways to say a condition on a row of the table itself."""
    raise TypeError(f"no words for {test!r}")


def limit(sign: str, said: str, s: Speaker) -> str:
    """A comparison with a number: "above 50", "of 50 or more"."""
    chosen = s.pick(_MORE[sign])
    return chosen.format(said) if "{}" in chosen else f"{chosen} {said}"


def bare_limit(sign: str, said: str, s: Speaker) -> str:
    """As `limit`, behind a verb: "more than 50"."""
    return {
        ">": s.pick(["more than", "over"]) + f" {said}",
        ">=": s.pick([f"at least {said}", f"{said} or more"]),
        "<": s.pick(["less than", "under"]) + f" {said}",
        "<=": s.pick([f"at most {said}", f"no more than {said}", f"{said} or less"]),
        "=": f"exactly {said}",
        "<>": f"other than {said}",
    }[sign]


def amount(value: Value, column: ColumnFacts, s: Speaker) -> str:
    """A number with its unit."""
    return s.value(value) + (f" {column.unit}" if column.unit else "")


@bits.register
def _(test: tree.Compare, s: Speaker, table: TableFacts) -> list[Bit]:
    if isinstance(test.what, tree.Days):
        return _days_bits(test.what, test, s)
    column = test.what.column
    if column.kind in ("number", "key"):
        return _number_bits(test, column, s, table)
    return _unequal_bits(test.value, column, s, table) if test.sign == "<>" else value_bits(test.value, column, s, table)


def _days_bits(days: tree.Days, test: tree.Compare, s: Speaker) -> list[Bit]:
    said = f"{bare_limit(test.sign, s.value(test.value), s)} days"
    start, end = s.date_noun(days.start.column), s.date_noun(days.end.column)
    found = [post(f"with {said} between {start} and {end}"), rel(f"have {said} between {start} and {end}")]
    verb = s.verb(days.end.column)
    if verb and not verb[1] and days.start.column is s.facts.table(days.start.column.table).date:
        found.append(rel(f"took {said} from {start} to {end}"))
    return found


def _number_bits(test: tree.Compare, column: ColumnFacts, s: Speaker, table: TableFacts) -> list[Bit]:
    noun, said = s.column(column), amount(test.value, column, s)
    if counts_things(noun):
        told = s.value(test.value) if test.sign == "=" else bare_limit(test.sign, s.value(test.value), s)
        return [post(f"with {told} {noun}"), rel(f"have {told} {noun}")]
    if test.sign == "=":
        return [post(f"with {say.a(noun)} of {said}"), post(f"with {noun} {said}"), rel(f"have {say.a(noun)} of {said}")]
    compared = limit(test.sign, said, s)
    found = [post(f"with {say.a(noun)} {compared}"), rel(f"have {say.a(noun)} {compared}"), post(f"with {noun} {compared}")]
    found.append(rel(f"whose {noun} is {bare_limit(test.sign, said, s)}"))
    if is_only_price(column, table):
        found += [rel(f"cost {bare_limit(test.sign, said, s)}"), post(f"costing {bare_limit(test.sign, said, s)}")]
    return found


def counts_things(noun: str) -> bool:
    """Whether a number goes straight before the noun: "20 units in stock", "3 goals"."""
    first = noun.split()[0] if " in " in noun or " on " in noun else noun.split()[-1]
    return first.endswith("s") and not first.endswith(("ss", "us", "is")) and singular(first) != first


def is_only_price(column: ColumnFacts, table: TableFacts) -> bool:
    """Whether "cost" and "expensive" can only mean this column."""
    prices = [c for c in table.columns if {stem(w) for w in words(c.name)} & {stem("price"), stem("cost")}]
    return prices == [column] and not table.goods and stem(words(column.name)[-1]) == stem("price")


def value_bits(value: Value, column: ColumnFacts, s: Speaker, table: TableFacts) -> list[Bit]:
    """A column of words has one value."""
    noun, last, said = s.column(column), stem(column.noun.split()[-1]), s.value(value)
    found = [post(f"with {noun} {s.value(value, 0.15)}"), post(f"with {noun} {said}"), rel(f"have {noun} {said}")]
    found += [rel(f"whose {noun} is {said}")] * s.chance(0.4)
    if is_place(column, value):
        return _place_bits(value, column, s, table) + found[:1] * (" " in column.noun)
    text = str(value)
    if last in lexicon.ADJECTIVE_COLUMNS and len(text.split()) <= 2 and (text.islower() or not column.noun.endswith("type")):
        word = lexicon.GENDERS.get(text.lower(), "") if stem("gender") == last or stem("sex") == last else text
        word = word or text
        shown = s.value(word if word != text else text)
        plain = word.replace("_", " ")
        if plain.endswith(("ed", "ing")) or last in (stem("gender"), stem("sex"), stem("status")):
            found += [pre(s.value(plain))] * 3 + [rel(f"are {s.value(plain)}")]
        else:
            found += [pre(shown)] * 2 + [post(f"of {noun} {shown}")]
    elif last in lexicon.MAKER_COLUMNS and text[:1].isupper():
        found += [pre(said), pre(said), post(f"of the {noun} {said}"), post(f"by {said}") if last != stem("genre") else pre(said)]
    elif column.noun in ("title", "job title", "job", "position", "role", "occupation", "profession") and table.person:
        found += [rel(f"work as {said}"), post(f"working as {said}")] * 2
    elif table.person is False and noun != column.table:
        found.append(post(f"where the {noun} is {said}"))
    return found


def is_place(column: ColumnFacts, value: Value) -> bool:
    return stem(column.noun) in lexicon.PLACE and isinstance(value, str) and not value.islower() and column.kind == "category"


def _place_bits(value: Value, column: ColumnFacts, s: Speaker, table: TableFacts) -> list[Bit]:
    said = s.value(value)
    found = [post(f"in {said}")] * 3
    if table.person:
        found += [post(f"from {said}")] * 3 + [rel(f"live in {said}"), rel(f"are from {said}"), post(f"living in {said}")]
    elif not table.date or table.label:
        found += [rel(f"are in {said}"), post(f"located in {said}")]
    else:
        found = [post(f"with {s.column(column)} {said}"), rel(f"whose {s.column(column)} is {said}")]
    if stem(column.noun) == stem("country") and value in lexicon.DEMONYMS and (table.person or table.place or table.label):
        found += [pre(say.mark(lexicon.DEMONYMS[str(value)]))] * 3
    return found


def _unequal_bits(value: Value, column: ColumnFacts, s: Speaker, table: TableFacts) -> list[Bit]:
    noun, said = s.column(column), s.value(value)
    found = [post(f"with {say.a(noun)} other than {said}"), rel(f"do not have {noun} {said}"), rel(f"whose {noun} is not {said}")]
    if is_place(column, value):
        found += [rel(f"are not in {said}"), post(f"outside {said}")]
    elif stem(column.noun.split()[-1]) in lexicon.ADJECTIVE_COLUMNS and str(value).endswith("ed"):
        found += [rel(f"are not {said}")] * 3
    return found


@bits.register
def _(test: tree.Named, s: Speaker, table: TableFacts) -> list[Bit]:
    said = " ".join(s.value(value) for value in test.values)
    if table.person and table.label:
        return [post(f"named {said}"), rel(f"are called {said}")]
    noun = s.label_noun(table) if table.label else s.column(test.columns[0])
    return [
        post(f"with {noun} {said}"),
        post(f"called {said}") if table.label else post(f"with {noun} {said}"),
        rel(f"have the {noun} {said}"),
    ]


@bits.register
def _(test: tree.Between, s: Speaker, table: TableFacts) -> list[Bit]:
    column = test.ref.column
    noun, low, high = s.column(column), s.value(test.low), amount(test.high, column, s)
    if counts_things(noun):
        return [post(f"with {low} to {high} {noun}"), rel(f"have between {low} and {high} {noun}")]
    found = [post(f"with {say.a(noun)} between {low} and {high}"), rel(f"have {say.a(noun)} between {low} and {high}")]
    found.append(post(f"with {say.a(noun)} from {low} to {high}"))
    return [*found, rel(f"cost between {low} and {high}")] if is_only_price(column, table) else found


@bits.register
def _(test: tree.OneOf, s: Speaker, table: TableFacts) -> list[Bit]:
    column, said = test.ref.column, say.listed([s.value(value) for value in test.values], "or")
    noun = s.column(column)
    if is_place(column, test.values[0]):
        words_said = [post(f"in {said}"), rel(f"are in {said}" if not table.person else f"live in {said}")]
        return [*words_said, post(f"from {said}")] if table.person else words_said
    found = [post(f"with {noun} {said}"), rel(f"have {noun} {said}"), rel(f"whose {noun} is {said}"), rel(f"whose {noun} is either {said}")]
    if stem(column.noun.split()[-1]) in lexicon.ADJECTIVE_COLUMNS:
        found += [pre(said)]
    return found


@bits.register
def _(test: tree.Like, s: Speaker, table: TableFacts) -> list[Bit]:
    noun, said = s.column(test.ref.column), s.value(test.piece, 1.0)
    if test.place == "start":
        plain = s.pick([said, s.value(test.piece)])
        return [
            rel(f"whose {noun} starts with {plain}"),
            post(f"with {say.a(noun)} starting with {plain}"),
            rel(f"whose {noun} begins with {plain}"),
        ]
    return [
        rel(f"whose {noun} contains {said}"),
        post(f"with {said} in the {noun}"),
        rel(f"have {said} in the {noun}"),
        rel(f"whose {noun} includes {said}"),
    ]


@bits.register
def _(test: tree.Flag, s: Speaker, table: TableFacts) -> list[Bit]:
    column, yes = test.ref.column, test.yes
    noun = s.column(column)
    hint = column.hints.one
    if s.is_adjective(column):
        return [pre(noun), pre(noun), rel(f"are {noun}")] if yes else [rel(f"are not {noun}"), pre(f"non-{noun}"), rel(f"are not {noun}")]
    if hint:
        found = [rel(f"are {hint} ({noun})"), post(f"with {noun}")] if yes else [rel(f"are not {hint} ({noun})"), post(f"without {noun}")]
        return (
            found + ([rel(f"are {hint} to the {noun}")] if yes else [rel(f"are not {hint} to the {noun}")])
            if hint == "subscribed"
            else found
        )
    if yes:
        return [post(f"with {noun}"), rel(f"have {noun}"), post(f"marked as {noun}")]
    return [post(f"without {noun}"), rel(f"have no {noun}"), post(f"not marked as {noun}")]


@bits.register
def _(test: tree.Either, s: Speaker, table: TableFacts) -> list[Bit]:
    sides = [s.pick([bit.text for bit in bits(side, s, table) if bit.slot == "rel"]) for side in (test.left, test.right)]
    if sides[0].startswith("whose") != sides[1].startswith("whose"):
        sides.sort(key=lambda text: text.startswith("whose"))
        return [rel(f"either {sides[0]} or {sides[1]}")]
    return [rel(f"either {sides[0]} or {sides[1]}"), rel(f"{sides[0]} or {sides[1]}")]


@bits.register
def _(test: tree.AgainstMean, s: Speaker, table: TableFacts) -> list[Bit]:
    noun, side = s.column(test.ref.column), "above" if test.sign == ">" else "below"
    if test.within is None:
        mean = s.pick(["the average", f"the average of all {s.many(table)}", f"the average {noun}"])
        return [post(f"with {say.a(noun)} {side} {mean}"), rel(f"have {say.a(noun)} {side} {mean}"), rel(f"whose {noun} is {side} {mean}")]
    group = s.column(test.within.column)
    mean = s.pick(
        [f"the average of their {group}", f"the average of all {s.many(table)} with the same {group}", f"the average for their {group}"]
    )
    return [post(f"with {say.a(noun)} {side} {mean}"), rel(f"whose {noun} is {side} {mean}"), rel(f"have {say.a(noun)} {side} {mean}")]


@bits.register
def _(test: tree.Extreme, s: Speaker, table: TableFacts) -> list[Bit]:
    column = test.ref.column
    noun = s.column(column)
    if column.form:
        word = s.pick(["latest", "most recent"]) if test.highest else s.pick(["earliest", "first"])
    else:
        word = s.pick(["highest", "largest"]) if test.highest else s.pick(["lowest", "smallest"])
    return [post(f"with the {word} {noun}"), rel(f"have the {word} {noun}"), post(f"with the {word} {noun} of all")]


@bits.register
def _(test: tree.SameAs, s: Speaker, table: TableFacts) -> list[Bit]:
    noun, said = s.column(test.ref.column), " ".join(s.value(value) for value in test.named.values)
    found = [post(f"with the same {noun} as {said}"), rel(f"have the same {noun} as {said}")]
    return (
        [post(f"in the same {noun} as {said}"), rel(f"are in the same {noun} as {said}")]
        if stem(test.ref.column.noun) in lexicon.PLACE
        else found
    )


@bits.register
def _(test: tree.Versus, s: Speaker, table: TableFacts) -> list[Bit]:
    left, right = s.column(test.left.column), s.column(test.right.column)
    if test.left.column.form:
        word = s.pick(["after", "later than"]) if test.sign == ">" else s.pick(["before", "earlier than"])
    else:
        word = s.pick(["higher than", "above", "greater than"]) if test.sign == ">" else s.pick(["lower than", "below", "less than"])
    return [
        rel(f"whose {left} is {word} the {right}"),
        rel(f"whose {left} is {word} their {right}"),
        rel(f"have {say.a(left)} {word} the {right}"),
    ]


@bits.register
def _(test: tree.Linked, s: Speaker, table: TableFacts) -> list[Bit]:
    link = s.link_of(table, test.column)
    role = s.role((link,)) if link else s.column(test.column)
    hint = test.column.hints
    if not test.there:
        found = [post(f"without {say.a(role)}"), rel(f"have no {role}"), post(f"with no {role}"), rel(f"do not have {say.a(role)}")]
        return found + null_bits(hint.null_word, hint.null, s) * 2
    return [
        post(f"with {say.a(role)}"),
        rel(f"have {say.a(role)}"),
        post(f"that have {say.a(role)}") if s.chance(0.5) else post(f"with {say.a(role)}"),
    ]


def null_bits(word: str, text: str, s: Speaker) -> list[Bit]:
    """What a comment says NULL means, of several rows."""
    if not text:
        return []
    several = text.replace("its ", "their ")
    if text.startswith(("a ", "an ")):
        return [rel(f"are {plural(text.split(' ', 1)[1])}")]
    if text.startswith(("not a ", "not an ")):
        return [rel(f"are not {plural(text.split(' ', 2)[2])}")]
    if word == "while":
        return [rel(f"are still {several}"), rel(f"are currently {several}"), *([pre(text), pre(text)] if " " not in text else [])]
    if word == "until":
        return [rel(f"have not been {several} yet"), rel(f"are not yet {several}")]
    if word == "at":
        return [rel(f"are at {several}"), post(f"at {several}")]
    return [rel(f"are {several}")] if text.startswith("un") else []


def there_bits(word: str, text: str, s: Speaker) -> list[Bit]:
    """What a comment says a value means, of several rows."""
    if word == "while" and " " not in text:
        return [rel(f"are no longer {text}")]
    if word == "until" and text:
        return [rel(f"have been {text}"), rel(f"have already been {text}")]
    if text.startswith(("not a ", "not an ")):
        return [rel(f"are {plural(text.split(' ', 2)[2])}")]
    return [rel(f"are not {plural(text.split(' ', 1)[1])}")] if text.startswith(("a ", "an ")) else []
