"""Pairs from a teacher: questions with their SQL, other words for a question, questions for a query, and a second opinion.

What is asked depends on the arguments alone, so that a second run finds every answer in the teacher's cache.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from sqlglot import exp

from t2s.data.example import Example
from t2s.data.query_log import LoggedQuery
from t2s.data.teacher.answers import entries, first_object
from t2s.data.teacher.prompts import REGISTERS, Way, pairs_request, paraphrase_request, phrase_request, review_request
from t2s.data.teacher.protocol import Failure, Request, Teacher
from t2s.data.teacher.subject import Subject
from t2s.errors import ConfigError, DataError
from t2s.sql.parse import parse_query, split_answer, tables

T = TypeVar("T")
_MOST_FOCUS_TABLES = 3


@dataclass(frozen=True)
class Broken:
    """A pair that cannot be right, seen without running it.

    Attributes:
        question: As the teacher wrote it.
        sql: As the teacher wrote it.
        reason: What is wrong.
    """

    question: str
    sql: str
    reason: str


@dataclass(frozen=True)
class Written:
    """What a teacher wrote.

    Attributes:
        examples: In the order of the requests. Their SQL parses and names known tables; it has not run.
        broken: Pairs that cannot be right.
        failures: Requests without a usable answer.
    """

    examples: tuple[Example, ...]
    broken: tuple[Broken, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Review:
    """A teacher's opinion on one pair."""

    answers: bool
    reason: str


@dataclass(frozen=True)
class _Pages(Generic[T]):
    """What became of each request, in their order."""

    results: list[T | Failure]

    def kept(self) -> Iterator[tuple[int, T]]:
        return ((index, result) for index, result in enumerate(self.results) if not isinstance(result, Failure))

    def failures(self) -> tuple[Failure, ...]:
        return tuple(result for result in self.results if isinstance(result, Failure))


def ask_for_pairs(teacher: Teacher, subject: Subject, requests: int, pairs_per_request: int, seed: int, tries: int) -> Written:
    """Question/SQL pairs on a database.

    Each table comes into focus about equally often, with tables joined to it; levels, wordings, features of SQL and
    values from the data take turns.

    Args:
        teacher: Who writes.
        subject: The database.
        requests: How many requests; more of them leave the first as they were.
        pairs_per_request: How many pairs each asks for.
        seed: Of all choices.
        tries: How often a request is made until its answer is usable.

    Returns:
        Examples tagged `teacher` and `register:<name>`, pairs that cannot be right, requests that failed.
    """
    registers = [REGISTERS[number % len(REGISTERS)] for number in range(requests)]
    asked = [_pairs_request(subject, number, registers[number], pairs_per_request, seed) for number in range(requests)]
    pages = _settle(teacher, asked, lambda index, answer: _texts(answer, "pairs", "question", "sql"), tries)
    found = [
        _checked(subject, question, sql, f"teacher:{number}.{place}", registers[number].name)
        for number, pairs in pages.kept()
        for place, (question, sql) in enumerate(pairs)
    ]
    return _sorted_out(found, pages.failures())


def _pairs_request(subject: Subject, number: int, register: Way, pairs: int, seed: int) -> Request:
    """The request of that number, which depends on no other."""
    chooser = random.Random(f"{seed}:{number}")
    return pairs_request(subject, _focus(subject, number, seed, chooser), register, pairs, number, chooser)


def paraphrase(teacher: Teacher, examples: Sequence[Example], wordings: int, seed: int, tries: int) -> Written:
    """The same questions in other words.

    A wording that loses a value, which the question has from the SQL, is broken.

    Args:
        teacher: Who writes.
        examples: The questions.
        wordings: New ones for each question.
        seed: Of the choice of registers.
        tries: How often a request is made until its answer is usable.

    Returns:
        For each example up to `wordings` new ones, tagged `teacher`, `paraphrase` and `register:<name>`.
    """
    registers = [_registers(number, wordings, seed) for number in range(len(examples))]
    asked = [paraphrase_request(e.question, e.sql, chosen) for e, chosen in zip(examples, registers, strict=True)]
    pages = _settle(teacher, asked, lambda index, answer: _wordings(answer, registers[index]), tries)
    found: list[Example | Broken] = []
    for number, questions in pages.kept():
        example = examples[number]
        for place, (register, question) in enumerate(questions):
            labels = ("teacher", "paraphrase", f"register:{register}")
            reason = _lost_value(example, question)
            new = replace(example, question=question, tags=_joined(example.tags, labels), id=f"{example.id}.paraphrase{place}")
            found.append(Broken(question, example.sql, reason) if reason else new)
    return _sorted_out(found, pages.failures())


def phrase_queries(teacher: Teacher, subject: Subject, queries: Sequence[LoggedQuery], wordings: int, seed: int, tries: int) -> Written:
    """Questions for queries that have none, as a log holds them.

    Args:
        teacher: Who writes.
        subject: The database.
        queries: What the log holds; a comment helps.
        wordings: Questions for each query.
        seed: Of the choice of registers.
        tries: How often a request is made until its answer is usable.

    Returns:
        For each query up to `wordings` examples, tagged `teacher`, `query_log` and `register:<name>`.
    """
    registers = [_registers(number, wordings, seed) for number in range(len(queries))]
    asked = [
        phrase_request(subject, _tables_of(subject, query.sql), query.sql, query.comment, chosen)
        for query, chosen in zip(queries, registers, strict=True)
    ]
    pages = _settle(teacher, asked, lambda index, answer: _wordings(answer, registers[index]), tries)
    found = [
        _checked(subject, question, queries[number].sql, f"{queries[number].place}.{place}", register, "query_log")
        for number, questions in pages.kept()
        for place, (register, question) in enumerate(questions)
    ]
    return _sorted_out(found, pages.failures())


def review(teacher: Teacher, subject: Subject, examples: Sequence[Example], tries: int) -> list[Review | Failure]:
    """Whether each SQL answers its question, by a teacher who had better be another than the one who wrote it.

    Returns:
        An opinion for each example, or why there is none.
    """
    asked = [review_request(subject, _tables_of(subject, e.sql), e.question, e.sql) for e in examples]
    return _settle(teacher, asked, lambda index, answer: _opinion(answer), tries).results


def _settle(teacher: Teacher, requests: Sequence[Request], read: Callable[[int, str], T], tries: int) -> _Pages[T]:
    """Answers as `read` takes them; for those that it refuses by a ValueError another is drawn."""
    if tries < 1:
        raise ConfigError(f"teacher: tries={tries} must be at least 1")
    results: dict[int, T | Failure] = {}
    waiting = list(range(len(requests)))
    for attempt in range(tries):
        batch = [replace(requests[index], attempt=attempt) for index in waiting]
        for place, answer in teacher.complete_all(batch):
            index = waiting[place]
            try:
                results[index] = answer if isinstance(answer, Failure) else read(index, answer)
            except ValueError as error:
                results[index] = Failure("unusable", f"{error}, {attempt + 1} times")
        waiting = [index for index in waiting if isinstance(failed := results[index], Failure) and failed.kind == "unusable"]
    return _Pages([results[index] for index in range(len(requests))])


def _texts(answer: str, key: str, *names: str) -> list[tuple[str, ...]]:
    """The texts under these names in the entries that have them all."""
    found = []
    for entry in entries(answer, key):
        texts = tuple(_clean(entry.get(name)) for name in names)
        if all(texts):
            found.append(texts)
    if not found:
        raise ValueError(f"the answer holds no {key}")
    return found


def _wordings(answer: str, registers: Sequence[Way]) -> list[tuple[str, str]]:
    """(register, question) of each wording asked for; the register is the one it names, or else the one at its place."""
    named = {register.name for register in registers}
    found: list[tuple[str, str]] = []
    for entry, register in zip(entries(answer, "questions"), registers, strict=False):
        wording, question = _clean(entry.get("wording")).lower(), _clean(entry.get("question"))
        if question:
            found.append((wording if wording in named else register.name, question))
    if not found:
        raise ValueError("the answer holds no questions")
    return found


def _clean(value: object) -> str:
    return value.encode("utf-8", "ignore").decode().strip() if isinstance(value, str) else ""


def _opinion(answer: str) -> Review:
    record = first_object(answer)
    verdict, reason = record.get("answers"), record.get("reason")
    if isinstance(verdict, str) and verdict.strip().lower() in ("yes", "no", "true", "false"):
        verdict = verdict.strip().lower() in ("yes", "true")
    if not isinstance(verdict, bool):
        raise ValueError(f"the answer says neither yes nor no: {verdict!r}")
    return Review(verdict, _clean(reason))


def _checked(subject: Subject, question: str, sql: str, place: str, register: str, *labels: str) -> Example | Broken:
    """The example, or what is wrong with it: running it, and more, is left to the cleaning."""
    statement = split_answer(sql)
    try:
        known = {table.name.lower() for table in subject.schema.tables}
        unknown = sorted(tables(statement) - known)
    except DataError as error:
        return Broken(question, sql, str(error))
    if unknown:
        return Broken(question, sql, f"no table {', '.join(unknown)}")
    if question.lower() == sql.lower():
        return Broken(question, sql, "the question is the SQL")
    return Example(question, statement, subject.database, tags=("teacher", *labels, f"register:{register}"), id=place)


def _lost_value(example: Example, question: str) -> str:
    """What a new wording lacks: a value of the SQL that the old one spells out; "" for nothing."""
    try:
        values = [literal.name for literal in parse_query(example.sql).find_all(exp.Literal)]
    except DataError:
        return ""
    old, new = example.question.lower(), question.lower()
    lost = [value for value in values if len(value) > 1 and value.lower() in old and value.lower() not in new]
    return f"lost {lost[0]!r}" if lost else ""


def _sorted_out(found: Sequence[Example | Broken], failures: tuple[Failure, ...]) -> Written:
    examples = tuple(item for item in found if isinstance(item, Example))
    return Written(examples, tuple(item for item in found if isinstance(item, Broken)), failures)


def _focus(subject: Subject, number: int, seed: int, chooser: random.Random) -> list[str]:
    """A table, in turn, and a few that a walk along foreign keys leads to."""
    names = [table.name for table in subject.schema.tables]
    order = random.Random(f"{seed}:order").sample(names, len(names))
    focus = [order[number % len(order)]]
    while len(focus) < chooser.randint(1, _MOST_FOCUS_TABLES):
        near = [name for table in focus for name in subject.neighbours(table) if name not in focus]
        if not near:
            break
        focus.append(chooser.choice(near))
    return focus


def _tables_of(subject: Subject, sql: str) -> list[str]:
    """The tables that a query reads, as the schema spells them; all of them where that cannot be told."""
    try:
        named = tables(sql)
    except DataError:
        return []
    return [table.name for table in subject.schema.tables if table.name.lower() in named]


def _registers(number: int, count: int, seed: int) -> list[Way]:
    order = random.Random(f"{seed}:{number}").sample(REGISTERS, len(REGISTERS))
    return list(itertools.islice(itertools.cycle(order), count))


def _joined(tags: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*tags, *more)))
