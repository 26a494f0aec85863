"""Terms of two queries in words that can be compared, and which of them only one query has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from t2s.sql.clauses import Clauses, Key, Term, as_link, conjuncts, disjuncts, text

_MOST_CHARS_SHOWN = 200


@dataclass(frozen=True)
class Word:
    """A term in comparable words.

    Attributes:
        text: The same for what means the same in both queries.
        tree: What that text is of.
        term: The term as its query has it.
    """

    text: str
    tree: exp.Expr
    term: Term

    @property
    def said(self) -> str:
        """The words of its query, cut where they are too many."""
        said = text(self.term.tree)
        return said if len(said) <= _MOST_CHARS_SHOWN else f"{said[:_MOST_CHARS_SHOWN]} ..."


@dataclass(frozen=True)
class SortedBy:
    """A word of ORDER BY."""

    text: str
    descending: bool
    said: str = field(compare=False)


@dataclass(frozen=True)
class Speller:
    """Turns terms into words.

    Attributes:
        tables: Table read in error -> the table it was read for.
        columns: Column -> the one that stands for all that a join makes equal to it.
    """

    tables: Mapping[str, str]
    columns: Mapping[str, str]

    def word(self, term: Term) -> Word:
        tree = term.tree.transform(self._spelled) if self.tables or self.columns else term.tree
        return Word(text(tree), tree, term)

    def all(self, terms: Sequence[Term]) -> list[Word]:
        return [self.word(term) for term in terms]

    def keys(self, keys: Sequence[Key]) -> list[SortedBy]:
        words = [(self.word(key.term), key.descending) for key in keys]
        return [SortedBy(word.text, descending, word.said) for word, descending in words]

    def _spelled(self, node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Column) or not node.table:
            return node
        table = self.tables.get(node.table, node.table)
        table, _, name = self.columns.get(f"{table}.{node.name}", f"{table}.{node.name}").partition(".")
        return exp.Column(this=exp.to_identifier(name), table=exp.to_identifier(table))


def spellers(gold: Clauses, predicted: Clauses, instead: Mapping[str, str]) -> tuple[Speller, Speller]:
    renamed = {as_link(*(_renamed(column, instead) for column in link)) for link in predicted.links}
    # A wrong join makes nothing equal. Under an outer join one of the two may be NULL, and of a table read twice only one row is.
    known = gold.links | {link for link in renamed if not owners(link) <= set(gold.tables)}
    twice = read_twice(gold) | read_twice(predicted)
    equal = equal_columns(set() if gold.outer or predicted.outer else {link for link in known if owners(link).isdisjoint(twice)})
    return Speller({}, equal), Speller(instead, equal)


def owners(link: Iterable[str]) -> set[str]:
    return {column.partition(".")[0] for column in link}


def read_twice(clauses: Clauses) -> set[str]:
    return {table for table, times in Counter(clauses.tables).items() if times > 1}


def equal_columns(links: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Column -> the first by name of all that the links make equal to it."""
    groups: list[set[str]] = []
    for link in links:
        touched = [group for group in groups if not group.isdisjoint(link)]
        groups = [group for group in groups if group.isdisjoint(link)] + [set(link).union(*touched)]
    return {column: min(group) for group in groups for column in group}


def _renamed(column: str, tables: Mapping[str, str]) -> str:
    table, _, name = column.partition(".")
    return f"{tables.get(table, table)}.{name}"


def left_over(gold: Sequence[Word], predicted: Sequence[Word]) -> tuple[list[Word], list[Word]]:
    """What only the gold has, and what only the prediction has, as often as it has it."""
    return _without(gold, predicted), _without(predicted, gold)


def _without(words: Sequence[Word], others: Sequence[Word]) -> list[Word]:
    counts, left = Counter(word.text for word in others), []
    for word in words:
        if counts[word.text]:
            counts[word.text] -= 1
        else:
            left.append(word)
    return left


def paired(missing: list[Word], extra: list[Word], by: Callable[[Word], object]) -> list[tuple[Word, Word]]:
    """Words that are alike in one respect; they leave their lists."""
    waiting: dict[object, list[Word]] = {}
    for word in reversed(extra):
        waiting.setdefault(by(word), []).append(word)
    found = [(word, waiting[respect].pop()) for word in missing if (respect := by(word)) and waiting.get(respect)]
    taken = {id(word) for pair in found for word in pair}
    missing[:], extra[:] = ([word for word in words if id(word) not in taken] for words in (missing, extra))
    return found


def without_literals(word: Word) -> str:
    """The words without literals."""
    return text(word.tree.transform(lambda node: exp.Placeholder() if isinstance(node, exp.Literal) else node))


def without_columns(word: Word) -> str:
    """The words without columns."""
    return text(word.tree.transform(lambda node: exp.Placeholder() if isinstance(node, exp.Column | exp.Star) else node))


def subject(word: Word) -> frozenset[str]:
    """What a condition is about: its columns and aggregates."""
    return frozenset(node.sql("sqlite") for node in word.tree.find_all(exp.Column, exp.AggFunc))


def without_aggregates(word: Word) -> str:
    """The words without aggregates and their DISTINCT."""
    return text(word.tree.transform(_without_aggregate))


def _without_aggregate(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.AggFunc) or (isinstance(node, exp.Distinct) and len(node.expressions) == 1):
        node = node.expressions[0] if isinstance(node, exp.Distinct) else node.this or exp.Placeholder()
    return node


def aggregates(word: Word) -> list[str]:
    return sorted(type(node).__name__ for node in word.tree.find_all(exp.AggFunc))


def literals(word: Word) -> frozenset[str]:
    return frozenset(node.name for node in word.tree.find_all(exp.Literal))


def texts(word: Word) -> set[str]:
    return {node.name for node in word.tree.find_all(exp.Literal) if node.is_string}


def atoms(words: list[Word]) -> Counter[str]:
    """The conditions under all AND and OR."""
    return Counter(text(atom) for word in words for part in conjuncts(word.tree) for piece in disjuncts(part) for atom in conjuncts(piece))


def joined_by_and(words: list[Word]) -> str:
    return " AND ".join(f"({word.said})" if isinstance(word.tree, exp.Or) else word.said for word in words)
