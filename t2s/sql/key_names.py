"""Which table a column's name speaks of: the half of a guessed foreign key that needs no rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from t2s.sql.naming import SHORT_FORMS, singular, words

Words = tuple[str, ...]

# How names of keys end (or, some, begin); already in full, as `_full` gives them.
_KEY_WORDS = frozenset({"id", "number", "code", "key", "nr", "uuid", "guid", "sk", "pk", "fk", "oid", "reference"})
_KEY_BEGINNINGS = frozenset({"fk", "id"})
# Endings that are glued on where a name has no other mark: customerid.
_GLUED = ("uuid", "guid", "code", "key", "id", "nr", "no")
# Words of table names that say what kind of table it is, not what its rows are.
_NOISE = frozenset(
    {
        "tbl",
        "tb",
        "table",
        "dim",
        "fact",
        "fct",
        "dbo",
        "mst",
        "mstr",
        "master",
        "data",
        "list",
        "info",
        "detail",
        "record",
        "register",
        "ref",
    }
    | {"reference", "lookup", "lkp", "lu", "header", "hdr", "tab", "main", "base", "all", "public", "catalog", "catalogue", "registry"}
)
# As a whole name these say nothing of whose they are.
_GENERIC = _KEY_WORDS | frozenset(
    {"name", "title", "date", "year", "month", "day", "time", "type", "status", "value", "description", "rank", "position", "level"}
    | {
        "category",
        "country",
        "city",
        "email",
        "quantity",
        "amount",
        "price",
        "sequence",
        "line",
        "row",
        "index",
        "version",
        "label",
        "note",
    }
)
# A row's own kind above it or before it.
_ABOVE = frozenset({"parent", "superior", "predecessor", "ancestor", "previous", "prev", "successor"})
# The same among people, who are in a table of people.
_ABOVE_PEOPLE = frozenset(
    {"manager", "boss", "supervisor", "mentor", "leader", "mother", "father", "spouse", "referrer", "report", "referred"}
)
_PEOPLE = frozenset(
    {"employee", "staff", "person", "people", "worker", "user", "member", "customer", "personnel", "human", "player", "contact"}
)
# Tables that share their first word: a module, or somebody's initials.
_TABLES_OF_A_PREFIX = 3
_SHORTEST_ABBREVIATION = 3


@dataclass(frozen=True)
class KeyColumn:
    """What guessing needs to know of a column: `key_position` counts from 1 in the primary key; `unique` is an index on it alone."""

    name: str
    type: str
    key_position: int
    unique: bool
    refers: bool

    @cached_property
    def words(self) -> Words:
        """Its words in full, singular."""
        return _full(self.name)


@dataclass(frozen=True)
class KeyTable:
    """A table and its columns, in declared order."""

    name: str
    columns: tuple[KeyColumn, ...]

    @cached_property
    def key(self) -> KeyColumn | None:
        """The column that is the whole primary key."""
        keys = [column for column in self.columns if column.key_position]
        return keys[0] if len(keys) == 1 else None

    @property
    def has_key(self) -> bool:
        """Whether any key is declared."""
        return any(column.key_position or column.unique for column in self.columns)


class Target(NamedTuple):
    """A column that may be pointed to; `declared` where SQLite keeps it unique."""

    table: str
    column: str
    declared: bool


@dataclass(frozen=True)
class Guess:
    """What a column may point to.

    Attributes:
        targets: Columns of one table, the likeliest first.
        exact: Whether the names fit so well that they count without rows.
        decisive: Whether nothing else is worth trying, should the values not fit.
        least_values: Distinct values that have to be there to be found.
        own_key: For a row that points to its own table: the key it must differ from.
    """

    targets: tuple[Target, ...]
    exact: bool
    decisive: bool
    least_values: int
    own_key: str | None = None


class KeyNames:
    """Guesses by name over the tables of one database."""

    def __init__(self, tables: Sequence[KeyTable]) -> None:
        self._tables = {table.name: table for table in tables}
        firsts = Counter(words(table.name)[0] for table in tables if len(words(table.name)) > 1)
        self._prefixes = {word for word, count in firsts.items() if count >= _TABLES_OF_A_PREFIX}
        self._by_name: dict[Words, list[KeyTable]] = {}
        self._by_alias: dict[Words, list[KeyTable]] = {}
        self._by_key: dict[str, list[KeyTable]] = {}
        self._by_first_letter: dict[str, list[tuple[Words, KeyTable]]] = {}
        for table in tables:
            self._enter(table)

    def _enter(self, table: KeyTable) -> None:
        if not _columns_to_point_to(table, self._names(table)):
            return
        name = _full(table.name)
        self._by_name.setdefault(name, []).append(table)
        for alias in self._names(table):
            if alias != name:
                self._by_alias.setdefault(alias, []).append(table)
            if alias:
                self._by_first_letter.setdefault(alias[0][0], []).append((alias, table))
        key = table.key
        if key is not None and _is_specific(key.words):
            self._by_key.setdefault("".join(key.words), []).append(table)

    def _names(self, table: KeyTable) -> list[Words]:
        """The table's name, and what is left without a module's prefix and without words that say nothing."""
        raw = words(table.name)
        shorter = raw[1:] if len(raw) > 1 and raw[0] in self._prefixes else raw
        forms = [raw, shorter, _without_noise(raw), _without_noise(shorter)]
        return list(dict.fromkeys(_in_full(form) for form in forms if form))

    def guesses(self, table: KeyTable, column: KeyColumn) -> Iterator[list[Guess]]:
        """Guesses by rank, the best first; several of one rank, if all hold, leave it open which is meant."""
        for rank in (self._named, self._same_key, self._aliased, self._in_a_role, self._bare, self._above):
            found = [guess for guess in rank(table, column) if guess.targets]
            if found:
                yield found

    def _named(self, table: KeyTable, column: KeyColumn) -> Iterator[Guess]:
        """`customer_id` and a table of customers."""
        for stem, ending in _readings(column):
            for target in self._by_name.get(stem, ()):
                if not (target is table and column is table.key):
                    yield self._guess(target, column, ending, exact=_is_written_out(stem, column), decisive=True)

    def _same_key(self, table: KeyTable, column: KeyColumn) -> Iterator[Guess]:
        """The name that another table's primary key has."""
        if column is table.key:
            return  # of two tables with one key the names do not tell which is the first
        found = [target for target in self._by_key.get("".join(column.words), ()) if target is not table and target.key is not None]
        for target in found:
            assert target.key is not None
            yield Guess((Target(target.name, target.key.name, True),), exact=len(found) == 1, decisive=False, least_values=1)

    def _aliased(self, table: KeyTable, column: KeyColumn) -> Iterator[Guess]:
        """`cust_id` and a table tbl_customers, or customers."""
        if column is table.key:
            return
        for stem, ending in _readings(column):
            found = [t for t in self._by_alias.get(stem, ()) if t is not table] or self._abbreviated(stem, table)
            for target in found:
                yield self._guess(target, column, ending, exact=False, decisive=False)

    def _abbreviated(self, stem: Words, table: KeyTable) -> list[KeyTable]:
        near = self._by_first_letter.get(stem[0][0], ())
        found = {target.name: target for alias, target in near if target is not table and _abbreviates(stem, alias)}
        return list(found.values())

    def _in_a_role(self, table: KeyTable, column: KeyColumn) -> Iterator[Guess]:
        """`billing_address_id` and a table of addresses; the most words count."""
        if column is table.key:
            return
        for stem, ending in _readings(column):
            for start in range(1, len(stem)):
                rest = stem[start:]
                found = self._by_name.get(rest) or self._by_key.get("".join((*rest, *ending))) or self._by_alias.get(rest)
                if found:
                    yield from (self._guess(t, column, ending, exact=False, decisive=False, own=t is table) for t in found)
                    return

    def _bare(self, table: KeyTable, column: KeyColumn) -> Iterator[Guess]:
        """`customer`, without any ending."""
        if column is table.key or not column.words or column.words[-1] in _KEY_WORDS:
            return
        found = {t.name: t for t in (*self._by_name.get(column.words, ()), *self._by_alias.get(column.words, ()))}
        for ending in ("id", "number", "code"):
            found |= {t.name: t for t in self._by_key.get("".join((*column.words, ending)), ())}
        for target in found.values():
            if target is not table:
                yield self._guess(target, column, (), exact=False, decisive=False)

    def _above(self, table: KeyTable, column: KeyColumn) -> Iterator[Guess]:
        """`parent_id`: another row of the same table."""
        key = table.key
        if key is None or column is key:
            return
        stem = tuple(word for word in column.words if word not in _KEY_WORDS)
        people = any(word in _PEOPLE for name in self._names(table) for word in name)
        if stem and (stem[0] in _ABOVE or (people and stem[0] in _ABOVE_PEOPLE)) and len(stem) <= 2:
            yield Guess((Target(table.name, key.name, True),), exact=False, decisive=False, least_values=1, own_key=key.name)

    def _guess(self, target: KeyTable, column: KeyColumn, ending: Words, exact: bool, decisive: bool, own: bool = False) -> Guess:
        found = _columns_to_point_to(target, self._names(target))
        # The same name first, then the same ending; the primary key, which stands first, before the rest.
        ranked = sorted(found, key=lambda c: (c.words != column.words, c.words[-len(ending) :] != ending if ending else False))
        fits = bool(ranked) and (ranked[0].words == column.words or ranked[0].words[-1:] == ending)
        targets = tuple(Target(target.name, c.name, bool(c.key_position or c.unique)) for c in ranked)
        own_key = target.key.name if own and target.key else None
        return Guess(targets, exact and fits, decisive, 1 if decisive else 2, own_key)


def is_polymorphic(table: KeyTable, column: KeyColumn) -> bool:
    """Whether another column says which table this one points to: owner_id beside owner_type."""
    if not column.words or column.words[-1] not in _KEY_WORDS:
        return False
    stem = column.words[:-1]
    return bool(stem) and any(other.words in ((*stem, "type"), (*stem, "kind"), (*stem, "class")) for other in table.columns)


def _columns_to_point_to(table: KeyTable, names: Sequence[Words]) -> list[KeyColumn]:
    """The primary key, unique columns named like keys, and where neither is declared, what is called a key."""
    unique = [c for c in table.columns if c.unique and c is not table.key and c.words and c.words[-1] in _KEY_WORDS]
    if table.key is not None:
        return [table.key, *unique]
    if table.has_key:
        return unique
    stems = {(), *names}
    return [c for c in table.columns if any(stem in stems for stem in _stems(c))][:1]


def _stems(column: KeyColumn) -> list[Words]:
    return [column.words[:-1]] if column.words and column.words[-1] in _KEY_WORDS else [stem for stem, _ in _readings(column)]


def _readings(column: KeyColumn) -> Iterator[tuple[Words, Words]]:
    """What the name speaks of and the ending that makes it a key: customer_id, fk_customer, idCustomer, customerid."""
    full = column.words
    if len(full) > 1 and full[0] == "fk":
        full = full[1:]
    if len(full) > 1 and full[-1] in _KEY_WORDS:
        yield full[:-1], full[-1:]
    elif len(full) > 1 and full[0] in _KEY_BEGINNINGS:
        yield full[1:], full[:1]
    elif full != column.words:
        yield full, ("id",)
    elif full:
        *before, last = words(column.name)
        for glued in _GLUED:
            rest = last.removesuffix(glued)
            if rest != last and len(rest) >= _SHORTEST_ABBREVIATION:
                yield _in_full([*before, rest]), _in_full([glued])
                return


def _is_written_out(stem: Words, column: KeyColumn) -> bool:
    """Whether the column says these words, and not short forms of them."""
    said = "".join(singular(word) for word in words(column.name))
    return all(word in said for word in stem)


def _is_specific(name: Words) -> bool:
    """Whether a key's name, met in another table, can mean nothing else."""
    return any(word not in _GENERIC for word in name)


def _abbreviates(short: Words, full: Words) -> bool:
    """Whether each word is, or shortens, the other's: it begins alike, or drops letters from the second on."""
    return len(short) == len(full) and short != full and all(map(_shortens, short, full))


def _shortens(short: str, word: str) -> bool:
    if short == word:
        return True
    if len(short) < _SHORTEST_ABBREVIATION or len(short) >= len(word) or short[0] != word[0]:
        return False
    letters = iter(word)
    return all(letter in letters for letter in short) and (word.startswith(short) or not set(short[1:]) & set("aeiou"))


def _full(name: str) -> Words:
    return _in_full(words(name))


def _in_full(parts: Sequence[str]) -> Words:
    """Words without their short forms, in the singular, so that cust_ids and customer_id are one."""
    return tuple(singular(word) for part in parts for word in SHORT_FORMS.get(part, part).split())


def _without_noise(parts: Sequence[str]) -> list[str]:
    return [word for word in parts if singular(word) not in _NOISE]
