"""What is known about one judged prediction: the row of every report, file and total."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.sql.execute import OutcomeKind, Row
from t2s.sql.hardness import Hardness


@dataclass(frozen=True)
class Case:
    """One prediction to judge.

    Attributes:
        index: Place of the question in its file, from 0.
        question: What was asked.
        database: Name of the database.
        file: The SQLite file.
        gold: The right query.
        predicted: What a model wrote, as it is run.
        tags: Free labels.
        conversation: Name of the conversation the question is a turn of; empty where there is none.
        asked: Questions before this one in its conversation.
    """

    index: int
    question: str
    database: str
    file: Path
    gold: str
    predicted: str
    tags: tuple[str, ...] = ()
    conversation: str = ""
    asked: tuple[str, ...] = ()

    @property
    def turn(self) -> int:
        """Which turn of its conversation it is, from 1."""
        return len(self.asked) + 1


@dataclass(frozen=True)
class Head:
    """The beginning of a result: column names, the first rows, and how many rows there were."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    total: int


@dataclass(frozen=True)
class Assessment:
    """A judged prediction.

    Attributes:
        case: What was judged.
        execution: What happened when the prediction ran; `ok` when it gave a result, right or wrong.
        detail: One line on what is wrong; empty when nothing is.
        spider: Whether the results agree by the test-suite evaluator of Spider.
        bird: Whether they agree by the evaluator of BIRD.
        strict: Whether they agree by `strict`.
        hardness: Spider's class of the gold query.
        diagnosis: Why it is wrong, by the two syntax trees; empty for a strict match.
        gold_head: Beginning of the gold's result.
        predicted_head: Beginning of the prediction's result; None when it gave none.
    """

    case: Case
    execution: OutcomeKind
    detail: str
    spider: bool
    bird: bool
    strict: bool
    hardness: Hardness
    diagnosis: tuple[str, ...]
    gold_head: Head
    predicted_head: Head | None

    def line(self) -> dict[str, Any]:
        """The prediction's line of `predictions.jsonl`; only a turn of a conversation says which one it is."""
        talk = {"conversation": self.case.conversation, "turn": self.case.turn} if self.case.conversation or self.case.asked else {}
        return {
            "index": self.case.index,
            "database": self.case.database,
            **talk,
            "question": self.case.question,
            "gold": self.case.gold,
            "predicted": self.case.predicted,
            "execution": self.execution,
            "detail": self.detail,
            "spider": self.spider,
            "bird": self.bird,
            "strict": self.strict,
            "hardness": self.hardness,
            "diagnosis": list(self.diagnosis),
            "tags": list(self.case.tags),
        }
