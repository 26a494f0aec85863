"""The JSON in a model's answer, however it is wrapped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_DECODER = json.JSONDecoder(strict=False)  # takes line breaks inside texts, which models write


def objects(answer: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text, in order: in fences, between prose, or in an answer that was cut off.

    Thoughts between `<think>` and `</think>` are passed over. An object that never ends gives those inside it, so that a
    list which was cut off is not lost.

    Example:
        'Sure! ```json\\n{"a": 1}\\n``` and {"b": 2}' -> {"a": 1}, {"b": 2}
    """
    text = _THOUGHT.sub("", answer)
    at = text.find("{")
    while at >= 0:
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield value
        at = text.find("{", end)


def entries(answer: str, key: str) -> list[dict[str, Any]]:
    """The objects listed under that key, or standing by themselves where a model left the wrapping out.

    Example:
        '{"pairs": [{"sql": "x"}, 7]}', key "pairs" -> [{"sql": "x"}]
    """
    found: list[dict[str, Any]] = []
    for value in objects(answer):
        listed = value.get(key)
        found += [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else [value]
    return found


def first_object(answer: str) -> dict[str, Any]:
    """The first object.

    Raises:
        ValueError: there is none.
    """
    value = next(objects(answer), None)
    if value is None:
        raise ValueError("no JSON object in the answer")
    return value
