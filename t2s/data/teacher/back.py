"""Back-translation: a pair whose question a model turns into the same rows is likely right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from t2s.data.example import Example
from t2s.data.query_log import LoggedQuery
from t2s.data.teacher.generate import Written, phrase_queries
from t2s.data.teacher.protocol import Teacher
from t2s.data.teacher.subject import Subject


@dataclass(frozen=True)
class BackTranslated:
    """One pair, sent from SQL to a question and back.

    Attributes:
        example: The pair.
        question: What a teacher, who saw the SQL alone, says that it asks; empty where there is none.
        sql: What a model, who saw that question alone, answers it with; empty where there is none.
        same: Whether both queries give the same rows.
    """

    example: Example
    question: str
    sql: str
    same: bool


def back_translate(
    teacher: Teacher,
    subject: Subject,
    examples: Sequence[Example],
    answer: Callable[[Sequence[str]], Sequence[str]],
    same: Callable[[str, str], bool],
    seed: int,
    tries: int,
) -> list[BackTranslated]:
    """Sends each SQL to a question and back to SQL.

    Args:
        teacher: Says what a query asks.
        subject: The database.
        examples: The pairs.
        answer: SQL for each of these questions: a text-to-SQL model.
        same: Whether the first query, which is the pair's, and the second give the same rows. It runs generated SQL, so
            it belongs in a sandbox.
        seed: Of the wordings.
        tries: How often a question is asked for.

    Returns:
        What became of each pair, in their order.
    """
    queries = [LoggedQuery(example.sql, 1, "", str(number)) for number, example in enumerate(examples)]
    written: Written = phrase_queries(teacher, subject, queries, 1, seed, tries)
    questions = {int(found.id.partition(".")[0]): found.question for found in written.examples}
    asked = sorted(questions)
    answers = dict(zip(asked, answer([questions[number] for number in asked]), strict=True))
    return [
        BackTranslated(example, questions.get(number, ""), sql := answers.get(number, ""), bool(sql) and same(example.sql, sql))
        for number, example in enumerate(examples)
    ]
