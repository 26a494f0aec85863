"""Ends training in time: how many optimizer steps fit is decided once, from the pace of the first ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from t2s.model.module import TextToSQLModule

# The first steps compile code and warm caches; the next ones are the measure.
SKIPPED_STEPS = 2
MEASURED_STEPS = 6


class TimeBudget(Callback):
    """Shortens training to the optimizer steps that this machine gets through in time.

    The learning rate follows the number decided on, so a short training ends as a long one does. The number is part of a
    checkpoint: a resumed run ends where an unbroken one would.

    Stands first among the callbacks: what they do before the first step is a validation, and tells how long one takes.

    Args:
        minutes: Of the whole fit, validations included.
        tell: Told in one sentence when training is shortened.
    """

    def __init__(self, minutes: float, tell: Callable[[str], object]) -> None:
        self._budget_s = 60 * minutes
        self._tell = tell
        self._fit_started = self._step_started = time.perf_counter()
        self._before_s = 0.0  # fitting, in earlier starts of the run
        self._validation_s: float | None = None
        self._step_s: list[float] = []
        self._decided: int | None = None

    @property
    def _elapsed_s(self) -> float:
        return self._before_s + time.perf_counter() - self._fit_started

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._fit_started = time.perf_counter()
        self._step_s.clear()
        if self._decided is not None:
            _module(pl_module).total_steps = self._decided

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._step_started = time.perf_counter()
        if self._validation_s is None:
            self._validation_s = self._step_started - self._fit_started

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        module = _module(pl_module)
        if self._decided is None:
            self._step_s.append(time.perf_counter() - self._step_started)
            if len(self._step_s) == SKIPPED_STEPS + MEASURED_STEPS:
                self._decide(trainer, module)
        if trainer.global_step >= module.total_steps:
            trainer.should_stop = True

    def _decide(self, trainer: lightning.Trainer, module: TextToSQLModule) -> None:
        step_s = sum(self._step_s[SKIPPED_STEPS:]) / MEASURED_STEPS
        every = trainer.val_check_batch
        assert every is not None, "training has begun"
        more = steps_in_time(self._budget_s - self._elapsed_s, step_s, self._validation_s or 0.0, trainer.global_step, every)
        planned = module.total_steps
        module.total_steps = self._decided = min(planned, trainer.global_step + more)
        if self._decided < planned:
            self._tell(
                f"{self._budget_s / 60:g} minutes hold {self._decided} of {planned} steps at {step_s:.1f} s each, validations counted; "
                "trainer.cpu_minutes=null trains them all"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"decided": self._decided, "elapsed_s": self._elapsed_s, "validation_s": self._validation_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._decided, self._before_s, self._validation_s = (state_dict[key] for key in ("decided", "elapsed_s", "validation_s"))


def steps_in_time(left_s: float, step_s: float, validation_s: float, done: int, validation_every: float) -> int:
    """How many more optimizer steps fit.

    Args:
        left_s: Time left, in seconds, for steps, the validations among them and one at the end.
        step_s: Seconds a step takes.
        validation_s: Seconds a validation takes.
        done: Steps done.
        validation_every: Steps between two validations; infinite for none.

    Example:
        100 s left, 2 s a step, 10 s a validation, 5 done, validated at 25, 50, …: 40 more, validated at 25 and at the end, 45.
    """
    left_s -= validation_s
    steps = 0
    while True:
        cost_s = step_s + (validation_s if (done + steps + 1) % validation_every == 0 else 0.0)
        if cost_s > left_s:
            return steps
        left_s -= cost_s
        steps += 1


def _module(module: lightning.LightningModule) -> TextToSQLModule:
    assert isinstance(module, TextToSQLModule)
    return module
