"""What queries ask of the data: the constants they compare with, the columns they join, the sizes of groups they count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from t2s.sql.execute import Value
from t2s.sql.origin import declared, owner, parse_with
from t2s.sql.schema import Column, Schema, Table

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Like, exp.Glob)


@dataclass(frozen=True)
class Asked:
    """One comparison with constants.

    Attributes:
        columns: The columns of one table on its other side.
        constants: What they are compared with; None for NULL.
        neutral: Where the columns are multiplied or added: what leaves the other one as it is, 1 or 0.
    """

    columns: tuple[str, ...]
    constants: tuple[Value, ...]
    neutral: int | None = None


@dataclass(frozen=True)
class Need:
    """What one query asks of one table's rows.

    Attributes:
        query: Which query, counted from 0.
        table: The table's name.
        asked: Its comparisons with constants.
        group_sizes: Numbers that the query compares a count with.
    """

    query: int
    table: str
    asked: tuple[Asked, ...] = ()
    group_sizes: tuple[int, ...] = ()

    def constants(self, column: str) -> tuple[Value, ...]:
        """What a column is compared with by itself."""
        return tuple(constant for asked in self.asked if asked.columns == (column,) for constant in asked.constants)


@dataclass(frozen=True)
class Link:
    """Two columns that a query sets equal."""

    table: str
    column: str
    other_table: str
    other_column: str


@dataclass(frozen=True)
class Hints:
    """What a list of queries asks of a database.

    Attributes:
        needs: One for each time that a query names a table.
        links: Columns set equal, whether or not a foreign key says so.
        group_sizes: Numbers that a count is compared with.
    """

    needs: tuple[Need, ...] = ()
    links: tuple[Link, ...] = ()
    group_sizes: tuple[int, ...] = ()


def read_hints(queries: Sequence[str], schema: Schema) -> Hints:
    """What the queries ask of the data.

    Raises:
        DataError: one of them is no SQLite query.
    """
    trees = [parse_with(sql, schema) for sql in queries]
    needs = tuple(need for index, tree in enumerate(trees) for need in _needs(index, tree, schema))
    links = dict.fromkeys(link for tree in trees for link in _links(tree, schema))
    sizes = {size for tree in trees for size in _group_sizes(tree)}
    return Hints(needs, tuple(links), tuple(sorted(sizes)))


def _needs(index: int, tree: exp.Expr, schema: Schema) -> Iterator[Need]:
    asked: dict[int, tuple[Asked, ...]] = {}
    for condition in tree.find_all(*_COMPARISONS, exp.Between, exp.In):
        if not condition.find(exp.Count):
            for source, comparison in _asked(condition, schema):
                asked[source] = (*asked.get(source, ()), comparison)
    sizes = tuple(sorted(set(_group_sizes(tree))))
    for named in tree.find_all(exp.Table):
        table = declared(named, schema)
        if table is not None:
            yield Need(index, table.name, asked.get(id(named), ()), sizes)


def _asked(condition: exp.Expr, schema: Schema) -> Iterator[tuple[int, Asked]]:
    """What a comparison asks, by the table as the query names it; of several tables the first gets the constants."""
    constants = tuple(_constants(condition))
    columns: dict[int, dict[str, None]] = {}
    for source, _, column in _owners(condition, schema) if constants else ():
        columns.setdefault(id(source), {})[column.name] = None
    neutral = 1 if condition.find(exp.Mul, exp.Div) else 0 if condition.find(exp.Add, exp.Sub) else None
    for place, (named, names) in enumerate(columns.items()):
        yield named, Asked(tuple(names), (neutral,) if place and neutral is not None else constants, neutral)


def _owners(condition: exp.Expr, schema: Schema) -> Iterator[tuple[exp.Table, Table, Column]]:
    found = (owner(column, schema) for column in condition.find_all(exp.Column))
    return (place for place in found if place is not None)


def _constants(condition: exp.Expr) -> Iterator[Value]:
    """Constants that stand right at the comparison; those inside a function call are no values of the column."""
    sides = [condition.args.get(name) for name in ("this", "expression", "low", "high")]
    for side in [*sides, *condition.expressions]:
        if isinstance(side, exp.Null):
            yield None
        elif side is not None and is_constant(side):
            yield constant(side)


def is_constant(node: exp.Expr) -> bool:
    """Whether this is a literal text or number, perhaps with a minus."""
    return isinstance(node, exp.Literal) or (isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string)


def constant(node: exp.Expr) -> int | float | str:
    """The value of what `is_constant` accepts; a number that is none to Python stays text."""
    if isinstance(node, exp.Neg):
        value = constant(node.this)
        return value if isinstance(value, str) else -value
    text: str = node.this
    if not node.is_string:
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _links(tree: exp.Expr, schema: Schema) -> Iterator[Link]:
    for left, right in _equal_columns(tree):
        first, second = owner(left, schema), owner(right, schema)
        if first and second and first[1].name != second[1].name:
            yield Link(first[1].name, first[2].name, second[1].name, second[2].name)


def _equal_columns(tree: exp.Expr) -> Iterator[tuple[exp.Column, exp.Column]]:
    for equal in tree.find_all(exp.EQ):
        if isinstance(equal.this, exp.Column) and isinstance(equal.expression, exp.Column):
            yield equal.this, equal.expression
    for member in tree.find_all(exp.In):
        query = member.args.get("query")
        inner = query.this if isinstance(query, exp.Subquery) else query
        first = inner.expressions[0] if isinstance(inner, exp.Select) and inner.expressions else None
        if isinstance(member.this, exp.Column) and isinstance(first, exp.Column):
            yield member.this, first


def _group_sizes(tree: exp.Expr) -> Iterator[int]:
    conditions: Iterable[exp.Expr] = tree.find_all(*_COMPARISONS, exp.Between)
    for condition in conditions:
        if condition.find(exp.Count):
            yield from (value for value in _constants(condition) if isinstance(value, int) and value > 0)
