"""Names of tables and columns as people say them."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import inflect
    import snowballstemmer

# Shortened words that schemas are full of, in full.
SHORT_FORMS = {
    "acct": "account", "addr": "address", "amt": "amount", "avg": "average", "cat": "category", "cd": "code",
    "cnt": "count", "cust": "customer", "dept": "department", "desc": "description", "dob": "date of birth", "dt": "date",
    "emp": "employee", "fname": "first name", "inv": "invoice", "lname": "last name", "lvl": "level", "max": "maximum",
    "mgr": "manager", "min": "minimum", "nbr": "number", "nm": "name", "no": "number", "num": "number", "ord": "order",
    "org": "organisation", "pct": "percentage", "pmt": "payment", "prod": "product", "qty": "quantity", "ref": "reference",
    "svc": "service", "tel": "telephone", "ts": "time", "txn": "transaction", "val": "value", "yr": "year",
}  # fmt: skip
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+|[^\W\d_]+")


def words(name: str) -> list[str]:
    """The lower-case words of a name, whichever way it joins them; short forms stay as they are.

    Example:
        "orderItems_v2" -> ["order", "items", "v", "2"]
    """
    return [part.lower() for part in _PARTS.findall(name)]


def spoken(name: str) -> str:
    """The name as one would say it, short forms in full.

    Example:
        "cust_addr" -> "customer address"
    """
    return " ".join(SHORT_FORMS.get(word, word) for word in words(name)) or name


@cache
def stem(word: str) -> str:
    """What inflected forms of an English word have in common; other languages pass nearly unchanged.

    Example:
        "categories" -> "categori", "category" -> "categori"
    """
    return str(_stemmer().stemWord(word.lower()))


@cache
def singular(noun: str) -> str:
    """One of them; a noun that is singular already stays as it is.

    Example:
        "order items" -> "order item"
    """
    return str(_inflect().singular_noun(noun) or noun) if noun else noun


@cache
def plural(noun: str) -> str:
    """Several of them; a noun that is plural already stays as it is.

    Example:
        "category" -> "categories"
    """
    return noun if not noun or _inflect().singular_noun(noun) else str(_inflect().plural_noun(noun))


@cache
def _inflect() -> inflect.engine:
    import inflect  # takes a second, which whoever reads a schema without guessing keys need not wait

    return inflect.engine()


@cache
def _stemmer() -> snowballstemmer.stemmer:
    import snowballstemmer

    return snowballstemmer.stemmer("english")
