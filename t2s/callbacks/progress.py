"""One progress display for training and generation: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from t2s.model.module import TextToSQLModule

LINE_EVERY_S = 30.0


class ProgressDisplay(Callback):
    """Shows optimizer steps with their loss, and questions answered in a validation.

    Args:
        console: Where to show it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._last_line_s = time.monotonic()

    def show(self, name: str, done: int, total: int, note: str = "") -> None:
        """Sets one task's state; it leaves the display when done."""
        if not self._live:
            if time.monotonic() - self._last_line_s >= LINE_EVERY_S:
                self._last_line_s = time.monotonic()
                self._console.print(f"{name} {done}/{total} {note}".rstrip(), highlight=False)
            return
        if name not in self._tasks:
            self._bar.start()
            self._tasks[name] = self._bar.add_task(name, total=total, note=note)
        self._bar.update(self._tasks[name], completed=done, total=total, note=note)
        if done >= total:
            self._bar.remove_task(self._tasks.pop(name))
        if not self._tasks:
            self._bar.stop()

    def answering(self, done: int, total: int) -> None:
        self.show("validating", done, total, "questions answered")

    def close(self) -> None:
        """Clears the display, also after an error."""
        self._bar.stop()

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, TextToSQLModule)
        self.show("training", trainer.global_step, pl_module.total_steps, f"loss {_number(trainer.callback_metrics, 'train/loss')}")

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if "val/execution_accuracy" in trainer.callback_metrics:
            self._tell("base model", trainer.callback_metrics)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._tell(f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}", trainer.callback_metrics)

    def _tell(self, when: str, metrics: Mapping[str, Any]) -> None:
        loss = f", loss {_number(metrics, 'val/loss')}" if "val/loss" in metrics else ""
        accuracy, valid = _number(metrics, "val/execution_accuracy", ".1%"), _number(metrics, "val/valid_sql", ".1%")
        self._console.print(f"{when}: execution accuracy {accuracy}, valid SQL {valid}{loss}", highlight=False)

    def on_exception(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException) -> None:
        self.close()


def _number(metrics: Mapping[str, Any], key: str, form: str = ".3f") -> str:
    return format(float(metrics[key]), form) if key in metrics else "-"
