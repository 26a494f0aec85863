"""What a teacher may cost, what it has cost, and how the first keeps the second in bounds."""

from __future__ import annotations

from dataclasses import dataclass

from t2s.data.teacher.cache import Reply
from t2s.data.teacher.protocol import Request

# Every chat template writes a few tokens around each message.
_TOKENS_PER_MESSAGE = 16
# The densest prompt so far need not be the densest to come.
_MARGIN = 1.25


@dataclass(frozen=True)
class Limits:
    """The most one run may take.

    Attributes:
        max_tokens: Of prompts and answers together; None for no limit.
        max_cost: In the currency of the prices; None for no limit.
        prompt_price: Of a million prompt tokens.
        completion_price: Of a million answer tokens.
    """

    max_tokens: int | None
    max_cost: float | None
    prompt_price: float
    completion_price: float

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """What so many tokens cost."""
        return (prompt_tokens * self.prompt_price + completion_tokens * self.completion_price) / 1e6


@dataclass(frozen=True)
class Spent:
    """What a run has taken so far.

    Attributes:
        requests: Requests sent, further tries included.
        answered: Those that brought an answer.
        cached: Answers that came from the cache and cost nothing.
        prompt_tokens: Tokens of prompts.
        completion_tokens: Tokens of answers.
        estimated_tokens: How many of these tokens are an estimate: the server did not say, or its reply got lost.
        cost: By the prices in the settings.
    """

    requests: int
    answered: int
    cached: int
    prompt_tokens: int
    completion_tokens: int
    estimated_tokens: int
    cost: float

    def __str__(self) -> str:
        tokens = self.prompt_tokens + self.completion_tokens
        guess = f", {self.estimated_tokens:,} of them estimated" if self.estimated_tokens else ""
        return (
            f"{self.answered:,} answers from {self.requests:,} requests, {self.cached:,} more from the cache; {tokens:,} tokens "
            f"({self.prompt_tokens:,} + {self.completion_tokens:,}{guess}), cost {self.cost:.4f}"
        )


@dataclass(frozen=True)
class Reserve:
    """The most one request may take, set aside before it is sent."""

    prompt_tokens: int
    completion_tokens: int


class Budget:
    """Sets aside the most that each request may take before it is sent, so that the limits hold whatever comes back.

    A token is at least one byte; after the first reply the densest prompt so far, and a margin, say how many tokens a
    prompt has. Not for several threads.

    Args:
        limits: What may be spent.
        max_completion_tokens: The most a server writes for one request.
    """

    def __init__(self, limits: Limits, max_completion_tokens: int) -> None:
        self.limits = limits
        self._max_completion_tokens = max_completion_tokens
        self._tokens_per_byte = 0.0  # of the densest prompt so far; 0 before the first reply
        self._reserved: list[Reserve] = []
        self._requests = self._answered = self._cached = 0
        self._prompt = self._completion = self._estimated = 0

    def reserve(self, request: Request) -> Reserve | None:
        """Sets aside what this request may take; None where that might exceed a limit."""
        per_byte = min(1.0, self._tokens_per_byte * _MARGIN) or 1.0
        prompt = int(_bytes(request) * per_byte) + 1 + _TOKENS_PER_MESSAGE * len(request.messages)
        reserve = Reserve(prompt, self._max_completion_tokens)
        prompts = self._prompt + sum(r.prompt_tokens for r in self._reserved) + reserve.prompt_tokens
        completions = self._completion + sum(r.completion_tokens for r in self._reserved) + reserve.completion_tokens
        limits = self.limits
        if limits.max_tokens is not None and prompts + completions > limits.max_tokens:
            return None
        if limits.max_cost is not None and limits.cost(prompts, completions) > limits.max_cost:
            return None
        self._reserved.append(reserve)
        return reserve

    @property
    def idle(self) -> bool:
        """Whether nothing is set aside: what does not fit now never will."""
        return not self._reserved

    def sent(self) -> None:
        """Counts a request on its way."""
        self._requests += 1

    def release(self, reserve: Reserve) -> None:
        """Frees what was set aside: the server refused the request, which costs nothing."""
        self._reserved.remove(reserve)

    def charge(self, reserve: Reserve, request: Request, reply: Reply) -> None:
        """Counts a reply by what the server says, or by an estimate where it does not."""
        self._reserved.remove(reserve)
        self._answered += 1
        prompt, completion = reply.prompt_tokens, reply.completion_tokens
        if prompt is None:
            prompt = reserve.prompt_tokens
            self._estimated += prompt
        else:
            self._tokens_per_byte = max(self._tokens_per_byte, prompt / max(1, _bytes(request)))
        if completion is None:
            completion = min(len(reply.text.encode("utf-8", "replace")), reserve.completion_tokens)
            self._estimated += completion
        self._prompt += prompt
        self._completion += completion

    def charge_lost(self, reserve: Reserve) -> None:
        """Counts a reply that was lost on its way: the server may have written, and billed, all of it."""
        self._reserved.remove(reserve)
        self._prompt += reserve.prompt_tokens
        self._completion += reserve.completion_tokens
        self._estimated += reserve.prompt_tokens + reserve.completion_tokens

    def from_cache(self) -> None:
        """Counts an answer that was there."""
        self._cached += 1

    @property
    def spent(self) -> Spent:
        cost = self.limits.cost(self._prompt, self._completion)
        return Spent(self._requests, self._answered, self._cached, self._prompt, self._completion, self._estimated, cost)


def _bytes(request: Request) -> int:
    schema = len(str(dict(request.schema))) if request.schema is not None else 0
    return schema + sum(len(message.content.encode("utf-8", "replace")) for message in request.messages)
