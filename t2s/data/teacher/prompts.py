"""What teachers are asked, in words: the only place that writes their prompts."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from t2s.data.teacher.protocol import Message, Request
from t2s.data.teacher.subject import Subject, Value


class Way(NamedTuple):
    """A name, which becomes a tag, and what it means to the teacher."""

    name: str
    meaning: str


REGISTERS = (
    Way("plain", "a colleague's ordinary question in one sentence"),
    Way("terse", "as short as an impatient manager types it: no verb, no question mark"),
    Way("chatty", "spoken, with a word of greeting or the reason why it is asked"),
    Way("formal", "as in a written request to the reporting department"),
    Way("keywords", "search words only"),
    Way("indirect", "tells a problem or a wish; the question is left to be understood"),
    Way("learner", "by somebody whose first language is another one: simple words, small slips in grammar"),
)
LEVELS = (
    "easy: one table, one condition or one aggregate",
    "medium: one join, or a group with an aggregate and an order",
    "hard: two or three joins, or HAVING, or a subquery",
    "very hard: nested queries, set operations, common table expressions or window functions",
)
FEATURES = (
    *("COUNT", "SUM or AVG", "MIN or MAX", "COUNT(DISTINCT ...)", "GROUP BY with HAVING", "ORDER BY with LIMIT", "BETWEEN"),
    *("LIKE", "IN with a list", "NOT EXISTS or NOT IN", "IS NULL", "CASE", "a comparison with an average", "a share in percent"),
    *("UNION, INTERSECT or EXCEPT", "a LEFT JOIN that keeps rows without a partner", "a table joined with itself"),
    *("dates by month or year", "a window function", "DISTINCT", "OR together with AND", "the difference of two numbers"),
)
RULES = """\
Rules for the SQL: one SQLite SELECT (WITH is fine); only tables and columns of the schema; names with spaces or reserved words in
double quotes, text in single quotes; spelling of values as in the data; return exactly the columns asked for and nothing else;
order rows only where the question asks for an order; break ties where LIMIT is used; never use the current date.
Rules for the questions: people ask in words of their trade and do not know the schema: no table or column names with underscores,
no words of SQL; each question has one clear reading, and says everything that the SQL needs."""


def pairs_request(subject: Subject, focus: Sequence[str], register: Way, pairs: int, number: int, chooser: random.Random) -> Request:
    """Asks for question/SQL pairs on some tables, in one register."""
    literals = _literals(subject, focus, chooser)
    wishes = [
        f"Write {pairs} different questions that people may ask this database, each with the SQL that answers it.",
        f"Tables in focus: {', '.join(focus)}.",
        f"Level: {LEVELS[number % len(LEVELS)]}.",
        f"Use, where it is natural: {'; '.join(chooser.sample(FEATURES, 3))}.",
        f"Wording of all questions: {register.meaning}.",
    ]
    if literals:
        wishes.append(f"Some of the questions may speak of these values: {'; '.join(literals)}.")
    shape = {"pairs": [{"question": "...", "sql": "..."}]}
    return _request(_system(subject, focus, RULES), [*wishes, _as_json(shape)], _listed("pairs", "question", "sql"))


def paraphrase_request(question: str, sql: str, registers: Sequence[Way]) -> Request:
    """Asks for the same question in other words."""
    system = "You reword questions that people ask a database. The meaning, and every name, number and date in it, stays as it is."
    wishes = [
        f"Question: {question}",
        f"It is answered by: {sql}",
        f"Write it in {len(registers)} other ways, one for each of these wordings, in this order:",
        *(f"- {register.name}: {register.meaning}" for register in registers),
        _as_json({"questions": [{"wording": "...", "question": "..."}]}),
    ]
    return _request(system, wishes, _listed("questions", "wording", "question"))


def phrase_request(subject: Subject, focus: Sequence[str], sql: str, comment: str, registers: Sequence[Way]) -> Request:
    """Asks for the questions that a query answers."""
    wishes = [
        f"SQL: {sql}",
        *([f"Its author noted: {comment}"] if comment else []),
        f"Write the question that this SQL answers in {len(registers)} ways, one for each of these wordings, in this order:",
        *(f"- {register.name}: {register.meaning}" for register in registers),
        "Each says every condition, limit and order that is in the SQL, and nothing that is not.",
        _as_json({"questions": [{"wording": "...", "question": "..."}]}),
    ]
    return _request(_system(subject, focus, RULES), wishes, _listed("questions", "wording", "question"))


def review_request(subject: Subject, focus: Sequence[str], question: str, sql: str) -> Request:
    """Asks whether a query answers a question."""
    wishes = [
        f"Question: {question}",
        f"SQL: {sql}",
        "Does this SQL answer the question on this database? Look for a wrong table, column, join, condition, aggregate, limit or order, "
        "and for columns that are missing or too many. First say in one sentence what you found, then yes or no.",
        _as_json({"reason": "...", "answers": True}),
    ]
    properties = {"reason": {"type": "string"}, "answers": {"type": "boolean"}}
    return _request(_system(subject, focus, ""), wishes, _object(properties))


def _system(subject: Subject, focus: Sequence[str], rules: str) -> str:
    return f"You know SQLite and this database:\n\n{subject.describe(focus)}" + (f"\n\n{rules}" if rules else "")


def _literals(subject: Subject, focus: Sequence[str], chooser: random.Random) -> list[str]:
    known = [(column, value) for (table, column), values in subject.literals.items() if table in focus for value in values]
    return [f"{column} {_json(value)}" for column, value in chooser.sample(known, min(len(known), 4))]


def _as_json(shape: Mapping[str, Any]) -> str:
    return f"Answer with JSON only, of this form: {_json(shape)}"


def _json(value: Mapping[str, Any] | Value) -> str:
    return json.dumps(value, ensure_ascii=False)


def _request(system: str, lines: Sequence[str], schema: Mapping[str, Any]) -> Request:
    return Request((Message("system", system), Message("user", "\n".join(lines))), schema)


def _listed(key: str, *names: str) -> dict[str, Any]:
    entry = _object({name: {"type": "string"} for name in names})
    return _object({key: {"type": "array", "items": entry}})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
