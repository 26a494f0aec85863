"""Whole needs: the roots of the syntax tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from t2s.data.synthesis.tree import By, ByRow, Days, Function, Having, Key, Measure, Minus, Product, Ref, Test


@dataclass(frozen=True)
class Shown:
    """A column of a listing; `ByRow` stands for the name of the row there."""

    what: ByRow | Ref | Days | Minus | Product


@dataclass(frozen=True)
class Listing:
    """Rows of one table: some columns, in some order, some of them."""

    table: str
    shown: tuple[Shown, ...]
    tests: tuple[Test, ...]
    order: By | None
    limit: int
    distinct: bool


@dataclass(frozen=True)
class Total:
    """Figures over all rows."""

    table: str
    measures: tuple[Measure, ...]
    tests: tuple[Test, ...]


@dataclass(frozen=True)
class Grouped:
    """Figures for each group.

    Attributes:
        table: The table counted or summed.
        keys: What its rows are grouped by, one or two.
        measures: The figures.
        tests: Conditions on rows.
        having: Conditions on groups.
        order: What the groups are ordered by.
        limit: How many of them are wanted; 0 for all.
        shows: Whether the figures are shown, or only the keys.
        zeros: Whether groups without rows come, too.
    """

    table: str
    keys: tuple[Key, ...]
    measures: tuple[Measure, ...]
    tests: tuple[Test, ...]
    having: tuple[Having, ...]
    order: By | None
    limit: int
    shows: bool
    zeros: bool


@dataclass(frozen=True)
class SetOf:
    """Two listings of one kind of row, or of one kind of value, put together, met or subtracted."""

    word: Literal["INTERSECT", "EXCEPT", "UNION"]
    left: Listing
    right: Listing
    counted: bool


@dataclass(frozen=True)
class CountGroups:
    """How many groups fulfil the conditions."""

    inner: Grouped


@dataclass(frozen=True)
class OverGroups:
    """An aggregate over the figures of the groups: the average number of orders per customer."""

    function: Function
    inner: Grouped


@dataclass(frozen=True)
class GroupsAgainstMean:
    """The groups whose figure lies above or below the average of all groups' figures."""

    inner: Grouped
    sign: Literal["<", ">"]


@dataclass(frozen=True)
class TopOfEach:
    """Of the groups of two keys, the best of each value of the first."""

    inner: Grouped
    best: int
    highest: bool


@dataclass(frozen=True)
class LatestOfEach:
    """Of the rows of a table, the first by an order for each row or value."""

    key: Key
    listing: Listing


@dataclass(frozen=True)
class OverTime:
    """A series with the figure of the step before beside it, the difference to it, or the sum so far."""

    inner: Grouped
    beside: Literal["before", "difference", "so far"]


@dataclass(frozen=True)
class SharesOfTotal:
    """Each group's per cent of all groups' sum."""

    inner: Grouped


@dataclass(frozen=True)
class Ranked:
    """Groups with their rank by the figure."""

    inner: Grouped


@dataclass(frozen=True)
class TwoTotals:
    """Two figures beside each other, or the first less the second."""

    first: Total
    second: Total
    difference: bool


Query = (
    Listing | Total | Grouped | SetOf | CountGroups | OverGroups | GroupsAgainstMean | TopOfEach | LatestOfEach | OverTime
    | SharesOfTotal | Ranked | TwoTotals
)  # fmt: skip
