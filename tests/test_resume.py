"""A run killed with SIGKILL and resumed ends with the weights of one never broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from ponds import Pond, kill_when_past, only_run, run_t2s
from safetensors.torch import load_file

from t2s.callbacks.metrics_file import read_metrics

SETTINGS = ("trainer.max_epochs=3", "callbacks.checkpoint.every_n_steps=3", "lora.dropout=0.1", "callbacks.early_stopping.patience=null")


@pytest.mark.parametrize(("architecture", "quantization"), [("llama", "nf4"), ("qwen2", "nf4")])
def test_a_killed_and_resumed_run_ends_with_the_same_weights(pond: Pond, tmp_path: Path, architecture: str, quantization: str) -> None:
    arguments = [*pond.overrides(), *SETTINGS, f"model.tiny.architecture={architecture}", f"model.quantization={quantization}"]
    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    whole = run_t2s("train", *arguments, cwd=tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    kill_when_past(8, arguments, tmp_path / "broken")
    resumed = run_t2s("train", *arguments, "ckpt_path=last", cwd=tmp_path / "broken")
    assert resumed.returncode == 0, resumed.stderr
    one, other = only_run(tmp_path / "whole"), only_run(tmp_path / "broken")
    expected, found = (load_file(run / "adapter/adapter_model.safetensors") for run in (one, other))
    assert expected.keys() == found.keys()
    assert all(bool((expected[name] == found[name]).all()) for name in expected)
    trained = [[(row["step"], row["train/loss"]) for row in read_metrics(run) if "train/loss" in row] for run in (one, other)]
    assert trained[0] == trained[1], "metrics.csv goes on without a gap or a repeat"
    assert len(trained[0]) == 30


def test_resuming_with_other_settings_is_refused(pond: Pond, tmp_path: Path) -> None:
    arguments = [*pond.overrides(), *SETTINGS]
    kill_when_past(8, arguments, tmp_path)
    other = run_t2s("train", *arguments, "lora.r=2", "ckpt_path=last", cwd=tmp_path)
    assert other.returncode == 1
    assert "lora.r was 4 and is now 2" in other.stderr
