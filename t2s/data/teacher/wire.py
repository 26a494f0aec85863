"""Requests as an OpenAI-compatible endpoint wants them: where they go, and which extras a server takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from t2s.data.teacher.protocol import Request
from t2s.errors import ConfigError

_SECRET_CHARS = 16
_FORMATS = ("json_schema", "json_object", "")


@dataclass(frozen=True)
class Endpoint:
    """A server and one of its models.

    Attributes:
        base_url: Up to `/v1`, as in `http://localhost:11434/v1`.
        model: The model's name, as the server knows it.
        api_key: Sent as a bearer token; empty sends none. Shown nowhere.

    Raises:
        ConfigError: one of them cannot be used.
    """

    base_url: str
    model: str
    api_key: str = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if "@" in parts.netloc or parts.query:
            raise ConfigError(
                "OPENAI_BASE_URL holds a user, password or query; give the key as OPENAI_API_KEY, which is never written down"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"OPENAI_BASE_URL={self.base_url!r} is no address; give one such as http://localhost:11434/v1")
        if not self.model.strip():
            raise ConfigError("no model for the teacher; name one in T2S_TEACHER_MODEL, as the server lists it under /models")
        if not all("!" <= character <= "~" for character in self.api_key):
            raise ConfigError("OPENAI_API_KEY holds white space or characters past ASCII; copy it again")

    @property
    def url(self) -> str:
        """Where requests go."""
        return self.base_url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    def hide(self, message: str) -> str:
        """A message without the key, should a server repeat it."""
        return message.replace(self.api_key, "***") if self.api_key else message

    def hide_in_answer(self, text: str) -> str:
        """An answer without the key; short keys, such as the `ollama` that Ollama asks for, are words and no secrets."""
        return self.hide(text) if len(self.api_key) >= _SECRET_CHARS else text


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn.

    Attributes:
        temperature: 0 for the likeliest answer.
        max_completion_tokens: The longest answer.
        seed: Of the draw; further attempts add to it.
    """

    temperature: float
    max_completion_tokens: int
    seed: int


@dataclass(frozen=True)
class Extras:
    """What a server is asked for beside an answer; servers differ in what they take.

    Attributes:
        format: `json_schema`, `json_object`, or "" for neither.
        limit: What the longest answer is called.
        temperature: Whether it is sent.
        seed: Whether it is sent.
    """

    format: str = _FORMATS[0]
    limit: str = "max_tokens"
    temperature: bool = True
    seed: bool = True

    def without(self, objection: str, request: Request) -> Extras | None:
        """The extras to try next, after a server's objection; None where nothing is left to do without."""
        said = objection.lower()
        if "max_completion_tokens" in said and self.limit == "max_tokens":
            return replace(self, limit="max_completion_tokens")
        if "temperature" in said and self.temperature:
            return replace(self, temperature=False)
        if "seed" in said and self.seed:
            return replace(self, seed=False)
        if request.schema is not None and self.format:
            return replace(self, format=_FORMATS[_FORMATS.index(self.format) + 1])
        return None


def body_of(request: Request, model: str, sampling: Sampling, extras: Extras) -> dict[str, Any]:
    """The request as JSON for `/chat/completions`."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        extras.limit: sampling.max_completion_tokens,
        "stream": False,
    }
    if extras.temperature:
        body["temperature"] = sampling.temperature
    if extras.seed:
        body["seed"] = sampling.seed + request.attempt
    if request.schema is not None and extras.format == "json_schema":
        schema = {"name": "answer", "strict": True, "schema": dict(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif request.schema is not None and extras.format == "json_object":
        body["response_format"] = {"type": "json_object"}
    return body
