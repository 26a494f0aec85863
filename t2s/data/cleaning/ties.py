"""Whether a LIMIT cuts between rows that its ORDER BY does not tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from t2s.errors import DataError
from t2s.sql.execute import Outcome, Row
from t2s.sql.parse import parse_query

# A tie is looked at up to this many rows behind the cut; one that long with all rows alike is no choice of the query's.
_ROWS_BEHIND = 50


@dataclass(frozen=True)
class KeyedQuery:
    """A query that shows what its rows are ordered by, and some rows behind its limit.

    Attributes:
        sql: The query.
        columns: How many columns the original has; keys that are none of them stand behind.
        keys: Places of the keys among the columns.
        cuts: Where the original begins and ends among the rows.
    """

    sql: str
    columns: int
    keys: tuple[int, ...]
    cuts: tuple[int, ...]


def with_keys(sql: str) -> KeyedQuery | None:
    """The query to try a LIMIT with; None where the outermost query has none, or has one that cannot be tried."""
    try:
        tree = parse_query(sql)
    except DataError:
        return None
    limit = _whole(tree.args.get("limit"))
    if not isinstance(tree, exp.Select) or not limit or tree.is_star:
        return None
    offset = _whole(tree.args.get("offset")) or 0
    columns = len(tree.expressions)
    keys = [_place(tree, ordered.this) for ordered in _ordered(tree)]
    if tree.args.get("distinct") and None in keys:
        return None  # a further column would tell equal rows apart
    for number, (place, ordered) in enumerate(zip(keys, _ordered(tree), strict=True)):
        if place is None:
            keys[number] = len(tree.expressions)
            tree.append("expressions", exp.alias_(ordered.this.copy(), f"tie_key_{number}"))
    tree.set("offset", None)
    tree.set("limit", exp.Limit(expression=exp.Literal.number(offset + limit + _ROWS_BEHIND)))
    cuts = (offset, offset + limit) if offset else (limit,)
    return KeyedQuery(tree.sql("sqlite", comments=False), columns, tuple(key for key in keys if key is not None), cuts)


def cut_ties(query: KeyedQuery, outcome: Outcome) -> str:
    """What a LIMIT leaves to luck, in a sentence; empty where it leaves nothing, or could not be tried."""
    if outcome.kind != "ok":
        return ""
    rows = outcome.rows
    for cut in query.cuts:
        if cut < len(rows) and _key(rows[cut - 1], query) == _key(rows[cut], query):
            tied = [row[: query.columns] for row in rows if _key(row, query) == _key(rows[cut], query)]
            if len(set(tied)) > 1:
                return f"LIMIT cuts through a tie: rows {cut} and {cut + 1} are equal in what it orders by"
    return ""


def _key(row: Row, query: KeyedQuery) -> tuple[object, ...]:
    return tuple(row[place] for place in query.keys)


def _ordered(tree: exp.Select) -> list[exp.Ordered]:
    order = tree.args.get("order")
    return list(order.expressions) if order else []


def _place(tree: exp.Select, key: exp.Expr) -> int | None:
    """Which column of the query a key is: by number, by name, or written again."""
    if isinstance(key, exp.Literal) and not key.is_string:
        return int(key.name) - 1
    for place, (name, column) in enumerate(_columns(tree)):
        if column == key or (isinstance(key, exp.Column) and not key.table and key.name.lower() == name):
            return place
    return None


def _columns(tree: exp.Select) -> Iterator[tuple[str, exp.Expr]]:
    for column in tree.expressions:
        yield column.alias_or_name.lower(), column.unalias()


def _whole(clause: exp.Expr | None) -> int | None:
    value = None if clause is None else clause.args.get("expression")
    return int(value.name) if isinstance(value, exp.Literal) and value.name.isdecimal() else None
