"""Small pieces of English: values, numbers, dates, lists, articles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

from t2s.data.synthesis import lexicon
from t2s.data.synthesis.probe import Value
from t2s.sql.naming import plural, singular

# A value is wrapped while a question is put together, so that no change of case or punctuation touches it.
OPEN, CLOSE = "\x02", "\x03"
_VALUE = re.compile(f"({OPEN}.*?{CLOSE})")
_VOWELS = ("a", "e", "i", "o", "u")
_SAID_WITH_Y = ("uni", "use", "user", "eu", "one", "ur")


def several(noun: str) -> str:
    """The noun in the plural; words that are not plain Latin letters stay as they are."""
    head, _, last = noun.rpartition(" ")
    if not (last.isascii() and last.isalpha()) or last.isupper() or last in ("by", "to", "of", "at", "in"):
        return noun
    return f"{head} {plural(singular(last))}".strip()


def mark(text: str) -> str:
    return f"{OPEN}{text}{CLOSE}"


def unmark(text: str) -> str:
    return text.replace(OPEN, "").replace(CLOSE, "")


def lower(text: str) -> str:
    """In lower case but for values."""
    return "".join(part if part.startswith(OPEN) else part.lower() for part in _VALUE.split(text))


def capital(text: str) -> str:
    """With a capital at the start, unless a value stands there."""
    return text[:1].upper() + text[1:]


def a(noun: str) -> str:
    """The noun with its indefinite article.

    Example:
        "order" -> "an order"
    """
    last = noun.split()[-1]
    if last.endswith("s") and not last.endswith(("ss", "us", "is")) and singular(last) != last and " of " not in noun:
        return noun
    first = noun.lstrip(OPEN).lower()
    vowel = first.startswith(_VOWELS) and not first.startswith(_SAID_WITH_Y)
    return f"an {noun}" if vowel else f"a {noun}"


def listed(parts: Sequence[str], word: str = "and") -> str:
    """Example: ["a", "b", "c"] -> "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def number(value: Value) -> str:
    """A number as one writes it."""
    if isinstance(value, float):
        return f"{value:.10f}".rstrip("0").rstrip(".")
    return str(value)


def small(count: int) -> str:
    """A count in words, where it is small."""
    return lexicon.NUMBER_WORDS[count] if 0 <= count < len(lexicon.NUMBER_WORDS) else str(count)


def day(iso: str) -> str:
    """Example: "2024-03-01" -> "1 March 2024"."""
    moment = date.fromisoformat(iso)
    return f"{moment.day} {lexicon.MONTHS[moment.month - 1]} {moment.year}"


def month(iso: str) -> str:
    """Example: "2024-03" -> "March 2024"."""
    return f"{lexicon.MONTHS[int(iso[5:7]) - 1]} {iso[:4]}"


def before(iso: str) -> str:
    """The day before."""
    return (date.fromisoformat(iso) - timedelta(days=1)).isoformat()


def span_name(start: str, end: str) -> list[str]:
    """What the days from `start` up to before `end` are called, if they are a quarter or half of a year."""
    year, first = start[:4], int(start[5:7])
    if start[8:] != "01" or end[8:] != "01":
        return []
    months = (int(end[:4]) - int(year)) * 12 + int(end[5:7]) - first
    if months == 3 and first % 3 == 1:
        which = (first + 2) // 3
        return [f"Q{which} {year}", f"the {('first', 'second', 'third', 'last')[which - 1]} quarter of {year}"]
    if months == 6 and first % 6 == 1:
        which = 1 if first == 1 else 2
        return [f"the {('first', 'second')[which - 1]} half of {year}"] * 2 + [f"H{which} {year}"]
    return []


def days_from_to(start: str, last: str) -> list[str]:
    """A span of days, both named."""
    same_month = start[:7] == last[:7]
    first = str(int(start[8:])) if same_month else day(start)[:-5] if start[:4] == last[:4] else day(start)
    return [f"between {day(start)} and {day(last)}", f"from {first} to {day(last)}", f"between {start} and {last}, both days included"]
