"""What a query's rows say about it: whether it answers something, whether its answer is certain, whether all of it matters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from t2s.data.synthesis import needs, tree
from t2s.data.synthesis.queries import QueryWriter
from t2s.sql.execute import Outcome, Row

# A longer answer is nobody's question.
_MOST_SHOWN = 500
_ALL = 1_000_000


@dataclass(frozen=True)
class Probe:
    """A query beside the one in question.

    Attributes:
        sql: What to run.
        kind: "same" must not give the rows of the query itself; "more" gives one row more than it, with the figure that decides
            which come first; "tied" must give as many rows, "fewer" must give fewer.
    """

    sql: str
    kind: str


def fault(query: needs.Query, outcome: Outcome, empty_is_fine: bool) -> str:
    """Why the answer is none worth asking for, in a word or two; empty if it is one."""
    if outcome.kind != "ok":
        return outcome.kind
    rows = outcome.rows
    if not rows:
        return "" if empty_is_fine and isinstance(query, needs.Listing) else "no rows"
    if len(rows) > _MOST_SHOWN:
        return "too many rows"
    if any(all(value is None for value in column) for column in zip(*rows, strict=True)):
        return "only NULL"
    if (
        isinstance(query, needs.Listing)
        and query.limit == 0
        and isinstance(query.tests[:1] and query.tests[0], tree.Named)
        and len(rows) > 1
    ):
        return "several rows of one name" if not query.tests[0].links else ""  # type: ignore[union-attr]
    return _dull(query, rows)


def _dull(query: needs.Query, rows: tuple[Row, ...]) -> str:
    if isinstance(query, needs.Total | needs.CountGroups | needs.OverGroups) or (isinstance(query, needs.SetOf) and query.counted):
        values = rows[0]
        if any(value in (0, None) for value in values):
            return "zero"
        if isinstance(query, needs.Total) and isinstance(query.measures[0], tree.Share) and values[0] in (0.0, 100.0):
            return "all or nothing"
        if isinstance(query, needs.Total) and isinstance(query.measures[0], tree.CountOf) and values[0] == 1:
            return "one of a kind"
    grouped = getattr(query, "inner", query)
    if isinstance(grouped, needs.Grouped) and not isinstance(query, needs.CountGroups | needs.OverGroups):
        if len(rows) < 2 and not grouped.limit and not grouped.having and not isinstance(query, needs.GroupsAgainstMean):
            return "one group"
        if len({row[0] for row in rows}) == 1 and isinstance(query, needs.TopOfEach):
            return "one group"
        if _all_alike(query, rows):
            return "all groups alike"
    return ""


def _all_alike(query: needs.Query, rows: tuple[Row, ...]) -> bool:
    shows = isinstance(query, needs.Grouped) and query.shows and query.measures and len(rows) > 2
    return bool(shows) and len({row[-1] for row in rows}) == 1


def probes(query: needs.Query, writer: QueryWriter) -> Iterator[Probe]:
    """Queries whose rows tell whether all parts of the query matter and its answer is certain."""
    for changed in _without_parts(query):
        yield Probe(writer.sql(changed), "same")
    if isinstance(query, needs.Listing) and query.limit and query.order:
        shown = (*query.shown, needs.Shown(query.order.what))  # type: ignore[arg-type]
        yield Probe(writer.sql(replace(query, shown=shown, limit=query.limit + 1)), "more")
    if isinstance(query, needs.Grouped) and query.limit:
        yield Probe(writer.sql(replace(query, shows=True, limit=query.limit + 1)), "more")
    if isinstance(query, needs.TopOfEach | needs.LatestOfEach):
        yield Probe(writer.tied(query), "tied")
    if isinstance(query, needs.Grouped) and len(query.keys) == 2:
        for key in query.keys:
            yield Probe(writer.sql(replace(query, keys=(key,), order=None)), "fewer")
    if isinstance(query, needs.TopOfEach):
        yield Probe(writer.sql(replace(query, best=_ALL)), "same")


def _without_parts(query: needs.Query) -> Iterator[needs.Query]:
    """The query without each of its conditions, its zeros, its limit on groups, or one side of a set."""
    if isinstance(query, needs.Listing | needs.Total | needs.Grouped):
        for place in range(len(query.tests)):
            yield replace(query, tests=query.tests[:place] + query.tests[place + 1 :])
    if isinstance(query, needs.Grouped) and query.having:
        yield replace(query, having=())
    if isinstance(query, needs.Grouped) and query.zeros:
        yield replace(query, zeros=False)
    if isinstance(
        query,
        needs.CountGroups
        | needs.OverGroups
        | needs.GroupsAgainstMean
        | needs.TopOfEach
        | needs.OverTime
        | needs.SharesOfTotal
        | needs.Ranked,
    ):
        for inner in _without_parts(query.inner):
            assert isinstance(inner, needs.Grouped)
            if not isinstance(query, needs.CountGroups) or inner.having or not query.inner.having:
                yield replace(query, inner=inner)
    if isinstance(query, needs.LatestOfEach):
        for listing in _without_parts(query.listing):
            assert isinstance(listing, needs.Listing)
            yield replace(query, listing=listing)
    if isinstance(query, needs.SetOf) and not query.counted:
        yield query.left
        for left in _without_parts(query.left):
            yield replace(query, left=left)  # type: ignore[arg-type]
    if isinstance(query, needs.CountGroups):
        yield replace(query, inner=replace(query.inner, having=()))


def failed(query: needs.Query, outcome: Outcome, probe: Probe, seen: Outcome) -> str:
    """What a probe shows to be wrong with the query; empty if nothing."""
    if seen.kind != "ok":
        return ""
    if probe.kind == "same":
        return "a part changes nothing" if sorted(map(repr, seen.rows)) == sorted(map(repr, outcome.rows)) else ""
    if probe.kind == "tied":
        return "a tie" if len(seen.rows) != len(outcome.rows) else ""
    if probe.kind == "fewer":
        return "a key that follows from the other" if len(seen.rows) >= len(outcome.rows) else ""
    limit = getattr(query, "limit", 0)
    if len(seen.rows) <= limit:
        return "fewer rows than the limit"
    last, next_one = seen.rows[limit - 1][-1], seen.rows[limit][-1]
    if isinstance(query, needs.Grouped) and len(query.measures) > 1:
        return ""
    return "a tie" if last == next_one or any(row[-1] is None for row in seen.rows[:limit]) else ""
