"""What the names in a query stand for: aliases, unqualified columns, stars, positions and common tables taken back to the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlglot import exp

from t2s.sql.schema import Schema

# Where a column comes from: a table by its name in lower case, or a query in FROM or WITH.
Source = str | exp.Subquery | exp.CTE

# An expression behind a name takes the name's place up to this size; a chain of queries could double it each time.
_MOST_NODES = 30


@dataclass(frozen=True)
class Names:
    """What is known of the tables, in lower case.

    Attributes:
        columns: The columns of each table.
        complete: Whether these are all there are, as read from a schema.
        filled: (table, column) where NULL cannot be.
        keys: The one column that is a table's primary key.
    """

    columns: Mapping[str, Sequence[str]]
    complete: bool
    filled: frozenset[tuple[str, str]] = frozenset()
    keys: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, schema: Schema) -> Names:
        """All that a schema tells."""
        pairs = [(table.name.lower(), column) for table in schema.tables for column in table.columns]
        parts = {(table, column.name.lower()) for table, column in pairs if column.primary_key}
        sizes = Counter(table for table, _ in parts)
        return cls(
            columns={table.name.lower(): [column.name.lower() for column in table.columns] for table in schema.tables},
            complete=True,
            filled=frozenset((table, column.name.lower()) for table, column in pairs if not column.nullable),
            keys=frozenset(part for part in parts if sizes[part[0]] == 1),
        )

    @classmethod
    def used_in(cls, trees: Iterable[exp.Expr]) -> Names:
        """What queries themselves tell: a column with its table, or beside no other table."""
        columns: dict[str, list[str]] = {}
        for select in (select for tree in trees for select in tree.find_all(exp.Select)):
            known = sources(select)
            for column in own_columns(select):
                source = known.get(column.table.lower()) if column.table else _only(known)
                if isinstance(source, str) and not _is_compared_text(column):
                    columns.setdefault(source, []).append(column.name.lower())
        return cls(columns, complete=False)


def resolve(tree: exp.Expr, names: Names) -> None:
    """Replace, in place, each column by `table.column` in lower case, or by the expression it stands for.

    A star becomes its columns, a position its column, and a double-quoted word that names nothing the text SQLite takes it for. Each SELECT
    keeps in `meta["aggregates"]` whether aggregates are written in its columns.
    """
    resolver = _Resolver(names)
    done: set[int] = set()
    # A common table before those that read it; inner queries before outer ones.
    for root in (*tree.find_all(exp.CTE), tree):
        for select in reversed(list(root.find_all(exp.Select))):
            if id(select) not in done:
                done.add(id(select))
                resolver.resolve(select)
    for union in tree.find_all(exp.SetOperation):
        _resolve_order(union)


def from_items(select: exp.Select) -> list[tuple[exp.Expr, exp.Join | None]]:
    """What a SELECT reads, in written order and out of parentheses, with the join that brings it in."""
    start = select.args.get("from_")
    waiting = [*([(start.this, None)] if start else []), *_joined(select)][::-1]
    items: list[tuple[exp.Expr, exp.Join | None]] = []
    while waiting:
        item, join = waiting.pop()
        waiting += _joined(item)[::-1]
        if isinstance(item, exp.Subquery) and isinstance(item.this, exp.Table | exp.Subquery):
            waiting.append((item.this, join))
        else:
            items.append((item, join))
    return items


def sources(select: exp.Select) -> dict[str, Source]:
    """What a SELECT reads, by the name it has there."""
    found: dict[str, Source] = {}
    for item, _ in from_items(select):
        name = item.alias_or_name.lower() or f"#{len(found)}"
        source = source_of(item)
        if source is not None:
            found[name] = source
    return found


def source_of(item: exp.Expr) -> Source | None:
    """The table or query that one item of FROM stands for."""
    if isinstance(item, exp.Subquery):
        return item
    return (_common_table(item) or item.name.lower()) if isinstance(item, exp.Table) else None


def first_select(query: exp.Expr | None) -> exp.Select | None:
    """The SELECT that names a query's columns."""
    while isinstance(query, exp.SetOperation | exp.Subquery | exp.CTE):
        query = query.this
    return query if isinstance(query, exp.Select) else None


def is_query(node: exp.Expr) -> bool:
    """Whether a node is a query itself, not the parentheses around one."""
    return isinstance(node, exp.Query) and not isinstance(node, exp.Subquery)


def own_columns(select: exp.Select) -> list[exp.Column]:
    """The columns a SELECT names itself, not those in its nested queries."""
    return [node for node in select.walk(prune=lambda node: node is not select and is_query(node)) if isinstance(node, exp.Column)]


class _Resolver:
    def __init__(self, names: Names) -> None:
        self._names = names
        self._known: dict[int, dict[str, Source]] = {}

    def resolve(self, select: exp.Select) -> None:
        # Asked before a name may bring an aggregate in from a subquery.
        select.meta["aggregates"] = any(
            isinstance(node, exp.AggFunc) for column in select.expressions for node in column.walk(prune=is_query)
        )
        select.set("expressions", [column for written in select.expressions for column in self._columns(select, written)])
        for column in own_columns(select):
            if not isinstance(column.this, exp.Star):
                _replace(column, self._meaning(column, select))
        _resolve_positions(select, select.expressions)

    def _sources(self, select: exp.Select) -> dict[str, Source]:
        if id(select) not in self._known:
            self._known[id(select)] = sources(select)
        return self._known[id(select)]

    def _columns(self, select: exp.Select, written: exp.Expr) -> Iterator[exp.Expr]:
        """A star's columns, where all are known; else what is written."""
        known = self._sources(select)
        starred = list(known.values()) if isinstance(written, exp.Star) else []
        if isinstance(written, exp.Column) and isinstance(written.this, exp.Star):
            starred = [known[written.table.lower()]] if written.table.lower() in known else []
        lists = [self._all_columns(source) for source in starred]
        if not lists or not all(lists):
            yield written
            return
        yield from (column for columns in lists for column in columns)

    def _all_columns(self, source: Source) -> list[exp.Expr]:
        if not isinstance(source, str):
            return [exp.alias_(_small(column, name), name, quoted=True) for name, column in _outputs(source).items()]
        return [_column(source, name) for name in self._names.columns.get(source, ())] if self._names.complete else []

    def _meaning(self, column: exp.Column, select: exp.Select) -> exp.Expr:
        # ORDER BY looks at the names of the result first; the other clauses look there last.
        aliases = {one.alias.lower(): one.this for one in select.expressions if isinstance(one, exp.Alias)}
        alias = None if column.table else aliases.get(column.name.lower())
        if alias is not None and _clause(column, select) == "order":
            return _small(alias, column.name)
        scope: exp.Select | None = select
        while scope is not None:
            found = self._within(column, scope)
            if found is not None:
                return found
            scope = scope.parent_select
        if alias is not None and _clause(column, select) != "expressions":
            return _small(alias, column.name)
        return exp.Literal.string(column.name) if self._is_text(column) else _column(column.table.lower(), column.name.lower())

    def _within(self, column: exp.Column, select: exp.Select) -> exp.Expr | None:
        known, name = self._sources(select), column.name.lower()
        if column.table:
            source = known.get(column.table.lower())
            return None if source is None else self._of(source, name)
        for source in known.values():
            if name in (self._names.columns.get(source, ()) if isinstance(source, str) else _outputs(source)):
                return self._of(source, name)
        # What nothing is known of may have any column.
        only = _only(known)
        unknown = isinstance(only, str) and not (self._names.complete and only in self._names.columns)
        return self._of(only, name) if unknown and isinstance(only, str) and not self._is_text(column) else None

    def _of(self, source: Source, name: str) -> exp.Expr:
        if isinstance(source, str):
            return _column(source, name)
        found = _outputs(source).get(name)
        return _column("", name) if found is None else _small(found, name)

    def _is_text(self, column: exp.Column) -> bool:
        """Whether SQLite takes a name that stands for nothing for text."""
        quoted = not column.table and bool(column.this.args.get("quoted"))
        return quoted if self._names.complete else _is_compared_text(column)


def _is_compared_text(column: exp.Column) -> bool:
    """Whether a quoted word looks like text where nothing tells: something is compared with it."""
    compared = isinstance(column.parent, exp.Predicate) and column.arg_key != "this"
    return compared and not column.table and bool(column.this.args.get("quoted"))


def _joined(item: exp.Expr) -> list[tuple[exp.Expr, exp.Join | None]]:
    return [(join.this, join) for join in item.args.get("joins") or ()]


def _only(known: Mapping[str, Source]) -> Source | None:
    return next(iter(known.values())) if len(known) == 1 else None


def _common_table(table: exp.Table) -> exp.CTE | None:
    """The WITH entry a table's name means; inside its own definition it means a table."""
    if table.db:
        return None
    node: exp.Expr | None = table
    around = set()
    while node is not None:
        around.add(id(node))
        for common in node.args["with_"].expressions if node.args.get("with_") else ():
            if common.alias.lower() == table.name.lower() and id(common) not in around:
                return common if isinstance(common, exp.CTE) else None
        node = node.parent
    return None


def _outputs(source: exp.Subquery | exp.CTE) -> dict[str, exp.Expr]:
    """The columns a query gives, by their names there."""
    select = first_select(source)
    columns = select.expressions if select else []
    alias = source.args.get("alias")
    given = [column.name.lower() for column in alias.columns] if isinstance(alias, exp.TableAlias) else []
    named = given if len(given) == len(columns) else [column.alias_or_name.lower() for column in columns]
    return {name: column.unalias() for name, column in zip(named, columns, strict=True) if name and name != "*"}


def _small(found: exp.Expr, name: str) -> exp.Expr:
    """What a name stands for; the name, where that is too long or a query of its own."""
    nodes = list(islice(found.walk(), _MOST_NODES + 1))
    if len(nodes) > _MOST_NODES or any(map(is_query, nodes)):
        return _column("", name.lower())
    return found.copy()


def _column(table: str, name: str) -> exp.Column:
    return exp.Column(this=exp.to_identifier(name), table=exp.to_identifier(table) if table else None)


def _replace(column: exp.Column, meaning: exp.Expr) -> None:
    if column.arg_key == "expressions" and isinstance(column.parent, exp.Select) and meaning.alias_or_name != column.name.lower():
        meaning = exp.Alias(this=meaning, alias=exp.to_identifier(column.name.lower()))  # queries around this one know it by that name
    column.replace(meaning)


def _clause(node: exp.Expr, select: exp.Select) -> str:
    while node.parent is not None and node.parent is not select:
        node = node.parent
    return node.arg_key or ""


def _resolve_positions(query: exp.Query, columns: Sequence[exp.Expr]) -> None:
    """ORDER BY 2 and GROUP BY 2 mean the second column."""
    for clause in (query.args.get("order"), query.args.get("group")):
        for written in clause.expressions if clause else ():
            place = written.this if isinstance(written, exp.Ordered) else written
            if isinstance(place, exp.Literal) and place.is_int and 1 <= int(place.name) <= len(columns):
                place.replace(_small(columns[int(place.name) - 1].unalias(), place.name))


def _resolve_order(union: exp.SetOperation) -> None:
    """ORDER BY behind a set operator knows the columns of the first SELECT."""
    select, order = first_select(union), union.args.get("order")
    if select is None or order is None:
        return
    named = {column.alias_or_name.lower(): column.unalias() for column in select.expressions}
    for column in list(order.find_all(exp.Column)):
        if column.name.lower() in named:
            column.replace(_small(named[column.name.lower()], column.name))
    _resolve_positions(union, select.expressions)
