"""Rows in words: the noun with all its conditions, those on rows it points to and on rows that point to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from t2s.data.synthesis import lexicon, tree
from t2s.data.synthesis.facts import TableFacts
from t2s.data.synthesis.graph import Links
from t2s.data.synthesis.phrase.bits import Bit, bare_limit, bits
from t2s.data.synthesis.phrase.nouns import Speaker
from t2s.data.synthesis.phrase.times import span
from t2s.sql.naming import stem

_CONTAINERS = frozenset(
    map(stem, ["category", "genre", "department", "group", "class", "type", "album", "playlist", "course", "team", "league", "division"])
) | frozenset(map(stem, ["section", "series", "family"]))
_ADVERBS = ("in ", "since ", "before ", "between ", "from ", "on ", "during ", "at ")


@dataclass(frozen=True)
class Rows:
    """A noun with its conditions.

    Attributes:
        noun: The noun in the plural with what stands before it.
        posts: What stands behind it.
        rels: What "that" or "who" is followed by.
        tails: What concerns rows it points to; it comes last.
        person: Whether "who" is right.
    """

    noun: str
    posts: tuple[str, ...]
    rels: tuple[str, ...]
    tails: tuple[str, ...]
    person: bool

    def text(self) -> str:
        """All of it: "cancelled orders from 2024 that have no seller from customers in Oslo"."""
        return " ".join([self.noun, *_joined(self.posts), *([self._clause()] if self.rels else []), *self._tail()])

    def _tail(self) -> list[str]:
        if len(self.tails) < 2:
            return list(self.tails)
        return [" ".join(self.tails[:-1]), "and", self.tails[-1]] if len({t.split()[0] for t in self.tails}) == 1 else list(self.tails)

    def _clause(self) -> str:
        who = "who" if self.person else "that"
        plain = [text for text in self.rels if not text.startswith("whose")]
        whose = [text for text in self.rels if text.startswith("whose")]
        parts = ([f"{who} {' and '.join(plain)}"] if plain else []) + whose
        return " and ".join(parts)

    def split(self) -> tuple[str, str] | None:
        """The rows without their last condition, and that condition as what they do: "customers from Oslo", "have no phone"."""
        plain = [text for text in self.rels if not text.startswith("whose")]
        if not plain:
            return None
        rest = replace(self, rels=tuple(text for text in self.rels if text != plain[-1]), tails=())
        return rest.text(), " ".join([plain[-1], *self._tail()])


def _joined(posts: Sequence[str]) -> list[str]:
    """Those with "with" become one."""
    having = [text[5:] for text in posts if text.startswith("with ")]
    others = [text for text in posts if not text.startswith("with ")]
    return [*sorted(others, key=lambda text: text.startswith(_ADVERBS[1:])), *([f"with {' and '.join(having)}"] if having else [])]


def rows(s: Speaker, table: TableFacts, tests: Sequence[tree.Test], noun: str = "", several: bool = True) -> Rows:
    """The rows of a table that fulfil the conditions.

    Args:
        s: Who speaks.
        table: The table.
        tests: The conditions.
        noun: What the rows are called; empty for their own noun.
        several: Whether in the plural.
    """
    stand_in = s.stands_for.get(table.name)
    if stand_in is not None and not noun:
        about = from_end(tests, (stand_in,))
        if about is not None:
            return rows(s, s.facts.table(stand_in.parent), about, noun="" if stand_in.plain else stand_in.role, several=several)
    own, far = _parted(tests)
    said = noun or s.one(table)
    said = s.plural_of(said) if several else said
    chosen = [_choose(s, table, test) for test in own]
    pres = [bit.text for bit in chosen if bit.slot == "pre"]
    return Rows(
        noun=" ".join([*pres, said]),
        posts=tuple(bit.text for bit in chosen if bit.slot == "post"),
        rels=tuple(bit.text if several else singly(bit.text) for bit in chosen if bit.slot == "rel"),
        tails=tuple(_far(s, table, links, inner) for links, inner in far),
        person=table.person,
    )


_SINGLE = {"are": "is", "have": "has", "do": "does", "were": "was", "live": "lives", "work": "works", "cost": "costs"}


def singly(text: str) -> str:
    """What rows do, of one row: "have no seller" -> "has no seller"."""
    parts = text.split(" ")
    for place, word in enumerate(parts):
        if word in _SINGLE and (place == 0 or parts[place - 1] in ("either", "or", "and")):
            parts[place] = _SINGLE[word]
    return " ".join(parts)


def _choose(s: Speaker, table: TableFacts, test: tree.Test) -> Bit:
    options = bits(test, s, table)
    if s.curt:
        short = [bit for bit in options if bit.slot != "rel"]
        options = short or options
    return s.pick(options)


def _path_of(test: tree.Test) -> Links:
    if isinstance(test, tree.Named | tree.Linked):
        return test.links
    if isinstance(test, tree.Has | tree.Either | tree.Versus | tree.AgainstMean | tree.Extreme | tree.SameAs):
        return ()
    if isinstance(test, tree.Compare) and isinstance(test.what, tree.Days):
        return ()
    ref = test.what if isinstance(test, tree.Compare) else test.ref
    assert isinstance(ref, tree.Ref)
    return ref.links


def _parted(tests: Sequence[tree.Test]) -> tuple[list[tree.Test], list[tuple[Links, list[tree.Test]]]]:
    """Conditions on the row itself, and those on rows it points to by the first path they share."""
    own = [test for test in tests if not _path_of(test)]
    far: dict[Links, list[tree.Test]] = {}
    for test in sorted((test for test in tests if _path_of(test)), key=lambda test: len(_path_of(test))):
        path = _path_of(test)
        near = next((links for links in far if path[: len(links)] == links), path)
        far.setdefault(near, []).append(_nearer(test, len(near)))
    return own, list(far.items())


def _nearer(test: tree.Test, steps: int) -> tree.Test:
    """The condition as it reads from further along its path."""
    if isinstance(test, tree.Named | tree.Linked):
        return replace(test, links=test.links[steps:])
    if isinstance(test, tree.Compare):
        assert isinstance(test.what, tree.Ref)
        return replace(test, what=replace(test.what, links=test.what.links[steps:]))
    assert isinstance(test, tree.Between | tree.OneOf | tree.Like | tree.Missing | tree.Flag | tree.Period)
    return replace(test, ref=replace(test.ref, links=test.ref.links[steps:]))


def _farther(test: tree.Test, links: Links) -> tree.Test:
    """The condition as it reads from before a path."""
    if isinstance(test, tree.Named | tree.Linked):
        return replace(test, links=(*links, *test.links))
    if isinstance(test, tree.Compare):
        assert isinstance(test.what, tree.Ref)
        return replace(test, what=replace(test.what, links=(*links, *test.what.links)))
    assert isinstance(test, tree.Between | tree.OneOf | tree.Like | tree.Missing | tree.Flag | tree.Period)
    return replace(test, ref=replace(test.ref, links=(*links, *test.ref.links)))


def from_end(tests: Sequence[tree.Test], links: Links) -> list[tree.Test] | None:
    """The conditions as they read from the end of a path; None where one is not about it."""
    if any(_path_of(test)[: len(links)] != links for test in tests):
        return None
    return [_nearer(test, len(links)) for test in tests]


# Rows it points to ------------------------------------------------------------------------------------------------


def _far(s: Speaker, table: TableFacts, links: Links, tests: list[tree.Test]) -> str:
    end = s.end(table.name, links)
    named = next((test for test in tests if isinstance(test, tree.Named) and not test.links), None)
    plain = _when(s, table, links, end, tests)
    if plain:
        return plain
    if len(links) > 1 and not links[-1].plain:
        nearer = s.end(table.name, links[:-1])
        between = [_farther(test, links[-1:]) for test in tests]
        return f"{preposition(s, table, nearer)} {rows(s, nearer, between).text()}"
    if named is not None:
        rest = [test for test in tests if test is not named]
        found = named_row(s, table, links, named)
        return f"{found} ({rows(s, end, rest, noun=s.role(links)).text()})" if rest else found
    if not links[-1].plain:
        return f"with {rows(s, end, tests, noun=links[-1].role).text()}"
    return f"{preposition(s, table, end)} {rows(s, end, tests).text()}"


def _when(s: Speaker, table: TableFacts, links: Links, end: TableFacts, tests: list[tree.Test]) -> str:
    """Only when: the date of an event that the row is part of."""
    only = tests[0] if len(tests) == 1 else None
    if isinstance(only, tree.Period) and not only.ref.links and s.is_plain_date(table, replace(only.ref, links=links)):
        return span(only, s)
    return ""


def preposition(s: Speaker, table: TableFacts, end: TableFacts) -> str:
    """What stands between rows and the rows they point to."""
    if end.person:
        return s.pick(["from", "by", "of"]) if not table.label else s.pick(["by", "of"])
    if end.place:
        return s.pick(["in", "at", "of"]) if not table.label else s.pick(["in", "at"])
    if stem(end.noun.split()[-1]) in _CONTAINERS:
        return s.pick(["in", "from", "of"])
    return s.pick(["for", "of", "of"])


def named_row(s: Speaker, table: TableFacts, links: Links, named: tree.Named) -> str:
    """Rows that point to the row of a name: "at Nordlys Oslo", "in the category Tents", "whose manager is Henrik Laine"."""
    end, role = s.end(table.name, links), s.role(links)
    said = " ".join(s.value(value) for value in named.values)
    if not links[-1].plain:
        return s.pick([f"whose {role} is {said}", f"with {said} as {role}", f"with {role} {said}"])
    word = preposition(s, table, end)
    titled = name_with_noun(s, end, named, role)
    sure = len(named.values) == 2 or s.is_sure(end, named.values[0])
    return f"{word} {s.pick([titled, titled, said]) if sure else titled}"


def name_with_noun(s: Speaker, end: TableFacts, named: tree.Named, role: str) -> str:
    """The row by its noun and name: "the store Nordlys Oslo", "order 1028"."""
    said = " ".join(s.value(value) for value in named.values)
    if not end.label:
        return s.pick([f"{role} {said}", f"{role} number {said}"])
    column = named.columns[0]
    if column.kind == "code":
        return f"the {role} with {s.column(column)} {said}"
    options = [f"the {role} {said}", f"{role} {said}"]
    if stem(end.noun.split()[-1]) in _CONTAINERS:
        options.append(f"the {said} {role}")
    return s.pick(options)


# Rows that point to it --------------------------------------------------------------------------------------------


@bits.register
def _(test: tree.Has, s: Speaker, table: TableFacts) -> list[Bit]:
    child = s.facts.table(test.child)
    s.let_stand(child, test.links[0])
    inner = [_turned(t, test.links) for t in test.tests]
    if child.goods and (len(test.links) == 2 or not table.person) and test.sign in ("=", "<>"):
        sold = _sold(test, s, table, child)
        if sold:
            return sold
    deed = _deed(test, s, table, child)
    many = rows(s, child, inner).text()
    if test.sign == "=":
        return [
            *deed,
            Bit("post", f"with at least one {rows(s, child, inner, several=False).text()}"),
            Bit("rel", f"have {many}"),
            Bit("post", f"with {many}"),
        ]
    if test.sign == "<>":
        return [
            *deed,
            Bit("post", f"without any {many}"),
            Bit("rel", f"have no {many}"),
            Bit("post", f"with no {many}"),
            Bit("rel", f"do not have any {many}"),
        ]
    said = bare_limit(test.sign, s.value(test.count), s) if test.sign == ">" else f"at least {s.value(test.count)}"
    counted = rows(s, child, inner, several=test.count > 1).text()
    return [Bit("post", f"with {said} {counted}"), Bit("rel", f"have {said} {counted}")]


def _turned(test: tree.Test, links: Links) -> tree.Test:
    return test


def _deed(test: tree.Has, s: Speaker, table: TableFacts, child: TableFacts) -> list[Bit]:
    """What people did, or never did: "placed an order in 2024"."""
    known = lexicon.DEEDS.get(stem(child.noun.split()[-1]))
    if not known or not table.person or len(test.links) > 1 or not test.links[-1].plain or test.sign not in ("=", "<>"):
        return []
    when = ""
    if test.tests:
        only = test.tests[0]
        if len(test.tests) > 1 or not isinstance(only, tree.Period) or not s.is_plain_date(child, only.ref):
            return []
        when = f" {span(only, s)}"
    if test.sign == "=":
        return [Bit("rel", f"{known[0]}{when}")] * 3
    return [Bit("rel", f"have never {known[1]}{when}")] * 3 if not when else [Bit("rel", f"have not {known[1]}{when}")] * 3


def _sold(test: tree.Has, s: Speaker, table: TableFacts, child: TableFacts) -> list[Bit]:
    """Sales: "bought products of the brand Skarv", "were never sold in 2024"."""
    other = [link for link in s.graph.up(child.name) if link != test.links[0]]
    if table.person and len(test.links) == 2 and len(other) == 1:
        thing = s.facts.table(other[0].parent)
        about = from_end(test.tests, (other[0],))
        if about is None or not about or not thing.label:
            return []
        named = about[0] if len(about) == 1 and isinstance(about[0], tree.Named) and not about[0].links else None
        what = name_with_noun(s, thing, named, s.one(thing)) if named else rows(s, thing, about).text()
        verb = s.pick(["bought", "ordered", "bought"])
        if test.sign == "=":
            return [Bit("rel", f"{verb} {what}"), Bit("rel", f"have {verb} {what}")]
        return [Bit("rel", f"have never {verb} {what}"), Bit("rel", f"never {verb} {what}")]
    if len(test.links) == 1 and table.label and not table.person and not test.tests:
        if test.sign == "=":
            return [Bit("rel", "have been sold at least once"), Bit("rel", "were ordered at least once")]
        return [Bit("rel", "have never been sold"), Bit("rel", "were never ordered"), Bit("rel", "have never been ordered")]
    return []


def mods(s: Speaker, table: TableFacts, tests: Sequence[tree.Test], lead: str) -> str:
    """The conditions behind a figure that does not name its rows: revenue "from customers in Oslo in 2024".

    Args:
        s: Who speaks.
        table: The table that the figure sums over.
        tests: The conditions.
        lead: What connects a condition on the rows themselves.
    """
    own, far = _parted(tests)
    parts = [_far(s, table, links, inner) for links, inner in far]
    parts = [part if not part.startswith("with ") else f"on {s.many(table)} {part}" for part in parts]
    parts = [part if not part.startswith("whose ") else f"on {s.many(table)} {part}" for part in parts]
    parts = [f"from {part[3:]}" if part.startswith("by ") else part for part in parts]
    parts.sort(key=lambda part: part.startswith(_ADVERBS[1:4]))
    if own:
        plain = [span(test, s) for test in own if isinstance(test, tree.Period) and s.is_plain_date(table, test.ref)]
        rest = [test for test in own if not (isinstance(test, tree.Period) and s.is_plain_date(table, test.ref))]
        parts = ([f"{lead} {rows(s, table, rest).text()}"] if rest else []) + parts + plain
    return " ".join(parts)
