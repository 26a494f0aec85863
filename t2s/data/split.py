"""Splitting pairs so that the test set asks what training never showed: no query of it, literals aside, is in train."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from t2s.data.example import Example
from t2s.errors import DataError
from t2s.sql.parse import skeleton, tables


@dataclass(frozen=True)
class Split:
    train: list[Example]
    val: list[Example]
    test: list[Example]


def split_examples(examples: Sequence[Example], val: int, test: int, seed: int) -> Split:
    """Deals examples to train, val and test.

    All examples of one SQL skeleton go to test together or not at all. Val is drawn from what is left, as it comes:
    like real use, it mixes queries seen in other words or with other literals and new ones. Both follow the pool's own
    mixture of one-table, two-table and larger queries.

    Args:
        examples: The pool.
        val: Examples in val.
        test: Examples in test, at least; the last group may overshoot by a few.
        seed: Of the draw.

    Raises:
        DataError: the pool is too small.
    """
    if val + test >= len(examples):
        raise DataError(f"{len(examples)} pairs cannot give {val} for val and {test} for test and leave some to train on")
    dice = random.Random(seed)
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(skeleton(example.sql), []).append(example)
    keys = sorted(groups)
    dice.shuffle(keys)
    chosen_test = {id(e) for e in _draw([groups[key] for key in keys], test, len(examples))}
    rest = [e for e in examples if id(e) not in chosen_test]
    order = list(range(len(rest)))
    dice.shuffle(order)
    chosen_val = {id(e) for e in _draw([[rest[i]] for i in order], val, len(rest))}
    split = Split(
        train=[e for e in rest if id(e) not in chosen_val],
        val=[e for e in rest if id(e) in chosen_val],
        test=[e for e in examples if id(e) in chosen_test],
    )
    if not split.train or len(split.val) < val:
        raise DataError(
            f"the {len(groups)} query shapes among {len(examples)} pairs are too few: one shape cannot be both in test and elsewhere; "
            "write more kinds of queries or ask for a smaller test"
        )
    return split


def _draw(groups: Sequence[Sequence[Example]], wanted: int, pool: int) -> list[Example]:
    """Whole groups, in their order, `wanted` examples with the pool's share of each size of query."""
    by_size: dict[int, list[Sequence[Example]]] = {}
    for group in groups:
        by_size.setdefault(min(3, len(tables(group[0].sql))), []).append(group)
    drawn: list[Example] = []
    due = 0.0
    for size in sorted(by_size):
        due += wanted * sum(map(len, by_size[size])) / pool
        for group in by_size[size]:
            if len(drawn) >= round(due):
                break
            drawn += group
    return drawn
