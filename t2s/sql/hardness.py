"""Spider's hardness classes, for any SQLite query.

Source: Yu et al. 2018 and `eval_hardness` in evaluation.py of github.com/taoyds/spider, which counts on its own parser's output.
Three numbers of the first SELECT decide; what lies in nested queries and behind a set operator is not looked at:

- clauses: WHERE, GROUP BY, ORDER BY, LIMIT, each joined table, each OR, each LIKE
- nested: queries inside conditions, and one for a set operator
- extras: one each for more than one aggregate, column, condition in WHERE, expression in GROUP BY

The official counts have quirks, and they are kept:

- Among the aggregates count conditions with NOT (NOT IN, NOT LIKE, NOT BETWEEN), and so does each AND and OR of HAVING. Aggregates
  that HAVING compares do not.
- A subquery in FROM is a table, not nested. A chain of set operators counts once.
- ORDER BY and LIMIT behind a set operator belong to the last SELECT, and so do not count.
- Two clauses with two extras are `extra`, with three extras `hard`.

What Spider's grammar lacks counts like its nearest kin: a common table expression, EXISTS and a subquery among the columns as nested, each
CASE like an OR, each window like a GROUP BY, GLOB, MATCH and REGEXP like LIKE, any aggregate function like Spider's five.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from t2s.sql.names import first_select, from_items, is_query
from t2s.sql.parse import parse_query

Hardness = Literal["easy", "medium", "hard", "extra", "unknown"]  # unknown, said elsewhere: SQLite runs what sqlglot cannot read

_PATTERNS = (exp.Like, exp.ILike, exp.Glob, exp.Match, exp.RegexpLike)
_NEGATED = (exp.In, exp.Between, *_PATTERNS)


def hardness(sql: str) -> Hardness:
    """Spider's class of a query.

    Raises:
        DataError: this is not exactly one SQLite query.

    Example:
        "SELECT name FROM t WHERE age > 3 ORDER BY age" -> "medium"
    """
    tree = parse_query(sql)
    first = first_select(tree) or exp.Select()  # a bare VALUES has no clauses
    around = int(isinstance(tree, exp.SetOperation)) + len(list(tree.find_all(exp.CTE)))
    return _class(_clauses(first), _nested(first) + around, _extras(first))


def _class(clauses: int, nested: int, extras: int) -> Hardness:
    """`eval_hardness` of the official script."""
    if nested == 0:
        if clauses <= 1 and extras == 0:
            return "easy"
        if (clauses <= 1 and extras <= 2) or (clauses <= 2 and extras <= 1):
            return "medium"
        if (clauses <= 2 and extras > 2) or (clauses == 3 and extras <= 2):
            return "hard"
    return "hard" if nested == 1 and clauses <= 1 and extras == 0 else "extra"


def _clauses(select: exp.Select) -> int:
    written = sum(select.args.get(name) is not None for name in ("where", "group", "order", "limit"))
    joins = [join for _, join in from_items(select) if join is not None]
    conditions = [_conditions(join.args.get("on")) for join in joins] + [_filters(select), _groups(select)]
    ors = sum(condition.ors for condition in conditions)
    likes = sum(isinstance(_positive(test), _PATTERNS) for condition in conditions for test in condition.tests)
    return written + len(joins) + ors + likes + sum(map(_is_choice, _own(select)))


def _nested(select: exp.Select) -> int:
    return sum(is_query(node) for node in _own(select))


def _extras(select: exp.Select) -> int:
    group = select.args.get("group")
    many = (_aggregates(select), len(select.expressions), len(_filters(select).tests), len(group.expressions) if group else 0)
    return sum(count > 1 for count in many)


def _aggregates(select: exp.Select) -> int:
    columns = sum(any(isinstance(node, exp.AggFunc) for node in _walk(column)) for column in select.expressions)
    order = sum(isinstance(node, exp.AggFunc) for node in _walk(select.args.get("order")))
    # The official script looks for an aggregate in a condition's first field, where it keeps whether there is a NOT.
    having = _groups(select).tests
    negated = sum(map(_is_negated, (*_filters(select).tests, *having)))
    return columns + order + negated + max(len(having) - 1, 0)


@dataclass(frozen=True)
class _Conditions:
    """What AND and OR connect, and how many of the connectives are OR."""

    tests: tuple[exp.Expr, ...]
    ors: int


def _filters(select: exp.Select) -> _Conditions:
    return _conditions(where.this if (where := select.args.get("where")) else None)


def _groups(select: exp.Select) -> _Conditions:
    return _conditions(having.this if (having := select.args.get("having")) else None)


def _conditions(root: exp.Expr | None) -> _Conditions:
    tests, ors, waiting = [], 0, [root] if root else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.And | exp.Or):
            ors += isinstance(node, exp.Or)
            waiting += [node.this, node.expression]
        elif isinstance(node, exp.Paren):
            waiting.append(node.this)
        else:
            tests.append(node)
    return _Conditions(tuple(tests), ors)


def _own(select: exp.Select) -> Iterator[exp.Expr]:
    """The nodes of all clauses but FROM, where a subquery is a table."""
    clauses = [select.args.get(name) for name in ("where", "having", "group", "order", "limit")]
    for root in (*select.expressions, *clauses, *(join.args.get("on") for _, join in from_items(select) if join)):
        yield from _walk(root)


def _walk(root: exp.Expr | None) -> Iterator[exp.Expr]:
    """The nodes under a root: a nested query, too, but not what lies in it."""
    return root.walk(prune=is_query) if root else iter(())


def _is_choice(node: exp.Expr) -> bool:
    # Each WHEN of a CASE is an If, too.
    return isinstance(node, exp.Case | exp.Window) or (isinstance(node, exp.If) and not isinstance(node.parent, exp.Case))


def _positive(test: exp.Expr) -> exp.Expr:
    while isinstance(test, exp.Not | exp.Paren | exp.Escape):
        test = test.this
    return test


def _is_negated(test: exp.Expr) -> bool:
    core = _positive(test)
    return isinstance(core, _NEGATED) and (isinstance(test, exp.Not) or bool(core.args.get("negate")))
