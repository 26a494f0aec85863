"""The value somebody meant: the one in a column that is nearest to what was written."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence

# (table, column) -> the distinct texts in it; names in any case.
Texts = Callable[[str, str], Sequence[str]]
# (table, column, written) -> the nearest text in the column, None where it holds what was written, or nothing near.
Nearest = Callable[[str, str, str], str | None]

# difflib's ratio; below two thirds, words share little but common letters.
_LEAST_LIKENESS = 2 / 3
# difflib compares one text with all others: 10,000 of them take some 50 ms.
_MOST_TEXTS = 10_000


def nearest_value(written: str, texts: Iterable[str]) -> str | None:
    """The text that was meant: the same but for case and spaces, or with the written one inside, or spelled alike.

    Args:
        written: The value of a query.
        texts: What the column holds.

    Returns:
        None if the column holds the written value itself, or nothing near.

    Example:
        "Olso" among "Oslo", "Bergen" -> "Oslo"
    """
    known = list(texts)
    if written in known:
        return None
    folded: dict[str, str] = {}
    for text in known[:_MOST_TEXTS]:
        folded.setdefault(_folded(text), text)
    wanted = _folded(written)
    if wanted in folded:
        return folded[wanted]
    alike = difflib.get_close_matches(wanted, folded, n=1, cutoff=_LEAST_LIKENESS)
    around = (text for text in folded if text and wanted and (wanted in text or text in wanted))
    close = [*alike, *sorted(around, key=lambda text: abs(len(text) - len(wanted)))]
    return folded[close[0]] if close else None


def nearest_among(texts: Texts) -> Nearest:
    """A `Nearest` that asks for a column's texts once.

    Args:
        texts: Reads a column, as a rule in the sandbox; empty where it cannot.
    """
    read: dict[tuple[str, str], Sequence[str]] = {}

    def nearest(table: str, column: str, written: str) -> str | None:
        place = (table.lower(), column.lower())
        if place not in read:
            read[place] = texts(table, column)
        return nearest_value(written, read[place])

    return nearest


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
