"""The data report: what a data set holds, before an hour is spent on it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from t2s.data.conversations import whole_conversations
from t2s.data.example import Example
from t2s.data.pack import IGNORED, completion_labels
from t2s.data.prompt import PromptEncoder, TokenizedExample
from t2s.errors import PromptTooLongError
from t2s.sql.parse import skeleton, tags


@dataclass(frozen=True)
class SplitSurvey:
    """Counts of one split.

    Attributes:
        examples: Used.
        dropped: Left out for their length.
        duplicates: Questions that repeat an earlier one of the split on the same database.
        prefix_tokens: Longest shared prompt part.
        branch_tokens: Questions and SQL of each item that is learnt from, in tokens.
        tags: How often each syntactic element occurs.
    """

    examples: int
    dropped: int
    duplicates: int
    prefix_tokens: int
    branch_tokens: tuple[int, ...]
    tags: dict[str, int]


@dataclass(frozen=True)
class Leakage:
    """What a split shares with train.

    Attributes:
        questions: Questions that stand in train word for word.
        queries: Examples whose SQL stands in train.
        skeletons: Examples whose SQL, literals aside, stands in train.
    """

    questions: int
    queries: int
    skeletons: int


@dataclass(frozen=True)
class Survey:
    splits: dict[str, SplitSurvey]
    leakage: dict[str, Leakage]
    decoded_mask: str

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return value


def fitting(
    examples: Sequence[Example], encoder: PromptEncoder, max_tokens: int, too_long: str, split: str
) -> tuple[list[Example], list[TokenizedExample]]:
    """Examples that fit `max_tokens`, and the tokens to learn from: one item each, but for turns that a longer one learns too.

    Raises:
        PromptTooLongError: some do not fit and `too_long` is `refuse`.
    """
    encoded = [encoder.encode(example) for example in examples]
    long = [(example.id, item.tokens) for example, item in zip(examples, encoded, strict=True) if item.tokens > max_tokens]
    if long and too_long == "refuse":
        worst = max(tokens for _, tokens in long)
        raise PromptTooLongError(
            f"{len(long)} of {len(examples)} examples of {split} exceed data.max_tokens={max_tokens}, first {long[0][0]}; "
            f"set data.max_tokens={worst}, show less of the schema (data.schema.samples=0), or data.too_long=drop"
        )
    kept = [(example, item) for example, item in zip(examples, encoded, strict=True) if item.tokens <= max_tokens]
    if not kept:
        raise PromptTooLongError(f"no example of {split} fits data.max_tokens={max_tokens}; set it to {max(t for _, t in long)}")
    return [example for example, _ in kept], whole_conversations([item for _, item in kept])


def survey(
    splits: Mapping[str, tuple[Sequence[Example], Sequence[TokenizedExample]]], read: Mapping[str, int], encoder: PromptEncoder
) -> Survey:
    """Surveys the splits, the first of which is train.

    Args:
        splits: Examples and their tokens by split name.
        read: How many examples each file held.
        encoder: To show one decoded mask.
    """
    train, *others = splits
    return Survey(
        splits={name: _split(examples, encoded, read[name]) for name, (examples, encoded) in splits.items()},
        leakage={name: leakage(splits[name][0], splits[train][0]) for name in others},
        decoded_mask=decoded_mask(splits[train][1][0], encoder),
    )


def leakage(examples: Sequence[Example], train: Sequence[Example]) -> Leakage:
    """What `examples` share with `train`."""
    questions = {_words(e.question) for e in train}
    queries = {e.sql for e in train}
    skeletons = {skeleton(e.sql) for e in train}
    return Leakage(
        questions=sum(_words(e.question) in questions for e in examples),
        queries=sum(e.sql in queries for e in examples),
        skeletons=sum(skeleton(e.sql) in skeletons for e in examples),
    )


def decoded_mask(example: TokenizedExample, encoder: PromptEncoder) -> str:
    """One example as the loss sees it: what is learnt stands between guillemets."""
    ids = [*example.prompt.prefix, *example.prompt.suffix, *example.completion]
    labels = completion_labels(example)
    runs = [
        (learnt, [token for token, _ in run]) for learnt, run in groupby(zip(ids, labels, strict=True), key=lambda pair: pair[1] != IGNORED)
    ]
    return "".join(f"«{encoder.text(run)}»" if learnt else encoder.text(run) for learnt, run in runs)


def _split(examples: Sequence[Example], encoded: Sequence[TokenizedExample], read: int) -> SplitSurvey:
    seen = Counter((example.database, _words(example.question), example.history) for example in examples)
    return SplitSurvey(
        examples=len(examples),
        dropped=read - len(examples),
        duplicates=sum(count - 1 for count in seen.values()),
        prefix_tokens=max(len(item.prompt.prefix) for item in encoded),
        branch_tokens=tuple(item.tokens - len(item.prompt.prefix) for item in encoded),
        tags=dict(Counter(tag for example in examples for tag in tags(example.sql)).most_common()),
    )


def _words(question: str) -> str:
    return " ".join(question.lower().split())
