"""Tables and columns under new names: a guess from types, places, names and values."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import TypeVar

from t2s.sql.naming import spoken
from t2s.sql.schema import Column, Schema, Table

T = TypeVar("T", Table, Column)

# Out of 1. Each kind of evidence alone stays below: a rename that is none misleads more than one that is missed.
_ENOUGH = 0.55
_COLUMNS_SHARED, _TABLE_NAME = 0.7, 0.3
_NAME, _PLACE, _VALUES, _ROLE = 0.45, 0.2, 0.25, 0.1
# One of the two has to speak for a column, whatever its place and type.
_SOME_NAME, _SOME_VALUES = 0.4, 0.5


def renamed_tables(before: Schema, after: Schema) -> dict[str, str]:
    """New names by old ones, of tables that are probably the same."""
    return _pairs(*_unmatched(before.tables, after.tables), _table_likeness)


def renamed_columns(before: Table, after: Table) -> dict[str, str]:
    """New names by old ones, of columns of one table that are probably the same."""
    places = (_places(before), _places(after))
    gone, new = _unmatched(before.columns, after.columns)
    alone = len(gone) == len(new) == 1

    def likeness(one: Column, other: Column) -> float:
        return _column_likeness(one, other, places[0][one.name] == places[1][other.name], alone)

    return _pairs(gone, new, likeness)


def _unmatched(before: Sequence[T], after: Sequence[T]) -> tuple[list[T], list[T]]:
    names = [{entry.name.lower() for entry in entries} for entries in (before, after)]
    return [entry for entry in before if entry.name.lower() not in names[1]], [
        entry for entry in after if entry.name.lower() not in names[0]
    ]


def _pairs(gone: Sequence[T], new: Sequence[T], likeness: Callable[[T, T], float]) -> dict[str, str]:
    """The likeliest pairs first, each name once; none where two are equally likely."""
    scored = [(likeness(one, other), one.name, other.name) for one in gone for other in new]
    scored = sorted((entry for entry in scored if entry[0] >= _ENOUGH), key=lambda entry: (-entry[0], entry[1], entry[2]))
    equals: dict[float, list[tuple[float, str, str]]] = {}
    for entry in scored:
        equals.setdefault(entry[0], []).append(entry)
    found: dict[str, str] = {}
    for score, one, other in scored:
        rivals = [entry for entry in equals[score] if (entry[1] == one) != (entry[2] == other)]
        if one not in found and other not in found.values() and not any(_is_free(rival, found) for rival in rivals):
            found[one] = other
    return found


def _is_free(entry: tuple[float, str, str], found: dict[str, str]) -> bool:
    return entry[1] not in found and entry[2] not in found.values()


def _table_likeness(one: Table, other: Table) -> float:
    mine, theirs = ({(column.name.lower(), column.type.lower()) for column in table.columns} for table in (one, other))
    shared = _COLUMNS_SHARED * len(mine & theirs) / len(mine | theirs)
    # Comparing names takes most of the time, and for most pairs of tables no name would be near enough.
    return shared + _TABLE_NAME * _alike(one.name, other.name) if shared + _TABLE_NAME >= _ENOUGH else 0.0


def _column_likeness(one: Column, other: Column, same_place: bool, alone: bool) -> float:
    """`alone`: the only column that is gone, and the only new one; its place then says more."""
    if _kind(one) != _kind(other):
        return 0.0
    values, name = _shared_values(one, other), _alike(one.name, other.name)
    if name < _SOME_NAME and (values or 0.0) < _SOME_VALUES:
        return 0.0  # a column that took another's place
    role = (one.primary_key, one.references) == (other.primary_key, other.references)
    score = _NAME * name + _ROLE * role + _PLACE * same_place * (2 if alone else 1)
    return score + (_VALUES * values if values is not None else 0.0)


def _shared_values(one: Column, other: Column) -> float | None:
    """Share of the fewer sample values that both have; None where one has none."""
    mine, theirs = set(one.samples), set(other.samples)
    return len(mine & theirs) / min(len(mine), len(theirs)) if mine and theirs else None


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, spoken(one).lower(), spoken(other).lower(), autojunk=False).ratio()


def _kind(column: Column) -> str:
    """The declared type without its size."""
    return column.type.partition("(")[0].strip().upper()


def _places(table: Table) -> dict[str, int]:
    return {column.name: place for place, column in enumerate(table.columns)}
