"""Whether a question says what its query does: each literal must be found in it, as stored or as people say it."""

from __future__ import annotations

import re

from sqlglot import exp

from t2s.data.synthesis import lexicon
from t2s.data.synthesis.phrase.spoken import before, day, small, span_name
from t2s.sql.parse import parse_query

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MONTH = re.compile(r"\d{4}-\d\d")
# Numbers that belong to how SQL computes, not to what was asked.
_ROUTINE = frozenset(["100.0", "1.0", "2", "1", "0"])


def unsaid_literals(question: str, sql: str, flags: frozenset[str]) -> list[str]:
    """Literals of the query that the question does not hold.

    Args:
        question: The question.
        sql: One SQLite query.
        flags: Names of columns whose yes and no are put in other words, in lower case.

    Raises:
        DataError: this is not exactly one SQLite query.

    Example:
        ("orders from March 2024", "... WHERE strftime('%Y-%m', d) = '2024-04'") -> ["2024-04"]
    """
    tree = parse_query(sql)
    said = f" {question.casefold()} "
    ends = _span_ends(tree)
    return [
        literal.name
        for literal in tree.find_all(exp.Literal)
        if not _is_routine(literal, flags) and not any(_holds(said, form) for form in _forms(literal, ends))
    ]


def _holds(said: str, form: str) -> bool:
    """Whether the question has the form, not as part of a longer word or number."""
    return re.search(rf"(?<![\w.]){re.escape(form.casefold())}(?!\w|[.,]\d)", said) is not None


def _is_routine(literal: exp.Literal, flags: frozenset[str]) -> bool:
    parent = literal.parent
    if isinstance(parent, exp.Limit):
        return literal.name == "1"
    if literal.is_string:
        if literal.name.startswith("%") and len(literal.name) <= 8 and not isinstance(parent, exp.Like):
            return True
        return _column_of(parent) in flags
    if isinstance(parent, exp.EQ | exp.LTE) and _column_of(parent) in ("position", *flags):
        return literal.name == "1" or _column_of(parent) in flags
    compared = isinstance(parent, exp.EQ | exp.NEQ | exp.GT | exp.GTE | exp.LT | exp.LTE | exp.Between | exp.In)
    return literal.name in _ROUTINE and not compared


def _column_of(node: exp.Expr | None) -> str:
    column = node.find(exp.Column) if node is not None else None
    return column.name.lower() if column is not None else ""


def _span_ends(tree: exp.Expr) -> dict[str, list[str]]:
    """For the days that begin and end a span, what the span is called."""
    names: dict[str, list[str]] = {}
    for both in tree.find_all(exp.And):
        days = [node.expression.name for node in (both.this, both.expression) if isinstance(node, exp.GTE | exp.LT)]
        if len(days) == 2 and all(_DAY.fullmatch(name) for name in days):
            for name in days:
                names.setdefault(name, []).extend(span_name(min(days), max(days)))
    starts = sorted({node.expression.name for node in tree.find_all(exp.GTE) if _DAY.fullmatch(node.expression.name)})
    stops = sorted({node.expression.name for node in tree.find_all(exp.LT) if _DAY.fullmatch(node.expression.name)})
    for start in starts:
        for stop in stops:
            for name in (start, stop):
                names.setdefault(name, []).extend(span_name(start, stop))
    return names


def _forms(literal: exp.Literal, spans: dict[str, list[str]]) -> list[str]:
    """Ways to say a literal."""
    name = literal.name
    if not literal.is_string:
        return _number_forms(name)
    if _DAY.fullmatch(name):
        year = [name[:4]] if name.endswith("-01-01") else []
        last = before(name)
        first_of_span = [day(name)[:-5], f"{int(name[8:])} to", day(last), last]
        return [name, day(name), *first_of_span, *year, *spans.get(name, [])]
    if _MONTH.fullmatch(name):
        return [name, f"{lexicon.MONTHS[int(name[5:]) - 1]} {name[:4]}"]
    function = literal.parent.find(exp.TimeToStr) if literal.parent is not None else None
    if function is not None and function.args.get("format") is not None and len(name) <= 2:
        return _calendar_forms(name, function.args["format"].name)
    if isinstance(literal.parent, exp.Like):
        name = name.strip("%")
    return [name, name.replace("_", " "), lexicon.DEMONYMS.get(name, name), lexicon.GENDERS.get(name.lower(), name), f"{name}s"]


def _calendar_forms(name: str, shape: str) -> list[str]:
    if shape == "%w":
        return [lexicon.WEEKDAYS[int(name)], lexicon.WEEKDAYS[int(name)] + "s"]
    return [lexicon.MONTHS[int(name) - 1]] if shape == "%m" else [name]


def _number_forms(name: str) -> list[str]:
    value = float(name)
    if not value.is_integer():
        return [name]
    whole = int(value)
    return [str(whole), f"{whole:,}", small(whole), name]
