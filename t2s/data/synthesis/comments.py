"""What a column's comment says about its values, in words a question can use."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NULL = re.compile(r"\bnull\s+(if|while|when|until|for|at|before|unless|means|=|:)\s*:?\s*([^,;.()]+)", re.IGNORECASE)
_ONE = re.compile(r"\b1\s*(?:if|=|means|:|when|for)\s*:?\s*([^,;.()]+)", re.IGNORECASE)
_ROLE = re.compile(r"\s*(?:the\s+)?([a-z]+(?: [a-z]+)?)\s*(?:[,;(]|$)", re.IGNORECASE)
_MOST_WORDS = 4
_NO_ROLE = frozenset(["null", "foreign", "key", "optional", "reference", "references", "id", "unique", "see", "deprecated", "unused"])


@dataclass(frozen=True)
class Hints:
    """What a comment adds.

    Attributes:
        null_word: How NULL began: "while", "if", "until", "for", "at".
        null: What NULL means: "open", "not a member".
        one: What 1 means: "subscribed".
        role: What a link's target is to the row: "seller".
    """

    null_word: str = ""
    null: str = ""
    one: str = ""
    role: str = ""


def read_hints(comment: str | None) -> Hints:
    """What can be read from a comment; nothing where it says nothing of the kind.

    Example:
        "seller, store only" -> role "seller"; "NULL while open" -> null_word "while", null "open"
    """
    if not comment:
        return Hints()
    null, one, role = _NULL.search(comment), _ONE.search(comment), _ROLE.match(comment)
    return Hints(
        null_word=null[1].lower() if null else "",
        null=_short(null[2]) if null else "",
        one=_short(one[1]) if one else "",
        role=role[1].lower() if role and not _NO_ROLE & set(role[1].lower().split()) else "",
    )


def _short(text: str) -> str:
    said = " ".join(text.split()).lower()
    return said if len(said.split()) <= _MOST_WORDS and said.replace(" ", "").replace("-", "").isalpha() else ""
