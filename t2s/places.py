"""Where the files of a prepared database lie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from t2s.data.example import Example
from t2s.data.readers import read_examples
from t2s.sql.schema import Schema, read_schema

VERSIONS = ("v1_raw", "v2_cleaned")
URL = re.compile(r"[a-z][a-z0-9+]*://", re.IGNORECASE)
# For categories, and the form of texts.
SAMPLE_VALUES = 16


@dataclass(frozen=True)
class Place:
    """Where the files of one prepared database lie.

    Attributes:
        name: What it is called.
        directory: Holds everything.
        source: As the user named it: a file, or a URL.
        infer_keys: Whether foreign keys are guessed.
    """

    name: str
    directory: Path
    source: str
    infer_keys: bool

    @property
    def remote(self) -> bool:
        return bool(URL.match(self.source))

    @property
    def database(self) -> Path:
        """The SQLite file that queries run on: the source itself, or the copy of one that is reached by URL."""
        return self.directory / f"{self.name}.sqlite" if self.remote else Path(self.source).expanduser().absolute()

    @property
    def key(self) -> str:
        """What pairs call the database."""
        return self.database.stem

    @cached_property
    def schema(self) -> Schema:
        return read_schema(self.database, SAMPLE_VALUES, infer_keys=self.infer_keys)

    @property
    def tables(self) -> Path:
        return self.directory / "tables.json"

    def pairs(self, version: str) -> Path:
        return self.directory / version / "pairs.jsonl"

    @property
    def rejected(self) -> Path:
        return self.directory / "rejected.jsonl"

    @property
    def counts(self) -> Path:
        return self.directory / "cleaning.json"

    @property
    def splits(self) -> dict[str, Path]:
        trains = {version: self.directory / version / "train.jsonl" for version in VERSIONS}
        return {**trains, "val": self.directory / "val.jsonl", "test": self.directory / "test.jsonl"}

    @property
    def report(self) -> Path:
        return self.directory / "report.html"

    @property
    def work(self) -> Path:
        """What unfinished stages keep."""
        return self.directory / "work"

    @property
    def results(self) -> Path:
        """Fingerprints of what the pairs' queries returned."""
        return self.directory / "results.json"

    def read(self, file: Path) -> list[Example]:
        return read_examples(file, [self.key]) if file.stat().st_size else []
