"""A need in words, before anybody asks for it: as a thing one can ask for, and as a question."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from t2s.data.synthesis import needs
from t2s.data.synthesis.phrase.nouns import Speaker


@dataclass(frozen=True)
class Said:
    """One need.

    Attributes:
        things: Ways to name what is wanted: "the number of orders per store".
        asks: Ways to ask for it, without a question mark: "how many orders does each store have".
        tail: What comes behind either: ", highest first".
        heads: Ways that stand best alone: "per store, the number of orders".
    """

    things: tuple[str, ...]
    asks: tuple[str, ...]
    tail: str = ""
    heads: tuple[str, ...] = ()


@singledispatch
def said(query: needs.Query, s: Speaker) -> Said:
    """The need in words."""
    raise TypeError(f"no words for {query!r}")
