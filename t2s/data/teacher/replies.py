"""What comes back from a chat endpoint: an answer, or what is wrong and whether to ask again."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from t2s.data.teacher.cache import Reply
from t2s.data.teacher.protocol import FailureKind

_SHOWN_CHARS = 200
# 408, 409, 425: the server asks to be asked again; 529 is how some say that they are overloaded.
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


@dataclass(frozen=True)
class Trouble:
    """A request that brought no answer.

    Attributes:
        kind: As the failure will say if nothing better comes.
        detail: One line for people.
        again: Whether asking again may help.
        wait_s: How long the server wants to be left alone; None where it did not say.
        reply: What was counted all the same, for a reply that holds no answer.
        lost: Whether an answer may have been written, and billed, that did not arrive.
        hopeless: Whether every other request will fare the same: `key`, `address`, `credit`; "" otherwise.
        rejected: Whether the server objects to what the request asks for, which may be one of its extras.
    """

    kind: FailureKind
    detail: str
    again: bool = False
    wait_s: float | None = None
    reply: Reply | None = None
    lost: bool = False
    hopeless: str = ""
    rejected: bool = False


def read_reply(status: int, headers: Mapping[str, str], body: bytes) -> Reply | Trouble:
    """What a chat endpoint's response says.

    Args:
        status: HTTP status.
        headers: With lower-case names.
        body: As it came.
    """
    if status == 200:
        return _answer(body)
    said = f"status {status}{_message(body)}"
    if status in (401, 403):
        return Trouble("refused", said, hopeless="key")
    if status in (404, 405) or 300 <= status < 400:
        return Trouble("refused", said, hopeless="address")
    if status == 402 or (status == 429 and b"insufficient_quota" in body):
        return Trouble("refused", said, hopeless="credit")
    if status in _AGAIN or status > 500:
        return Trouble("busy", said, again=True, wait_s=_retry_after_s(headers))
    return Trouble("refused", said, rejected=status in (400, 422))


def one_line(text: str) -> str:
    """The beginning of a text, on one line."""
    folded = " ".join(text.split())
    return folded if len(folded) <= _SHOWN_CHARS else folded[:_SHOWN_CHARS] + "…"


def _answer(body: bytes) -> Reply | Trouble:
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):  # a proxy's page, a text cut short
        return Trouble("no_answer", f"the reply is not JSON: {_shown(body)}", again=True, lost=True)
    if not isinstance(record, dict):
        return Trouble("no_answer", f"the reply is no chat completion: {_shown(body)}", again=True, lost=True)
    reply = Reply(_content(record), *_usage(record))
    if reply.text.strip():
        return reply
    counted = reply if reply.prompt_tokens is not None else None
    return Trouble("no_answer", f"the reply holds no answer: {_shown(body)}", again=True, reply=counted, lost=counted is None)


def _content(record: Mapping[str, Any]) -> str:
    """The text of the first choice; newer servers may send it in parts."""
    with contextlib.suppress(KeyError, IndexError, TypeError):
        content = record["choices"][0]["message"]["content"]
        if isinstance(content, list):
            content = "".join(part["text"] for part in content if part.get("type") == "text")
        if isinstance(content, str):
            return content
    return ""


def _usage(record: Mapping[str, Any]) -> tuple[int | None, int | None]:
    usage = record.get("usage")
    if not isinstance(usage, dict):
        return None, None
    return _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _message(body: bytes) -> str:
    """What an error body says: `error.message` as OpenAI has it, or its beginning."""
    text = body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        record = json.loads(text)
        for key in ("error", "message", "detail"):
            record = record.get(key, record) if isinstance(record, dict) else record
        text = record if isinstance(record, str) else text
    return f": {one_line(text)}" if text.strip() else ""


def _shown(body: bytes) -> str:
    return one_line(body.decode("utf-8", "replace")) or "empty"


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, or as a date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    with contextlib.suppress(ValueError):
        seconds = float(value)
        return seconds if 0 <= seconds < float("inf") else None
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return None
