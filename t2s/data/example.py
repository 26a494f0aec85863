"""The example: one question, its gold SQL, its database."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

_EDGES = "?!.,;:'\"`’‘“”()[]…¿¡"


@dataclass(frozen=True)
class Turn:
    """An earlier question of the same conversation, with the SQL that answered it."""

    question: str
    sql: str


@dataclass(frozen=True)
class Example:
    """One question with its gold SQL.

    Attributes:
        question: What a colleague asked.
        sql: The query that answers it; empty when the answer is what we want to know.
        database: Name of the database, a key of the data set's databases.
        history: Earlier turns, oldest first; an example with n of them is turn n + 1.
        tags: Free labels; `empty` marks a gold query that rightly returns no row.
        id: Where it came from, `file:line`, or a name of its own.
        evidence: What one must know beside the schema to answer, as BIRD gives it: formulas, what a value means.
        conversation: The same for all turns of one conversation, and for no other's; empty for a question on its own.
    """

    question: str
    sql: str
    database: str
    history: tuple[Turn, ...] = ()
    tags: tuple[str, ...] = ()
    id: str = ""
    evidence: str = ""
    conversation: str = ""


def plain(question: str) -> str:
    """A question free of case, white space and punctuation at the edges of words: what two spellings of one have in common.

    Example:
        "How many, in  OSLO?" -> "how many in oslo"
    """
    words = (word.strip(_EDGES) for word in unicodedata.normalize("NFKC", question).casefold().split())
    return " ".join(filter(None, words))
