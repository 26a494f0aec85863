"""How tables hang together: links from a row to the row it points to, and paths of links."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from t2s.data.synthesis import lexicon
from t2s.data.synthesis.facts import ColumnFacts, Facts, TableFacts
from t2s.sql.naming import singular, spoken, words
from t2s.sql.schema import ForeignKey, Schema

# Longer paths join so much that nobody could say what they mean.
_LONGEST_PATH = 4


@dataclass(frozen=True)
class Link:
    """Rows of `child` point to at most one row each of `parent`.

    Attributes:
        child: Table that points.
        parent: Table it points to.
        pairs: (child column, parent column), several for a composite key.
        role: What the parent is to the child: "customer", "manager", "seller".
        plain: Whether the role is only the parent's own noun.
        optional: Whether some children point to nothing.
        people: Whether the parent's rows are people.
    """

    child: str
    parent: str
    pairs: tuple[tuple[str, str], ...]
    role: str
    plain: bool
    optional: bool
    people: bool


Links = tuple[Link, ...]


class Graph:
    """The tables and their links.

    Args:
        facts: What the tables hold; a link to a table without rows is none.
        schema: Where the keys are declared.
    """

    def __init__(self, facts: Facts, schema: Schema) -> None:
        self.facts = facts
        self.links = tuple(_links(facts, schema))
        self._up: dict[str, list[Link]] = defaultdict(list)
        self._down: dict[str, list[Link]] = defaultdict(list)
        for link in self.links:
            self._up[link.child].append(link)
            self._down[link.parent].append(link)
        self._paths = {table.name: tuple(self._walk(table.name)) for table in facts.tables}
        self._words: dict[str, list[str]] = defaultdict(list)
        for table in facts.tables:
            self._words[table.noun.split()[-1]].append(table.name)

    def up(self, table: str) -> list[Link]:
        """Links of a table to those it points to."""
        return self._up[table]

    def down(self, table: str) -> list[Link]:
        """Links of other tables, or its own, to this one."""
        return self._down[table]

    def paths(self, table: str) -> tuple[Links, ...]:
        """Every way upwards from a table that says clearly which row is meant, the shortest first; the empty one is the table itself."""
        return self._paths[table]

    def end(self, table: str, links: Links) -> TableFacts:
        """The table a path from `table` leads to."""
        return self.facts.table(links[-1].parent if links else table)

    def is_bare_link(self, table: TableFacts) -> bool:
        """Whether the table only ties others together."""
        links = len(self._up[table.name])
        more = sum(c.kind not in ("link", "key") for c in table.columns)
        return links >= 2 and not table.label and not table.goods and not table.date and more <= 2

    def last_word_is_its_own(self, table: TableFacts) -> bool:
        """Whether "ticket" can only mean this table, though it is called support_tickets."""
        return len(self._words[table.noun.split()[-1]]) == 1

    def _walk(self, start: str) -> Iterator[Links]:
        """Breadth first; of several ways to one table in one role, the shortest, and none where two are equally short."""
        level: list[Links] = [()]
        told = {start: 0}
        while level:
            yield from level
            longer = [(*path, link) for path in level if len(path) < _LONGEST_PATH for link in self._up[path[-1].parent if path else start]]
            level = []
            meanings: dict[str, list[Links]] = defaultdict(list)
            for path in longer:
                meanings[_meaning(path)].append(path)
            for meaning, paths in meanings.items():
                if len(paths) == 1 and meaning not in told and not _turns_back(paths[0]):
                    level.append(paths[0])
            told.update((meaning, 1) for meaning in meanings)


def _meaning(path: Links) -> str:
    last = path[-1]
    return last.parent if last.plain else f"{last.parent} as {last.role}"


def _turns_back(path: Links) -> bool:
    """Whether it meets a table again, but for one step within one table."""
    met = [path[0].child, *(link.parent for link in path)]
    repeated = len(met) - len(set(met))
    return repeated > (1 if path[-1].child == path[-1].parent else 0)


def _links(facts: Facts, schema: Schema) -> Iterator[Link]:
    known = {table.name for table in facts.tables}
    grouped: dict[tuple[str, str], list[ForeignKey]] = defaultdict(list)
    for key in schema.foreign_keys():
        if key.table in known and key.target_table in known:
            grouped[key.table, key.target_table].append(key)
    targets = {(t.name, c.name): c for t in facts.tables for c in t.columns}
    for (child, parent), keys in grouped.items():
        whole = {column.name for column in schema.table(parent).columns if column.primary_key}
        if len(keys) == len(whole) > 1 and {key.target_column for key in keys} == whole:
            yield _link(facts, child, parent, keys, alone=True)
            continue
        single = [key for key in keys if targets[parent, key.target_column].unique or whole == {key.target_column}]
        for key in single:
            if targets[child, key.column].rows > targets[child, key.column].missing:
                yield _link(facts, child, parent, [key], alone=len(single) == 1)


def _link(facts: Facts, child: str, parent: str, keys: list[ForeignKey], alone: bool) -> Link:
    table, target = facts.table(child), facts.table(parent)
    column = table.column(keys[0].column)
    role = link_role(column, target, itself=child == parent)
    plain = len(keys) > 1 or role == target.noun or (alone and child != parent and role == "")
    pairs = tuple((key.column, key.target_column) for key in keys)
    return Link(child, parent, pairs, target.noun if plain else role or f"other {target.noun}", plain, column.missing > 0, target.person)


def link_role(column: ColumnFacts, target: TableFacts, *, itself: bool) -> str:
    """What the row a key points to is called from the side of the key; empty where its name says nothing.

    Example:
        "manager_id" -> "manager"; "ReportsTo" -> "manager"; "customer_id" of customers -> "customer"
    """
    parts = words(column.name)
    while len(parts) > 1 and parts[-1] in lexicon.KEY_ENDINGS:
        parts = parts[:-1]
    said = spoken(" ".join(parts)) if parts else ""
    if parts[-1:] and parts[-1] in ("to", "by", "via", "from", "of", "at", "in"):
        return {"reports to": "manager", "managed by": "manager", "referred by": "referrer", "parent of": "parent"}.get(
            said, column.hints.role
        )
    if said in (target.noun, target.noun.split()[-1], singular(said)) and singular(said) in (target.noun, target.noun.split()[-1]):
        return column.hints.role if column.hints.role and not itself else target.noun
    if said == "parent":
        return f"parent {target.noun}"
    own = set(said.split()) - set(target.noun.split())
    return column.hints.role or said if own else target.noun
