"""What a question says in numbers, dates and names, in any of the forms people write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen",
    "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth")
_WORDS = {
    **{word: float(number) for number, word in enumerate(_SMALL)},
    **{word: 20.0 + 10 * place for place, word in enumerate(_TENS)},
    **{word: float(place) for place, word in enumerate(_ORDINALS, 1)},
    **{"once": 1, "single": 1, "twice": 2, "double": 2, "doubled": 2, "both": 2, "pair": 2, "couple": 2, "triple": 3, "trio": 3},
    **{"dozen": 12, "half": 0.5, "halves": 2, "thirds": 3, "quarters": 4, "decade": 10, "hundred": 100, "thousand": 1000, "million": 1e6},
    **{"week": 7, "fortnight": 14, "year": 365, "hour": 60, "kilo": 1000, "kilos": 1000},
}
_SCALES = {"k": 1e3, "thousand": 1e3, "hundred": 1e2, "mn": 1e6, "million": 1e6, "bn": 1e9, "billion": 1e9, "dozen": 12.0}
# Digits with a thousands mark or a fraction, what scales them, and a unit written onto them.
_DIGITS = re.compile(
    r"(?<![\w.,])(?P<number>\d{1,3}(?:[,' \u00a0]\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)*)"
    r"(?P<scale> ?(?:k|thousand|hundred|mn|million|bn|billion|dozen)\b)?(?: ?(?:%|per ?cent))?[a-z€$£°]{0,4}(?!\w)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+", re.UNICODE)
_SPELLED = re.compile(rf"\b({'|'.join(_TENS)})[- ]({'|'.join(_SMALL[1:10])})\b")
_AND_A_HALF = re.compile(r"\b(\w+) and a half\b")
_ISO_DATE = re.compile(r"(?<!\d)((?:1[5-9]|2[01])\d\d)[-/.](\d{1,2})(?:[-/.](\d{1,2}))?(?!\d)")
_YEAR = re.compile(r"(?<![\d.,])(?:1[5-9]|2[01])\d\d(?![\d%])(?![.,]\d)")
_SHORT_YEAR = re.compile(r"(?:['’](?=\d\d)|(?<=\d\d\d\d[/-])(?=1[3-9]|[2-9]\d))(\d\d)(?!\d)|\bFY ?(\d\d)(?!\d)")
_BESIDE = re.compile(
    r"\b(after|later than|beyond|before|until|prior to|earlier than)\b[^.?!\d]{0,25}((?:1[5-9]|2[01])\d\d)(?!\d)", re.IGNORECASE
)
_IS_AFTER = re.compile(r"after|later|beyond", re.IGNORECASE)
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
_MONTH_NAMES = {name: number for number, month in enumerate(MONTHS, 1) for name in (month, month[:3])} | {"sept": 9}
# Words that are months only with a capital, or beside a number.
_DOUBTFUL_MONTHS = frozenset({"may", "march", "mar", "dec", "jan", "sep", "sept", "oct", "nov", "jun", "jul", "aug", "apr", "feb"})
_SPANS = r"(?:years?|months?|weeks?|quarters?|days?|decades?|century)"
_RELATIVE_TIME = re.compile(
    rf"\b(?:this|last|current|past|previous|prior|next|following|preceding|recent|latest|same) (?:\w+ ){{0,2}}?{_SPANS}\b"
    r"|\b(?:years?|months?) (?:before|after|earlier|later|ago|over)\b|\byear[- ]on[- ]year\b|\b(?:so far|to date|\d0s|recent(?:ly)?)\b"
    r"|\b(?:today|yesterday|tomorrow|now|nowadays|millennium|centur(?:y|ies)|nineties|eighties|seventies|sixties)\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\([^()]*\)|\bsince (?:the )?(?:\w+ (?:of )?)?\d{4}|\bsince \w+(?: \d{4})?", re.IGNORECASE)
_QUOTED = re.compile(r"(?<!\w)'([^'\n]{1,80}?)'(?!\w)|\"([^\"\n]{1,80})\"|[“«„]([^”»“\n]{1,80})[”»“]|(?<!\w)‘([^’\n]{1,80})’(?!\w)")
_CODE = re.compile(r"(?<![\w@.-])(?=[\w-]*\d)(?=[\w-]*[^\W\d_])[^\W\d_][\w-]{3,}(?![\w@])")
_UNITS_WITH_DIGITS = re.compile(r"[A-Za-z]{1,3}\d|[a-z]+-\d+|[A-Za-z]+-(?:19|20)\d\d|\w+-(?:day|week|month|year|hour|star|piece)s?")


@dataclass(frozen=True)
class Said:
    """What a text says.

    Attributes:
        digits: Numbers written in digits, years left out.
        numbers: All numbers, in words too.
        years: Four digits that look like a year, and two behind an apostrophe.
        years_beside: The year after one that stands behind `after`, and before one behind `before`.
        months: Numbers of the months named.
        relative_time: Whether it speaks of a time as seen from another: last year, the month before.
    """

    digits: tuple[float, ...]
    numbers: frozenset[float]
    years: frozenset[int]
    years_beside: frozenset[int]
    months: frozenset[int]
    relative_time: bool


@lru_cache(maxsize=4096)
def said(text: str) -> Said:
    """Numbers, years and months of a text.

    Example:
        "five orders over 2,000 euros in March '24" -> numbers {5, 2000}, years {2024}, months {3}
    """
    bare, unquoted = _ISO_DATE.sub(" ", text), _QUOTED.sub(" ", text)
    years = {int(match.group()) for match in _YEAR.finditer(bare)} | {int(m.group(1)) for m in _ISO_DATE.finditer(text)}
    short = {int(m.group(1) or m.group(2)) for m in _SHORT_YEAR.finditer(unquoted)}
    years |= {century + year for year in short for century in (1900, 2000)}
    digits = tuple(_digit_numbers(bare))
    return Said(
        digits=tuple(number for number in digits if number not in years | short),
        numbers=frozenset({*digits, *_spelled_numbers(text), *_date_numbers(text)}),
        years=frozenset(years),
        years_beside=frozenset(year + (1 if _IS_AFTER.match(word) else -1) for word, year in _beside(bare)),
        months=frozenset(_months(text)),
        relative_time=_RELATIVE_TIME.search(text) is not None,
    )


def without_asides(text: str) -> str:
    """The text without what stands in parentheses or begins with since: hints at form and at where the data begins."""
    return _ASIDE.sub(" ", text)


def quoted(text: str) -> list[str]:
    """What stands in quotes; an apostrophe within a word is none."""
    return [next(filter(None, match.groups())).strip() for match in _QUOTED.finditer(text)]


def codes(text: str) -> list[str]:
    """Words of letters and digits, as `CAMP25` or `SKU-1234`; `H1`, `m2` and `3-day` are none."""
    return [match.group() for match in _CODE.finditer(text) if not _UNITS_WITH_DIGITS.fullmatch(match.group())]


def _beside(text: str) -> Iterator[tuple[str, int]]:
    return ((match.group(1), int(match.group(2))) for match in _BESIDE.finditer(text))


def _digit_numbers(text: str) -> Iterator[float]:
    for match in _DIGITS.finditer(text):
        scale = _SCALES.get((match["scale"] or "").strip().lower(), 1.0)
        yield from (number * scale for number in _number(match["number"]))


def _number(written: str) -> Iterator[float]:
    """The number as English writes it, and as much of Europe would where that differs: 1.500 and 1,5."""
    plain = re.sub(r"[' \u00a0]", "", written)
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", plain):
        yield float(plain.replace(",", ""))
    elif re.fullmatch(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?", plain):
        yield float(plain.replace(".", "").replace(",", "."))
    elif plain.count(".") + plain.count(",") <= 1:
        yield float(plain.replace(",", "."))
    else:  # 1,2,3 is a list
        yield from (float(part) for part in re.split(r"[.,]", plain) if part)


def _spelled_numbers(text: str) -> Iterator[float]:
    lower = text.lower()
    words = _WORD.findall(lower)
    yield from (_WORDS[word] for word in words if word in _WORDS)
    for ten, one in _SPELLED.findall(lower):
        yield _WORDS[ten] + _WORDS[one]
    for word in _AND_A_HALF.findall(lower):
        yield (_WORDS[word] if word in _WORDS else float(word) if word.isdecimal() else 0.0) + 0.5
    for first, second in pairwise(words):
        if second in _SCALES and first in _WORDS:
            yield _WORDS[first] * _SCALES[second]


def _date_numbers(text: str) -> Iterator[float]:
    for match in _ISO_DATE.finditer(text):
        yield from (float(part) for part in match.groups() if part)


def _months(text: str) -> Iterator[int]:
    words = re.findall(r"[^\W_]+", text)
    for place, word in enumerate(words):
        number = _MONTH_NAMES.get(word.lower())
        beside = (*words[max(0, place - 1) : place], *words[place + 1 : place + 2])
        sure = word.lower() not in _DOUBTFUL_MONTHS or any(re.match(r"\d", other) for other in beside)
        if number and (sure or (word[0].isupper() and place > 0 and word.lower() in ("may", "march"))):
            yield number
    for match in _ISO_DATE.finditer(text):
        if 1 <= int(match.group(2)) <= 12:
            yield int(match.group(2))
