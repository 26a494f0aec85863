"""Which table of the schema a column of a query comes from."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from t2s.errors import DataError
from t2s.sql.parse import parse_query
from t2s.sql.schema import Column, Schema, Table


def parse_with(sql: str, schema: Schema) -> exp.Expr:
    """The query's tree, with "text" as a literal where no column has that name, which is how SQLite reads it.

    Raises:
        DataError: this is not exactly one SQLite query.
    """
    tree = parse_query(sql)
    known = {column.name.lower() for table in schema.tables for column in table.columns}
    known |= {named.alias.lower() for named in tree.find_all(exp.Alias, exp.CTE)} | {"rowid", "oid", "_rowid_"}
    known |= {name.name.lower() for alias in tree.find_all(exp.TableAlias) for name in alias.columns}
    for column in list(tree.find_all(exp.Column)):
        name = column.this
        if isinstance(name, exp.Identifier) and name.quoted and not column.table and name.name.lower() not in known:
            column.replace(exp.Literal.string(name.name))
    return tree


def is_one_query(sql: str) -> bool:
    """Whether sqlglot reads it as a single query."""
    try:
        parse_query(sql)
    except DataError:
        return False
    return True


def sources(select: exp.Expr) -> list[exp.Table]:
    """The tables named in one SELECT's FROM and JOINs; subqueries are left out."""
    start = select.args.get("from_")
    joined = [join.this for join in select.args.get("joins") or ()]
    return [source for source in [start and start.this, *joined] if isinstance(source, exp.Table)]


def owner(column: exp.Column, schema: Schema) -> tuple[exp.Table, Table, Column] | None:
    """Where a column comes from: the table as the query names it, as the schema has it, and the column there.

    The nearest SELECT that knows the name decides, as in SQL. None for what stems from a subquery or a common table expression.
    """
    for select in _selects_around(column):
        for source in sources(select):
            found = _column_of(column, source, schema)
            if found is not None:
                return source, *found
    return None


def _selects_around(node: exp.Expr) -> Iterator[exp.Expr]:
    select = node.find_ancestor(exp.Select)
    while select is not None:
        yield select
        select = select.find_ancestor(exp.Select)


def _column_of(column: exp.Column, source: exp.Table, schema: Schema) -> tuple[Table, Column] | None:
    if column.table and column.table.lower() != source.alias_or_name.lower():
        return None
    table = declared(source, schema)
    found = next((c for c in table.columns if c.name.lower() == column.name.lower()), None) if table else None
    return (table, found) if table and found else None


def declared(source: exp.Table, schema: Schema) -> Table | None:
    """The table of the schema that a table of a query names."""
    return next((table for table in schema.tables if table.name.lower() == source.name.lower()), None)
