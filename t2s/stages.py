"""Stages: long work cut into parts that are not done again while what they depend on stays the same."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2s.errors import DataError
from t2s.runtime import sha256, write_json


@dataclass(frozen=True)
class Stage:
    """One part of the work.

    Attributes:
        name: For people, and its key in the record.
        depends_on: Settings and file hashes; anything JSON can hold.
        outputs: Files it leaves.
        run: Does the work; returns what shall be remembered of it.
    """

    name: str
    depends_on: Mapping[str, Any]
    outputs: tuple[Path, ...]
    run: Callable[[], Mapping[str, Any]]

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self.depends_on, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True)
class Done:
    """What became of a stage: whether it was done before, what it remembers, and how long it took."""

    skipped: bool
    facts: Mapping[str, Any]
    seconds: float


class StageRecord:
    """What was done, in a JSON file: one entry a stage, written when the stage has ended.

    Args:
        file: The record.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def do(self, stage: Stage, force: bool) -> Done:
        """Runs a stage, or remembers it: its dependencies are those of last time, and its outputs lie as it left them.

        Args:
            stage: The stage.
            force: Run it in any case.

        Raises:
            DataError: the stage ended without one of its outputs.
        """
        entry = self.entries().get(stage.name)
        if entry and not force and entry["fingerprint"] == stage.fingerprint and entry["outputs"] == _hashes(stage.outputs):
            return Done(True, entry["facts"], entry["seconds"])
        started = time.perf_counter()
        facts = dict(stage.run())
        missing = [str(file) for file in stage.outputs if not file.is_file()]
        if missing:
            raise DataError(f"stage {stage.name} ended without {', '.join(missing)}")
        seconds = round(time.perf_counter() - started, 3)
        made = {"fingerprint": stage.fingerprint, "outputs": _hashes(stage.outputs), "facts": facts, "seconds": seconds}
        write_json(self._file, {**self.entries(), stage.name: made})
        return Done(False, facts, seconds)

    def entries(self) -> dict[str, Any]:
        """Everything on record, by stage name.

        Raises:
            DataError: the file is no record.
        """
        if not self._file.is_file():
            return {}
        try:
            entries = json.loads(self._file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{self._file} is not JSON ({error}); delete it to do every stage again") from None
        if not isinstance(entries, dict):
            raise DataError(f"{self._file} holds no stages; delete it to do every stage again")
        return entries


def _hashes(files: tuple[Path, ...]) -> dict[str, str | None]:
    return {file.name: sha256(file) if file.is_file() else None for file in files}
