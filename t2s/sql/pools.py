"""The values of one column, and how to make more of their kind."""

from __future__ import annotations

import calendar
import datetime
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from t2s.sql.execute import Value

Kind = Literal["whole", "real", "day", "text", "other"]

# A column with no more values than this is a closed set: it gets no values between them.
_CLOSED = 8
_MOST_DECIMALS = 6
# Room for a step up or down in SQLite's 64 bits.
_LARGEST = 2**62
_DAY = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d.*)?", re.DOTALL)
# What a column without any value gets, by its declared type.
_INVENTED: tuple[tuple[tuple[str, ...], tuple[Value, ...]], ...] = (
    (("INT", "BOOL"), tuple(range(10))),
    (("REAL", "FLOA", "DOUB", "NUM", "DEC"), tuple(index / 2 for index in range(10))),
    (("DATE", "TIME"), tuple(f"2024-{month:02}-15" for month in range(1, 13))),
    (("",), tuple("abcdefgh")),
)


@dataclass(frozen=True)
class Pool:
    """The distinct values of a column without NULL, in order of appearance.

    Attributes:
        kind: What they are; "day" is text that begins with a date, perhaps with a time behind it.
        values: At least one.
        least: The smallest of numbers and days.
        greatest: The largest of them.
        decimals: Of real numbers, how many digits follow the point.
    """

    kind: Kind
    values: tuple[Value, ...]
    least: Value = None
    greatest: Value = None
    decimals: int = 0

    def draw(self, rng: Random) -> Value:
        """A value of the column, or one next to it and still within its range."""
        value = rng.choice(self.values)
        if self.kind not in ("whole", "real", "day") or len(self.values) <= _CLOSED or rng.random() < 0.5:
            return value
        moved = self._moved(value, rng.choice((-1, 1)))
        return moved if self.least <= moved <= self.greatest else value  # type: ignore[operator]  # of one kind

    def near(self, constant: Value, own: Value, peers: Sequence[Value], rng: Random) -> Value:
        """What a query's constant stands for in this column, or the next to it on either side.

        Args:
            constant: What the query compares the column with.
            own: What the row has there; it stays if the constant is nothing for this column.
            peers: The row's other values of this kind: a number beside a date is a distance between two.
            rng: Source of chance.
        """
        found = [None] if constant is None else self._meant(constant, own, peers)
        return rng.choice(found) if found else own

    def fresh(self, value: Value, number: int) -> Value:
        """The `number`th value that the column does not have, made from one that it has."""
        if self.kind in ("whole", "real"):
            return self._moved(self.greatest, number)
        if isinstance(value, str) and self.kind == "text":
            return f"{value} {number}"
        if isinstance(value, bytes):
            return value + number.to_bytes(4, "big")
        return self._moved(value, number)

    def _moved(self, value: Value, steps: int) -> Value:
        if isinstance(value, str):
            return _shifted(value, steps)
        if isinstance(value, int):
            return value + steps if abs(value) < _LARGEST else value
        if isinstance(value, float) and math.isfinite(value):
            return round(value + steps * 10.0**-self.decimals, self.decimals)
        return value

    def _meant(self, constant: Value, own: Value, peers: Sequence[Value]) -> list[Value]:
        number = _as_number(constant)
        if self.kind == "day":
            return [*_days_apart(number, peers), *self._days(str(constant), own)]
        if self.kind in ("whole", "real"):
            exact = [] if number is None else [math.floor(number), math.ceil(number)] if self.kind == "whole" else [float(number)] * 2
            return [*exact, *(self._moved(value, step) for value, step in zip(exact, (-1, 1), strict=False))]
        if self.kind == "text":
            return [*_texts_like(str(constant)), own]
        return [constant, own]

    def _days(self, constant: str, own: Value) -> list[Value]:
        """Days the constant speaks of, with times of day as the column has them."""
        model = own if isinstance(own, str) else str(self.values[0])
        found: list[Value] = []
        for day in _boundaries(constant, model[:10]):
            tails = {model[10:], constant[10:]} if len(constant) == len(model) else {model[10:]}
            if len(model) > 10:
                tails |= {(model[10] + time)[: len(model) - 10] + model[19:] for time in ("00:00:00", "23:59:59")}
            found += [day + tail for tail in sorted(tails)]
        return found


def pool_of(values: Sequence[Value], declared_type: str) -> Pool:
    """The pool of a column with these values; one without any gets some by its declared type."""
    present: tuple[Value, ...] = tuple(dict.fromkeys(value for value in values if value is not None))
    if not present:
        present = next(invented for signs, invented in _INVENTED if any(sign in declared_type.upper() for sign in signs))
    kind = _kind(present)
    if kind in ("text", "other"):
        return Pool(kind, present)
    least, greatest = min(present), max(present)  # type: ignore[type-var]  # of one kind
    return Pool(kind, present, least, greatest, max(map(_decimals, present)) if kind == "real" else 0)


def _kind(values: Sequence[Value]) -> Kind:
    if all(isinstance(value, int) for value in values):
        return "whole"
    if all(isinstance(value, int | float) for value in values):
        return "real"
    if all(isinstance(value, str) and _DAY.fullmatch(value) for value in values):
        return "day"
    return "text" if any(isinstance(value, str) for value in values) else "other"


def _decimals(value: Value) -> int:
    _, _, digits = repr(value).partition(".")
    return min(len(digits), _MOST_DECIMALS) if digits.isdigit() and digits != "0" else 0


def _as_number(value: Value) -> int | float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    usable = isinstance(value, int | float) and math.isfinite(value) and abs(value) < _LARGEST
    return value if usable else None  # type: ignore[return-value]


def _shifted(text: str, days: int) -> str:
    """The same text with its date moved; other text stays."""
    try:
        return f"{datetime.date.fromisoformat(text[:10]) + datetime.timedelta(days)}{text[10:]}"
    except (ValueError, OverflowError):
        return text


def _days_apart(distance: int | float | None, peers: Sequence[Value]) -> list[Value]:
    """Dates that lie about that many days from another one of the row."""
    if distance is None or not 0 <= distance <= 1000:
        return []
    steps = [sign * (round(distance) + more) for sign in (1, -1) for more in (-1, 0, 1)]
    return [_shifted(peer, step) for peer in peers if isinstance(peer, str) for step in steps]


def _boundaries(constant: str, day: str) -> list[str]:
    """First and last day of the year or month, or the day itself, and the days next to them.

    Two digits are a month, or a day of one, for a query that takes dates apart; `day` gives the rest.
    """
    if re.fullmatch(r"\d{4}", constant):
        first, last = f"{constant}-01-01", f"{constant}-12-31"
        return [_shifted(first, -1), first, f"{constant}{day[4:]}", last, _shifted(last, 1)]
    if re.fullmatch(r"\d{4}-\d\d", constant) and "01" <= constant[5:] <= "12" and constant[:4] > "0000":
        first, last = f"{constant}-01", f"{constant}-{calendar.monthrange(int(constant[:4]), int(constant[5:]))[1]}"
        return [_shifted(first, -1), first, last, _shifted(last, 1)]
    if re.fullmatch(r"\d\d", constant):
        return [f"{day[:5]}{constant}{day[7:]}"] if "01" <= constant <= "12" and day[8:] <= "28" else []
    if _DAY.fullmatch(constant):
        return [_shifted(constant[:10], -1), constant[:10], constant[:10], _shifted(constant[:10], 1)]
    return []


def _texts_like(constant: str) -> list[str]:
    """The constant, and for a pattern what fits it at the beginning, in the middle, at the end and not quite."""
    if not re.search(r"[%*]", constant):
        return [constant, constant]
    core = re.sub(r"[%*]+", " ", constant).replace("_", "x").strip()
    return [core, f"{core} a", f"a {core}", f"a {core} b", core[:-1]]
