"""SQL from the syntax tree: whole queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch

from t2s.data.prompt import quote_name
from t2s.data.synthesis import needs, tree
from t2s.data.synthesis.facts import Facts
from t2s.data.synthesis.render import Writer, as_name
from t2s.data.synthesis.scope import Aliases, Reading, Scope
from t2s.sql.naming import words


class QueryWriter:
    """Writes queries on one database.

    Args:
        facts: What its tables hold.
    """

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.aliases = Aliases(facts)
        self._ties = False
        self._tables = {table.name.lower() for table in facts.tables}

    def sql(self, query: needs.Query) -> str:
        """The query, in the house style but for the order of joins, which `t2s.sql.canonical` knows."""
        return query_sql(query, self)

    def tied(self, query: needs.TopOfEach | needs.LatestOfEach) -> str:
        """The query as it would read if what is equal shared its place: it has more rows where the choice is not certain."""
        self._ties = True
        try:
            return query_sql(query, self)
        finally:
            self._ties = False

    def numbered(self, within: list[str], order: list[str]) -> str:
        """Places inside each group; `order` ends with what makes them certain."""
        word, what = ("RANK", order[:1]) if self._ties else ("ROW_NUMBER", order)
        return f"{word}() OVER (PARTITION BY {', '.join(within)} ORDER BY {', '.join(what)}) AS position"

    def free(self, name: str) -> str:
        """A name for a common table expression that no table has."""
        return name if name not in self._tables else f"{name}_rows"

    def select(self, table: str, write: Callable[[Writer], str]) -> str:
        """One SELECT: with aliases where it reads several tables, bare where it reads one."""
        for qualified in (False, True):
            reading = Reading(self.aliases, qualified)
            written = write(Writer(self.facts, Scope(table, reading)))
            if not qualified and not reading.joined:
                break
        return written


@singledispatch
def query_sql(query: needs.Query, writer: QueryWriter) -> str:
    """One whole query."""
    raise TypeError(f"no SQL for {query!r}")


@query_sql.register
def _(query: needs.Listing, writer: QueryWriter) -> str:
    return writer.select(query.table, lambda w: _listing(query, w))


def _listing(query: needs.Listing, w: Writer) -> str:
    columns = [column for shown in query.shown for column in w.shown(shown.what)]
    where = w.where(query.tests)
    order = ""
    if query.order:
        order = f" ORDER BY {', '.join(_row_order(query, query.order, w, columns))}"
    limit = f" LIMIT {query.limit}" if query.limit else ""
    distinct = "DISTINCT " if query.distinct else ""
    return f"SELECT {distinct}{', '.join(columns)} FROM {w.scope.source()}{where}{order}{limit}"


def _row_order(query: needs.Listing, order: tree.By, w: Writer, columns: Sequence[str]) -> list[str]:
    """What is asked for first; then what makes the order of rows certain."""
    if isinstance(order.what, tree.ByRow):
        first = [f"{column}{' DESC' if order.down else ''}" for column in reversed(w.label(order.what.links))]
    else:
        assert isinstance(order.what, tree.Ref | tree.Product | tree.Days | tree.Minus)
        first = [f"{w.expr(order.what)}{' DESC' if order.down else ''}"]
    if query.distinct:
        return [*first, *(column for column in columns if column not in first)]
    table = w.facts.table(query.table)
    rest = [w.row_key(())] if table.key and not _is_told_by_name(table.label) else w.label(()) if table.label else [*columns]
    return [*first, *(column for column in rest if f"{column} DESC" not in first and column not in first)]


def _is_told_by_name(label: Sequence[object]) -> bool:
    return len(label) == 1 and bool(getattr(label[0], "unique", False))


@query_sql.register
def _(query: needs.Total, writer: QueryWriter) -> str:
    return writer.select(query.table, lambda w: _total(query, w))


def _total(query: needs.Total, w: Writer, name: str = "") -> str:
    figures = [w.measure(measure) + (f" AS {name}" if name else "") for measure in query.measures]
    where = w.where(query.tests)
    return f"SELECT {', '.join(figures)} FROM {w.scope.source()}{where}"


@query_sql.register
def _(query: needs.Grouped, writer: QueryWriter) -> str:
    if query.zeros:
        return _with_zeros(query, writer)
    return writer.select(query.table, lambda w: _grouped(query, w))


def _grouped(query: needs.Grouped, w: Writer) -> str:
    keys = [w.key(key) for key in query.keys]
    shown = [column for columns, _ in keys for column in columns]
    figures = [w.measure(measure) for measure in query.measures] if query.shows else []
    where = w.where(query.tests)
    having = w.having(query.having)
    order = f" ORDER BY {', '.join(_group_order(query, query.order, w))}" if query.order else ""
    limit = f" LIMIT {query.limit}" if query.limit else ""
    group = ", ".join(column for _, columns in keys for column in columns)
    return f"SELECT {', '.join([*shown, *figures])} FROM {w.scope.source()}{where} GROUP BY {group}{having}{order}{limit}"


def _group_order(query: needs.Grouped, order: tree.By, w: Writer) -> list[str]:
    down = " DESC" if order.down else ""
    rest = [column for key in query.keys for column in w.tie_break(key)]
    if isinstance(order.what, tree.ByRow | tree.ByValue | tree.ByTime | tree.ByStep):
        shown, _ = w.key(order.what)
        first = [f"{column}{down}" for column in reversed(shown)]
        return [*first, *(column for column in rest if column not in shown)]
    if isinstance(order.what, tree.Ref | tree.Product | tree.Days | tree.Minus):
        raise TypeError(f"groups are not ordered by a value of their rows: {order!r}")
    return [f"{w.measure(order.what, rounded=False)}{down}", *rest]


def _with_zeros(query: needs.Grouped, writer: QueryWriter) -> str:
    """Rows of a table with how many rows of another point to them, none included."""
    (key,) = query.keys
    assert isinstance(key, tree.ByRow)
    assert len(key.links) == 1
    link = key.links[0]
    reading = Reading(writer.aliases, qualified=True)
    w = Writer(writer.facts, Scope(link.parent, reading))
    inner = Writer(writer.facts, Scope(query.table, reading, w.scope.used))
    shown, grouped = w.key(tree.ByRow(()))
    child = inner.scope.join(())
    counted = inner.row_key(()) if writer.facts.table(query.table).key else inner.scope.named((), link.pairs[0][0])
    met = [f"{w.scope.named((), parent)} = {inner.scope.named((), column)}" for column, parent in link.pairs]
    on = " AND ".join([*met, *(part[len(" WHERE ") :] for part in [inner.where(query.tests)] if part)])
    order = (
        f" ORDER BY COUNT({counted}){' DESC' if query.order.down else ''}, {', '.join(w.tie_break(tree.ByRow(())))}" if query.order else ""
    )
    source = f"{w.scope.source()} LEFT JOIN {quote_name(query.table)} {child} ON {on}"
    return f"SELECT {', '.join(shown)}, COUNT({counted}) FROM {source} GROUP BY {', '.join(grouped)}{order}"


@query_sql.register
def _(query: needs.SetOf, writer: QueryWriter) -> str:
    arms = f"{query_sql(query.left, writer)} {query.word} {query_sql(query.right, writer)}"
    return f"SELECT COUNT(*) FROM ({arms})" if query.counted else arms


@query_sql.register
def _(query: needs.CountGroups, writer: QueryWriter) -> str:
    return f"SELECT COUNT(*) FROM ({writer.select(query.inner.table, lambda w: _bare_groups(query.inner, w))})"


def _bare_groups(inner: needs.Grouped, w: Writer) -> str:
    """Only what tells the groups apart."""
    found = [column for key in inner.keys for column in _near(key, w)]
    where, having = w.where(inner.tests, _pointing(inner, w)), w.having(inner.having)
    return f"SELECT {', '.join(found)} FROM {w.scope.source()}{where} GROUP BY {', '.join(found)}{having}"


def _pointing(inner: needs.Grouped, w: Writer) -> list[str]:
    """Rows that point to nothing make no group."""
    optional = [key for key in inner.keys if isinstance(key, tree.ByRow) and key.links[-1].optional]
    return [f"{w.row_key(key.links)} IS NOT NULL" for key in optional if isinstance(key, tree.ByRow)]


def _near(key: tree.Key, w: Writer) -> list[str]:
    return [w.row_key(key.links)] if isinstance(key, tree.ByRow) else w.key(key)[1]


@query_sql.register
def _(query: needs.OverGroups, writer: QueryWriter) -> str:
    name = _figure_name(query.inner.measures[0])

    def write(w: Writer) -> str:
        found = [column for key in query.inner.keys for column in _near(key, w)]
        figure = w.measure(query.inner.measures[0], rounded=False)
        where = w.where(query.inner.tests, _pointing(query.inner, w))
        return f"SELECT {figure} AS {name} FROM {w.scope.source()}{where} GROUP BY {', '.join(found)}"

    return f"SELECT ROUND({query.function}({name}), 2) FROM ({writer.select(query.inner.table, write)})"


@query_sql.register
def _(query: needs.GroupsAgainstMean, writer: QueryWriter) -> str:
    name = _figure_name(query.inner.measures[0])
    inner, columns = _named_groups(query.inner, writer, name)
    groups = writer.free("groups")
    mean = f"(SELECT AVG({name}) FROM {groups})"
    return f"WITH {groups} AS ({inner}) SELECT {', '.join(columns)} FROM {groups} WHERE {name} {query.sign} {mean}"


def _named_groups(
    grouped: needs.Grouped, writer: QueryWriter, name: str, more: Callable[[Writer], str] | None = None
) -> tuple[str, list[str]]:
    """A SELECT of groups with a name for each column, and the names of the key columns."""
    columns: list[str] = []

    def write(w: Writer) -> str:
        keys = [w.key(key) for key in grouped.keys]
        columns[:] = [name for key in grouped.keys for name in _key_names(key, w)]
        shown = [column for found, _ in keys for column in found]
        parts = [f"{column} AS {alias}" for column, alias in zip(shown, columns, strict=True)]
        parts.append(f"{w.measure(grouped.measures[0], rounded=False)} AS {name}")
        if more:
            parts.append(more(w))
        where, having = w.where(grouped.tests), w.having(grouped.having)
        group = ", ".join(column for _, found in keys for column in found)
        return f"SELECT {', '.join(parts)} FROM {w.scope.source()}{where} GROUP BY {group}{having}"

    return writer.select(grouped.table, write), columns


def _key_names(key: tree.Key, w: Writer) -> list[str]:
    if isinstance(key, tree.ByRow):
        end = w.facts.table(key.links[-1].parent if key.links else w.scope.table)
        if len(end.label) == 2:
            return [as_name(" ".join(words(column.name))) for column in end.label]
        return [as_name(key.links[-1].role if key.links else end.noun) + ("" if end.label else "_id")]
    if isinstance(key, tree.ByValue):
        role = f"{key.ref.links[-1].role} " if key.ref.links and len(words(key.ref.column.name)) == 1 else ""
        return [as_name(role + " ".join(words(key.ref.column.name)))]
    return [key.unit if isinstance(key, tree.ByTime) else "size"]


def _figure_name(measure: tree.Measure) -> str:
    if isinstance(measure, tree.Count | tree.CountOf | tree.Part):
        return "n"
    what = getattr(measure, "what", None)
    if isinstance(measure, tree.Figure) and measure.function == "AVG":
        return "average"
    return "revenue" if isinstance(what, tree.Product) else "figure"


def _rounded(name: str, measure: tree.Measure, w: Writer) -> str:
    return f"ROUND({name}, 2)" if w.measure(measure) != w.measure(measure, rounded=False) else name


@query_sql.register
def _(query: needs.TopOfEach, writer: QueryWriter) -> str:
    name = _figure_name(query.inner.measures[0])
    within, each = query.inner.keys
    rounded: list[str] = []

    def position(w: Writer) -> str:
        rounded[:] = [_rounded(name, query.inner.measures[0], w)]
        order = [f"{w.measure(query.inner.measures[0], rounded=False)}{' DESC' if query.highest else ''}", *w.tie_break(each)]
        return writer.numbered(w.key(within)[1], order)

    inner, columns = _named_groups(query.inner, writer, name, position)
    shown = [*columns, *(rounded if query.inner.shows else [])]
    limit = "position = 1" if query.best == 1 else f"position <= {query.best}"
    ranked = writer.free("ranked")
    return f"WITH {ranked} AS ({inner}) SELECT {', '.join(shown)} FROM {ranked} WHERE {limit}"


@query_sql.register
def _(query: needs.LatestOfEach, writer: QueryWriter) -> str:
    names: list[str] = []

    def write(w: Writer) -> str:
        key, grouped = w.key(query.key)
        columns = [column for shown in query.listing.shown for column in w.shown(shown.what)]
        names[:] = _distinct([*_key_names(query.key, w), *(as_name(" ".join(words(c.rpartition(".")[2]))) for c in columns)])
        assert query.listing.order
        assert isinstance(query.listing.order.what, tree.Ref)
        order = [f"{w.expr(query.listing.order.what)}{' DESC' if query.listing.order.down else ''}", w.row_key(())]
        parts = [f"{column} AS {name}" for column, name in zip([*key, *columns], names, strict=True)]
        position = writer.numbered(grouped, order)
        where = w.where(query.listing.tests)
        return f"SELECT {', '.join([*parts, position])} FROM {w.scope.source()}{where}"

    inner = writer.select(query.listing.table, write)
    ranked = writer.free("ranked")
    return f"WITH {ranked} AS ({inner}) SELECT {', '.join(names)} FROM {ranked} WHERE position = 1"


def _distinct(names: list[str]) -> list[str]:
    return [name if name not in names[:place] else f"{name}_{place + 1}" for place, name in enumerate(names)]


@query_sql.register
def _(query: needs.OverTime, writer: QueryWriter) -> str:
    name = _figure_name(query.inner.measures[0])
    rounded: list[bool] = []

    def nothing(w: Writer) -> str:
        rounded[:] = [w.measure(query.inner.measures[0]) != w.measure(query.inner.measures[0], rounded=False)]
        return w.measure(query.inner.measures[0]) + f" AS {name}"

    inner, (unit,) = _named_groups(query.inner, writer, name)
    writer.select(query.inner.table, nothing)
    shape = "ROUND({}, 2)" if rounded[0] else "{}"
    before = f"LAG({name}) OVER (ORDER BY {unit})"
    third = {"before": before, "difference": f"{name} - {before}", "so far": f"SUM({name}) OVER (ORDER BY {unit})"}[query.beside]
    columns = [unit, shape.format(name), shape.format(third)]
    series = writer.free("series")
    return f"WITH {series} AS ({inner}) SELECT {', '.join(columns)} FROM {series} ORDER BY {unit}"


@query_sql.register
def _(query: needs.SharesOfTotal, writer: QueryWriter) -> str:
    def write(w: Writer) -> str:
        keys = [w.key(key) for key in query.inner.keys]
        figure = w.measure(query.inner.measures[0], rounded=False)
        where = w.where(query.inner.tests)
        shown = [column for found, _ in keys for column in found]
        group = ", ".join(column for _, found in keys for column in found)
        share = f"ROUND(100.0 * {figure} / SUM({figure}) OVER (), 2)"
        return f"SELECT {', '.join(shown)}, {share} FROM {w.scope.source()}{where} GROUP BY {group}"

    return writer.select(query.inner.table, write)


@query_sql.register
def _(query: needs.Ranked, writer: QueryWriter) -> str:
    def write(w: Writer) -> str:
        (shown, grouped), measure = w.key(query.inner.keys[0]), query.inner.measures[0]
        figure, exact = w.measure(measure), w.measure(measure, rounded=False)
        where = w.where(query.inner.tests)
        rank = f"RANK() OVER (ORDER BY {exact} DESC)"
        order = ", ".join([f"{exact} DESC", *w.tie_break(query.inner.keys[0])])
        return f"SELECT {', '.join(shown)}, {figure}, {rank} FROM {w.scope.source()}{where} GROUP BY {', '.join(grouped)} ORDER BY {order}"

    return writer.select(query.inner.table, write)


@query_sql.register
def _(query: needs.TwoTotals, writer: QueryWriter) -> str:
    first, second = (query_sql(total, writer) for total in (query.first, query.second))
    return f"SELECT ({first}){' -' if query.difference else ','} ({second})"
