"""One house style for queries that say the same: what a model need not guess, it need not learn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from sqlglot import exp

from t2s.sql.parse import parse_query
from t2s.sql.schema import Schema

_COMMENT = re.compile(r"--|/\*")


def canonical(sql: str, schema: Schema) -> str:
    """The same query in one style.

    - A chain of inner joins begins at the table declared last, which by habit is the one that points to the others, and
      goes on, table by table, with the last declared that a condition links to those before it.
    - A join condition names the earlier table first.
    - A query over one table does without an alias.

    The rows stay the same; their order may change where the query leaves it open. All else stays as it was written, and
    so does a clause this function does not understand.

    Args:
        sql: One SQLite query.
        schema: Of the database it reads.

    Raises:
        DataError: this is not exactly one SQLite query.

    Example:
        "SELECT s.x FROM shops s JOIN sales a ON s.id = a.shop_id", with sales declared after shops ->
        "SELECT s.x FROM sales a JOIN shops s ON a.shop_id = s.id"
    """
    edits = [edit for select in parse_query(sql).find_all(exp.Select) for edit in (*_joins(select, sql, schema), *_lone_alias(select, sql))]
    for edit in sorted(edits, reverse=True):
        sql = sql[: edit.start] + edit.text + sql[edit.end :]
    return sql


class _Edit(NamedTuple):
    """`text` takes the place of the characters from `start` up to `end`."""

    start: int
    end: int
    text: str


class _Chain:
    """Inner joins of plain tables, each condition one equality of two columns."""

    def __init__(self, tables: Sequence[exp.Table], links: Sequence[exp.EQ], schema: Schema) -> None:
        self.tables = {table.alias_or_name.lower(): table for table in tables}
        self.links = links
        declared = {table.name.lower(): place for place, table in enumerate(schema.tables)}
        keys = {(table.name.lower(), column.name.lower()) for table in schema.tables for column in table.columns if column.primary_key}
        written = list(self.tables)

        def points(name: str) -> int:
            """How often a condition names another column of this table than its key: the table points to another."""
            return sum(
                _owner(side) == name and (self.tables[name].name.lower(), side.name.lower()) not in keys
                for link in links
                for side in _sides(link)
            )

        self._rank = {
            name: (-declared.get(table.name.lower(), len(declared)), -points(name), written.index(name))
            for name, table in self.tables.items()
        }

    def order(self) -> list[str] | None:
        """Names in canonical order; None when the conditions do not hold the tables together."""
        waiting = set(self.tables)
        order = [min(waiting, key=self._rank.__getitem__)]
        waiting.remove(order[0])
        while waiting:
            linked = {
                name for name in waiting if any(name in _owners(link) and _owners(link) - {name} <= set(order) for link in self.links)
            }
            if not linked:
                return None
            order.append(min(linked, key=self._rank.__getitem__))
            waiting.remove(order[-1])
        return order


def _joins(select: exp.Select, sql: str, schema: Schema) -> list[_Edit]:
    """A chain of inner joins, in canonical order; nothing where it is in that order, or is not understood."""
    source, joins = select.args.get("from_"), select.args.get("joins") or []
    if not source or not joins or select.is_star:
        return []
    tables, links = [source.this, *(join.this for join in joins)], [_link(join) for join in joins]
    if not all(isinstance(table, exp.Table) for table in tables) or len({t.alias_or_name.lower() for t in tables}) < len(tables):
        return []
    conditions = [link for link in links if link is not None]
    chain = _Chain(tables, conditions, schema)
    if len(conditions) < len(joins) or any(not _owners(link) <= chain.tables.keys() or len(_owners(link)) < 2 for link in conditions):
        return []
    order = chain.order()
    if order is None:
        return []
    parts = [_span([chain.tables[order[0]]]).of(sql)]
    for position, name in enumerate(order[1:], 1):
        before = set(order[:position])
        met = [_turned(link, name, sql) for link in conditions if name in _owners(link) and _owners(link) <= before | {name}]
        parts.append(f"{_span([chain.tables[name]]).of(sql)} ON {' AND '.join(met)}")
    whole = _span([*tables, *conditions])
    if _COMMENT.search(whole.of(sql)):
        return []
    return [_Edit(*whole, " JOIN ".join(parts))]


def _lone_alias(select: exp.Select, sql: str) -> list[_Edit]:
    """The alias of a query's only table goes, with every mention."""
    source = select.args.get("from_")
    if not source or select.args.get("joins") or not isinstance(source.this, exp.Table) or not source.this.alias:
        return []
    alone = select.parent_select is None and next((s for s in select.find_all(exp.Select) if s is not select), None) is None
    if not alone:  # an inner query may mean this alias, or an outer one may be meant by a bare column
        return []
    alias = source.this.alias.lower()
    edits = [
        _Edit(_span([column.args["table"]]).start, _span([column.this]).start, "")
        for column in select.find_all(exp.Column)
        if column.table.lower() == alias and isinstance(column.this, exp.Identifier)
    ]
    if len(edits) < sum(column.table.lower() == alias for column in select.find_all(exp.Column)):
        return []
    return [*edits, _Edit(_span([source.this.this]).end, _span([source.this]).end, "")]


class _Span(NamedTuple):
    start: int
    end: int

    def of(self, sql: str) -> str:
        return sql[self.start : self.end]


def _span(nodes: Sequence[exp.Expr]) -> _Span:
    """Characters from the first identifier under `nodes` to the last."""
    places = [identifier.meta for node in nodes for identifier in node.find_all(exp.Identifier)]
    return _Span(min(place["start"] for place in places), max(place["end"] for place in places) + 1)


def _link(join: exp.Join) -> exp.EQ | None:
    """The join's condition, where it is an inner join on one equality of two columns."""
    on = join.args.get("on")
    other_words = {word: value for word, value in join.args.items() if word not in ("this", "on") and value}
    if other_words not in ({}, {"kind": "INNER"}) or not isinstance(on, exp.EQ):
        return None
    return on if all(isinstance(side, exp.Column) and side.table for side in _sides(on)) else None


def _sides(link: exp.EQ) -> tuple[exp.Expr, exp.Expr]:
    return link.this, link.expression


def _owner(column: exp.Expr) -> str:
    assert isinstance(column, exp.Column)
    return column.table.lower()


def _owners(link: exp.EQ) -> set[str]:
    return {_owner(side) for side in _sides(link)}


def _turned(link: exp.EQ, later: str, sql: str) -> str:
    """The condition with `later`'s column behind the sign."""
    first, second = sorted(_sides(link), key=lambda side: _owner(side) == later)
    return f"{_span([first]).of(sql)} = {_span([second]).of(sql)}"
