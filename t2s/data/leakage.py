"""What pairs share with others: with another split, or with a benchmark that is to stay unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from t2s.data.example import Example, plain
from t2s.errors import DataError
from t2s.sql.parse import skeleton


@dataclass(frozen=True)
class Shared:
    """What one set of pairs shares with another.

    Attributes:
        examples: Pairs looked at.
        questions: How many ask a question of the other set, but for case and punctuation.
        queries: How many have a query of the other set, but for white space and case.
        skeletons: How many have a query of the other set, but for its values.
        cases: The first few, as (question, what is shared).
    """

    examples: int
    questions: int
    queries: int
    skeletons: int
    cases: tuple[tuple[str, str], ...]


def shared_with(examples: Sequence[Example], others: Mapping[str, Sequence[Example]], max_cases: int) -> dict[str, Shared]:
    """What examples share with each of some other sets, by the name of the set.

    Queries that sqlglot cannot read are compared as text, and have no skeleton. Names of databases do not count: a benchmark
    may come under another name.

    Args:
        examples: The pairs in question, as a rule those to train on.
        others: The sets they should share nothing with.
        max_cases: How many cases to name for each.
    """
    known = [_Keys.of(example) for example in examples]
    return {name: _shared(examples, known, [_Keys.of(other) for other in set_], max_cases) for name, set_ in others.items()}


@dataclass(frozen=True)
class _Keys:
    question: str
    query: str
    shape: str | None

    @classmethod
    def of(cls, example: Example) -> _Keys:
        try:
            shape = skeleton(example.sql)
        except DataError:
            shape = None
        return cls(plain(example.question), " ".join(example.sql.lower().split()).rstrip("; "), shape)


def _shared(examples: Sequence[Example], known: Sequence[_Keys], others: Sequence[_Keys], max_cases: int) -> Shared:
    questions, queries = {other.question for other in others}, {other.query for other in others}
    shapes = {other.shape for other in others if other.shape is not None}
    found = [{"question": keys.question in questions, "query": keys.query in queries, "shape": keys.shape in shapes} for keys in known]
    cases = [(example.question, ", ".join(what for what in same if same[what])) for example, same in zip(examples, found, strict=True)]
    return Shared(
        examples=len(examples),
        questions=sum(same["question"] for same in found),
        queries=sum(same["query"] for same in found),
        skeletons=sum(same["shape"] for same in found),
        cases=tuple(case for case in cases if case[1])[:max_cases],
    )
