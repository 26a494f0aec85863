"""Whether a question and its query speak of the same numbers, dates and names.

A pair is wrong for sure when the question says `five` and the query `LIMIT 3`; it may be right when only one of them says
something: a question need not name the status its words imply. So what is said on both sides and differs weighs more than
what only one side says, and what counts as saying is generous: `March 2024` is '2024-03', `Norwegian` is 'Norway', 30 % is 0.3.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from t2s.data.cleaning.query import Query, QueryLiteral, Role
from t2s.data.cleaning.spoken import MONTHS, Said, codes, quoted, said, without_asides
from t2s.sql.naming import singular, stem
from t2s.sql.schema import Schema

# (database, text) -> whether some column holds that text, in any case.
KnownValue = Callable[[str, str], bool]
# A value in lower case -> the values it may be taken for: the other categories of its column.
Siblings = Mapping[str, frozenset[str]]

_DATE = re.compile(r"((?:1[5-9]|2[01])\d\d)(?:-(\d\d)(?:-(\d\d))?)?(?:[T ]\d.*)?%?")
_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_PART = re.compile(r"\d+(?:\.\d+)?")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;\n(\"“]\s*)$")
_NAME = re.compile(r"[^\W\d_a-z][\w'’&.-]*(?:\s+[^\W\d_a-z][\w'’&.-]*)*")
# By these a question turns one unit into another: minutes, hours, days, weeks, months, grams and so on.
_UNITS = (7, 10, 12, 24, 30, 31, 60, 100, 365, 1000, 1024, 1440, 3600, 86400)
# What queries hold for reasons of their own: flags, "more than one", rounding, percentages.
_STRUCTURAL = frozenset({0.0, 1.0, 2.0, 100.0})
_LEAST_SHARED_CHARS = 4
_MOST_PARTS = 50  # of numbers within one literal
_LEAST_NAME_CHARS = 4
# How many names of the question in a row may be one value.
_MOST_NAME_WORDS = 4


def disagreements(question: str, context: str, query: Query, siblings: Siblings, known: Callable[[str], bool] | None) -> list[str]:
    """What question and query say differently, in sentences; empty where they agree.

    Args:
        question: The question.
        context: What else the reader is told, as evidence or earlier turns: it may say what the query needs, and asks for nothing.
        query: Its query.
        siblings: Categories that exclude each other, from the schema's samples: see `siblings_of`.
        known: Whether the database holds a text; None looks at capitals alone.
    """
    asked, told = said(without_asides(question)), said(f"{question}\n{context}")
    return [
        *_years(asked, told, query),
        *_months(asked, query),
        *_numbers(asked, told, query),
        *_names(question, context, query, known),
        *_categories(question, context, query, siblings),
        *_verbatim(question, query),
    ]


def _years(asked: Said, told: Said, query: Query) -> Iterator[str]:
    held = [(literal, year) for literal in query.literals for year in _literal_years(literal)]
    stated = {year for year in asked.years if asked.years.isdisjoint({year - 100, year + 100}) or year >= 2000}
    for year in sorted(stated) if not _counts(stated, query) else ():
        used = any(_is_year(literal, there, year) or there in asked.years_beside & {year - 1, year + 1} for literal, there in held)
        if not used and not _holds_year(query, year):
            yield f"the question says {year}, the query does not"
    spans = told.years
    for literal, year in held:
        near = any(_is_year(literal, year, one) for one in spans)
        within = bool(spans) and min(spans) <= year <= max(spans)
        beside = year in told.years_beside or (told.relative_time and (not spans or {year - 1, year + 1} & spans))
        if not (near or within or beside or float(year) in told.numbers):
            yield f"the query says {year}, the question does not"


def _counts(years: set[int], query: Query) -> bool:
    """Whether the query counts the years named instead of naming them: "in 2023, 2024 and 2025" may be COUNT(DISTINCT year) = 3."""
    numbers = {_value(literal) for literal in query.literals if literal.role in ("equal", "above")}
    return len(years) > 1 and max(years) - min(years) + 1.0 in numbers


def _holds_year(query: Query, year: int) -> bool:
    """Whether a number is the year, or a code ends with it, as `SPRING24` does."""
    coded = any(literal.is_string and re.search(rf"[A-Za-z]-?{year % 100:02d}$", literal.text) for literal in query.literals)
    return coded or _holds_number(query, year)


def _is_year(literal: QueryLiteral, held: int, stated: int) -> bool:
    """Whether a literal of a query means a year: a bound may lie on its far side."""
    return held == stated or (literal.role == "below" and held == stated + 1) or (literal.role == "above" and held == stated - 1)


def _literal_years(literal: QueryLiteral) -> list[int]:
    if literal.role == "format" or literal.role == "output":
        return []
    if literal.is_string:
        match = _DATE.fullmatch(literal.text)
        return [int(match.group(1))] if match else []
    # A number is a year only where it is compared; 2000 euros are none, but then the question says 2000 too.
    compared = literal.role in ("equal", "below", "above")
    return [int(literal.text)] if compared and re.fullmatch(r"19\d\d|20\d\d", literal.text) else []


def _months(asked: Said, query: Query) -> Iterator[str]:
    held: set[int] = set()
    dated = any(literal.is_string and any(_literal_months(literal)) for literal in query.literals)
    by_month = any(literal.role == "format" and "%m" in literal.text for literal in query.literals)
    for literal in query.literals:
        for month in _literal_months(literal):
            held |= {month} | ({month % 12 + 1, (month - 2) % 12 + 1} if literal.role in ("below", "above") else set())
    # "each month, January first" names an order, no month.
    if dated or not by_month:
        yield from (f"the question names month {month}, the query does not" for month in sorted(asked.months - held))


def _literal_months(literal: QueryLiteral) -> Iterator[int]:
    if literal.is_string and (match := _DATE.fullmatch(literal.text)) and match.group(2):
        yield int(match.group(2))
    elif literal.is_string and (match := re.search(r"-(\d\d)(?:-|%|$)", literal.text)):
        yield int(match.group(1))
    elif re.fullmatch(r"0?[1-9]|1[0-2]", literal.text):
        yield int(literal.text)
    elif literal.is_string:
        yield from said(literal.text).months


def _numbers(asked: Said, told: Said, query: Query) -> Iterator[str]:
    counted = max(told.years, default=0) - min(told.years, default=0) + 1.0
    unsaid = [
        literal
        for literal in query.literals
        if _asks_for_number(literal) and not _is_said(literal, told) and not (len(told.years) > 1 and _value(literal) == counted)
    ]
    unused = [number for number in asked.digits if number not in _STRUCTURAL and not _holds_number(query, number)]
    small = [number for number in unused if number < 10]
    # A small number alone may be talk ("1 to 5 stars"); beside another one in the query it was meant.
    for number in unused if unsaid else [number for number in unused if number not in small]:
        yield f"the question says {number:g}, the query does not"
    for literal in unsaid:
        yield f"the query says {literal.text}, the question does not"


def _asks_for_number(literal: QueryLiteral) -> bool:
    if literal.is_string or literal.role not in ("equal", "below", "above", "limit"):
        return False
    value = _value(literal)
    return value is not None and value not in _STRUCTURAL and not _literal_years(literal)


def _value(literal: QueryLiteral) -> float | None:
    try:
        return float(literal.text)
    except ValueError:
        return None


def _is_said(literal: QueryLiteral, told: Said) -> bool:
    value = _value(literal)
    assert value is not None
    return any(_same_number(value, number, literal.role) for number in (*told.numbers, *map(float, told.years)))


def _holds_number(query: Query, number: float) -> bool:
    for literal in query.literals:
        value = None if literal.role == "format" else _value(literal)
        if value is not None and _same_number(value, number, literal.role):
            return True
        if literal.is_string and any(_in_text(float(part), number, literal.role) for part in _PART.findall(literal.text)[:_MOST_PARTS]):
            return True
    return any(f"{number:g}" in re.findall(r"\d+", name) for name in query.names)


def _in_text(held: float, stated: float, role: Role) -> bool:
    """Whether a part of a text is the number: of a date that bounds, also the day before or after, as 1 September for 31 August."""
    bounds = role in ("below", "above")
    return held == stated or (bounds and (abs(held - stated) == 1 or (held == 1 and stated in (28, 29, 30, 31))))


def _same_number(held: float, stated: float, role: Role) -> bool:
    """Whether a number of a query is one of a question: itself, as a share, in another unit, or the bound beside it."""
    held, stated = abs(held), abs(stated)
    if role in ("limit", "offset"):
        return held == stated or (role == "offset" and held + 1 == stated)
    beside = () if role == "equal" else (held - 1, held + 1)
    shares = (held * 100, held / 100, 1 - held, 100 - held * 100, held * 100 - 100)
    if any(_close(reading, stated) for reading in (held, *shares, *beside)):
        return True
    return stated > 0 and any(_close(held, stated * unit) or _close(held * unit, stated) for unit in _UNITS)


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-9 * max(abs(one), abs(other), 1e-6)


def _names(question: str, context: str, query: Query, known: Callable[[str], bool] | None) -> Iterator[str]:
    held = [literal.text for literal in query.literals if literal.is_string and literal.role in ("equal", "pattern")]
    words = [_folded(word) for word in _WORD.findall(f"{question} {context}")]
    unsaid = [text for text in held if _is_name(text) and not _says_all(words, text)]
    mentioned = [_folded(word) for text in (*(literal.text for literal in query.literals), *query.names) for word in _words(text)]
    unused = [name for name in _name_words(question) if not _says(mentioned, name)]
    for text in unsaid:
        if unused or not _says_some(words, text):
            yield f"the query says {text!r}, the question does not"
    if known is not None:
        for name in _phrases(question):
            if known(name) and not all(_says(mentioned, word) for word in _words(name)):
                yield f"the question names {name!r}, which the database holds and the query does not say"


def siblings_of(schema: Schema) -> dict[str, frozenset[str]]:
    """The categories of a schema that exclude each other, as far as its samples show them."""
    found: dict[str, set[str]] = {}
    for column in (column for table in schema.tables for column in table.columns):
        values = {value.lower() for value in column.samples if isinstance(value, str)}
        for value in values:
            found.setdefault(value, set()).update(values - {value})
    return {value: frozenset(others) for value, others in found.items() if others}


def _categories(question: str, context: str, query: Query, siblings: Siblings) -> Iterator[str]:
    """A category of the query that the question does not say, where the question says another of the same column."""
    held = list(dict.fromkeys(literal.text.lower() for literal in query.literals if literal.is_string and literal.role == "equal"))
    words = [_folded(word) for word in _WORD.findall(f"{question} {context}")]
    named = [word for text in (*held, *query.names) for word in map(_folded, _words(text))]
    for value in held:
        if value in siblings and not _says_some(words, value):
            for other in sorted(siblings[value]):
                if _is_word(other) and not _says(named, other) and _folded(other) in words:
                    yield f"the question says {other!r}, the query says {value!r}"


def _is_word(text: str) -> bool:
    return len(text) > 2 and text.isalpha()


def _is_name(text: str) -> bool:
    """Whether a value is a name, which one has to say: it has a capital, and more letters than a code."""
    letters = [char for char in text if char.isalpha()]
    return any(map(str.isupper, letters)) and len(letters) >= _LEAST_NAME_CHARS


def _words(text: str) -> list[str]:
    """The words of a value or a name, also of `storeType`."""
    return _WORD.findall(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text.replace("_", " ")))


def _says_all(words: list[str], text: str) -> bool:
    joined = "".join(words)
    parts = [_folded(word) for word in _words(text)]
    return "".join(parts) in joined or all(_says(words, part) for part in parts if len(part) > 2) or _initials(parts) in words


def _says_some(words: list[str], text: str) -> bool:
    return any(_says(words, _folded(word)) for word in _words(text) if len(word) > 1)


def _initials(parts: list[str]) -> str:
    return "".join(part[0] for part in parts) if len(parts) > 1 else "\0"


def _says(words: Iterable[str], wanted: str) -> bool:
    """Whether one of the words is the wanted one, an inflected form of it, or the adjective of a country."""
    wanted = _folded(wanted)
    peoples = _PEOPLES.get(wanted, ()) + _COUNTRIES.get(wanted, ())
    return any(word == wanted or word in peoples or _alike(word, wanted) for word in words)


def _alike(word: str, wanted: str) -> bool:
    if word[:1] != wanted[:1]:
        return False
    if stem(word) == stem(wanted) or singular(word) == singular(wanted):
        return True
    shared = next((place for place, (a, b) in enumerate(zip(word, wanted, strict=False)) if a != b), min(len(word), len(wanted)))
    return shared >= max(_LEAST_SHARED_CHARS, min(len(word), len(wanted)) - 2)


def _folded(word: str) -> str:
    """Lower case without accents: Malmö is Malmo."""
    plain = unicodedata.normalize("NFKD", word.replace("ø", "o").replace("Ø", "O").replace("ß", "ss"))
    return "".join(char for char in plain if not unicodedata.combining(char)).casefold()


def _name_words(question: str) -> list[str]:
    """Words with a capital that no sentence begins with."""
    found = []
    for match in re.finditer(r"[^\W\d_]{3,}", question):
        if match.group()[0].isupper() and not _SENTENCE_START.search(question[: match.start()][-6:]):
            found.append(match.group())
    return [word for word in found if word.lower() not in _NO_NAMES]


def _phrases(question: str) -> Iterator[str]:
    """Runs of words with capitals, the longest first; also those a sentence begins with."""
    for match in _NAME.finditer(question):
        words = match.group().rstrip(".'’-").split()[: _MOST_NAME_WORDS * 2]
        for size in range(min(_MOST_NAME_WORDS, len(words)), 0, -1):
            yield from (" ".join(words[start : start + size]) for start in range(len(words) - size + 1))


def _verbatim(question: str, query: Query) -> Iterator[str]:
    """Quoted words and codes have to stand in the query as they are."""
    everything = _folded(" ".join((*(literal.text for literal in query.literals), *query.names)))
    words = [_folded(word) for word in _words(everything)]
    for text in quoted(question):
        if not all(_says(words, word) or _folded(word) in everything for word in _words(text)):
            yield f"the question quotes {text!r}, the query does not hold it"
    squeezed = re.sub(r"[\W_]", "", everything)
    for code in codes(question):
        if re.sub(r"[\W_]", "", _folded(code)) not in squeezed:
            yield f"the question names {code}, the query does not hold it"


def _read_peoples() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    peoples: dict[str, tuple[str, ...]] = {}
    countries: dict[str, tuple[str, ...]] = {}
    for line in (Path(__file__).with_name("peoples.txt")).read_text(encoding="utf-8").splitlines():
        country, *adjectives = line.lower().split()
        peoples[country] = tuple(adjectives)
        for adjective in adjectives:
            countries[adjective] = (*countries.get(adjective, ()), country)
    return peoples, countries


_PEOPLES, _COUNTRIES = _read_peoples()
_NO_NAMES = frozenset(
    {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "mondays", "tuesdays", "wednesdays", "thursdays"}
    | {"fridays", "saturdays", "sundays", "sept", "christmas", "easter", *MONTHS, *(month[:3] for month in MONTHS)}
)
