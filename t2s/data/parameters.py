"""Parameters in logged queries: `?`, `$1`, `:name`, `@name`, `%s`. Values of the column they are compared with take their place."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sqlglot import exp

from t2s.errors import DataError
from t2s.sql.lexer import Token, tokens
from t2s.sql.parse import parse_query
from t2s.sql.schema import Schema

Values = Callable[[str, str], Sequence[str | int | float]]

_NAME = "t2s_parameter_"
_LIMIT = 10
_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.Like, exp.Glob)

_BEFORE_OPERANDS = frozenset(
    {"AND", "OR", "NOT", "LIKE", "GLOB", "BETWEEN", "IN", "LIMIT", "OFFSET", "SELECT", "WHERE", "HAVING", "WHEN", "THEN", "ELSE"}
)


class Place(NamedTuple):
    """A parameter: from where to where in the SQL, and as written."""

    start: int
    end: int
    text: str


def parameters(sql: str) -> list[Place]:
    """The parameters of a query, in order; those in quotes and comments are none, and neither are casts (`::date`)."""
    return list(_found(list(tokens(sql))))


def bind(sql: str, schema: Schema, values: Values, chooser: random.Random) -> str:
    """The query with values in the place of its parameters.

    A parameter that is compared with a column (also in IN and BETWEEN) gets one of that column's values, in LIKE a part
    of one; behind LIMIT it is 10, behind OFFSET 0. The same name gets the same value.

    Args:
        sql: The query; one without parameters comes back as it is.
        schema: Of the database.
        values: Values of a column, by the names of table and column.
        chooser: Draws them.

    Raises:
        DataError: this is no query, or a parameter has no such place; says which and why.

    Example:
        "SELECT name FROM pets WHERE age > $1" -> "SELECT name FROM pets WHERE age > 5"
    """
    places = parameters(sql)
    if not places:
        return sql
    tree = parse_query(_named(sql, places))
    bound: dict[str, str] = {}
    for node in list(tree.find_all(exp.Placeholder)):
        if isinstance(node.this, str) and node.this.startswith(_NAME):
            place = places[int(node.this.removeprefix(_NAME))]
            bound[node.this] = _value(node, place, schema, values, chooser)
    return _filled(sql, places, bound)


def _found(all_tokens: Sequence[Token]) -> Iterator[Place]:
    """By token: a parameter stands where no operand ends, as in `a = ?`, or is of a kind that is nothing else."""
    before = Token("symbol", "", 0)
    skip_to = 0
    for token, after in zip(all_tokens, [*all_tokens[1:], Token("space", "", 0)], strict=True):
        if token.start < skip_to or token.kind in ("space", "comment"):
            continue
        end = token.start + len(token.text)
        joined = after.start == end and after.kind == "word"
        place: Place | None = None
        if token.text == "?":
            text = "?" + (after.text if joined and after.text.isdigit() else "")
            place = Place(token.start, token.start + len(text), text)
        elif token.kind == "word" and token.text[0] == "$" and len(token.text) > 1:
            place = Place(token.start, end, token.text)
        elif token.text in (":", "@") and joined and before.text != token.text:
            place = Place(token.start, end + len(after.text), token.text + after.text)
        elif token.text == "%" and joined and after.text == "s" and _starts_operand(before):
            place = Place(token.start, end + 1, "%s")
        elif token.text == "%" and after.start == end and after.text == "(" and _starts_operand(before):
            place = _python_name(all_tokens, token)
        if place is not None:
            yield place
            skip_to = place.end
        before = token


def _python_name(all_tokens: Sequence[Token], start: Token) -> Place | None:
    """`%(name)s`, which Python's drivers take."""
    follow = [token for token in all_tokens if token.start > start.start][:4]
    text = "%" + "".join(token.text for token in follow)
    shaped = [token.kind for token in follow] == ["symbol", "word", "symbol", "word"] and text.endswith(")s")
    return Place(start.start, start.start + len(text), text) if shaped else None


def _starts_operand(before: Token) -> bool:
    """Whether an operand, not an operator, follows: `a = %s` against `a %s`."""
    if before.kind == "word":
        return before.text.upper() in _BEFORE_OPERANDS
    return before.kind == "symbol" and before.text != ")"


def _named(sql: str, places: Sequence[Place]) -> str:
    """The query with a name that says which is which: `sqlglot` knows only some of the spellings."""
    return _filled(sql, places, {f"{_NAME}{number}": f":{_NAME}{number}" for number in range(len(places))})


def _filled(sql: str, places: Sequence[Place], texts: dict[str, str]) -> str:
    # The same name means the same value; a bare ? or %s is another one each time.
    by_name: dict[str, str] = {}
    parts, at = [], 0
    for number, place in enumerate(places):
        text = texts.get(f"{_NAME}{number}")
        if text is None:
            raise DataError(f"parameter {place.text} stands where none can be; write the query with a value")
        if place.text not in ("?", "%s") and not text.startswith(f":{_NAME}"):
            text = by_name.setdefault(place.text, text)
        parts += [sql[at : place.start], text]
        at = place.end
    return "".join([*parts, sql[at:]])


def _value(node: exp.Expr, place: Place, schema: Schema, values: Values, chooser: random.Random) -> str:
    parent = node.parent
    if isinstance(parent, exp.Limit | exp.Offset):
        return str(_LIMIT) if isinstance(parent, exp.Limit) else "0"
    column = _compared_column(node)
    if column is None:
        raise DataError(f"parameter {place.text} is not compared with a column; write the query with a value")
    table = _table_of(column, schema)
    if table is None:
        raise DataError(f"parameter {place.text}: the schema does not say whose column {column.name!r} is")
    known = values(*table)
    if not known:
        raise DataError(f"parameter {place.text}: {table[0]}.{table[1]} has no values to choose from")
    return _literal(chooser.choice(list(known)), isinstance(parent, exp.Like | exp.Glob), isinstance(parent, exp.Glob))


def _compared_column(node: exp.Expr) -> exp.Column | None:
    """The column on the other side of a comparison, or in front of IN or BETWEEN."""
    parent = node.parent
    if isinstance(parent, _COMPARED):
        other = parent.expression if parent.this is node else parent.this
    elif isinstance(parent, exp.In | exp.Between):
        other = parent.this
    elif isinstance(parent, exp.Tuple | exp.Paren) and isinstance(parent.parent, exp.In):
        other = parent.parent.this
    else:
        return None
    if isinstance(other, exp.Lower | exp.Upper | exp.Trim | exp.Paren):
        other = other.this
    return other if isinstance(other, exp.Column) and other is not node else None


def _table_of(column: exp.Column, schema: Schema) -> tuple[str, str] | None:
    """(table, column) as the schema spells them; None where no table around the column, or more than one, has it."""
    select = column.find_ancestor(exp.Select)
    while select is not None:
        found = list(dict.fromkeys(_owners(column, select, schema)))
        if found:
            return found[0] if len(found) == 1 else None
        select = select.parent_select
    return None


def _owners(column: exp.Column, select: exp.Select, schema: Schema) -> Iterator[tuple[str, str]]:
    start = select.args.get("from_") or select.args.get("from")
    for source in [start and start.this, *(join.this for join in select.args.get("joins") or ())]:
        if not isinstance(source, exp.Table) or (column.table and column.table.lower() != source.alias_or_name.lower()):
            continue
        for table in schema.tables:
            for declared in table.columns:
                if (table.name.lower(), declared.name.lower()) == (source.name.lower(), column.name.lower()):
                    yield table.name, declared.name


def _literal(value: str | int | float, pattern: bool, glob: bool) -> str:
    text = str(value)
    if pattern:
        mark = "*" if glob else "%"
        text = f"{mark}{text[: max(3, len(text) // 2)]}{mark}"
    elif not isinstance(value, str):
        return repr(value)
    return "'" + text.replace("'", "''") + "'"
