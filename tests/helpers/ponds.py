"""A small pond database with its pairs: enough for every command to run end to end in seconds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "model=tiny",
    "model.quantization=none",
    "lora.r=4",
    "data=jsonl",
    "data.batch_size=2",
    "eval.max_new_tokens=8",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.compile=never",
)
PAIRS = (
    ("How many ponds are there?", "SELECT COUNT(*) FROM ponds"),
    ("names of all ponds", "SELECT name FROM ponds"),
    ("the deepest pond", "SELECT name FROM ponds ORDER BY depth_m DESC LIMIT 1"),
    ("How deep is the Mill Pond?", "SELECT depth_m FROM ponds WHERE name = 'Mill Pond'"),
    ("How many frogs?", "SELECT COUNT(*) FROM frogs"),
    ("average weight of a frog", "SELECT AVG(mass_g) FROM frogs"),
    ("frogs per pond", "SELECT p.name, COUNT(*) FROM ponds p JOIN frogs f ON f.pond_id = p.pond_id GROUP BY p.pond_id"),
    ("ponds without frogs", "SELECT name FROM ponds WHERE pond_id NOT IN (SELECT pond_id FROM frogs)"),
    ("heavy frogs", "SELECT frog_id FROM frogs WHERE mass_g > 30"),
    ("species we know of", "SELECT DISTINCT species FROM frogs"),
)


@dataclass(frozen=True)
class Pond:
    """Paths of the database and its pairs."""

    directory: Path

    @property
    def database(self) -> Path:
        return self.directory / "pond.sqlite"

    def overrides(self) -> list[str]:
        files = {name: self.directory / f"{name}.jsonl" for name in ("train", "val", "test")}
        return [
            *TINY,
            f"data.database={self.database}",
            f"data.train={files['train']}",
            f"data.val={files['val']}",
            f"data.held_out.test={files['test']}",
        ]


def run_t2s(
    command: str, *arguments: str, cwd: Path, env: dict[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """`python -m t2s.<command>` as a user would type it, 80 columns wide, without network or keys."""
    words = [sys.executable, "-m", f"t2s.{command}", *arguments]
    return subprocess.run(words, cwd=cwd, env=clean_env(env), input=stdin, capture_output=True, text=True, timeout=300)


def clean_env(extra: dict[str, str] | None = None) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "HF_", "T2S_", "HYDRA_"))}
    # One thread: these models are too small for two, and tests may share their cores.
    return {**kept, "COLUMNS": "80", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(extra or {})}


def only_run(directory: Path) -> Path:
    """The one run under `directory`/outputs."""
    (run,) = (directory / "outputs").glob("*/*")
    return run


def kill_when_past(step: int, arguments: list[str], cwd: Path) -> None:
    """Starts a run and kills it with SIGKILL once its newest checkpoint is past `step`."""
    from t2s.callbacks.metrics_file import read_metrics  # loads torch, which most tests do without

    process = subprocess.Popen(
        [sys.executable, "-m", "t2s.train", *arguments], cwd=cwd, env=clean_env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            files = list(cwd.glob("outputs/*/*/metrics.csv"))
            if files and any(row["step"] > step for row in read_metrics(files[0].parent)):
                break
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert not list(cwd.glob("outputs/*/*/result.json")), "killed too late: it had finished"
    assert list(cwd.glob("outputs/*/*/checkpoints/last.ckpt")), "killed too early: nothing to resume"
