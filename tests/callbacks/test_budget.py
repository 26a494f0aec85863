"""A training that must end in time chooses its number of steps once, and its learning rate falls to the end of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ponds import Pond, kill_when_past, only_run, run_t2s

from t2s.callbacks.budget import steps_in_time
from t2s.callbacks.metrics_file import read_metrics

LONG = ("trainer.max_epochs=1000", "callbacks.early_stopping.patience=null", "callbacks.checkpoint.every_n_steps=1")


@pytest.mark.parametrize(
    ("left_s", "step_s", "validation_s", "done", "every", "steps"),
    [
        (100, 2, 10, 5, 25, 40),  # to 25, validate, to 45, validate at the end
        (100, 2, 0, 5, 25, 50),
        (12, 2, 10, 0, 25, 1),
        (10, 2, 10, 0, 25, 0),
        (-5, 2, 10, 0, 25, 0),
        (70, 2, 10, 0, 25, 25),  # time alone would hold 30: the validation at 25 needs its own
        (69, 2, 10, 0, 25, 24),
    ],
)
def test_steps_and_their_validations_fit_the_time_left(
    left_s: float, step_s: float, validation_s: float, done: int, every: int, steps: int
) -> None:
    assert steps_in_time(left_s, step_s, validation_s, done, every) == steps


@pytest.fixture(scope="module")
def shortened(pond: Pond, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    directory = tmp_path_factory.mktemp("budget")
    done = run_t2s("train", *pond.overrides(), *LONG, "trainer.cpu_minutes=0.1", "optimizer.warmup_steps=2", cwd=directory)
    assert done.returncode == 0, done.stderr
    return only_run(directory), done.stdout


def test_a_training_too_long_for_its_time_is_shortened_and_says_so(shortened: tuple[Path, str]) -> None:
    run, shown = shortened
    steps = json.loads((run / "result.json").read_text())["steps"]
    assert 8 <= steps < 10_000
    assert f"0.1 minutes hold {steps} of 10000 steps" in " ".join(shown.split())


def test_its_learning_rate_falls_to_the_end(shortened: tuple[Path, str]) -> None:
    run, _ = shortened
    rates = [row["train/learning_rate"] for row in read_metrics(run) if "train/learning_rate" in row]
    assert max(rates) == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(0.05e-3, rel=0.2), "a twentieth of the peak, where 10000 steps would still be at it"


def test_the_decision_is_part_of_a_checkpoint(shortened: tuple[Path, str]) -> None:
    run, _ = shortened
    steps = json.loads((run / "result.json").read_text())["steps"]
    checkpoint = torch.load(run / "checkpoints/last.ckpt", weights_only=False)
    assert checkpoint["callbacks"]["TimeBudget"]["decided"] == steps


def test_a_resumed_training_keeps_the_decision_of_its_first_start(pond: Pond, tmp_path: Path) -> None:
    arguments = [*pond.overrides(), *LONG, "trainer.cpu_minutes=0.3"]
    kill_when_past(12, arguments, tmp_path)
    run = only_run(tmp_path)
    decided = torch.load(run / "checkpoints/last.ckpt", weights_only=False)["callbacks"]["TimeBudget"]["decided"]
    assert decided > 13
    resumed = run_t2s("train", *arguments, "ckpt_path=last", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads((run / "result.json").read_text())["steps"] == decided
