"""Columns that a query neither groups by nor aggregates: SQLite takes any value of the group, others want to be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from t2s.sql.schema import Schema

# These have ANY_VALUE. Postgres has it from version 16 on, so there it is the least value.
_ANY_VALUE = frozenset({"duckdb", "snowflake", "bigquery", "databricks", "trino", "clickhouse"})
_LEAST_VALUE = frozenset({"postgres"})
# These also have a value of the row with the least or the greatest of another column.
_ARG_MIN = frozenset({"duckdb", "snowflake", "databricks", "trino", "clickhouse"})


def pick_values(tree: exp.Expr, dialect: str, schema: Schema | None) -> None:
    """Make the choice that SQLite leaves unsaid, in place.

    - A column of a table whose primary key is grouped by has one value in a group. Postgres knows that by itself.
    - With one MIN or MAX, SQLite takes the value of the row that has it.
    - Else any value will do. Without a schema Postgres may know better than we do, and the query stays as it is.
    """
    if dialect not in _ANY_VALUE | _LEAST_VALUE or (dialect in _LEAST_VALUE and schema is None):
        return
    for select in list(tree.find_all(exp.Select)):
        group = select.args.get("group")
        if group is not None and group.expressions:
            _pick(_Grouped.of(select, group.expressions, schema), dialect)


def _pick(grouped: _Grouped, dialect: str) -> None:
    least = _least_of(grouped.select)
    for part in grouped.parts():
        for column in list(part.find_all(exp.Column)):
            if not grouped.is_bare(column):
                continue
            settled = grouped.is_settled(column)
            if dialect in _ANY_VALUE and (settled or least is None or dialect not in _ARG_MIN):
                _replace(column, part, exp.AnyValue(this=column.copy()))
            elif dialect in _ARG_MIN and least is not None:
                kind = exp.ArgMin if isinstance(least, exp.Min) else exp.ArgMax
                _replace(column, part, kind(this=column.copy(), expression=least.this.copy()))
            elif not settled:
                _replace(column, part, exp.Min(this=column.copy()) if least is None else _first_by(column, least))


@dataclass(frozen=True)
class _Grouped:
    """A query and what it groups by: terms as text, names of columns, aliases whose primary key is among them."""

    select: exp.Select
    terms: frozenset[str]
    names: frozenset[str]
    aliases: frozenset[str]
    settled: frozenset[str]

    @classmethod
    def of(cls, select: exp.Select, group: list[exp.Expr], schema: Schema | None) -> _Grouped:
        places = [select.selects[int(term.name) - 1].unalias() for term in group if _is_place(term, select)]
        columns = [term for term in (*group, *places) if isinstance(term, exp.Column)]
        return cls(
            select=select,
            terms=frozenset(term.sql() for term in (*group, *places)),
            names=frozenset(column.name.lower() for column in columns),
            aliases=frozenset(projection.alias.lower() for projection in select.selects if projection.alias),
            settled=frozenset(_settled(select, columns, schema)),
        )

    def parts(self) -> list[exp.Expr]:
        """Where a bare column may stand."""
        order, having = self.select.args.get("order"), self.select.args.get("having")
        return [*self.select.selects, *(order.expressions if order else []), *([having.this] if having else [])]

    def is_bare(self, column: exp.Expr) -> bool:
        """Whether the column is neither grouped by nor aggregated."""
        if column.find_ancestor(exp.Select) is not self.select or isinstance(column.this, exp.Star):
            return False
        if not column.args.get("table") and column.name.lower() in self.aliases | self.names:
            return False
        node: exp.Expr | None = column
        while node is not None and node is not self.select:
            aggregated = isinstance(node, exp.AggFunc) and not isinstance(node.parent, exp.Window)
            if aggregated or node.sql() in self.terms or (isinstance(node, exp.Anonymous) and node.name.upper() == "TOTAL"):
                return False
            node = node.parent
        return True

    def is_settled(self, column: exp.Expr) -> bool:
        """Whether a group has one value of the column, since its table's primary key is grouped by."""
        table = column.text("table").lower()
        return table in self.settled if table else len(_sources(self.select)) == 1 and bool(self.settled)


def _settled(select: exp.Select, grouped: list[exp.Column], schema: Schema | None) -> Iterator[str]:
    sources = _sources(select)
    tables = {table.name.lower(): table for table in schema.tables} if schema else {}
    for alias, name in sources.items():
        key = {column.name.lower() for column in tables[name].columns if column.primary_key} if name in tables else set()
        named = {
            column.name.lower() for column in grouped if column.text("table").lower() == alias or (len(sources) == 1 and not column.table)
        }
        if key and key <= named:
            yield alias


def _sources(select: exp.Select) -> dict[str, str]:
    """Tables a query reads, by alias."""
    start = select.args.get("from_") or select.args.get("from")
    sources = [start.this if start else None, *(join.this for join in select.args.get("joins") or ())]
    return {source.alias_or_name.lower(): source.name.lower() for source in sources if isinstance(source, exp.Table)}


def _first_by(column: exp.Expr, least: exp.Expr) -> exp.Expr:
    """`(ARRAY_AGG(name ORDER BY mass))[1]`."""
    order = exp.Ordered(this=least.this.copy(), desc=isinstance(least, exp.Max), nulls_first=False)
    array = exp.ArrayAgg(this=exp.Order(this=column.copy(), expressions=[order]))
    return exp.Bracket(this=exp.paren(array, copy=False), expressions=[exp.Literal.number(1)], offset=1)


def _replace(column: exp.Expr, part: exp.Expr, value: exp.Expr) -> None:
    # A column that is selected by itself keeps its name.
    alone = column is part and part.arg_key == "expressions" and isinstance(part.parent, exp.Select)
    column.replace(exp.alias_(value, column.name) if alone else value)


def _least_of(select: exp.Expr) -> exp.Expr | None:
    """The only MIN or MAX of a query."""
    found = [f for f in select.find_all(exp.Min, exp.Max) if f.find_ancestor(exp.Select) is select and not f.expressions]
    return found[0] if found and all(f == found[0] for f in found) else None


def _is_place(node: exp.Expr, select: exp.Select) -> bool:
    return isinstance(node, exp.Literal) and node.is_int and 0 < int(node.name) <= len(select.selects)
