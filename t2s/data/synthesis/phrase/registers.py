"""Who asks, and how: the same need as a note, a plain question, a polite request, small talk, an order, shop talk or a quick message."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from t2s.data.synthesis import needs
from t2s.data.synthesis.graph import Graph
from t2s.data.synthesis.phrase import grouped, listings, over, series, times
from t2s.data.synthesis.phrase.nouns import Speaker
from t2s.data.synthesis.phrase.said import Said, said
from t2s.data.synthesis.phrase.spoken import capital, lower, unmark

LOADED = (grouped, listings, over, series, times)  # each registers its words for a part of the tree

_POLITE = (
    "Could you tell me {thing}?", "Could you give me {thing}, please?", "Please give me {thing}.", "I'd like to know {thing}, please.",
    "Could you please show me {thing}?", "Can you tell me {thing}, please?", "Would you please look up {thing}?",
    "I would like {thing}, please.",
)  # fmt: skip
_CHATTY = (
    "Quick question: {ask}?", "Hi, {ask}?", "I'm preparing a meeting and need {thing}.", "My boss wants to know {thing}.",
    "Somebody asked me {ask}, any idea?",
    "Just curious, {ask}?", "For a presentation I need {thing}.", "Hey, can you check {thing}?", "We were wondering: {ask}?",
    "One more thing: {ask}?",
)  # fmt: skip
_ORDERS = ("List {thing}.", "Show {thing}.", "Show me {thing}.", "Give me {thing}.", "Find {thing}.", "Display {thing}.", "Return {thing}.")
_FIGURE_ORDERS = ("Show {thing}.", "Give me {thing}.", "Calculate {thing}.", "Tell me {thing}.", "Determine {thing}.", "Work out {thing}.")
_BUSINESS = (
    "I need {thing}.", "For the report we need {thing}.", "For the monthly report: {thing}.", "Please pull {thing}.", "Overview of {bare}.",
    "I want to see {thing}.",
    "Let's have {thing}.", "{bare}, please.", "Report on {bare}.",
)  # fmt: skip
_SLOPPY = ("{ask}", "{ask}", "{bare} pls", "need {bare}", "{bare}", "can you get me {bare}", "show me {bare}", "i need {bare}", "{ask} pls")
_NO_QUESTION = ("what ", "which ", "how ", "who ", "in which", "by how", "when ")


def _fill(shape: str, need: Said, s: Speaker) -> str:
    thing, ask = s.pick(need.things), s.pick(need.asks)
    bare = s.pick(need.heads) if need.heads and s.chance(0.3) else thing.removeprefix("the ")
    text = shape.format(thing=f"{thing}{need.tail}", ask=f"{ask}{need.tail}", bare=f"{bare}{need.tail}")
    if "any idea" in shape and not ask.startswith(_NO_QUESTION):
        text = f"Do you know {thing}{need.tail}?"
    return text


def _curt(need: Said, s: Speaker) -> str:
    text = f"{s.pick(need.heads or need.things)}{need.tail}".removeprefix("the ").removeprefix("all ")
    return capital(text) if s.chance(0.5) else text


def _plain(need: Said, s: Speaker) -> str:
    return capital(f"{s.pick(need.asks)}{need.tail}?")


def _imperative(need: Said, s: Speaker) -> str:
    figure = any(
        thing.startswith(("the number", "the average", "the total", "the percentage", "the revenue", "the sum")) for thing in need.things
    )
    return _fill(s.pick(_FIGURE_ORDERS if figure else _ORDERS), need, s)


def _from(shapes: tuple[str, ...]) -> Callable[[Said, Speaker], str]:
    return lambda need, s: capital(_fill(s.pick(shapes), need, s))


def _sloppy(need: Said, s: Speaker) -> str:
    text = lower(_fill(s.pick(_SLOPPY), need, s)).rstrip("?.")
    return text.replace("what is ", s.pick(["what is ", "whats "]), 1) if text.startswith("what is ") else text


REGISTERS: dict[str, Callable[[Said, Speaker], str]] = {
    "curt": _curt,
    "plain": _plain,
    "polite": _from(_POLITE),
    "chatty": _from(_CHATTY),
    "imperative": _imperative,
    "business": _from(_BUSINESS),
    "sloppy": _sloppy,
}


def ask(query: needs.Query, graph: Graph, rng: random.Random, register: str, free: float) -> str:
    """A need as a question.

    Args:
        query: The need.
        graph: The tables it speaks of.
        rng: Chooses among the ways to say each part.
        register: One of `REGISTERS`.
        free: How often another word for a thing is taken than the schema's, from 0 to 1.
    """
    speaker = Speaker(graph, rng, curt=register == "curt", free=free)
    text = REGISTERS[register](said(query, speaker), speaker)
    return unmark(" ".join(text.split()))


def choose(rng: random.Random, weights: Mapping[str, float], count: int) -> list[str]:
    """Different registers, the likelier ones more often."""
    left = {name: weight for name, weight in weights.items() if weight > 0}
    chosen: list[str] = []
    while left and len(chosen) < count:
        (name,) = rng.choices(list(left), list(left.values()))
        chosen.append(name)
        del left[name]
    return chosen
