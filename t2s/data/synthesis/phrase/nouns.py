"""Who speaks, and what they call tables, columns, dates and links."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from t2s.data.synthesis import lexicon, tree
from t2s.data.synthesis.facts import ColumnFacts, TableFacts
from t2s.data.synthesis.graph import Graph, Link, Links
from t2s.data.synthesis.phrase.spoken import mark, number, several
from t2s.data.synthesis.probe import Value
from t2s.sql.naming import stem, words

T = TypeVar("T")

_GENERIC = frozenset(
    ["name", "type", "kind", "code", "title", "description", "number", "ID", "date", "status", "level", "class", "group", "label"]
)
_PASSIVE_ENDS = ("ed", "able", "ible", "ive", "ing", "ent", "ant", "al", "ous", "ful", "free")


class Speaker:
    """Somebody who asks in one register. Each thing keeps the name it was first given, so that a question stays of one piece.

    Args:
        graph: The tables, their facts and links.
        rng: Where chance comes from.
        curt: Whether they leave out what is understood.
        free: How often another word for a thing is taken than the schema's.
    """

    def __init__(self, graph: Graph, rng: random.Random, curt: bool, free: float) -> None:
        self.graph = graph
        self.facts = graph.facts
        self.rng = rng
        self.curt = curt
        self._free = free
        self._nouns: dict[str, str] = {}
        self._columns: dict[int, str] = {}
        self.stands_for: dict[str, Link] = {}
        self.revenue = ""

    def pick(self, options: Sequence[T]) -> T:
        return options[self.rng.randrange(len(options))]

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    # Tables -------------------------------------------------------------------------------------------------------

    def one(self, table: TableFacts) -> str:
        """What one row is called."""
        if table.name not in self._nouns:
            self._nouns[table.name] = self._noun(table)
        return self._nouns[table.name]

    def many(self, table: TableFacts) -> str:
        return several(self.one(table))

    def _noun(self, table: TableFacts) -> str:
        last = table.noun.split()[-1]
        options = [word for word in lexicon.SYNONYMS.get(stem(table.noun), ()) if not self._taken(word)]
        if " " in table.noun and self.graph.last_word_is_its_own(table) and last not in (*_GENERIC, "item", "line", "detail", "record"):
            options.append(last)
        return self.pick(options) if options and self.chance(self._free) else table.noun

    def _taken(self, word: str) -> bool:
        return any(stem(part) in self.facts.stems or stem(part) in self.facts.value_words for part in words(word))

    def let_stand(self, table: TableFacts, link: Link) -> None:
        """From one side of a table that only ties two others, its rows are those of the other side."""
        others = [other for other in self.graph.up(table.name) if other != link]
        if self.graph.is_bare_link(table) and len(others) == 1:
            self.stands_for[table.name] = others[0]

    def end(self, table: str, links: Links) -> TableFacts:
        return self.graph.end(table, links)

    def role(self, links: Links) -> str:
        """What the row at the end of a path is called from the row the path begins at."""
        last = links[-1]
        if last.plain:
            return self.one(self.facts.table(last.parent))
        return last.role if len(links) == 1 or last.role.startswith("parent ") else f"{self.role(links[:-1])} {last.role}"

    def link_of(self, table: TableFacts, column: ColumnFacts) -> Link | None:
        return next((link for link in self.graph.up(table.name) if link.pairs[0][0] == column.name), None)

    # Columns ------------------------------------------------------------------------------------------------------

    def column(self, column: ColumnFacts) -> str:
        """The column, for somebody who knows which table is meant."""
        if id(column) not in self._columns:
            self._columns[id(column)] = self._column(column)
        return self._columns[id(column)]

    def _column(self, column: ColumnFacts) -> str:
        table = self.facts.table(column.table)
        if column.form:
            return self.date_noun(column)
        link = self.link_of(table, column)
        if link is not None:
            return link.role
        noun = column.noun
        if noun == "ID":
            return "ID" if table.label else f"{self.one(table)} number" if isinstance(next(iter(column.values))[0], int) else "ID"
        if column.kind == "flag":
            noun = " ".join(word for word in noun.split() if word not in ("is", "has", "flag")) or noun
        options = [said for said in lexicon.COLUMN_SYNONYMS.get(stem(noun), ()) if not self._taken(said) or said == noun]
        if column.hints.role and column.kind == "number" and self.chance(self._free):
            return column.hints.role
        last = noun.split()[-1]
        if " " in noun and stem(last) in lexicon.COLUMN_SYNONYMS and stem(last) not in lexicon.PLACE and self._is_lone(table, last):
            options.append(last)
        return self.pick(options) if options and self.chance(self._free) else noun

    @staticmethod
    def _is_lone(table: TableFacts, last: str) -> bool:
        return sum(stem(c.noun.split()[-1]) == stem(last) for c in table.columns) == 1

    def date_noun(self, column: ColumnFacts) -> str:
        """Example: "hired_on" -> "hire date"."""
        parts = [word for word in words(column.name) if word not in lexicon.DATE_ENDINGS] or words(column.name)
        own = [word for word in column.noun.split() if word not in lexicon.DATE_ENDINGS]
        for word in parts:
            if stem(word) in lexicon.DATE_NOUNS:
                return lexicon.DATE_NOUNS[stem(word)]
        said = " ".join(own or [self.facts.table(column.table).noun])
        return said if said.endswith("date") else f"{said} date"

    def of_row(self, column: ColumnFacts) -> str:
        """The column with its table's noun where it says little alone: "store type"."""
        table = self.facts.table(column.table)
        noun = self.column(column)
        return f"{self.one(table)} {noun}" if noun in _GENERIC and not noun.startswith(self.one(table)) else noun

    def far(self, ref: tree.Ref) -> str:
        """The column of a row elsewhere: "customer city"."""
        if not ref.links:
            return self.column(ref.column) if self.chance(0.6) else self.of_row(ref.column)
        noun = self.column(ref.column)
        if ref.column.form:
            return f"{self.role(ref.links)} {noun}" if not noun.startswith(self.role(ref.links)) else noun
        return f"{self.role(ref.links)} {noun}"

    def label_noun(self, table: TableFacts) -> str:
        """What the name of a row is called."""
        if len(table.label) == 2:
            return self.pick(["first and last name", "name", "full name"])
        return self.column(table.label[0] if table.label else table.key) if table.label or table.key else "row"  # type: ignore[arg-type]

    def is_adjective(self, column: ColumnFacts) -> bool:
        """Whether a flag's name can stand before a noun."""
        parts = [word for word in words(column.name) if word not in ("is", "flag", "was")]
        return len(parts) == 1 and (words(column.name)[0] in ("is", "was") or parts[0].endswith(_PASSIVE_ENDS))

    # Time ---------------------------------------------------------------------------------------------------------

    def verb(self, column: ColumnFacts) -> tuple[str, bool] | None:
        """What happened on the date, and whether somebody did it (active) or it was done (passive)."""
        for word in words(column.name):
            if word in lexicon.DATE_ENDINGS:
                continue
            if stem(word) in lexicon.ACTIVE:
                return lexicon.ACTIVE[stem(word)], True
            if stem(word) in lexicon.PASSIVE:
                return lexicon.PASSIVE[stem(word)], False
        return None

    def is_plain_date(self, table: TableFacts, ref: tree.Ref) -> bool:
        """Whether "in 2024" alone means this date: that of an event, or of the event a row is part of."""
        if ref.links and (table.date or len(ref.links) > 1):
            return False
        end = self.end(table.name, ref.links)
        return end.date is ref.column and not end.label

    # Values -------------------------------------------------------------------------------------------------------

    def value(self, value: Value, quoted: float = 0.0) -> str:
        """A value as stored, marked so that nothing changes it."""
        if not isinstance(value, str):
            said = number(value)
            if isinstance(value, int) and abs(value) >= 10_000 and self.chance(0.15):
                said = f"{value:,}"
            return mark(said)
        return mark(f"'{value}'" if self.chance(quoted) else value)

    def is_sure(self, table: TableFacts, value: Value) -> bool:
        """Whether a name alone tells what is meant: no other table is seen to have it."""
        if not isinstance(value, str) or value.islower() or value.isdigit() or len(value) < 3:
            return False
        if value.lower() in self.facts.stems:
            return False
        return not any(
            value == other
            for t in self.facts.tables
            if t.name != table.name
            for c in t.columns
            if c.kind in ("name", "category")
            for other, _ in c.values
        )

    def plural_of(self, noun: str) -> str:
        return several(noun)
