"""Conversations among judged predictions, as SParC and CoSQL score them (Yu et al. 2019).

*Question match* is the share of turns that are right, *interaction match* the share of conversations all of whose turns are.
Whether a turn is right is for a comparison of results to say; the two benchmarks compare the text of queries besides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from t2s.metrics.assessment import Assessment


@dataclass(frozen=True)
class Matches:
    """How many of `n` are right."""

    right: int
    n: int


def turns(assessments: Sequence[Assessment]) -> list[Assessment]:
    """Predictions for turns of a conversation: those whose conversation has a name, and those with earlier turns."""
    return [a for a in assessments if a.case.conversation or a.case.turn > 1]


def interactions(assessments: Sequence[Assessment]) -> list[list[Assessment]]:
    """Predictions conversation by conversation, as far as these have names; those without are left out.

    Example:
        turns 1 and 2 of "a", turn 1 of "b" -> [[turn 1, turn 2], [turn 1]]
    """
    found: dict[tuple[str, str], list[list[Assessment]]] = {}
    for assessment in assessments:
        case = assessment.case
        if not case.conversation:
            continue
        namesakes = found.setdefault((case.database, case.conversation), [[]])
        # Sets put together may use one name twice: a turn that comes again belongs to another conversation.
        if any(other.case.turn == case.turn for other in namesakes[-1]):
            namesakes.append([])
        namesakes[-1].append(assessment)
    return [talk for namesakes in found.values() for talk in namesakes]


def question_match(assessments: Sequence[Assessment], is_right: Callable[[Assessment], bool]) -> Matches:
    """Turns that are right, of all turns of conversations."""
    asked = turns(assessments)
    return Matches(sum(map(is_right, asked)), len(asked))


def interaction_match(assessments: Sequence[Assessment], is_right: Callable[[Assessment], bool]) -> Matches:
    """Conversations with a name whose every turn is right; a turn that is not among the predictions does not count."""
    talks = interactions(assessments)
    return Matches(sum(all(map(is_right, talk)) for talk in talks), len(talks))
