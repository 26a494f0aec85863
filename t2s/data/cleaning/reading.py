"""Steps that read a pair and need no database: text, length, parsing, wording, bad words, personal data."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path

from t2s.data.cleaning.agreement import disagreements
from t2s.data.cleaning.pair import Pair, Room, Verdict, one_line, with_tags
from t2s.data.example import Example, Turn
from t2s.data.pii import Finder, Masks, find_in_sql
from t2s.errors import DataError

# Letters, digits and spaces are most of any question; line noise is not.
_LEAST_READABLE = 0.6
_MOST_REPEATS = 8
# A form somebody forgot to fill in, and UTF-8 that was read as Latin-1.
_LEFTOVER = re.compile(
    r"\{\{?\s*\w+\s*\}?\}|\$\{\w+\}|<\s*(?:table|column|value|question|sql|placeholder)\w*\s*>|\[(?:table|column|value|blank|mask)\w*\]",
    re.IGNORECASE,
)
_MOJIBAKE = re.compile(r"Ã[\x80-\xbf©¨¼¶¤¥¸]|â€[\x80-\xbf™œ\u0093\u0094]|\ufffd")
_SQL_QUESTION = re.compile(r"\s*(?:select\b.+\bfrom|with\s+\w+\s+as\s*\()", re.IGNORECASE | re.DOTALL)
_MAX_REASONS = 3


def _each(check: Callable[[Pair, Room], Verdict]) -> Callable[[Sequence[Pair], Room], Iterator[Verdict]]:
    return lambda pairs, room: (check(pair, room) for pair in pairs)


def _text(pair: Pair, room: Room) -> Verdict:
    example = pair.example
    parts = {"question": example.question, "SQL": example.sql, "evidence": example.evidence}
    parts |= {f"turn {place}": f"{turn.question}\n{turn.sql}" for place, turn in enumerate(example.history, 1)}
    for name, text in parts.items():
        if "\0" in text:
            return f"the {name} holds a NUL character"
        try:
            text.encode()
        except UnicodeEncodeError:
            return f"the {name} holds half a character (a lone surrogate)"
    empty = next((name for name in ("question", "SQL") if not parts[name].strip()), None)
    return f"the {empty} is empty" if empty else None


def _database(pair: Pair, room: Room) -> Verdict:
    name = pair.example.database
    return None if name in room.databases else f"there is no database {name!r}; known: {', '.join(sorted(room.databases)[:10])}"


def _length(pair: Pair, room: Room) -> Verdict:
    for name, text, limit in (
        ("question", pair.example.question, room.rules.max_question_chars),
        ("SQL", pair.example.sql, room.rules.max_sql_chars),
    ):
        if len(text) > limit:
            return f"the {name} has {len(text)} characters, {limit} are allowed"
    return None


def _parses(pair: Pair, room: Room) -> Verdict:
    try:
        _ = pair.query
    except DataError as error:
        return one_line(str(error))
    return None


def _wording(pair: Pair, room: Room) -> Verdict:
    question = pair.example.question
    if count_words(question) < room.rules.min_question_words:
        return f"fewer than {room.rules.min_question_words} words"
    if leftover := _LEFTOVER.search(question):
        return f"a form left open: {leftover.group()}"
    if _MOJIBAKE.search(question):
        return "letters lost to a wrong encoding"
    if _SQL_QUESTION.match(question):
        return "the question is SQL"
    readable = sum(char.isalnum() or char.isspace() or unicodedata.category(char) == "Mn" for char in question)
    if readable < _LEAST_READABLE * len(question):
        return "more signs than letters"
    longest = max((len(list(run)) for char, run in groupby(question) if not char.isdigit()), default=0)
    return f"one character {longest} times in a row" if longest > _MOST_REPEATS else None


def count_words(question: str) -> int:
    """Words of a question; of Chinese and Japanese, which put no spaces between them, every other character."""
    wide = sum(unicodedata.east_asian_width(char) == "W" and char.isalpha() for char in question)
    return len(re.findall(r"\w+", question)) + wide // 2


def _toxic(pair: Pair, room: Room) -> Verdict:
    words = re.findall(
        r"[^\W\d_]+", f"{pair.example.question} {' '.join(one.text for one in pair.query.literals if one.is_string)}".lower()
    )
    found = sorted(_bad_words().intersection(words))
    return f"holds {', '.join(found)}" if found else None


@cache
def _bad_words() -> frozenset[str]:
    lines = Path(__file__).with_name("toxic_words.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def _personal(pair: Pair, room: Room) -> Verdict:
    example = pair.example
    texts = [example.question, example.evidence, *(turn.question for turn in example.history)]
    queries = [example.sql, *(turn.sql for turn in example.history)]
    found = [finding for text in texts for finding in room.finder(text)]
    found += [finding for sql in queries for finding in find_in_sql(sql, room.finder)]
    for finding in found:
        room.personal_data[finding.kind] = room.personal_data.get(finding.kind, 0) + 1
    if not found or room.rules.personal_data == "report":
        return None
    if room.rules.personal_data == "refuse":
        return f"holds personal data: {', '.join(sorted({finding.kind for finding in found}))}"
    return _masked(example, texts, queries, room.finder)


def _masked(example: Example, texts: Sequence[str], queries: Sequence[str], finder: Finder) -> Example:
    """The example with made-up data, the same for the same value everywhere; its query runs as before, but may find nothing."""
    masks = Masks()
    question, evidence, *asked = (masks.masked(text, finder) for text in texts)
    sql, *answered = (masks.masked(text, lambda sql: find_in_sql(sql, finder)) for text in queries)
    history = tuple(Turn(*turn) for turn in zip(asked, answered, strict=True))
    # A value nobody has finds no rows, and rightly so.
    tags = ("masked", "empty") if sql != example.sql else ("masked",)
    return with_tags(replace(example, question=question, evidence=evidence, sql=sql, history=history), *tags)


def _agreement(pair: Pair, room: Room) -> Verdict:
    example = pair.example
    context = "\n".join((example.evidence, *(f"{turn.question} {turn.sql}" for turn in example.history)))
    known = room.known
    ask = None if known is None else lambda text: known(example.database, text)
    found = disagreements(example.question, context, pair.query, room.siblings.get(example.database, {}), ask)
    return "; ".join(found[:_MAX_REASONS]) or None


check_text, check_database, check_length, check_parses = map(_each, (_text, _database, _length, _parses))
check_wording, check_toxic, check_personal, check_agreement = map(_each, (_wording, _toxic, _personal, _agreement))
