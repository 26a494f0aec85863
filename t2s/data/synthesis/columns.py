"""Of what kind a column is, by its declaration, its name and its values."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING

from t2s.data.synthesis import lexicon
from t2s.data.synthesis.comments import read_hints
from t2s.data.synthesis.probe import ColumnSample, TableSample, Value
from t2s.sql.naming import singular, spoken, stem, words
from t2s.sql.schema import Column, Table

if TYPE_CHECKING:
    from t2s.data.synthesis.facts import ColumnFacts, Kind, Sense

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_DATETIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?Z?")
_MIDNIGHT = re.compile(r"\d{4}-\d\d-\d\d[ T]00:00(:00(\.0+)?)?")
_YEARS = range(1000, 2101)
_MOST_VALUES = 300
_LEVELS = 40
# Each value this often on average, or no more values than this: a column of categories.
_REPEATS, _FEW = 2.5, 12
_YES_NO = (
    ("1", "0"),
    ("Y", "N"),
    ("y", "n"),
    ("yes", "no"),
    ("Yes", "No"),
    ("T", "F"),
    ("true", "false"),
    ("TRUE", "FALSE"),
    ("True", "False"),
)
_MOST_NAME_WORDS = 8


def column_facts(table: Table, column: Column, sample: TableSample, noun: str) -> ColumnFacts:
    """What the column holds.

    Args:
        table: Its table.
        column: The column as declared.
        sample: The table's sample.
        noun: What one row of the table is called.
    """
    from t2s.data.synthesis.facts import ColumnFacts

    seen = sample.columns[column.name]
    form, first, last = _dates(seen)
    kind = _kind(column, seen, sample, form)
    on, off = _flag_values(seen) or ("", "")
    numbers = sorted(float(value) for value, count in seen.counts.items() if not isinstance(value, str) for _ in range(count))
    said, unit = column_noun(column.name, noun)
    return ColumnFacts(
        table=table.name,
        name=column.name,
        noun=said,
        kind=kind,
        sense=_sense(said) if kind == "number" else "",
        whole=all(isinstance(value, int) or (isinstance(value, float) and value.is_integer()) for value in seen.counts),
        values=_kept(list(seen.counts.items())),
        distinct=len(seen.counts),
        rows=sample.read,
        missing=seen.missing,
        unique=column.name in sample.unique,
        levels=tuple(numbers[round(i * (len(numbers) - 1) / _LEVELS)] for i in range(_LEVELS + 1))
        if kind in ("number", "year") and numbers
        else (),
        form=form if kind == "date" else "",
        first=first,
        last=last,
        unit=unit,
        on=on,
        off=off,
        hints=read_hints(column.comment),
    )


def _kept(counts: list[tuple[Value, int]]) -> tuple[tuple[Value, int], ...]:
    """All values, or the most frequent and some of the others, taken evenly from the lowest to the highest."""
    if len(counts) <= _MOST_VALUES:
        return tuple(counts)
    half = _MOST_VALUES // 2
    others = sorted(counts[half:], key=lambda pair: (isinstance(pair[0], str), pair[0]))
    if counts[half - 1][1] == 1:
        half, others = 0, sorted(counts, key=lambda pair: (isinstance(pair[0], str), pair[0]))
    step = len(others) / (_MOST_VALUES - half)
    return (*counts[:half], *(others[int(place * step)] for place in range(_MOST_VALUES - half)))


def column_noun(name: str, table_noun: str) -> tuple[str, str]:
    """The column in spoken words without its table's noun and its unit, and the unit.

    Example:
        ("product_weight_g", "product") -> ("weight", "grams")
    """
    parts = words(spoken(name)) or [name]
    raw = words(name)
    unit = ""
    if len(raw) > 1 and f"{raw[-2]}{raw[-1]}" in lexicon.UNITS and len(raw) > 2:
        unit, parts = lexicon.UNITS[f"{raw[-2]}{raw[-1]}"], parts[:-2]
    elif len(raw) > 1 and raw[-1] in lexicon.UNITS and raw[-1] not in ("day", "hour", "min", "m", "l"):
        unit, parts = lexicon.UNITS[raw[-1]], parts[:-1]
    elif len(raw) > 1 and raw[-1] in lexicon.CURRENCIES:
        parts = parts[:-1]
    elif len(raw) == 1 and raw[0] in lexicon.LONE_UNITS:
        unit, parts = raw[0], [lexicon.LONE_UNITS[raw[0]]]
    own = table_noun.split()
    for length in range(len(own), 0, -1):
        tail = own[-length:]
        if len(parts) > length and [singular(part) for part in parts[:length]] == tail:
            parts = parts[length:]
            break
    if parts[-1] == "id":
        parts = [*parts[:-1], "ID"]
    return " ".join(parts), unit


def _kind(column: Column, seen: ColumnSample, sample: TableSample, form: str) -> Kind:
    said = [stem(word) for word in words(column.name)]
    plain = words(column.name)
    if column.references is not None:
        return "link"
    if form:
        return "date"
    if not seen.counts or seen.other * 2 > sample.read:
        return "text" if seen.other and "TEXT" in column.type.upper() else "other"
    if column.primary_key or (plain and plain[-1] in ("id", "uuid", "guid", "key") and len(plain) > 0):
        return "key"
    if _flag_values(seen):
        return "flag"
    kinds = {str if isinstance(value, str) else float for value in seen.counts}
    if len(kinds) > 1:
        return "other"
    return _text_kind(said, plain, seen, sample) if str in kinds else _number_kind(said, plain, seen)


def _number_kind(said: list[str], plain: list[str], seen: ColumnSample) -> Kind:
    if {"year", "yr"} & set(plain) and all(isinstance(value, int) and value in _YEARS for value in seen.counts):
        return "year"
    if lexicon.CONTACT & set(said) or lexicon.CODE & set(said[-1:]):
        return "code"
    if plain and plain[-1] in lexicon.KEY_ENDINGS and len(plain) > 1:
        return "code"
    if {"latitude", "longitude", "lat", "lng", "lon"} & set(plain):
        return "other"
    return "number"


def _text_kind(said: list[str], plain: list[str], seen: ColumnSample, sample: TableSample) -> Kind:
    texts = [value for value in seen.counts if isinstance(value, str) and value.strip()]
    filled = sum(seen.counts.values())
    if not texts:
        return "other"
    if lexicon.CONTACT & set(said) or any("@" in text or "://" in text for text in texts[:20]):
        return "contact"
    long = sum(len(text.split()) > _MOST_NAME_WORDS for text in texts) * 3 > len(texts) or seen.other * 4 > sample.read
    if long or (lexicon.TEXT & set(said[-1:]) and len(texts) > _FEW):
        return "text"
    repeats = filled / len(texts)
    if lexicon.NAME & set(said[-1:]) and repeats < _REPEATS:
        return "name"
    if lexicon.CODE & set(said[-1:]):
        return "code"
    if all(text.replace(".", "").replace("-", "").isdigit() for text in texts[:50]):
        return "code" if repeats < _REPEATS or len(texts) > _FEW else "category"
    if repeats >= _REPEATS or (len(texts) <= _FEW and repeats > 1) or lexicon.PLACE & set(said[-1:]):
        return "category"
    return "code" if all(re.search(r"\d", text) and " " not in text for text in texts[:20]) else "name"


def _sense(noun: str) -> Sense:
    said = {stem(word) for word in noun.split()}
    if said & lexicon.MONEY and "percent" not in noun:
        return "money"
    return "quantity" if said & lexicon.QUANTITY else "measure"


def _flag_values(seen: ColumnSample) -> tuple[Value, Value] | None:
    """The values for yes and no, where the column holds these two and no others."""
    found = set(seen.counts)
    if found in ({0, 1}, {0}, {1}) and all(isinstance(value, int) for value in found):
        return (1, 0) if len(found) == 2 else None
    for yes, no in _YES_NO:
        if found == {yes, no}:
            return yes, no
    return None


def _dates(seen: ColumnSample) -> tuple[str, str, str]:
    """The form of ISO dates with the first and last; empty where not every value is one."""
    texts = [value for value in seen.counts if isinstance(value, str)]
    if not texts or len(texts) < len(seen.counts) or seen.other:
        return "", "", ""
    if all(_DATE.fullmatch(text) for text in texts):
        form = "date"
    elif all(_DATETIME.fullmatch(text) or _DATE.fullmatch(text) for text in texts):
        form = "date" if all(_MIDNIGHT.fullmatch(text) for text in texts) else "datetime"
    else:
        return "", "", ""
    first, last = min(texts)[:10], max(texts)[:10]
    return (form, first, last) if _real(first) and _real(last) else ("", "", "")


def _real(day: str) -> bool:
    try:
        datetime.strptime(day, "%Y-%m-%d")
    except ValueError:
        return False
    return date.fromisoformat(day).year >= _YEARS[0]
