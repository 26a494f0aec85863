"""Dates between dialects: units, SQLite's modifiers, and moments as days or seconds."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import sqlglot
from sqlglot import exp

# Days since noon, 24 November 4714 BC, as SQLite's julianday has them; 2440587.5 is 1970. `_x` is the moment.
JULIAN_DAY = {
    "postgres": "(EXTRACT(EPOCH FROM CAST(_x AS TIMESTAMP)) / 86400.0 + 2440587.5)",
    "redshift": "(EXTRACT(EPOCH FROM CAST(_x AS TIMESTAMP)) / 86400.0 + 2440587.5)",
    "duckdb": "JULIAN(CAST(_x AS TIMESTAMP))",
    "mysql": "(TIMESTAMPDIFF(SECOND, '1970-01-01', _x) / 86400.0 + 2440587.5)",
    "tsql": "(DATEDIFF(SECOND, '1970-01-01', _x) / 86400.0 + 2440587.5)",
    "snowflake": "(DATE_PART(EPOCH_SECOND, CAST(_x AS TIMESTAMP)) / 86400.0 + 2440587.5)",
    "bigquery": "(UNIX_SECONDS(CAST(_x AS TIMESTAMP)) / 86400.0 + 2440587.5)",
}
# Seconds since 1970.
EPOCH = {
    "postgres": "CAST(EXTRACT(EPOCH FROM CAST(_x AS TIMESTAMP)) AS BIGINT)",
    "redshift": "CAST(EXTRACT(EPOCH FROM CAST(_x AS TIMESTAMP)) AS BIGINT)",
    "duckdb": "CAST(EPOCH(CAST(_x AS TIMESTAMP)) AS BIGINT)",
    "mysql": "TIMESTAMPDIFF(SECOND, '1970-01-01', _x)",
    "tsql": "DATEDIFF(SECOND, '1970-01-01', _x)",
    "snowflake": "DATE_PART(EPOCH_SECOND, CAST(_x AS TIMESTAMP))",
    "bigquery": "UNIX_SECONDS(CAST(_x AS TIMESTAMP))",
}
# Days of the week as text, Sunday '0', where the dialect's own format has another first day or none.
WEEKDAY = {
    "postgres": "CAST(EXTRACT(DOW FROM CAST(_x AS TIMESTAMP)) AS TEXT)",
    "redshift": "CAST(EXTRACT(DOW FROM CAST(_x AS TIMESTAMP)) AS TEXT)",
    "snowflake": "CAST(DAYOFWEEK(CAST(_x AS TIMESTAMP)) AS VARCHAR)",
    "bigquery": "CAST(EXTRACT(DAYOFWEEK FROM CAST(_x AS TIMESTAMP)) - 1 AS STRING)",
    # Days since a Sunday: DATEPART(WEEKDAY, …) depends on a setting of the session.
    "tsql": "CAST(DATEDIFF(DAY, '1900-01-07', _x) % 7 AS VARCHAR)",
}
# Formats of strftime with the same meaning in all dialects that sqlglot knows formats of.
PORTABLE_FORMATS = frozenset("YmdHMSj")
FORMATS = {"YEAR": "%Y", "MONTH": "%m", "DAY": "%d", "HOUR": "%H", "MINUTE": "%M", "SECOND": "%S", "DOW": "%w", "DOY": "%j", "EPOCH": "%s"}
_OTHER_UNITS = {
    "DAYOFYEAR": "DOY",
    "DAYOFMONTH": "DAY",
    "EPOCH_SECOND": "EPOCH",
    "D": "DAY",
    "Y": "YEAR",
    "WEEKDAY": "DAYOFWEEK",
}
# Units as multiples of those that SQLite's modifiers have.
_MULTIPLES = {"WEEK": (7, "DAY"), "QUARTER": (3, "MONTH"), "DECADE": (10, "YEAR")}
_MODIFIER = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s+(year|month|day|hour|minute|second)s?\s*", re.IGNORECASE)
_START_OF = re.compile(r"\s*start of (year|month|day)\s*", re.IGNORECASE)


class Shift(NamedTuple):
    """So many units later; `number` is signed text."""

    number: str
    unit: str


def template(text: str, dialect: str, moment: exp.Expr) -> exp.Expr:
    """A template of that dialect with the moment in place of `_x`."""

    def fill(node: exp.Expr) -> exp.Expr:
        return moment.copy() if isinstance(node, exp.Column) and node.name == "_x" and not node.table else node

    return _pattern(text, dialect).transform(fill)


def matched(text: str, dialect: str, node: exp.Expr) -> exp.Expr | None:
    """The moment in a tree that is the template, None for any other tree."""
    found: list[exp.Expr] = []
    same = _same(_pattern(text, dialect), node, found)
    return found[0] if same and found and all(other == found[0] for other in found) else None


@cache
def _pattern(text: str, dialect: str) -> exp.Expr:
    return sqlglot.parse_one(text, read=dialect)


def _same(pattern: object, node: object, found: list[exp.Expr]) -> bool:
    if isinstance(pattern, exp.Column) and pattern.name == "_x" and isinstance(node, exp.Expr):
        found.append(node)
        return True
    if isinstance(pattern, exp.Expr):
        if type(pattern) is not type(node):
            return False
        assert isinstance(node, exp.Expr)
        mine, theirs = _parts(pattern), _parts(node)
        return mine.keys() == theirs.keys() and all(_same(mine[key], theirs[key], found) for key in mine)
    if isinstance(pattern, list):
        return isinstance(node, list) and len(pattern) == len(node) and all(_same(a, b, found) for a, b in zip(pattern, node, strict=True))
    return str(pattern).lower() == str(node).lower()


def _parts(node: exp.Expr) -> dict[str, object]:
    return {key: value for key, value in node.args.items() if value not in (None, False, [])}


def rewrite(tree: exp.Expr, rule: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """The tree with a rule applied to each node from the top down, and inside what the rule puts there.

    sqlglot's own `transform` does not look inside a node that was put in another's place.
    """
    top = exp.Tuple(expressions=[tree])
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        changed = rule(node)
        if changed is not node:
            node.replace(changed)
        waiting.extend(changed.iter_expressions())
    found: exp.Expr = top.expressions[0]
    return found.pop()


def unit_name(unit: exp.Expr | None) -> str:
    """DAY for day, days and 'day'."""
    name = (unit.name if unit is not None else "DAY").upper()
    name = _OTHER_UNITS.get(name, name)
    return name[:-1] if name.endswith("S") and name[:-1] in (*FORMATS, *_MULTIPLES) else name


def shift_of(modifier: str) -> Shift | None:
    """SQLite's modifier `+1 month`."""
    found = _MODIFIER.fullmatch(modifier)
    return Shift(found[1].lstrip("+"), found[2].upper()) if found else None


def start_of(modifier: str) -> str | None:
    """The unit in SQLite's modifier `start of month`."""
    found = _START_OF.fullmatch(modifier)
    return found[1].upper() if found else None


def modifier(number: exp.Expr | None, unit: str, sign: int) -> exp.Expr | None:
    """What SQLite's date functions take for so many units; None where they have no such unit."""
    times, unit = _MULTIPLES.get(unit, (1, unit))
    if number is None or unit not in ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"):
        return None
    negative = isinstance(number, exp.Neg)
    literal = number.this if negative else number
    if isinstance(literal, exp.Literal):
        try:
            amount = sign * times * float(literal.name) * (-1 if negative else 1)
        except ValueError:
            return None
        return exp.Literal.string(f"{amount:+g} {unit.lower()}")
    amount_of = exp.paren(number.copy()) * exp.Literal.number(sign * times) if sign * times != 1 else exp.paren(number.copy())
    return exp.DPipe(this=exp.paren(amount_of), expression=exp.Literal.string(f" {unit.lower()}"))


def call(name: str, *arguments: exp.Expr) -> exp.Expr:
    """A function that is written as it stands."""
    return exp.Anonymous(this=name, expressions=[argument.copy() for argument in arguments])


def strftime(form: str, moment: exp.Expr) -> exp.Expr:
    """SQLite's STRFTIME."""
    return call("STRFTIME", exp.Literal.string(form), moment)
