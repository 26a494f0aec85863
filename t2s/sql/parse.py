"""Queries taken apart: what they have in common, what they use, and where they hide in a model's answer."""

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from t2s.errors import DataError
from t2s.sql.lexer import code_tokens, first_statement

_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_LABEL = re.compile(r"\s*(?:sqlite|sql)(?:\s+query)?\s*:", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_DATE_FUNCTIONS = frozenset({"date", "time", "datetime", "julianday", "strftime", "unixepoch", "timediff"})
_DATE_WORDS = frozenset({"current_date", "current_time", "current_timestamp"})


def skeleton(sql: str) -> str:
    """The query with its literals masked, so that queries of one shape look the same.

    Names stay, in lower case; every string, number and blob becomes `?`; a list behind IN becomes one `?` whatever
    its length; white space, the case of keywords, needless quotes and comments go.

    Raises:
        DataError: this is not exactly one SQLite query.

    Example:
        "select name from T where id in (1, 2) limit 3" -> "SELECT name FROM t WHERE id IN (?) LIMIT ?"
    """
    return _described(sql)[0]


def skeleton_of(tree: exp.Expr) -> str:
    """`skeleton` of a query that is parsed already; the tree stays as it is."""
    return tree.transform(_masked).sql("sqlite", comments=False, copy=False)


def tags(sql: str) -> tuple[str, ...]:
    """What the query is made of, sorted; `("simple",)` when it is nothing but a list of columns.

    Raises:
        DataError: this is not exactly one SQLite query.
    """
    return _described(sql)[1]


@lru_cache(maxsize=65_536)
def _described(sql: str) -> tuple[str, tuple[str, ...]]:
    """Skeleton and tags from one parse, which takes a millisecond: readers, the data report and leakage all ask for them."""
    tree = parse_query(sql)
    found = {tag for tag, holds in _TAGS if holds(tree)}
    if _uses_dates(sql):
        found.add("date")
    return skeleton_of(tree), tuple(sorted(found or {"simple"}))


def tables(sql: str) -> frozenset[str]:
    """Names of the tables and views a query reads, in lower case; common table expressions are none.

    Raises:
        DataError: this is not exactly one SQLite query.
    """
    return frozenset(
        table.name.lower()
        for table in parse_query(sql).find_all(exp.Table)
        if isinstance(table.this, exp.Identifier) and (table.db or not _is_common_table(table))
    )


def split_answer(text: str) -> str:
    """The SQL in a model's raw answer.

    An answer that begins with a query, perhaps behind `SQL:`, is that query. Otherwise the first code fence holds it, if
    there is one. It ends at the first `;` outside quotes and comments, which goes too. What is left may be no SQL at all.

    Example:
        "SQL: SELECT ';';\\nThis counts ..." -> "SELECT ';'"
    """
    return first_statement(_answer(text)[0])[0]


def answer_is_complete(text: str) -> bool:
    """Whether `split_answer` would give the same however the answer went on: a `;` has ended its query."""
    answer, settled = _answer(text)
    return settled and any(token.text == ";" for token in code_tokens(answer))


def _answer(text: str) -> tuple[str, bool]:
    """The part of an answer that holds the SQL, and whether that is so whatever follows."""
    label = _LABEL.match(text)
    unlabelled = text[label.end() :] if label else text
    first = next(code_tokens(unlabelled), None)
    if first is not None and first.text.upper() in ("SELECT", "WITH", "VALUES"):
        return unlabelled, True
    fence = _FENCE.search(text)
    if fence is None:
        return unlabelled, False
    inside = fence.group(1)
    label = _LABEL.match(inside)
    return inside[label.end() :] if label else inside, True


def parse_query(sql: str) -> exp.Expr:
    """The query's syntax tree.

    Raises:
        DataError: this is not exactly one SQLite query.
    """
    try:
        statements = [statement for statement in sqlglot.parse(sql, read="sqlite") if statement is not None]
    except (SqlglotError, RecursionError) as error:
        # The lines after the first show the SQL with terminal colours.
        reason = str(error).partition("\n")[0]
        raise DataError(f"cannot parse {sql!r}: {reason}; correct the SQL") from error
    if len(statements) != 1 or not is_query(statements[0]):
        raise DataError(f"not a single query: {sql!r}; give one SELECT")
    return statements[0]


def is_query(tree: exp.Expr) -> bool:
    """Whether the tree is a whole query."""
    # sqlglot takes a bare SELECT; SQLite does not.
    complete = all(select.expressions for select in tree.find_all(exp.Select))
    return isinstance(tree, exp.Query | exp.Values) and complete


def _masked(node: exp.Expr) -> exp.Expr:
    if _is_literal(node):
        return exp.Placeholder()
    if isinstance(node, exp.In) and node.expressions and all(map(_is_constant, node.expressions)):
        node.set("expressions", [exp.Placeholder()])
    if isinstance(node, exp.Identifier):
        name = node.name.lower()
        return exp.Identifier(this=name, quoted=node.quoted and not _PLAIN_NAME.fullmatch(name))
    return node


def _is_literal(node: exp.Expr) -> bool:
    negative = isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal)
    return negative or isinstance(node, exp.Literal | exp.HexString)


def _is_constant(node: exp.Expr) -> bool:
    return _is_literal(node) or (isinstance(node, exp.Tuple) and all(map(_is_literal, node.expressions)))


def _is_common_table(table: exp.Table) -> bool:
    """Whether a WITH around the table names it; in SQLite all of a WITH's names hold everywhere under it."""
    node: exp.Expr | None = table
    while node is not None:
        clause = node.args.get("with_") or node.args.get("with")
        if clause is not None and any(common.alias.lower() == table.name.lower() for common in clause.expressions):
            return True
        node = node.parent
    return False


def _sources(select: exp.Select) -> list[str]:
    """The tables one SELECT joins, subqueries as ""."""
    start = select.args.get("from_") or select.args.get("from")
    joined = [join.this for join in select.args.get("joins") or ()]
    return [source.name.lower() if isinstance(source, exp.Table) else "" for source in [start and start.this, *joined]]


def _most_sources(tree: exp.Expr) -> int:
    return max((len(_sources(select)) for select in tree.find_all(exp.Select)), default=0)


def _joins_itself(tree: exp.Expr) -> bool:
    counts = (Counter(_sources(select)) for select in tree.find_all(exp.Select))
    return any(times > 1 for count in counts for name, times in count.items() if name)


def _orders(tree: exp.Expr) -> bool:
    return any(isinstance(order.parent, exp.Query) for order in tree.find_all(exp.Order))


def _nests(tree: exp.Expr) -> bool:
    flat = (exp.CTE, exp.SetOperation)
    return any(query is not tree and not isinstance(query.parent, flat) for query in tree.find_all(exp.Query))


def _aggregates(tree: exp.Expr) -> bool:
    calls = [*tree.find_all(exp.AggFunc), *(f for f in tree.find_all(exp.Anonymous) if f.name.lower() == "total")]
    return any(not isinstance(_without_filter(call).parent, exp.Window) for call in calls)


def _without_filter(call: exp.Expr) -> exp.Expr:
    return call.parent if isinstance(call.parent, exp.Filter) else call


def _tests_null(tree: exp.Expr) -> bool:
    compared = any(isinstance(test.expression, exp.Null) for test in tree.find_all(exp.Is))
    return compared or _has(exp.Coalesce, exp.Nullif)(tree)


def _has(*kinds: type[exp.Expr]) -> Callable[[exp.Expr], bool]:
    return lambda tree: tree.find(*kinds) is not None


def _uses_dates(sql: str) -> bool:
    """By word, not by tree: sqlglot gives SQLite's date functions a dozen different classes."""
    code = [token.text.lower() for token in code_tokens(sql) if token.kind != "quoted"]
    called = pairwise(code)
    return any(word in _DATE_FUNCTIONS and then == "(" for word, then in called) or not _DATE_WORDS.isdisjoint(code)


_TAGS: tuple[tuple[str, Callable[[exp.Expr], bool]], ...] = (
    ("join", lambda tree: _most_sources(tree) >= 2),
    ("multi_join", lambda tree: _most_sources(tree) >= 3),
    ("self_join", _joins_itself),
    ("filter", _has(exp.Where)),
    ("group", _has(exp.Group)),
    ("having", _has(exp.Having)),
    ("order", _orders),
    ("limit", _has(exp.Limit)),
    ("distinct", _has(exp.Distinct)),
    ("subquery", _nests),
    ("set", _has(exp.SetOperation)),
    ("cte", _has(exp.CTE)),
    ("window", _has(exp.Window)),
    ("case", _has(exp.Case, exp.If)),
    ("null", _tests_null),
    ("aggregate", _aggregates),
    ("like", _has(exp.Like, exp.Glob)),
)
