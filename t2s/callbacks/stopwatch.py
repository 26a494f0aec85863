"""How long training took and how fast it was, over all starts of a resumed run."""

from __future__ import annotations

import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from t2s.data.pack import StepBatch


class Stopwatch(Callback):
    """Counts seconds and examples of training steps; part of a checkpoint.

    Attributes:
        step_seconds: Inside optimizer steps, validation left out.
        fit_seconds: From the start of training, validation included.
        examples: Trained on, repeats counted.
    """

    def __init__(self) -> None:
        self.step_seconds = 0.0
        self.examples = 0
        self._fit_seconds_before = 0.0
        self._step_started = self._fit_started = time.perf_counter()

    @property
    def fit_seconds(self) -> float:
        return self._fit_seconds_before + time.perf_counter() - self._fit_started

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._fit_started = time.perf_counter()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: StepBatch, batch_idx: int
    ) -> None:
        self._step_started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: StepBatch, batch_idx: int
    ) -> None:
        self.step_seconds += time.perf_counter() - self._step_started
        self.examples += batch.examples

    def state_dict(self) -> dict[str, Any]:
        return {"step_seconds": self.step_seconds, "fit_seconds": self.fit_seconds, "examples": self.examples}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step_seconds = state_dict["step_seconds"]
        self._fit_seconds_before = state_dict["fit_seconds"]
        self.examples = state_dict["examples"]
