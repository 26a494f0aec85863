"""Steps that compare pairs with each other: contradictions, repeats, and too much of the same."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import chain
from math import ceil

from t2s.data.cleaning.pair import Pair, Room, Verdict, one_line

_GRAM_CHARS = 3
# More of them make longer lists to look through, and fewer questions to compare in full.
_SHARED_RARE_GRAMS = 5


def drop_duplicates(pairs: Sequence[Pair], room: Room) -> Iterator[Verdict]:
    """Keeps the first of the pairs that say the same in question and SQL."""
    seen: dict[Hashable, Pair] = {}
    for pair in pairs:
        first = seen.setdefault((*pair.asked, pair.query.text), pair)
        yield None if first is pair else f"repeats {_named(first)}"


def drop_contradictions(pairs: Sequence[Pair], room: Room) -> Iterator[Verdict]:
    """Of one question with several answers keeps that of more than half its pairs, and none where there is none such."""
    answers: dict[Hashable, Counter[bytes]] = defaultdict(Counter)
    for pair in pairs:
        answers[pair.asked][_rows(pair)] += 1
    for pair in pairs:
        votes = answers[pair.asked]
        if len(votes) == 1 or 2 * votes[_rows(pair)] > votes.total():
            yield None
        else:
            most = max(votes.values())
            yield f"the same question has {len(votes)} answers among {votes.total()} pairs, the commonest {most} times"


def drop_near_duplicates(pairs: Sequence[Pair], room: Room) -> Iterator[Verdict]:
    """Keeps the first of the pairs that ask for one query in nearly the same words, or that get one answer to one question."""
    likeness = room.rules.near_duplicate_likeness
    assert likeness is not None
    near = near_duplicates([(_same_query(pair), pair.question) for pair in pairs], likeness)
    answered: dict[Hashable, Pair] = {}
    for place, pair in enumerate(pairs):
        if place in near:
            yield f"nearly repeats {_named(pairs[near[place]])}"
            continue
        first = answered.setdefault((pair.asked, _rows(pair)), pair)
        yield None if first is pair else f"has the question and the rows of {_named(first)}"


def cap_wordings(pairs: Sequence[Pair], room: Room) -> Iterator[Verdict]:
    """Keeps the first few of the pairs that differ in nothing but their values."""
    limit = room.rules.max_per_wording
    assert limit is not None
    return _capped([(*_same_shape(pair), wording(pair)) for pair in pairs], limit, "in other words for other values")


def cap_skeletons(pairs: Sequence[Pair], room: Room) -> Iterator[Verdict]:
    """Keeps the first few pairs of each query shape."""
    limit = room.rules.max_per_skeleton
    assert limit is not None
    return _capped([_same_shape(pair) for pair in pairs], limit, "with this query shape")


def near_duplicates(questions: Sequence[tuple[Hashable, str]], likeness: float) -> dict[int, int]:
    """Questions that nearly repeat an earlier one of their group that is none itself.

    Two questions are as like as the share of character trigrams they have in common (Jaccard). Every pair at or above the
    limit is found: a question is compared with those that share a few of its rarest trigrams, as such a pair must (prefix
    filtering, Chaudhuri et al. 2006; several instead of one, Wang et al. 2012).

    Args:
        questions: Group and text of each.
        likeness: From where on two count as one, above 0, up to 1.

    Returns:
        Place of a repeat -> place of what it repeats.
    """
    grams = [frozenset(_grams(text)) for _, text in questions]
    common: dict[Hashable, Counter[str]] = defaultdict(Counter)
    for (group, _), own in zip(questions, grams, strict=True):
        common[group].update(own)
    index: dict[tuple[Hashable, str], list[int]] = defaultdict(list)
    found: dict[int, int] = {}
    for place, ((group, _), own) in enumerate(zip(questions, grams, strict=True)):
        least_shared = ceil(likeness * len(own))
        rarest = sorted(own, key=lambda gram: (common[group][gram], gram))[: len(own) - least_shared + _SHARED_RARE_GRAMS]
        met = Counter(chain.from_iterable(index[group, gram] for gram in rarest))
        near = sorted(other for other, times in met.items() if times >= min(_SHARED_RARE_GRAMS, least_shared))
        like = next((other for other in near if _jaccard(own, grams[other]) >= likeness), None)
        if like is not None:
            found[place] = like
        else:
            for gram in rarest:
                index[group, gram].append(place)
    return found


def wording(pair: Pair) -> str:
    """A question with its values masked: numbers, quoted words, and words of the query's literals.

    Example:
        "orders of Nordlys Oslo in 2024", 'Nordlys Oslo' -> "orders of # in #"
    """
    values = {word for literal in pair.query.literals if literal.is_string for word in re.findall(r"\w+", literal.text.casefold())}
    words = ("#" if word in values or any(map(str.isdigit, word)) else word for word in re.findall(r"\w+", pair.question))
    return re.sub(r"#(?: #)+", "#", " ".join(words))


def _capped(keys: Sequence[Hashable], limit: int, said: str) -> Iterator[Verdict]:
    seen: Counter[Hashable] = Counter()
    for key in keys:
        seen[key] += 1
        yield None if seen[key] <= limit else f"one of many {said}: {limit} are kept"


def _grams(text: str) -> Iterator[str]:
    padded = f"  {text} "
    return (padded[start : start + _GRAM_CHARS] for start in range(len(padded) - _GRAM_CHARS + 1))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def _same_query(pair: Pair) -> Hashable:
    return pair.example.database, pair.query.text, pair.example.history, pair.example.evidence


def _same_shape(pair: Pair) -> tuple[Hashable, ...]:
    return pair.example.database, pair.query.skeleton


def _rows(pair: Pair) -> bytes:
    assert pair.result is not None, "queries run before this step"
    return pair.result.rows


def _named(pair: Pair) -> str:
    return pair.example.id or one_line(pair.example.question, 80)
