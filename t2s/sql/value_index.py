"""An index of cell values, so that a word of a question finds the column that holds it: "Oslo" finds stores.city."""

from __future__ import annotations

import os
import re
import sqlite3
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from t2s.sql.database import open_readonly
from t2s.sql.naming import stem
from t2s.sql.schema import Schema, Table

VERSION = 1
LONGEST_PHRASE = 6  # words
_LONGEST_CELL = 60  # characters; longer text is nothing people name
_ROWS_READ = 200_000
_VALUES_OF_A_COLUMN = 50_000
# Few enough values to be a closed set: there an inflected form means the value too, as "cancellations" does 'cancelled'.
_CATEGORIES = 200
# Counting opcodes, not seconds, keeps the outcome repeatable.
_OPCODES_PER_STEP = 10_000
_STEPS_OF_A_COLUMN = 20_000
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Hit:
    """A value that a question names.

    Attributes:
        table: Its table.
        column: Its column.
        value: As the database writes it.
        words: How many words of the question it took.
        place: The first of them.
        exact: Whether the words are the value's own, not only forms of them.
    """

    table: str
    column: str
    value: str
    words: int
    place: int
    exact: bool


def folded_words(text: str) -> list[str]:
    """The words of a text without case and accents.

    Example:
        "São Paulo!" -> ["sao", "paulo"]
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return _WORD.findall(plain)


class ValueIndex:
    """Values of text columns by their words, in a SQLite file of its own.

    Args:
        file: As `build` made it.
    """

    def __init__(self, file: Path) -> None:
        # Threads may look things up at once; nothing is ever written.
        self._connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)

    @classmethod
    def build(cls, database: Path, schema: Schema, file: Path) -> ValueIndex:
        """Reads each text column's values, at most so many rows and values, and writes the index whole or not at all.

        Cells without a letter, and those of more than 60 characters, are left out. Of a column with more than 50,000 different
        values the first are kept.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
        os.close(handle)
        try:
            with closing(open_readonly(database)) as source, closing(sqlite3.connect(name)) as target:
                target.execute("CREATE TABLE entries (phrase TEXT, stems TEXT, tab TEXT, col TEXT, value TEXT)")
                for table in schema.tables:
                    target.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", _entries(source, table))
                target.execute("CREATE INDEX by_phrase ON entries (phrase)")
                target.execute("CREATE INDEX by_stems ON entries (stems) WHERE stems IS NOT NULL")
                target.commit()
            os.replace(name, file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return cls(file)

    def close(self) -> None:
        self._connection.close()

    def find(self, text: str) -> list[Hit]:
        """Values named in a text: the longest first in each place, and a word belongs to one phrase alone."""
        words = folded_words(text)
        stems = [stem(word) for word in words]
        taken = [False] * len(words)
        hits: list[Hit] = []
        for size in range(min(LONGEST_PHRASE, len(words)), 0, -1):
            for place in range(len(words) - size + 1):
                if any(taken[place : place + size]):
                    continue
                phrase, forms = " ".join(words[place : place + size]), " ".join(stems[place : place + size])
                found = self._look_up("phrase", phrase) or self._look_up("stems", forms)
                if found:
                    taken[place : place + size] = [True] * size
                    hits += [Hit(t, c, value, size, place, own == phrase) for t, c, value, own in found]
        return sorted(hits, key=lambda hit: hit.place)

    def _look_up(self, kind: str, phrase: str) -> Sequence[tuple[str, str, str, str]]:
        query = f"SELECT tab, col, value, phrase FROM entries WHERE {kind} = ? ORDER BY rowid LIMIT 40"
        return self._connection.execute(query, (phrase,)).fetchall()


def _entries(source: sqlite3.Connection, table: Table) -> Iterator[tuple[str, str | None, str, str, str]]:
    for column in table.columns:
        if column.references is not None:
            continue
        values = _values(source, table.name, column.name)
        for value in values:
            words = folded_words(value)
            if words and len(words) <= LONGEST_PHRASE:
                stems = " ".join(map(stem, words)) if len(values) <= _CATEGORIES else None
                yield " ".join(words), stems, table.name, column.name, value


def _values(source: sqlite3.Connection, table: str, column: str) -> list[str]:
    """Different texts of the column, in the order of their first rows; nothing of a view that costs too much."""
    names = ['"' + name.replace('"', '""') + '"' for name in (column, table)]
    steps = iter(range(_STEPS_OF_A_COLUMN))
    source.set_progress_handler(lambda: next(steps, None) is None, _OPCODES_PER_STEP)
    try:
        rows = source.execute(
            f"SELECT DISTINCT v FROM (SELECT {names[0]} AS v FROM {names[1]} LIMIT {_ROWS_READ}) "
            f"WHERE typeof(v) = 'text' AND length(v) <= {_LONGEST_CELL} LIMIT {_VALUES_OF_A_COLUMN}"
        )
        return [value for (value,) in rows if isinstance(value, str) and any(c.isalpha() for c in value)]
    except sqlite3.Error:
        return []
    finally:
        source.set_progress_handler(None, 0)
