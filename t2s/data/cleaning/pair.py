"""What the steps of cleaning pass on: pairs, verdicts, and what became of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from t2s.data.cleaning.agreement import KnownValue, Siblings
from t2s.data.cleaning.query import Query, read_query
from t2s.data.example import Example, plain
from t2s.data.pii import Finder
from t2s.sql.execute import Sandbox
from t2s.sql.schema import Schema

PersonalData = Literal["off", "report", "mask", "refuse"]


@dataclass(frozen=True)
class CleaningRules:
    """What to clean, and how strictly. None lifts a limit.

    Attributes:
        min_question_words: Questions with fewer words are refused.
        max_question_chars: Questions that are longer are refused.
        max_sql_chars: Queries that are longer are refused.
        max_per_skeleton: How many pairs may share a skeleton on one database.
        max_per_wording: How many pairs may differ in nothing but their values.
        near_duplicate_likeness: Questions of one query that share this part of their trigrams count as one, 0 to 1.
        personal_data: What to do about it: `off` does not look, `report` counts it, `mask` replaces it, `refuse` drops the pair.
        refuse_toxic: Whether pairs with words of the built-in list are dropped.
        check_luck: Whether each query runs a second time, rows read backwards, and its LIMIT is tried for ties.
        check_agreement: Whether question and query must speak of the same values.
        one_style: Whether queries are rewritten in canonical style where the rows stay the same.
    """

    min_question_words: int
    max_question_chars: int
    max_sql_chars: int
    max_per_skeleton: int | None
    max_per_wording: int | None
    near_duplicate_likeness: float | None
    personal_data: PersonalData
    refuse_toxic: bool
    check_luck: bool
    check_agreement: bool
    one_style: bool


@dataclass(frozen=True)
class Rejected:
    """A pair that was dropped: as it came to the step, which step, and why."""

    example: Example
    step: str
    reason: str


@dataclass(frozen=True)
class StepCount:
    """What one step did: how many pairs came, were dropped, were changed."""

    name: str
    description: str
    before: int
    rejected: int
    changed: int

    @property
    def after(self) -> int:
        return self.before - self.rejected


@dataclass(frozen=True)
class Cleaned:
    """The outcome of cleaning.

    Attributes:
        kept: In input order.
        rejected: In the order of the steps.
        steps: All that ran, in order.
        personal_data: Findings by kind, before anything was done about them.
    """

    kept: list[Example]
    rejected: list[Rejected]
    steps: list[StepCount]
    personal_data: dict[str, int]


@dataclass(frozen=True)
class Result:
    """What a query returned, without its rows: two results with one `rows` are the same, whatever their order."""

    rows: bytes
    sequence: bytes
    count: int


class Pair:
    """An example on its way through the steps, with what is known about it."""

    def __init__(self, example: Example, result: Result | None = None) -> None:
        self.example = example
        self.result = result

    def changed(self, example: Example) -> Pair:
        """The pair with another example whose rows are the same."""
        return Pair(example, self.result)

    @cached_property
    def query(self) -> Query:
        """Raises DataError where the SQL is not one SELECT."""
        return read_query(self.example.sql)

    @cached_property
    def question(self) -> str:
        return plain(self.example.question)

    @property
    def asked(self) -> tuple[object, ...]:
        """What makes a question this question: two pairs that share it must have one answer."""
        return self.example.database, self.question, self.example.history, self.example.evidence


# None keeps a pair, a text refuses it and says why, an example takes its place.
Verdict = None | str | Example


@dataclass
class Room:
    """What the steps may use."""

    databases: Mapping[str, Path]
    schemas: Mapping[str, Schema]
    sandbox: Sandbox
    rules: CleaningRules
    siblings: Mapping[str, Siblings]
    known: KnownValue | None
    finder: Finder
    personal_data: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One step: `run` gives a verdict for each pair, in order."""

    name: str
    description: str
    run: Callable[[Sequence[Pair], Room], Iterator[Verdict]]
    wanted: Callable[[CleaningRules], bool] = lambda rules: True


def one_line(text: str, max_chars: int = 200) -> str:
    """A text as it fits into a reason."""
    flat = re.sub(r"\s+", " ", text).strip()
    return flat if len(flat) <= max_chars else f"{flat[:max_chars]}…"


def with_tags(example: Example, *tags: str) -> Example:
    """The example with further tags, each once."""
    return replace(example, tags=tuple(dict.fromkeys((*example.tags, *tags))))
