"""metrics.csv: every logged number of a run, which outlives a kill: a resumed run goes on in the same file."""

from __future__ import annotations

import csv
import io
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from t2s.runtime import write_text

FILE = "metrics.csv"
ROWS_BETWEEN_WRITES = 10


class MetricsFile(Logger):
    """Writes `<run>/metrics.csv`, one row per logged step.

    Lightning's own CSV logger deletes the file of an earlier start; this one goes on in it.

    Args:
        run_dir: The run directory.
        resumed_step: Rows of an earlier start before this optimizer step are kept; later ones will be run again.
    """

    def __init__(self, run_dir: Path, resumed_step: int) -> None:
        super().__init__()
        self._file = run_dir / FILE
        self._rows = [row for row in read_metrics(run_dir) if row["step"] < resumed_step]
        self._unsaved = 0

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The run's config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._rows.append({"step": float(step or 0), **metrics})
        self._unsaved += 1
        if self._unsaved >= ROWS_BETWEEN_WRITES:
            self.save()

    @rank_zero_only
    def save(self) -> None:
        self._unsaved = 0
        columns = list(dict.fromkeys(key for row in self._rows for key in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{value:.8g}" for key, value in row.items()} for row in self._rows)
        write_text(self._file, text.getvalue())

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()


def read_metrics(run_dir: Path) -> list[dict[str, float]]:
    """All rows of a run's metrics.csv; a row holds the columns it has a number for."""
    file = run_dir / FILE
    if not file.is_file():
        return []
    with file.open(newline="") as stream:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(stream)]
