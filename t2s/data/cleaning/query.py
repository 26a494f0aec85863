"""What cleaning wants to know of a query, read from its tree once."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from t2s.errors import DataError
from t2s.sql.lexer import Token, code_tokens, unquote
from t2s.sql.parse import parse_query, skeleton_of

Role = Literal["equal", "below", "above", "pattern", "limit", "offset", "output", "format", "other"]

_ROLES: tuple[tuple[type[exp.Expr] | tuple[type[exp.Expr], ...], Role], ...] = (
    ((exp.EQ, exp.NEQ, exp.In, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ), "equal"),
    ((exp.LT, exp.LTE), "below"),
    ((exp.GT, exp.GTE), "above"),
    ((exp.Like, exp.ILike, exp.Glob, exp.Match, exp.RegexpLike), "pattern"),
    (exp.Limit, "limit"),
    (exp.Offset, "offset"),
    ((exp.TimeToStr, exp.StrToTime), "format"),
    ((exp.If, exp.Case, exp.Select, exp.Alias, exp.DPipe), "output"),
)
_TRANSPARENT = (exp.Paren, exp.Neg, exp.Cast, exp.Tuple, exp.Escape, exp.Lower, exp.Upper, exp.Trim, exp.Date, exp.TsOrDsToDate)
_SOME_FORMAT = re.compile(r"(?:[^%]*%[A-Za-z])+[^%]*")
_MODIFIER = re.compile(
    r"[+-]?\s*\d+(?:\.\d+)?\s+(?:second|minute|hour|day|month|year)s?|start of \w+|weekday \d|localtime|utc|now|auto|unixepoch",
    re.IGNORECASE,
)
_CLOCK_WORDS = frozenset({"current_date", "current_time", "current_timestamp"})
_LUCK = frozenset({"random", "randomblob", "changes", "total_changes", "last_insert_rowid", "sqlite_version", "sqlite_source_id"})
# Date functions, and how many arguments they have before the moment they speak of.
_CLOCK_FUNCTIONS = {"date": 0, "time": 0, "datetime": 0, "julianday": 0, "unixepoch": 0, "strftime": 1, "timediff": 0}


@dataclass(frozen=True)
class QueryLiteral:
    """A string or number of a query, and what it is there for; both ends of BETWEEN are `above` and `below`."""

    text: str
    is_string: bool
    role: Role


@dataclass(frozen=True)
class Query:
    """What is read from one SELECT; the tree itself is let go, as fifty thousand of them do not fit into memory.

    Attributes:
        skeleton: The query, literals masked.
        text: The query, spelled one way: white space, comments and the case of words do not count.
        literals: All strings and numbers, in the order of the tree.
        names: Names of tables, columns and aliases, in lower case.
        hangs_on: A function whose value changes from run to run; empty if there is none.
        limited: Whether a LIMIT is written anywhere.
    """

    skeleton: str
    text: str
    literals: tuple[QueryLiteral, ...]
    names: frozenset[str]
    hangs_on: str
    limited: bool


def read_query(sql: str) -> Query:
    """Takes a query apart.

    Raises:
        DataError: this is not exactly one SELECT, or one that is nested too deep.
    """
    tree = parse_query(sql)
    if not isinstance(tree, exp.Query):
        raise DataError(f"not a SELECT: {sql[:80]!r}; give one SELECT, perhaps behind WITH")
    code = list(code_tokens(sql))
    try:
        return Query(
            skeleton=sys.intern(skeleton_of(tree)),
            text=" ".join(token.text.lower() if token.kind == "word" else token.text for token in code if token.text != ";"),
            literals=tuple(QueryLiteral(node.name, node.is_string, _role(node)) for node in tree.find_all(exp.Literal)),
            names=frozenset(node.name.lower() for node in tree.find_all(exp.Identifier)),
            hangs_on=next(_changing_functions(code), ""),
            limited=tree.find(exp.Limit) is not None,
        )
    except RecursionError:
        raise DataError("the query is nested too deep to take apart; write it flatter") from None


def _role(literal: exp.Literal) -> Role:
    if literal.is_string and (_MODIFIER.fullmatch(literal.name) or (_SOME_FORMAT.fullmatch(literal.name) and _in_function(literal))):
        return "format"
    child: exp.Expr = literal
    parent = literal.parent
    while isinstance(parent, _TRANSPARENT):
        child, parent = parent, parent.parent
    if isinstance(parent, exp.Between):
        return "above" if child is parent.args["low"] else "below"
    role: Role = next((role for kinds, role in _ROLES if isinstance(parent, kinds)), "other")
    # `5 < x` says that x is above.
    if role in ("below", "above") and parent is not None and child is parent.this:
        return "above" if role == "below" else "below"
    return role


def _in_function(literal: exp.Literal) -> bool:
    return isinstance(literal.parent, exp.Func) and not isinstance(literal.parent, exp.Like | exp.Glob)


def _changing_functions(code: list[Token]) -> Iterator[str]:
    for place, token in enumerate(code):
        word = token.text.lower()
        called = place + 1 < len(code) and code[place + 1].text == "("
        if token.kind == "word" and (word in _CLOCK_WORDS or (called and word in _LUCK)):
            yield word
        elif token.kind == "word" and called and word in _CLOCK_FUNCTIONS:
            arguments = _arguments(code, place + 1)
            if len(arguments) <= _CLOCK_FUNCTIONS[word] or any(_is_now(argument) for argument in arguments):
                yield f"{word}('now')"


def _arguments(code: list[Token], opening: int) -> list[list[Token]]:
    """The tokens of each argument behind an opening parenthesis; none for `()`."""
    arguments: list[list[Token]] = [[]]
    depth = 0
    for token in code[opening:]:
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0:
            break
        if depth == 1 and token.text == ",":
            arguments.append([])
        elif not (depth == 1 and token.text == "("):
            arguments[-1].append(token)
    return [argument for argument in arguments if argument]


def _is_now(argument: list[Token]) -> bool:
    return len(argument) == 1 and argument[0].kind == "quoted" and unquote(argument[0].text).strip().lower() == "now"
