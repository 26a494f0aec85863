"""What a teacher is: something that answers chat messages, one request or many."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

FailureKind = Literal["budget", "unreachable", "timeout", "busy", "refused", "no_answer", "unusable"]


class Message(NamedTuple):
    """One message of a chat; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True)
class Request:
    """One thing asked of a teacher.

    Attributes:
        messages: The chat so far; the teacher writes what comes next.
        schema: JSON schema of the answer; None for free text.
        attempt: How often the same was asked before. Another attempt draws another answer.
    """

    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None = None
    attempt: int = 0


@dataclass(frozen=True)
class Failure:
    """Why a request has no answer: data, not an exception, so that one bad request does not end a run.

    Attributes:
        kind: `budget` (not asked: it might have cost too much), `unreachable`, `timeout`, `busy` (429 or 5xx to the
            end), `refused` (the server will not answer this request), `no_answer` (replies without an answer),
            `unusable` (answers, but not in the form asked for).
        detail: One line for people.
    """

    kind: FailureKind
    detail: str


Answer = str | Failure


class Teacher(Protocol):
    """Answers requests. Implementations: `client.HttpTeacher`, `gguf.GgufTeacher`."""

    def complete_all(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Answers as they come, each with the index of its request.

        Raises:
            ConfigError: no request can succeed: a wrong key, address or model.
        """
        ...


def complete(teacher: Teacher, messages: Iterable[Message], schema: Mapping[str, Any] | None = None) -> Answer:
    """The answer to one request."""
    ((_, answer),) = teacher.complete_all([Request(tuple(messages), schema)])
    return answer


def request_key(asked_of: Mapping[str, Any], request: Request) -> str:
    """A key that two requests share only when the same is asked of the same teacher.

    Args:
        asked_of: All that decides the answer beside the request: address, model, sampling. Nothing secret.
        request: What is asked.
    """
    parts = [asked_of, [list(message) for message in request.messages], request.schema, request.attempt]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
