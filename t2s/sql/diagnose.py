"""Why a prediction is wrong: what it asks against what the gold asks, clause by clause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

from sqlglot import exp
from sqlglot.errors import SqlglotError

from t2s.errors import DataError
from t2s.sql.clauses import Asked, Clauses, Combined, Term, as_link, inline, read_clauses, text
from t2s.sql.names import Names
from t2s.sql.parse import parse_query
from t2s.sql.schema import Schema
from t2s.sql.values import Nearest
from t2s.sql.words import (
    SortedBy,
    Speller,
    Word,
    aggregates,
    atoms,
    equal_columns,
    joined_by_and,
    left_over,
    literals,
    owners,
    paired,
    read_twice,
    spellers,
    subject,
    texts,
    without_aggregates,
    without_columns,
    without_literals,
)

# The most important first: what comes later is often a consequence of what comes before.
DiagnosisKind = Literal[
    "set_operation",
    "wrong_table",
    "missing_join",
    "extra_join",
    "wrong_join",
    "wrong_aggregate",
    "wrong_column",
    "wrong_value",
    "wrong_filter",
    "missing_filter",
    "extra_filter",
    "grouping",
    "distinct",
    "wrong_order",
    "wrong_limit",
    "other",
]
_RANK = {kind: rank for rank, kind in enumerate(get_args(DiagnosisKind))}
# Of a longer query nobody reads a diagnosis; one of this length takes about a second.
_MOST_CHARS = 10_000


@dataclass(frozen=True)
class Diagnosis:
    """One difference: its kind, and in words what the prediction does where the gold does something else."""

    kind: DiagnosisKind
    detail: str


def diagnose(gold: str, predicted: str, schema: Schema | None = None, nearest: Nearest | None = None) -> tuple[Diagnosis, ...]:
    """Why a prediction whose rows are wrong is wrong.

    Args:
        gold: The right query.
        predicted: A query with other rows.
        schema: Of the database, to know whose a bare column is.
        nearest: Finds the value somebody meant; see `t2s.sql.values.nearest_among`.

    Returns:
        The differences, the most important first; `other` alone where none is seen; nothing where a text is not one query.
    """
    found = differences(gold, predicted, schema, nearest)
    if found is None:
        return ()
    return found or (Diagnosis("other", "asks the same as far as the syntax tells"),)


def differences(gold: str, predicted: str, schema: Schema | None = None, nearest: Nearest | None = None) -> tuple[Diagnosis, ...] | None:
    """What two queries ask differently; see `diagnose`.

    Returns:
        Empty for queries that ask the same; None where a text is not one query.
    """
    if max(len(gold), len(predicted)) > _MOST_CHARS:
        return None
    try:
        trees = parse_query(gold), parse_query(predicted)
        names = Names.of(schema) if schema else Names.used_in(trees)
        first, second = (read_clauses(tree, names) for tree in trees)
        if first is None or second is None:
            return ()
        comparison = _Comparison(names, nearest)
        found = set(comparison.compare(first, second, _OUTERMOST)) or set(comparison.faint)
    except (DataError, SqlglotError, RecursionError):
        return None
    return tuple(sorted(found, key=lambda one: (_RANK[one.kind], one.detail)))


@dataclass(frozen=True)
class _Place:
    """Where a query stands.

    Attributes:
        prefix: Begins each detail.
        ordered: Whether the order of its rows shows.
        repeats: Whether it shows how often a row repeats.
    """

    prefix: str
    ordered: bool
    repeats: bool


_OUTERMOST = _Place("", ordered=True, repeats=True)
_NESTED = _Place("in a nested query, ", ordered=False, repeats=False)

_Found = Iterator[Diagnosis]


class _Comparison:
    """Compares two queries, clause by clause.

    Attributes:
        faint: Differences that seldom matter, worth telling when there is no other.
    """

    def __init__(self, names: Names, nearest: Nearest | None) -> None:
        self._names = names
        self._nearest = nearest
        self.faint: list[Diagnosis] = []

    def compare(self, gold: Asked, predicted: Asked, place: _Place) -> list[Diagnosis]:
        """All differences of two queries and of those nested in them."""
        if isinstance(gold, Combined) and isinstance(predicted, Combined):
            found = self._combined(gold, predicted, place)
        elif isinstance(gold, Clauses) and isinstance(predicted, Clauses):
            found = self._clauses(gold, predicted, place)
        else:
            found = self._one_combined(gold, predicted)
        return [replace(one, detail=f"{place.prefix}{one.detail}") for one in found]

    def _combined(self, gold: Combined, predicted: Combined, place: _Place) -> _Found:
        if gold.word != predicted.word:
            yield Diagnosis("set_operation", f"{predicted.word} instead of {gold.word}")
        before, behind = (_Place(f"{side} {gold.word}, ", ordered=False, repeats=gold.word == "UNION ALL") for side in ("before", "behind"))
        pairings = [(predicted.left, predicted.right)]
        if gold.word != "EXCEPT":
            pairings.append((predicted.right, predicted.left))
        trials = []
        for left, right in pairings:
            trial = _Comparison(self._names, self._nearest)
            trials.append((trial.compare(gold.left, left, before) + trial.compare(gold.right, right, behind), trial.faint))
        found, faint = min(trials, key=lambda trial: (len(trial[0]), len(trial[1])))
        self.faint += faint
        yield from found
        speller = Speller({}, {})
        yield from _order(speller.keys(gold.order), speller.keys(predicted.order), place.ordered, gold.limit, predicted.limit)
        yield from _limit(gold.limit, predicted.limit)

    def _one_combined(self, gold: Asked, predicted: Asked) -> _Found:
        """Beside a set operator that only one has, what is shown can be compared, and little else."""
        if isinstance(gold, Combined):
            yield Diagnosis("set_operation", f"no {gold.word}")
        elif isinstance(predicted, Combined):
            yield Diagnosis("set_operation", f"{predicted.word}, where the gold has no set operator")
        first, second = _first(gold), _first(predicted)
        spell = Speller({}, equal_columns(first.links | second.links))
        yield from _columns(*left_over(spell.all(first.columns), spell.all(second.columns)))

    def _clauses(self, gold: Clauses, predicted: Clauses, place: _Place) -> _Found:
        gold, predicted = self._ungrouped(gold, predicted), self._ungrouped(predicted, gold)
        gold, predicted = self._unnested(gold, predicted), self._unnested(predicted, gold)
        tables = _Tables.of(gold, predicted)
        yield from tables.differences()
        yield from _joins(gold, predicted, tables)
        spell, spell_predicted = spellers(gold, predicted, tables.instead)
        yield from self._shown(spell.all(gold.columns), spell_predicted.all(predicted.columns), place)
        extreme = _Extreme.of(gold, predicted)
        yield from self._filters(spell.all(gold.filters), spell_predicted.all(predicted.filters), extreme)
        yield from _grouping(self._group(gold, spell), self._group(predicted, spell_predicted))
        if gold.regrouped != predicted.regrouped:
            said = "no aggregate over the groups" if gold.regrouped else "an aggregate over the groups, where the gold shows them"
            yield Diagnosis("grouping", said)
        if place.repeats and gold.distinct != predicted.distinct and _repeats_show(gold):
            yield Diagnosis("distinct", "no DISTINCT" if gold.distinct else "DISTINCT, where the gold keeps every row")
        if extreme is None:
            keys = spell.keys(gold.order), spell_predicted.keys(predicted.order)
            yield from _order(*keys, place.ordered, gold.limit, predicted.limit)
            yield from _limit(gold.limit, predicted.limit)
        yield from self._in_from(gold.unions, predicted.unions)

    def _shown(self, gold: list[Word], predicted: list[Word], place: _Place) -> _Found:
        missing, extra = left_over(gold, predicted)
        yield from _columns(missing, extra)
        if place.ordered and not missing and not extra:
            self.faint += _in_another_order(gold, predicted)
        yield from self._nested(gold, predicted)

    def _nested(self, gold: list[Word], predicted: list[Word]) -> _Found:
        """What differs in the queries nested in terms that are otherwise the same."""
        nesting = [[word for word in words if word.term.queries] for words in (gold, predicted)]
        for one, other in paired(nesting[0], nesting[1], lambda word: word.text):
            for first, second in zip(one.term.queries, other.term.queries, strict=False):
                yield from self.compare(first, second, _NESTED)

    def _in_from(self, gold: list[Asked], predicted: list[Asked]) -> _Found:
        for first, second in zip(gold, predicted, strict=False):
            yield from self.compare(first, second, _NESTED)
        if len(gold) != len(predicted):
            yield Diagnosis("set_operation", f"{len(predicted)} set operators under FROM instead of {len(gold)}")

    def _filters(self, gold: list[Word], predicted: list[Word], extreme: _Extreme | None) -> _Found:
        yield from self._nested(gold, predicted)
        missing, extra = left_over(gold, predicted)
        if extreme is not None:
            missing, extra = extreme.without(missing), extreme.without(extra)
            yield Diagnosis("wrong_limit", extreme.detail)
        if missing and extra and atoms(missing) == atoms(extra):
            yield Diagnosis("wrong_filter", f"{joined_by_and(extra)} instead of {joined_by_and(missing)}")
            return
        for one, other in paired(missing, extra, without_literals):
            yield self._value(one, other)
        for one, other in paired(missing, extra, without_aggregates):
            yield Diagnosis(_aggregate_kind(one, other), f"the condition {other.said} instead of {one.said}")
        same_value = paired(missing, extra, lambda word: literals(word) and (subject(word), literals(word)))
        for one, other in [*same_value, *paired(missing, extra, subject)]:
            yield Diagnosis("wrong_filter", f"{other.said} instead of {one.said}")
        for one, other in paired(missing, extra, without_columns):
            yield Diagnosis(_column_kind(one, other), f"the condition {other.said} instead of {one.said}")
        yield from (Diagnosis("missing_filter", f"no condition {word.said}") for word in missing)
        yield from (Diagnosis("extra_filter", f"the condition {word.said}, which the gold does not ask") for word in extra)

    def _value(self, gold: Word, predicted: Word) -> Diagnosis:
        detail = f"{predicted.said} instead of {gold.said}"
        columns = list(predicted.term.tree.find_all(exp.Column))
        if self._nearest is None or len(columns) != 1 or predicted.tree.find(exp.Like, exp.Glob):
            return Diagnosis("wrong_value", detail)
        for value in sorted(texts(predicted) - texts(gold)):
            near = self._nearest(columns[0].table, columns[0].name, value)
            if near is not None:
                detail += f"; the column has no {value!r}, the nearest is {near!r}"
        return Diagnosis("wrong_value", detail)

    def _ungrouped(self, clauses: Clauses, other: Clauses) -> Clauses:
        """GROUP BY that does no more than DISTINCT as a DISTINCT, where the other query groups nothing."""
        if other.group or not _groups_all_shown(clauses):
            return clauses
        self.faint.append(Diagnosis("distinct", "GROUP BY instead of DISTINCT, or the other way round"))
        return replace(clauses, distinct=True, group=[])

    def _unnested(self, clauses: Clauses, other: Clauses) -> Clauses:
        """`column IN (SELECT ...)` as a join, where the other query joins the tables in there."""
        said = "a nested query instead of a join, or the other way round: a join may repeat a row"
        if any(term.queries for term in other.filters):
            return clauses
        found, joined = clauses, Counter(other.tables) - Counter(clauses.tables)
        for term in clauses.filters:
            inner = _membership(term)
            if inner is not None and Counter(inner.tables) <= joined:
                found = _joined_in(found, term, inner)
                self.faint.append(Diagnosis("distinct", said))
        return found

    def _group(self, clauses: Clauses, spell: Speller) -> dict[str, str]:
        """What rows are grouped by, and how the query says it; beside a table's key its other columns say nothing."""
        keyed = {term.tree.text("table") for term in clauses.group if self._is_key(term)}
        words = [spell.word(term) for term in clauses.group if self._is_key(term) or term.tree.text("table") not in keyed]
        return {word.text: word.said for word in words}

    def _is_key(self, term: Term) -> bool:
        return isinstance(term.tree, exp.Column) and (term.tree.table, term.tree.name) in self._names.keys


@dataclass(frozen=True)
class _Tables:
    """Which tables two queries read.

    Attributes:
        shared: Those both do.
        instead: What the prediction reads -> what the gold reads in its place.
        missing: What the gold reads besides.
        extra: What the prediction reads besides.
    """

    shared: frozenset[str]
    instead: dict[str, str]
    missing: list[str]
    extra: list[str]

    @classmethod
    def of(cls, gold: Clauses, predicted: Clauses) -> _Tables:
        first, second = Counter(gold.tables), Counter(predicted.tables)
        missing, extra = list((first - second).elements()), list((second - first).elements())
        wrong = min(len(missing), len(extra))
        return cls(frozenset(first & second), dict(zip(extra, missing, strict=False)), missing[wrong:], extra[wrong:])

    def differences(self) -> _Found:
        yield from (Diagnosis("wrong_table", f"reads {read} instead of {right}") for read, right in self.instead.items())
        yield from (Diagnosis("missing_join", f"does not join {self._table(name)}") for name in self.missing)
        yield from (Diagnosis("extra_join", f"joins {self._table(name)}, which the gold does not") for name in self.extra)

    def _table(self, name: str) -> str:
        return f"{name} once more" if name in self.shared else name


@dataclass(frozen=True)
class _Extreme:
    """One side takes the first row of an order, the other every row that holds the MAX or MIN."""

    condition: Term
    detail: str

    @classmethod
    def of(cls, gold: Clauses, predicted: Clauses) -> _Extreme | None:
        for one, other in ((gold, predicted), (predicted, gold)):
            first, second = (next(filter(_is_extreme, clauses.filters), None) for clauses in (one, other))
            if first is not None and second is None and not one.limit and other.order and other.limit == "LIMIT 1":
                said = "just the first row, where the gold takes every row at the extreme"
                return cls(first, said if one is gold else "every row at the extreme, where the gold takes just the first")
        return None

    def without(self, words: list[Word]) -> list[Word]:
        return [word for word in words if word.term is not self.condition]


def _aggregate_kind(one: Word, other: Word) -> DiagnosisKind:
    return "distinct" if aggregates(one) == aggregates(other) else "wrong_aggregate"


def _column_kind(one: Word, other: Word) -> DiagnosisKind:
    # COUNT(*) counts rows, COUNT(column) those without NULL.
    stars = [len(list(word.tree.find_all(exp.Star))) for word in (one, other)]
    return "wrong_column" if stars[0] == stars[1] else "wrong_aggregate"


def _columns(missing: list[Word], extra: list[Word]) -> _Found:
    for one, other in paired(missing, extra, without_literals):
        yield Diagnosis("wrong_value", f"{other.said} instead of {one.said}")
    for one, other in paired(missing, extra, without_aggregates):
        yield Diagnosis(_aggregate_kind(one, other), f"{other.said} instead of {one.said}")
    for one, other in paired(missing, extra, without_columns):
        yield Diagnosis(_column_kind(one, other), f"{other.said} instead of {one.said}")
    for one, other in paired(missing, extra, lambda word: True):
        counts = isinstance(one.tree, exp.Count) and isinstance(other.tree, exp.Count)
        kind: DiagnosisKind = "distinct" if counts else "wrong_column" if aggregates(one) == aggregates(other) else "wrong_aggregate"
        yield Diagnosis(kind, f"{other.said} instead of {one.said}")
    yield from (Diagnosis("wrong_column", f"does not show {word.said}") for word in missing)
    yield from (Diagnosis("wrong_column", f"also shows {word.said}") for word in extra)


def _in_another_order(gold: list[Word], predicted: list[Word]) -> _Found:
    if [word.text for word in gold] != [word.text for word in predicted]:
        yield Diagnosis("wrong_column", "the columns in another order")
        return
    # What a join holds equal may still be of another type, or written otherwise.
    for one, other in zip(gold, predicted, strict=True):
        if one.said != other.said:
            yield Diagnosis("wrong_column", f"{other.said} instead of its equal {one.said}")


def _joins(gold: Clauses, predicted: Clauses, tables: _Tables) -> _Found:
    alike = tables.shared - set(tables.instead) - set(tables.instead.values())
    right, wrong = (_joined(clauses, alike) for clauses in (gold, predicted))
    missing, extra = _said(right - wrong), _said(wrong - right)
    if missing and extra:
        yield Diagnosis("wrong_join", f"joins on {extra} instead of {missing}")
    elif missing or extra:
        yield Diagnosis("wrong_join", f"does not join on {missing}" if missing else f"joins on {extra}, too")
    for join in sorted((gold.outer - predicted.outer) + (predicted.outer - gold.outer)):
        if join.partition(" ")[2] in alike:
            said = "an inner join instead of the {}" if join in gold.outer else "a {}, where the gold has an inner join"
            yield Diagnosis("wrong_join", said.format(f"{join.partition(' ')[0]} JOIN of {join.partition(' ')[2]}"))


def _joined(clauses: Clauses, tables: Collection[str]) -> set[frozenset[str]]:
    """The sets of columns that the joins make equal; the pairs as they are written, where a table is read twice."""
    if read_twice(clauses):
        return {frozenset(link) for link in clauses.links if owners(link) <= set(tables)}
    groups: dict[str, set[str]] = {}
    for column, first in equal_columns(clauses.links).items():
        if column.partition(".")[0] in tables:
            groups.setdefault(first, set()).add(column)
    return {frozenset(group) for group in groups.values() if len(group) > 1}


def _said(groups: Iterable[frozenset[str]]) -> str:
    return " and ".join(" = ".join(sorted(group)) for group in sorted(groups, key=sorted))


def _grouping(gold: dict[str, str], predicted: dict[str, str]) -> _Found:
    missing = ", ".join(sorted(said for word, said in gold.items() if word not in predicted))
    extra = ", ".join(sorted(said for word, said in predicted.items() if word not in gold))
    if missing and extra:
        yield Diagnosis("grouping", f"groups by {extra} instead of {missing}")
    elif missing:
        yield Diagnosis("grouping", f"does not group by {missing}")
    elif extra:
        yield Diagnosis("grouping", f"groups by {extra}, which the gold does not")


def _order(gold: list[SortedBy], predicted: list[SortedBy], shows: bool, limit: str, predicted_limit: str) -> _Found:
    # Without ORDER BY the gold takes any rows up to its LIMIT; an order longer than the gold's only settles ties.
    free = not gold and not (limit and predicted)
    if free or not (shows or limit or predicted_limit) or (gold and predicted[: len(gold)] == gold):
        return
    if not gold:
        yield Diagnosis("wrong_order", f"orders by {_keys(predicted)}, which the gold does not")
    elif not predicted:
        yield Diagnosis("wrong_order", f"does not order by {_keys(gold)}")
    else:
        yield Diagnosis("wrong_order", f"orders by {_keys(predicted)} instead of {_keys(gold)}")


def _keys(keys: Iterable[SortedBy]) -> str:
    return ", ".join(f"{key.said} {'DESC' if key.descending else 'ASC'}" for key in keys)


def _limit(gold: str, predicted: str) -> _Found:
    if gold and predicted and gold != predicted:
        yield Diagnosis("wrong_limit", f"{predicted} instead of {gold}")
    elif gold != predicted:
        yield Diagnosis("wrong_limit", f"no {gold}" if gold else f"{predicted}, which the gold does not have")


def _first(asked: Asked) -> Clauses:
    while isinstance(asked, Combined):
        asked = asked.left
    return asked


def _has_aggregate(term: Term) -> bool:
    return term.tree.find(exp.AggFunc) is not None


def _repeats_show(clauses: Clauses) -> bool:
    """A row of nothing but aggregates is one row."""
    return bool(clauses.group) or not all(map(_has_aggregate, clauses.columns))


def _groups_all_shown(clauses: Clauses) -> bool:
    """Whether GROUP BY does no more than DISTINCT would."""
    terms = [*clauses.columns, *clauses.filters, *(key.term for key in clauses.order)]
    shown, grouped = ({text(term.tree) for term in some} for some in (clauses.columns, clauses.group))
    return bool(grouped) and shown == grouped and not any(map(_has_aggregate, terms))


def _is_extreme(term: Term) -> bool:
    """Whether a condition reads `... = (SELECT MAX(...) ...)`, or what else takes the extreme of a column."""
    query = term.queries[0] if len(term.queries) == 1 else None
    if not isinstance(term.tree, exp.EQ) or not isinstance(query, Clauses) or len(query.columns) != 1:
        return False
    shown = query.columns[0].tree
    first = query.limit == "LIMIT 1" and bool(query.order) and text(query.order[0].term.tree) == text(shown)
    return first or isinstance(shown, exp.Max | exp.Min)


def _membership(term: Term) -> Clauses | None:
    """The query in `column IN (SELECT column ...)`, or behind `=`."""
    tree, query = term.tree, term.queries[0] if len(term.queries) == 1 else None
    if not isinstance(tree, exp.In | exp.EQ) or not isinstance(tree.this, exp.Column) or not isinstance(query, Clauses):
        return None
    return query if len(query.columns) == 1 and isinstance(query.columns[0].tree, exp.Column) else None


def _joined_in(clauses: Clauses, term: Term, inner: Clauses) -> Clauses:
    left, right = (f"{tree.text('table')}.{tree.name}" for tree in (term.tree.this, inner.columns[0].tree))
    filters = [one for one in clauses.filters if one is not term]
    # inline changes the lists it adds to
    found = replace(
        clauses, tables=clauses.tables[:], outer=clauses.outer.copy(), filters=filters, group=clauses.group[:], unions=clauses.unions[:]
    )
    found.links = clauses.links | {as_link(left, right)}
    inline(replace(inner, distinct=False), found)
    return found
