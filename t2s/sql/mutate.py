"""Queries that are a small mistake away from a right one.

The mistakes follow the mutation operators for SQL of Tuya, Suárez-Cabal and de la Riva ("Mutating database queries", 2007):
clauses, operators, NULL handling and identifiers, less those that change nothing and with the slips of text-to-SQL models added.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from sqlglot import exp

from t2s.sql.origin import declared, is_one_query, owner, parse_with, sources
from t2s.sql.schema import Schema

# More neighbours of each column would multiply the mutants and say little new.
_COLUMNS_EACH = 2
_TEXTS_EACH = 1


@dataclass(frozen=True)
class Mutant:
    """A changed query and the name of the rule that changed it."""

    rule: str
    sql: str


# Gives what one node may be replaced with; never changes the node itself.
_Rule = Callable[[exp.Expr, Schema], Iterator[exp.Expr]]


def mutants(sql: str, schema: Schema) -> tuple[Mutant, ...]:
    """All queries that one rule makes of `sql` in one place, each once, in a fixed order.

    A mutant is written differently from the query and parses. Whether it runs, the database must tell.

    Args:
        sql: The right query.
        schema: Its database; sample values, where it holds some, become other constants.

    Raises:
        DataError: `sql` is not exactly one SQLite query.
    """
    tree = parse_with(sql, schema)
    holder = exp.Subquery(this=tree)  # so that the outermost query can be replaced too
    found = {_text(tree): "none"}
    for node in list(tree.walk()):
        for name, rule in _RULES:
            for changed in rule(node, schema):
                node.replace(changed)
                found.setdefault(_text(holder.this), name)
                changed.replace(node)
    return tuple(Mutant(name, text) for text, name in list(found.items())[1:] if is_one_query(text))


def _text(tree: exp.Expr) -> str:
    return tree.sql("sqlite", comments=False)


def _with(node: exp.Expr, **arguments: object) -> exp.Expr:
    """A copy of the node with some of its arguments changed."""
    copy = node.copy()
    for name, value in arguments.items():
        copy.set(name, value)
    return copy


def _as(kind: type[exp.Expr], node: exp.Expr, **arguments: object) -> exp.Expr:
    """A copy of the node as one of another kind."""
    return kind(**{**node.copy().args, **arguments})


def _negated(node: exp.Expr) -> exp.Expr:
    return exp.Not(this=exp.Paren(this=node.copy()))


# Operators


_COMPARED: dict[type[exp.Expr], tuple[type[exp.Expr], ...]] = {
    exp.EQ: (exp.NEQ, exp.GTE, exp.LTE),
    exp.NEQ: (exp.EQ,),
    exp.LT: (exp.LTE, exp.GT),
    exp.LTE: (exp.LT, exp.GTE),
    exp.GT: (exp.GTE, exp.LT),
    exp.GTE: (exp.GT, exp.LTE),
}


def _comparison(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if _joins(node):
        return
    kinds = _COMPARED.get(type(node), ())
    for kind in kinds[:1] if _is_word(node.args.get("expression")) else kinds:
        yield _as(kind, node)


def _is_word(node: exp.Expr | None) -> bool:
    """Whether this is text without an order that anybody would ask for: no date, no number."""
    return isinstance(node, exp.Literal) and bool(node.is_string) and not node.this[:1].isdigit()


def _joins(node: exp.Expr) -> bool:
    """Whether this sets two columns equal; without it a join would give every pair of rows."""
    return isinstance(node, exp.EQ) and isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Column)


def _range(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if not isinstance(node, exp.Between):
        return
    value, low, high = node.this, node.args["low"], node.args["high"]
    for above, below in ((exp.GT, exp.LTE), (exp.GTE, exp.LT)):
        lower = above(this=value.copy(), expression=low.copy())
        upper = below(this=value.copy(), expression=high.copy())
        yield exp.Paren(this=exp.And(this=lower, expression=upper))
    yield _negated(node)


def _connective(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if isinstance(node, exp.And) and not any(map(_joins, node.flatten())):
        yield exp.Paren(this=_as(exp.Or, node))
    elif isinstance(node, exp.Or):
        yield _as(exp.And, node)
    elif isinstance(node, exp.Not):
        yield node.this.copy()


def _membership(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if isinstance(node, exp.In | exp.Exists) or (isinstance(node, exp.Like | exp.Glob) and not node.args.get("negate")):
        if not isinstance(node.parent, exp.Not):
            yield _negated(node)
    elif isinstance(node, exp.Like | exp.Glob):
        yield _with(node, negate=False)
    if isinstance(node, exp.In) and len(node.expressions) > 1:
        for index in range(len(node.expressions)):
            yield _with(node, expressions=_without(node.expressions, index))


def _without(nodes: list[exp.Expr], index: int) -> list[exp.Expr]:
    return [node.copy() for i, node in enumerate(nodes) if i != index]


def _set_operation(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if not isinstance(node, exp.SetOperation):
        return
    for kind in (exp.Union, exp.Intersect, exp.Except):
        if not isinstance(node, kind):
            yield _as(kind, node, distinct=True)
    if isinstance(node, exp.Union):
        yield _with(node, distinct=not node.args.get("distinct"))
    if isinstance(node, exp.Except):
        yield _with(node, this=node.expression.copy(), expression=node.this.copy())


_CALCULATED: dict[type[exp.Expr], tuple[type[exp.Expr], ...]] = {exp.Add: (exp.Sub,), exp.Sub: (exp.Add,), exp.Div: (exp.Mul,)}


def _arithmetic(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    for kind in _CALCULATED.get(type(node), ()):
        yield kind(this=node.this.copy(), expression=node.expression.copy())
    if isinstance(node, exp.Mul):
        yield _divided(node.this, node.expression)
    if isinstance(node, exp.Div):
        yield _divided(node.expression, node.this)
    if isinstance(node, exp.Mul) and _is_real(node.expression):  # turns a whole division into a broken one
        yield node.this.copy()
    if isinstance(node, exp.Round | exp.Cast | exp.Abs):
        yield node.this.copy()


def _divided(first: exp.Expr, second: exp.Expr) -> exp.Expr:
    """A division as SQLite means it: whole for whole numbers, NULL by zero."""
    return exp.Div(this=first.copy(), expression=second.copy(), typed=True, safe=True)


def _is_real(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string and "." in node.this


# Conditions


def _condition(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    """Less of a condition than there was."""
    if isinstance(node, exp.And | exp.Or):
        sides = (node.this, node.expression)
        for kept, dropped in (sides, sides[::-1]):
            if not any(map(_joins, dropped.flatten() if isinstance(dropped, exp.And) else [dropped])):
                yield kept.copy()
    if isinstance(node, exp.Select):
        for name in ("where", "having"):
            clause = node.args.get(name)
            if clause is not None and not isinstance(clause.this, exp.And) and not _joins(clause.this):
                yield _with(node, **{name: None})
    if isinstance(node, exp.Filter):
        yield node.this.copy()


def _null(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null) and not isinstance(node.parent, exp.Not):
        yield exp.Not(this=node.copy())
    elif isinstance(node, exp.Coalesce | exp.Nullif):
        yield node.this.copy()
    elif isinstance(node, exp.Case):
        yield _with(node, default=None if node.args.get("default") else exp.Literal.number(0))
    elif isinstance(node, exp.NEQ):
        yield _as(exp.NullSafeNEQ, node)
    elif isinstance(node, exp.Sum):
        yield exp.Coalesce(this=node.copy(), expressions=[exp.Literal.number(0)])
    elif isinstance(node, exp.Avg) and not isinstance(node.this, exp.Distinct) and not isinstance(node.parent, exp.Window | exp.Filter):
        whole = exp.Mul(this=exp.Sum(this=node.this.copy()), expression=exp.Literal.number("1.0"))
        yield exp.Paren(this=_divided(whole, exp.Count(this=exp.Star())))


# Constants


def _number(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if not isinstance(node, exp.Literal) or node.is_string or isinstance(node.parent, exp.Ordered | exp.Group | exp.Limit | exp.Offset):
        return
    if isinstance(node.parent, exp.Select) and isinstance(node.parent.parent, exp.Exists):
        return  # EXISTS (SELECT 1 ...) does not look at it
    for value in _next_numbers(node.this):
        yield exp.Literal.number(value)


def _next_numbers(text: str) -> list[str]:
    """One step up and one down in the last digit; not below zero, where a minus would have to be written."""
    try:
        number = Decimal(text)
    except ArithmeticError:
        return []
    step = Decimal(1).scaleb(min(int(number.as_tuple().exponent), 0))
    return [str(value) for value in (number + step, number - step) if value >= 0]


_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)(.*)", re.DOTALL)
_FORMATS = {"%Y-%m": "%Y", "%Y": "%m", "%m": "%d", "%Y-%m-%d": "%Y-%m", "%d": "%m", "%w": "%d", "%H": "%M"}


def _string(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if not isinstance(node, exp.Literal) or not node.is_string:
        return
    for text in _other_texts(node, node.parent, schema):
        yield exp.Literal.string(text)


def _other_texts(node: exp.Expr, parent: exp.Expr | None, schema: Schema) -> list[str]:
    text: str = node.this
    if text in _FORMATS:
        return [_FORMATS[text]]
    if isinstance(parent, exp.Like | exp.Glob):
        return _other_patterns(text, "*" if isinstance(parent, exp.Glob) else "%")
    if not isinstance(parent, exp.Predicate | exp.In | exp.Between):
        return []
    return _other_dates(text) or [*_other_samples(text, parent, schema), text.lower() if text != text.lower() else text.capitalize()]


def _other_patterns(text: str, sign: str) -> list[str]:
    ends = {text.removeprefix(sign), text.removesuffix(sign), sign + text.removeprefix(sign), text.removesuffix(sign) + sign}
    return sorted(ends - {text})


def _other_dates(text: str) -> list[str]:
    """The next ones of a year, a month or a day; nothing for other text."""
    if re.fullmatch(r"\d+", text):
        return [f"{value:0{len(text)}}" for value in (int(text) + 1, int(text) - 1) if value >= 0]
    if re.fullmatch(r"\d{4}-\d\d", text):
        months = int(text[:4]) * 12 + int(text[5:]) - 1
        return [f"{month // 12:04}-{month % 12 + 1:02}" for month in (months + 1, months - 1)]
    day = _DAY.fullmatch(text)
    try:
        date = datetime.date(*map(int, day.groups()[:3])) if day else None
        return [f"{date + datetime.timedelta(days)}{day[4]}" for days in (1, -1)] if date and day else []
    except (ValueError, OverflowError):
        return []


def _other_samples(text: str, parent: exp.Expr, schema: Schema) -> list[str]:
    for column in parent.find_all(exp.Column):
        found = owner(column, schema)
        if found is not None:
            return [sample for sample in found[2].samples if isinstance(sample, str) and sample != text][:_TEXTS_EACH]
    return []


def _limit(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if isinstance(node, exp.Literal) and isinstance(node.parent, exp.Limit | exp.Offset):
        least = 1 if isinstance(node.parent, exp.Limit) else 0
        for value in _next_numbers(node.this):
            if Decimal(value) >= least:
                yield exp.Literal.number(value)
    if isinstance(node, exp.Query):
        if node.args.get("limit"):
            yield _with(node, limit=None, offset=None)
        if node.args.get("offset"):
            yield _with(node, offset=None)


# What is shown


_AGGREGATES: dict[type[exp.Expr], tuple[type[exp.Expr], ...]] = {
    exp.Sum: (exp.Avg, exp.Max),
    exp.Avg: (exp.Sum, exp.Max),
    exp.Min: (exp.Max, exp.Avg),
    exp.Max: (exp.Min, exp.Avg),
    exp.Rank: (exp.DenseRank, exp.RowNumber),
    exp.DenseRank: (exp.Rank, exp.RowNumber),
    exp.RowNumber: (exp.Rank, exp.DenseRank),
    exp.Lag: (exp.Lead,),
    exp.Lead: (exp.Lag,),
}


def _aggregate(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if node.expressions:  # MAX of several values is no aggregate
        return
    for kind in _AGGREGATES.get(type(node), ()):
        yield _as(kind, node)
    if isinstance(node, exp.Count) and not isinstance(node.this, exp.Star):
        yield _with(node, this=exp.Star())
    elif isinstance(node, exp.Count):
        for column in _nullable_columns(node, schema):
            yield _with(node, this=column)


def _nullable_columns(node: exp.Expr, schema: Schema) -> list[exp.Expr]:
    """The first column of each table around that may be NULL."""
    select = node.find_ancestor(exp.Select)
    found: list[exp.Expr] = []
    for source in sources(select) if select else ():
        table = declared(source, schema)
        name = next((column.name for column in table.columns if column.nullable), None) if table else None
        if name is not None:
            found.append(exp.column(name, source.alias_or_name, quoted=True))
    return found


def _distinct(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if isinstance(node, exp.Select):
        if node.args.get("distinct"):
            yield _with(node, distinct=None)
        elif not _ignores_repeats(node):
            yield _with(node, distinct=exp.Distinct())
    elif isinstance(node, exp.Count | exp.Sum | exp.Avg) and not isinstance(node.this, exp.Star):
        if isinstance(node.this, exp.Distinct):
            yield _with(node, this=node.this.expressions[0].copy())
        else:
            yield _with(node, this=exp.Distinct(expressions=[node.this.copy()]))


def _ignores_repeats(select: exp.Select) -> bool:
    """Whether repeated rows of it change nothing: it has one row, or stands behind IN or EXISTS or in a UNION."""
    around = select.parent.parent if isinstance(select.parent, exp.Subquery) else select.parent
    one_row = not select.args.get("group") and any(isinstance(shown.unalias(), exp.AggFunc) for shown in select.expressions)
    as_set = isinstance(around, exp.In | exp.Exists) or (isinstance(around, exp.SetOperation) and bool(around.args.get("distinct")))
    return one_row or (as_set and not select.args.get("limit"))


def _column(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    """The next columns of the same type in the same table, in place of one."""
    found = owner(node, schema) if isinstance(node, exp.Column) else None
    if found is None:
        return
    _, table, column = found
    place = table.columns.index(column)
    following = [*table.columns[place + 1 :], *table.columns[:place]]
    same = [other for other in following if other.type.upper() == column.type.upper()]
    for other in same[:_COLUMNS_EACH]:
        yield _with(node, this=exp.to_identifier(other.name, quoted=True))


# Rows put together


def _join(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if not isinstance(node, exp.Join) or not (node.args.get("on") or node.args.get("using")):
        return
    if node.side:
        yield _with(node, side=None, kind=None)
    else:
        yield _with(node, side="LEFT", kind=None)
    if node.side != "RIGHT":
        yield _with(node, side="RIGHT", kind=None)


def _fewer_joins(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    """Without a table that nothing but its own join condition speaks of."""
    joins = node.args.get("joins") or [] if isinstance(node, exp.Select) else []
    for index, join in enumerate(joins):
        name = join.alias_or_name.lower()
        inside = {id(column) for column in join.find_all(exp.Column)}
        spoken_of = any(column.table.lower() == name for column in node.find_all(exp.Column) if id(column) not in inside)
        if not spoken_of:
            yield _with(node, joins=_without(joins, index))


def _grouping(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if isinstance(node, exp.Group) and len(node.expressions) > 1:
        for index in range(len(node.expressions)):
            yield _with(node, expressions=_without(node.expressions, index))
    if isinstance(node, exp.Select) and node.args.get("group") and not node.args.get("having"):
        yield _with(node, group=None)
    if isinstance(node, exp.Window) and node.args.get("partition_by"):
        yield _with(node, partition_by=None)


def _order(node: exp.Expr, schema: Schema) -> Iterator[exp.Expr]:
    if isinstance(node, exp.Ordered):
        # NULLs travel with the direction, as they do when nobody mentions them.
        yield _with(node, desc=not node.args.get("desc"), nulls_first=not node.args.get("nulls_first"))
    if isinstance(node, exp.Order) and len(node.expressions) > 1:
        yield _with(node, expressions=_without(node.expressions, len(node.expressions) - 1))
        yield _with(node, expressions=_without(node.expressions, 0))
    if isinstance(node, exp.Query) and node.args.get("order"):
        yield _with(node, order=None)


_RULES: tuple[tuple[str, _Rule], ...] = (
    ("comparison", _comparison),
    ("comparison", _range),
    ("connective", _connective),
    ("membership", _membership),
    ("set operation", _set_operation),
    ("arithmetic", _arithmetic),
    ("condition", _condition),
    ("null", _null),
    ("constant", _number),
    ("constant", _string),
    ("limit", _limit),
    ("aggregate", _aggregate),
    ("distinct", _distinct),
    ("column", _column),
    ("join", _join),
    ("join", _fewer_joins),
    ("grouping", _grouping),
    ("order", _order),
)
