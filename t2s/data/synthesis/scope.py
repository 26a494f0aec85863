"""One SELECT's tables: which are joined, and what their columns are called inside it."""

from __future__ import annotations

from dataclasses import dataclass, field

from t2s.data.prompt import quote_name
from t2s.data.synthesis.facts import ColumnFacts, Facts
from t2s.data.synthesis.graph import Links
from t2s.data.synthesis.probe import Value
from t2s.data.synthesis.tree import Ref
from t2s.sql.naming import words


class Aliases:
    """A short name for every table, the same in every query: initials, or more letters where they are taken."""

    def __init__(self, facts: Facts) -> None:
        self._of: dict[str, str] = {}
        taken = {quote_name(table.name).strip('"').lower() for table in facts.tables} | _SQL_WORDS
        for table in facts.tables:
            alias = next(name for name in _candidates(table.name) if name not in taken and quote_name(name) == name)
            taken.add(alias)
            self._of[table.name] = alias

    def of(self, table: str) -> str:
        return self._of[table]


_SQL_WORDS = frozenset(["as", "by", "do", "if", "in", "is", "no", "of", "on", "or", "to", "row", "end", "key", "asc", "all", "and", "not"])


def _candidates(table: str) -> list[str]:
    parts = ["".join(c for c in part if c.isascii() and c.isalnum()) for part in words(table)]
    parts = [part for part in parts if part and not part[0].isdigit()] or ["t"]
    initials = "".join(part[0] for part in parts)
    longer = (
        [parts[0][:length] for length in range(2, len(parts[0]))] if len(parts) == 1 else [initials[0] + parts[-1][:n] for n in (2, 3, 4)]
    )
    return [initials, *longer, *(f"{initials}{number}" for number in range(2, 1000))]


@dataclass
class Reading:
    """What a query and the queries in its conditions read; whether names need their table's alias follows from it.

    Attributes:
        aliases: Of all tables.
        qualified: Whether columns are written with an alias.
        joined: How many tables were joined, and how many queries were nested on another table.
    """

    aliases: Aliases
    qualified: bool
    joined: int = 0


@dataclass
class Scope:
    """The tables of one SELECT, joined when one of their columns is first named.

    Attributes:
        table: The table that the SELECT begins with.
        reading: What all nested SELECTs share.
        outer: Aliases that must not be used again, since a condition names them from within.
        kind: The word that joins: "JOIN" or "LEFT JOIN".
    """

    table: str
    reading: Reading
    outer: frozenset[str] = frozenset()
    _paths: dict[Links, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._paths[()] = self._free(self.reading.aliases.of(self.table))

    def column(self, ref: Ref) -> str:
        """The column's name, its table joined."""
        return self.named(ref.links, ref.column.name)

    def named(self, links: Links, column: str) -> str:
        alias = self.join(links)
        return f"{alias}.{quote_name(column)}" if self.reading.qualified else quote_name(column)

    def join(self, links: Links) -> str:
        """The alias of the table at the end of a path."""
        if links not in self._paths:
            self.join(links[:-1])
            self.reading.joined += 1
            self._paths[links] = self._free(self.reading.aliases.of(links[-1].parent), links[-1].role if not links[-1].plain else "")
        return self._paths[links]

    @property
    def used(self) -> frozenset[str]:
        return frozenset(self._paths.values()) | self.outer

    def source(self) -> str:
        """What stands behind FROM."""
        first = quote_name(self.table)
        parts = [f"{first} {self._paths[()]}" if self.reading.qualified else first]
        for links, alias in self._paths.items():
            if links:
                parts.append(f"JOIN {quote_name(links[-1].parent)} {alias} ON {self._condition(links)}")
        return " ".join(parts)

    def _condition(self, links: Links) -> str:
        here, there = self._paths[links[:-1]], self._paths[links]
        return " AND ".join(f"{here}.{quote_name(child)} = {there}.{quote_name(parent)}" for child, parent in links[-1].pairs)

    def _free(self, alias: str, role: str = "") -> str:
        taken = set(self._paths.values()) | self.outer
        if alias not in taken:
            return alias
        said = words(role)[0] if role and words(role) and words(role)[0].isascii() and quote_name(words(role)[0]) == words(role)[0] else ""
        options = [said] if said else []
        options += [f"{alias}{number}" for number in range(2, 20)]
        return next(name for name in options if name not in taken)


def literal(value: Value) -> str:
    """The value as SQL writes it."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value)


def end_key(links: Links) -> tuple[Links, str] | None:
    """The single column that tells rows at the end of a path apart: the one that points there, so that no join is needed."""
    return (links[:-1], links[-1].pairs[0][0]) if links and len(links[-1].pairs) == 1 else None


def is_money(column: ColumnFacts) -> bool:
    """Whether sums of the column need rounding."""
    return not column.whole
