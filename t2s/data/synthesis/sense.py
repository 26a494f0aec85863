"""What makes sense of values and conditions: which can be said, rounded, added up, put beside each other."""

from __future__ import annotations

from t2s.data.synthesis import tree
from t2s.data.synthesis.facts import ColumnFacts
from t2s.data.synthesis.graph import Links
from t2s.data.synthesis.probe import Value
from t2s.sql.naming import stem, words

_MOST_SAID_CHARS = 48


def splits(column: ColumnFacts, sign: str, value: Value) -> bool:
    """Whether some values lie on this side of the literal, and some do not."""
    assert not isinstance(value, str)
    low, high = column.levels[0], column.levels[-1]
    return {">": low <= value < high, ">=": low < value <= high, "<": low < value <= high, "<=": low <= value < high}[sign]


def share_scale(a: ColumnFacts, b: ColumnFacts) -> bool:
    return stem(words(a.name)[-1]) == stem(words(b.name)[-1]) if words(a.name) and words(b.name) else False


def overlap(a: ColumnFacts, b: ColumnFacts) -> bool:
    if a.form:
        return a.first <= b.last and b.first <= a.last
    if a.unit != b.unit or a.levels[0] == a.levels[-1] or b.levels[0] == b.levels[-1]:
        return False
    return a.levels[2] < b.levels[-3] and b.levels[2] < a.levels[-3] and 0.05 < (a.levels[20] + 1) / (b.levels[20] + 1) < 20


def is_sayable(value: Value) -> bool:
    """Whether a question can name the value as it is stored."""
    text = str(value)
    return (
        0 < len(text) <= _MOST_SAID_CHARS and text.isprintable() and text == " ".join(text.split()) and '"' not in text and "%" not in text
    )


def round_number(value: float, whole: bool) -> int | float:
    """A number somebody would choose near this one."""
    if value == 0:
        return 0
    digits = 1 if abs(value) < 10 and whole else 2
    rounded = float(f"{value:.{digits}g}")
    if abs(rounded) >= 20:
        step = 5 * 10 ** (len(str(int(abs(rounded)))) - 2)
        rounded = round(rounded / step) * step
    return int(rounded) if rounded == int(rounded) else rounded


def month_start(year: int, month: int) -> str:
    return f"{year + (month - 1) // 12}-{(month - 1) % 12 + 1:02d}-01"


def columns_of(test: tree.Test) -> set[tuple[Links, str]]:
    """The columns a condition speaks of; for rows elsewhere, a mark of the table."""
    if isinstance(test, tree.Either):
        return columns_of(test.left) | columns_of(test.right)
    if isinstance(test, tree.Has):
        return {((), f"rows of {test.child}")}
    if isinstance(test, tree.Named):
        return {(test.links, column.name) for column in test.columns}
    if isinstance(test, tree.Linked):
        return {(test.links, test.column.name)}
    if isinstance(test, tree.Versus):
        return {(test.left.links, test.left.column.name), (test.right.links, test.right.column.name)}
    if isinstance(test, tree.Compare) and isinstance(test.what, tree.Days):
        return {(test.what.end.links, test.what.end.column.name)}
    ref = test.what if isinstance(test, tree.Compare) else test.ref
    assert isinstance(ref, tree.Ref)
    return {(ref.links, ref.column.name)}


def written_place(test: tree.Test) -> tuple[int, int]:
    """Where a condition stands in WHERE: a name or a kind, then NULL, time, amounts, rows elsewhere; of each the farthest first."""
    ref = getattr(test, "ref", None) or getattr(test, "what", None)
    links: Links = getattr(ref, "links", getattr(test, "links", ()))
    amount = isinstance(ref, tree.Ref) and ref.column.kind == "number"
    kinds: tuple[type, ...] = (tree.Missing, tree.Linked, tree.Period)
    if isinstance(test, kinds):
        return 2 if isinstance(test, tree.Period) else 1, -len(links)
    late = isinstance(test, tree.Has | tree.AgainstMean | tree.Extreme | tree.SameAs | tree.Either | tree.Versus)
    return 4 if late else 3 if amount or isinstance(ref, tree.Days) else 0, -len(links)


def likely(links: Links) -> float:
    """How much more seldom one speaks of rows along a path: of a seller than of a store, of a row's own kind than of another."""
    share = 1.0
    for link in links:
        itself = 0.12 if link.people else 0.5
        share *= itself if link.child == link.parent else 1.0 if link.plain else 0.6
    return share


def contradict(one: tree.Test, other: tree.Test) -> bool:
    """Whether one says that a row points to nothing, and the other speaks of what it points to."""
    for linked, test in ((one, other), (other, one)):
        if isinstance(linked, tree.Linked):
            paths = [links for links, _ in columns_of(test)]
            if any(path[: len(linked.links)] == linked.links and linked.column.name in _steps(path, len(linked.links)) for path in paths):
                return True
    return False


def _steps(path: Links, place: int) -> list[str]:
    return [child for child, _ in path[place].pairs] if len(path) > place else []


def can_sum(column: ColumnFacts) -> bool:
    """Whether adding the values up makes sense: amounts and quantities, not prices, rates or levels."""
    said = {stem(word) for word in column.noun.split()}
    share = bool(column.levels) and column.levels[-1] <= 1 and not column.whole
    return column.sense in ("money", "quantity") and not said & _NO_SUMS and not share and column.unit != "percent"


_NO_SUMS = frozenset(
    stem(word)
    for word in ("unit", "list", "per", "price", "rate", "rating", "level", "percent", "age", "score", "number", "width", "height", "year")
)
