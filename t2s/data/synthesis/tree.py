"""The syntax tree of a need. SQL and questions are both written from it, so neither can say what the other does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from t2s.data.synthesis.facts import ColumnFacts
from t2s.data.synthesis.graph import Links
from t2s.data.synthesis.probe import Value

Sign = Literal["=", "<>", "<", "<=", ">", ">="]
Function = Literal["AVG", "SUM", "MIN", "MAX"]
Unit = Literal["year", "month", "day", "weekday", "season"]
Bucket = Literal["year", "month", "weekday"]


@dataclass(frozen=True)
class Ref:
    """A column of the table asked about, or of one that a path of links leads to."""

    links: Links
    column: ColumnFacts


# What stands in a row ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Product:
    """Quantity times price, less the discount where there is one."""

    quantity: Ref
    price: Ref
    discount: Ref | None


@dataclass(frozen=True)
class Days:
    """Days from one date to another."""

    start: Ref
    end: Ref


@dataclass(frozen=True)
class Minus:
    """One number less another of the same row."""

    left: Ref
    right: Ref


Expr = Ref | Product | Days | Minus

# Conditions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compare:
    """A value against a literal; of a label of two columns see `Named`."""

    what: Ref | Days
    sign: Sign
    value: Value


@dataclass(frozen=True)
class Named:
    """The row is the one of this name."""

    links: Links
    columns: tuple[ColumnFacts, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Between:
    """From one number to another, both included."""

    ref: Ref
    low: Value
    high: Value


@dataclass(frozen=True)
class OneOf:
    """Any of several values."""

    ref: Ref
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Like:
    """Text that contains, begins or ends with a piece."""

    ref: Ref
    place: Literal["in", "start", "end"]
    piece: str


@dataclass(frozen=True)
class Missing:
    """NULL, or not NULL."""

    ref: Ref
    there: bool


@dataclass(frozen=True)
class Linked:
    """Whether the row points to a row of another table at all."""

    links: Links
    column: ColumnFacts
    there: bool


@dataclass(frozen=True)
class Flag:
    """Yes or no."""

    ref: Ref
    yes: bool


@dataclass(frozen=True)
class Period:
    """A span of time: a year, several years, a month, a quarter, from one day to before another.

    Attributes:
        ref: The date.
        unit: What `start` counts.
        start: "2024", "2024-03", "2024-01-01", or the number of a weekday; empty for everything before `end`.
        end: For days, the first that is out; for years, the other year; else empty.
    """

    ref: Ref
    unit: Unit
    start: str
    end: str


@dataclass(frozen=True)
class Either:
    """One condition or the other."""

    left: Test
    right: Test


@dataclass(frozen=True)
class Has:
    """Rows of another table that point here.

    Attributes:
        child: The table of those rows.
        links: The path from them to here.
        tests: What holds for them.
        sign: "=" for at least one, "<>" for none, else a comparison of their number with `count`.
        count: That number.
    """

    child: str
    links: Links
    tests: tuple[Test, ...]
    sign: Literal["=", "<>", ">", ">="]
    count: int


@dataclass(frozen=True)
class AgainstMean:
    """A number against the average over all rows, or over those that share a group."""

    ref: Ref
    sign: Literal["<", ">"]
    within: Ref | None


@dataclass(frozen=True)
class Extreme:
    """The row, or rows, with the highest or lowest value."""

    ref: Ref
    highest: bool
    tests: tuple[Test, ...]


@dataclass(frozen=True)
class SameAs:
    """The value that a row of a given name has."""

    ref: Ref
    named: Named


@dataclass(frozen=True)
class Versus:
    """Two columns of a row against each other."""

    left: Ref
    sign: Literal["<", ">", "="]
    right: Ref


Test = Compare | Named | Between | OneOf | Like | Missing | Linked | Flag | Period | Either | Has | AgainstMean | Extreme | SameAs | Versus

# Figures ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Count:
    """How many rows."""


@dataclass(frozen=True)
class CountOf:
    """How many different values, or, where the column is a key, how many different rows of the table at the path's end."""

    ref: Ref
    links: Links


@dataclass(frozen=True)
class Figure:
    """An aggregate."""

    function: Function
    what: Expr


@dataclass(frozen=True)
class Share:
    """Per cent of the rows, or of a sum over them, for which a condition holds."""

    test: Test
    what: Expr | None


@dataclass(frozen=True)
class Per:
    """A sum, or the number of rows, for each different row at the end of a path."""

    what: Expr | None
    ref: Ref
    links: Links


@dataclass(frozen=True)
class Part:
    """The number of rows, or a sum over them, for which a condition holds."""

    test: Test
    what: Expr | None


@dataclass(frozen=True)
class Change:
    """How one part differs from another: the difference, or in per cent of the first."""

    before: Part
    after: Part
    percent: bool


Measure = Count | CountOf | Figure | Share | Per | Part | Change

# What rows are grouped by -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ByRow:
    """Each row at the end of a path."""

    links: Links


@dataclass(frozen=True)
class ByValue:
    """Each value of a column."""

    ref: Ref


@dataclass(frozen=True)
class ByTime:
    """Each year, month or weekday."""

    ref: Ref
    unit: Bucket


@dataclass(frozen=True)
class ByStep:
    """Ranges of a number: under the first limit, under the second, and the rest."""

    ref: Ref
    limits: tuple[Value, ...]
    names: tuple[str, ...]


Key = ByRow | ByValue | ByTime | ByStep


@dataclass(frozen=True)
class Having:
    """A figure of a group against a number, or against another figure of the group."""

    measure: Measure
    sign: Sign
    value: Value | Measure


@dataclass(frozen=True)
class By:
    """What rows are ordered by: the column, expression or figure, and whether the highest comes first."""

    what: Expr | Measure | Key
    down: bool
