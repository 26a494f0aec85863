"""What a query asks, clause by clause, without the many ways to write it.

Two queries that differ in aliases, qualification, case and quotes of names, order of conditions and joins, sides of a comparison, BETWEEN,
IN against OR, `<>`, needless parentheses, WHERE against ON or HAVING, or a subquery in FROM instead of one query have the same clauses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from t2s.sql.names import Names, from_items, is_query, resolve, source_of

# Stands in a term's text where a nested query was.
NESTED = "SELECT ..."

_SIGNS: dict[type[exp.Expr], str] = {exp.EQ: "=", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_OPPOSITE: dict[type[exp.Expr], type[exp.Binary]] = {
    exp.EQ: exp.NEQ,
    exp.NEQ: exp.EQ,
    exp.LT: exp.GTE,
    exp.GTE: exp.LT,
    exp.GT: exp.LTE,
    exp.LTE: exp.GT,
}
_TURNED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True)
class Term:
    """One expression of a query: its tree, and the queries nested in it, each replaced there by `NESTED`."""

    tree: exp.Expr
    queries: tuple[Asked, ...]


@dataclass(frozen=True)
class Key:
    """One expression of ORDER BY."""

    term: Term
    descending: bool


@dataclass
class Clauses:
    """A SELECT, together with the subqueries of its FROM.

    Attributes:
        columns: What it shows.
        tables: Names of the tables it reads, each as often as it does.
        outer: Tables joined by an outer join, with its side: "LEFT pets".
        links: Pairs of columns that a join makes equal, sorted.
        filters: Conditions of WHERE and HAVING that must all hold.
        regrouped: Whether it aggregates over the groups of a subquery.
        unions: Set operations in FROM.
    """

    columns: list[Term]
    distinct: bool = False
    tables: list[str] = field(default_factory=list)
    outer: Counter[str] = field(default_factory=Counter)
    links: set[tuple[str, str]] = field(default_factory=set)
    filters: list[Term] = field(default_factory=list)
    group: list[Term] = field(default_factory=list)
    order: list[Key] = field(default_factory=list)
    limit: str = ""
    regrouped: bool = False
    unions: list[Asked] = field(default_factory=list)


@dataclass(frozen=True)
class Combined:
    """Two queries under a set operator; `word` is UNION, UNION ALL, INTERSECT or EXCEPT."""

    word: str
    left: Asked
    right: Asked
    order: tuple[Key, ...]
    limit: str


Asked = Clauses | Combined


def read_clauses(tree: exp.Expr, names: Names) -> Asked | None:
    """A query's clauses; the tree is used up. None for a bare VALUES.

    Args:
        tree: From `parse_query`.
        names: What is known of the tables.
    """
    resolve(tree, names)
    return _Reader(names).read(tree)


class _Reader:
    def __init__(self, names: Names) -> None:
        self._names = names
        self._inlined: set[int] = set()

    def read(self, query: exp.Expr) -> Asked | None:
        if isinstance(query, exp.Subquery):
            return self.read(query.this)
        if isinstance(query, exp.SetOperation):
            left, right = self.read(query.this), self.read(query.expression)
            if left is None or right is None:
                return None
            return Combined(_set_word(query), left, right, tuple(self._keys(query)), _limit(query))
        return self._select(query) if isinstance(query, exp.Select) else None

    def _select(self, select: exp.Select) -> Clauses:
        self._plain_counts(select)
        found = Clauses(
            columns=[self._term(column.unalias()) for column in select.expressions],
            distinct=select.args.get("distinct") is not None,
            order=list(self._keys(select)),
            limit=_limit(select),
        )
        self._read_from(select, found)
        for clause in ("where", "having"):
            if select.args.get(clause):
                self._add_conditions(select.args[clause].this, found)
        if select.args.get("group"):
            found.group += [self._term(one) for one in select.args["group"].expressions]
        return found

    def _read_from(self, select: exp.Select, found: Clauses) -> None:
        conditions = []
        for item, join in from_items(select):
            seen = list(found.tables)
            self._read_item(item, found, select.meta["aggregates"])
            if join is None:
                continue
            if join.side:
                found.outer.update(f"{join.side} {name}" for name in found.tables[len(seen) :])
            found.links |= {self._using(name.name.lower(), seen, found.tables) for name in join.args.get("using") or ()}
            conditions += [join.args["on"]] if join.args.get("on") else []
        for condition in conditions:  # when all tables are known, for a condition may stand before its table
            self._add_conditions(condition, found)

    def _read_item(self, item: exp.Expr, found: Clauses, aggregates: bool) -> None:
        source = source_of(item)
        if isinstance(source, str):
            found.tables.append(source)
        elif source is not None and id(source) in self._inlined:
            found.tables.append(item.name.lower())  # read a second time: as a table, or a chain of them would double each time
        elif source is not None:
            self._inlined.add(id(source))
            inner = self.read(source.this)
            if isinstance(inner, Clauses):
                found.regrouped |= bool(inner.group) and aggregates
                inline(inner, found)
            elif inner is not None:
                found.unions.append(inner)

    def _using(self, column: str, left: list[str], tables: list[str]) -> tuple[str, str]:
        owner = next((table for table in left if column in self._names.columns.get(table, ())), left[0] if left else "")
        return as_link(f"{owner}.{column}", f"{tables[-1] if tables else ''}.{column}")

    def _add_conditions(self, root: exp.Expr, found: Clauses) -> None:
        for condition in conjuncts(root):
            link = _joining(condition, found.tables)
            if link:
                found.links.add(link)
            else:
                found.filters.append(self._term(condition))

    def _keys(self, query: exp.Query) -> Iterator[Key]:
        order = query.args.get("order")
        for one in order.expressions if order else ():
            yield Key(self._term(one.this), bool(one.args.get("desc")))

    def _term(self, written: exp.Expr) -> Term:
        tree, queries = written.copy(), []
        for node in list(tree.walk(prune=is_query)):
            if is_query(node):
                queries.append(self.read(node))
                if node is tree:
                    tree = exp.var(NESTED)
                else:
                    node.replace(exp.var(NESTED))
        return Term(tree.transform(_plain, copy=False), tuple(query for query in queries if query is not None))

    def _plain_counts(self, select: exp.Select) -> None:
        """What is never NULL is counted like rows, unless an outer join fills it up with NULL."""
        filled = self._names.filled if not any(join and join.side for _, join in from_items(select)) else frozenset()
        for node in list(select.walk(prune=lambda node: node is not select and is_query(node))):
            counted = node.this if isinstance(node, exp.Count) else None
            if isinstance(counted, exp.Literal) or (isinstance(counted, exp.Column) and (counted.table, counted.name) in filled):
                node.set("this", exp.Star())


def conjuncts(root: exp.Expr) -> list[exp.Expr]:
    """The conditions that must all hold, NOT pushed inwards and BETWEEN taken apart."""
    found: list[exp.Expr] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.Paren):
            waiting.append(node.this)
        elif isinstance(node, exp.And):
            waiting += [node.expression, node.this]
        elif isinstance(node, exp.Not) and (opposite := _negated(node.this)) is not None:
            waiting.append(opposite)
        elif isinstance(node, exp.Between):
            found.append(exp.GTE(this=node.this, expression=node.args["low"]))
            found.append(exp.LTE(this=node.this, expression=node.args["high"]))
        elif not (isinstance(node, exp.Boolean) and node.this):  # sqlglot gives a join without a condition ON TRUE
            found.append(node)
    return found


def disjuncts(root: exp.Expr) -> list[exp.Expr]:
    """What OR connects."""
    found, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.Or):
            waiting += [node.expression, node.this]
        elif isinstance(node, exp.Paren):
            waiting.append(node.this)
        else:
            found.append(node)
    return found


def text(tree: exp.Expr) -> str:
    """One spelling for expressions that mean the same."""
    if isinstance(tree, exp.Column) and not isinstance(tree.this, exp.Star):
        return f"{tree.table}.{tree.name}" if tree.table else tree.name
    if isinstance(tree, exp.Paren):
        return text(tree.this)
    if isinstance(tree, exp.Or):
        return " OR ".join(sorted(_alternatives(disjuncts(tree))))
    if isinstance(tree, exp.And | exp.Between) or (isinstance(tree, exp.Not) and _negated(tree.this) is not None):
        return " AND ".join(sorted(text(one) for one in conjuncts(tree)))
    if isinstance(tree, exp.Binary) and type(tree) in _SIGNS:
        return _comparison(text(tree.left), _SIGNS[type(tree)], text(tree.right), isinstance(tree.left, exp.Literal))
    if isinstance(tree, exp.In) and tree.expressions:
        return " OR ".join(_alternatives([tree]))
    if isinstance(tree, exp.Not) and isinstance(tree.this, exp.In | exp.Is):
        return _denied(tree.this)
    return tree.sql("sqlite", comments=False)


def _denied(test: exp.In | exp.Is) -> str:
    left = text(test.this)
    if isinstance(test, exp.Is):
        return f"{left} IS NOT {text(test.expression)}"
    sign, _, rest = text(test).removeprefix(f"{left} ").partition(" ")
    return f"{left} != {rest}" if sign == "=" else f"{left} NOT {sign} {rest}"


def _alternatives(parts: Iterable[exp.Expr]) -> Iterator[str]:
    """The parts of an OR as text; `a = 1 OR a = 2` as `a IN (1, 2)`."""
    values: dict[str, set[str]] = {}
    for part in parts:
        if isinstance(part, exp.EQ) and (isinstance(part.left, exp.Literal) or isinstance(part.right, exp.Literal)):
            column, value = (part.left, part.right) if isinstance(part.right, exp.Literal) else (part.right, part.left)
            values.setdefault(text(column), set()).add(text(value))
        elif isinstance(part, exp.In) and part.expressions:
            values.setdefault(text(part.this), set()).update(map(text, part.expressions))
        else:
            several = isinstance(part, exp.And | exp.Between)
            yield f"({text(part)})" if several else text(part)
    for left, right in values.items():
        yield f"{left} = {min(right)}" if len(right) == 1 else f"{left} IN ({', '.join(sorted(right))})"


def _comparison(left: str, sign: str, right: str, literal_first: bool) -> str:
    turned = f"{right} {_TURNED[sign]} {left}"
    if literal_first:
        return turned
    both_open = right[:1] not in "'-0123456789?" and NESTED not in right
    return turned if both_open and right < left else f"{left} {sign} {right}"


def _negated(node: exp.Expr) -> exp.Expr | None:
    """What NOT makes of a condition, where that can be said without NOT."""
    if isinstance(node, exp.Paren):
        return _negated(node.this)
    if isinstance(node, exp.Not):
        inner: exp.Expr = node.this
        return inner
    if isinstance(node, exp.And | exp.Or):
        other = exp.Or if isinstance(node, exp.And) else exp.And
        return other(this=exp.Not(this=node.this), expression=exp.Not(this=node.expression))
    if isinstance(node, exp.Between):
        outside = exp.LT(this=node.this, expression=node.args["low"]), exp.GT(this=node.this, expression=node.args["high"])
        return exp.Or(this=outside[0], expression=outside[1])
    if isinstance(node, exp.Like):
        return exp.Like(this=node.this, expression=node.expression, negate=not node.args.get("negate"))
    opposite = _OPPOSITE.get(type(node))
    return opposite(this=node.this, expression=node.expression) if opposite and isinstance(node, exp.Binary) else None


def inline(inner: Clauses, outer: Clauses) -> None:
    """Make a subquery a part of the query around it; only what it shows goes."""
    outer.tables += inner.tables
    outer.outer += inner.outer
    outer.links |= inner.links
    outer.filters += inner.filters
    outer.group += inner.group
    outer.unions += inner.unions
    outer.distinct |= inner.distinct
    outer.regrouped |= inner.regrouped
    if inner.limit and not outer.limit:
        outer.order, outer.limit = outer.order or inner.order, inner.limit


def _joining(condition: exp.Expr, tables: list[str]) -> tuple[str, str] | None:
    """The columns an equality joins two tables on, or a table with itself."""
    if not isinstance(condition, exp.EQ):
        return None
    left, right = condition.left, condition.right
    if not (isinstance(left, exp.Column) and isinstance(right, exp.Column) and left.table in tables and right.table in tables):
        return None
    joins = left.table != right.table or tables.count(left.table) > 1
    return as_link(f"{left.table}.{left.name}", f"{right.table}.{right.name}") if joins else None


def as_link(one: str, other: str) -> tuple[str, str]:
    """Two columns made equal, in one order."""
    return (one, other) if one <= other else (other, one)


def _plain(node: exp.Expr) -> exp.Expr:
    """Literals of equal value made equal, needless parentheses gone."""
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        return exp.Literal.number(f"-{_number(node.this.name)}")
    if isinstance(node, exp.Literal):
        return exp.Literal.number(_number(node.name)) if not node.is_string or _is_plain_integer(node.name) else node
    return node.this if isinstance(node, exp.Paren) and not isinstance(node.this, exp.Binary) else node


def _set_word(query: exp.SetOperation) -> str:
    everything = isinstance(query, exp.Union) and not query.args.get("distinct")
    return type(query).__name__.upper() + (" ALL" if everything else "")


def _limit(query: exp.Query) -> str:
    """LIMIT and OFFSET as text, empty without."""
    words = [(name, clause.expression.sql("sqlite")) for name in ("limit", "offset") if (clause := query.args.get(name)) is not None]
    return " ".join(f"{name.upper()} {value}" for name, value in words if (name, value) != ("offset", "0"))


def _number(written: str) -> str:
    """2.0 and 2 are one number; what is too large for a float stays as it is written."""
    try:
        value = float(written)
    except ValueError:
        return written  # 0x1F
    return str(int(value)) if abs(value) < 1e15 and value.is_integer() else written


def _is_plain_integer(written: str) -> bool:
    # A column of numbers compares '3' as it does 3; '007' is no such number.
    return written.isascii() and written.isdigit() and len(written) < 16 and str(int(written)) == written
