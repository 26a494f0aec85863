"""Splitting pairs so that the test set asks what training never showed: no query of it, literals aside, is in train."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from t2s.data.example import Example, plain
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


def split_by_shape(examples: Sequence[Example], shares: Mapping[str, float], seed: int) -> dict[str, list[Example]]:
    """Deals examples to splits that have nothing in common: no query shape, no question, no conversation.

    Unlike `split_examples`, this holds for every two splits, val and train too. What hangs together goes together: examples
    of one SQL skeleton, with one question but for case and punctuation, or of one conversation. So do, being of one query,
    questions that nearly repeat each other. Each split follows the pool's mixture of small and large queries.

    Args:
        examples: The pool.
        shares: Share of each split, by name, above 0; they add up to 1. The largest takes what is left.
        seed: Of the draw.

    Returns:
        Examples by split, in the order of `shares` and of the pool. A split is of its size but for its last group, and smaller
        where what is left hangs together in groups larger than that.

    Raises:
        DataError: shares do not add up to 1, or the shapes are too few for so many splits.
    """
    if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise DataError(f"shares {dict(shares)} are not above 0 and add up to {sum(shares.values()):g}; make them add up to 1")
    groups = _connected(examples)
    random.Random(seed).shuffle(groups)
    largest = max(shares, key=lambda name: shares[name])
    place_of: dict[int, str] = {}
    for name in sorted(shares, key=lambda name: (shares[name], name)):
        if name != largest:
            wanted = max(1, round(shares[name] * len(examples)))
            free = [group for group in groups if group[0] not in place_of]
            place_of |= dict.fromkeys(_some_groups(free, examples, wanted), name)
    split: dict[str, list[Example]] = {name: [] for name in shares}
    for place, example in enumerate(examples):
        split[place_of.get(place, largest)].append(example)
    if empty := [name for name, dealt in split.items() if not dealt]:
        raise DataError(
            f"the {len(groups)} groups of pairs that share a query shape or a question are too few for {', '.join(empty)}; "
            "write more kinds of queries or ask for fewer splits"
        )
    return split


def _some_groups(groups: Sequence[list[int]], examples: Sequence[Example], wanted: int) -> list[int]:
    """Places of about `wanted` examples in whole groups: small ones, if they suffice; one larger than that only if all are."""
    small, fitting = ([group for group in groups if len(group) <= most] for most in (wanted // 4, wanted))
    offered = small if sum(map(len, small)) > wanted else fitting or groups
    pool = sum(map(len, offered))
    place_of = {id(examples[place]): place for group in offered for place in group}
    drawn = _draw([[examples[place] for place in group] for group in offered], min(wanted, pool), max(pool, 1))
    return [place_of[id(example)] for example in drawn]


def _connected(examples: Sequence[Example]) -> list[list[int]]:
    """Places of examples that share a skeleton, a question or a conversation, directly or through others."""
    parents = list(range(len(examples)))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    first: dict[tuple[str, str], int] = {}
    for place, example in enumerate(examples):
        opening = example.history[0].question if example.history else example.question
        keys = (("shape", skeleton(example.sql)), ("asks", plain(example.question)), ("asks", plain(opening)))
        # A follow-up such as "and in Norway?" stands in many conversations.
        for key in keys if not example.history else (keys[0], keys[2]):
            parents[root(place)] = root(first.setdefault(key, place))
    groups: dict[int, list[int]] = {}
    for place in range(len(examples)):
        groups.setdefault(root(place), []).append(place)
    return list(groups.values())


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
