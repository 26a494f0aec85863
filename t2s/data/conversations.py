"""Conversations: several questions in a row, each answered with those before it in view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from t2s.data.example import Example, Turn
from t2s.data.prompt import TokenizedExample

# Database, conversation, and what has been asked in it so far.
_Place = tuple[str, str, tuple[str, ...]]


def whole_conversations(encoded: Sequence[TokenizedExample]) -> list[TokenizedExample]:
    """Leaves out each example whose whole text another begins with and learns.

    Where the SQL of earlier turns is learnt (`data.supervise=all`), a conversation's last turn holds all that its other
    turns teach; to keep those would teach them twice. Where it is not, nothing is left out.

    Args:
        encoded: Tokenised examples, one for each turn.
    """
    learnt = {(item.prompt.prefix, item.prompt.suffix[:stop]) for item in encoded for _, stop in item.earlier}
    return [item for item in encoded if (item.prompt.prefix, item.prompt.suffix + item.completion) not in learnt]


def answer_turn_by_turn(
    examples: Sequence[Example], answer_batch: Callable[[Sequence[Example]], Sequence[str]], *, only_missing: bool
) -> list[str]:
    """Answers conversations with the answers to earlier turns as history, in place of the SQL that stands there.

    All first turns are answered together, then all second ones, and so on. An earlier turn that is not among the
    examples keeps its SQL.

    Args:
        examples: Turns of conversations, in any order.
        answer_batch: Gives SQL for each example it is given.
        only_missing: Keep SQL that a history has, and fill in only what is empty.

    Returns:
        SQL for each example, in their order.
    """
    answers = [""] * len(examples)
    given: dict[_Place, str] = {}
    for turn in sorted({len(example.history) for example in examples}):
        indices = [i for i, example in enumerate(examples) if len(example.history) == turn]
        batch = [_with_answers(examples[i], given, only_missing) for i in indices]
        for i, sql in zip(indices, answer_batch(batch), strict=True):
            answers[i] = sql
            given[_place(examples[i], turn)] = sql
    return answers


def _with_answers(example: Example, given: dict[_Place, str], only_missing: bool) -> Example:
    history = [
        turn if only_missing and turn.sql else Turn(turn.question, given.get(_place(example, number), turn.sql))
        for number, turn in enumerate(example.history)
    ]
    return replace(example, history=tuple(history))


def _place(example: Example, turn: int) -> _Place:
    """Where turn `turn`, counted from 0, stands: its question and those before it tell turns of one conversation apart."""
    asked = [*(earlier.question for earlier in example.history), example.question]
    return example.database, example.conversation, tuple(asked[: turn + 1])
