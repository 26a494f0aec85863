"""python -m t2s.train: fine-tune a model on one database's questions, and show what that gained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from t2s.assembly import CONFIG, LINKING, databases, model_spec, questions, resolved, run_config, suites
from t2s.config import entry
from t2s.data.dvc import revision
from t2s.errors import ConfigError
from t2s.model.sources import ensure_available
from t2s.runtime import (
    LAST_CHECKPOINT,
    RESULT,
    environment,
    keep_freed_memory,
    quiet_libraries,
    short,
    write_json,
    write_text,
)

ENVIRONMENT = "environment.json"


@entry("train")
def main(cfg: DictConfig) -> None:
    train(cfg, Path(HydraConfig.get().runtime.output_dir), Console())


def train(cfg: DictConfig, run_dir: Path, console: Console) -> dict[str, Any]:
    """Runs the whole main job.

    Args:
        cfg: As conf/train.yaml composes it.
        run_dir: Where everything goes.
        console: Where it is told.

    Returns:
        What result.json holds.
    """
    spec = model_spec(cfg.model, cfg.paths.cache_dir)
    ensure_available(spec)
    checkpoint = _checkpoint(cfg, run_dir)
    console.print(f"run directory: {short(run_dir)}", highlight=False, soft_wrap=True)
    files = databases(cfg.data)
    examples = {name: questions(Path(cfg.data[name]), files) for name in ("train", "val")}
    if checkpoint is None:  # a resumed run keeps the record it began with
        _record(cfg, run_dir, files)
    judged_on = suites(files, examples["val"], cfg.paths.cache_dir, console) if cfg.eval.suite else {}

    console.print(f"loading {cfg.model.name} ({cfg.model.quantization}); its first use here takes longer", highlight=False)
    keep_freed_memory()
    quiet_libraries()
    from t2s.report.run import next_commands, show_scores, show_survey, write_run_readme
    from t2s.training import build, fit

    learner = build(cfg, spec, files, examples)
    console.print(f"training {learner.trained_parameters:,} LoRA weights on {learner.device} ({learner.compiled})", highlight=False)
    show_survey(console, learner.survey, run_dir)
    if learnt := learner.encoder.learnt():
        write_json(run_dir / LINKING, learnt)
    result, hints = fit(cfg, learner, files, judged_on, run_dir, checkpoint, console)

    write_json(run_dir / RESULT, result)
    write_run_readme(run_dir, result)
    show_scores(console, "Validation", {k: result[k] for k in ("base", "tuned") if result[k] is not None})
    closing = [f"results: {short(run_dir)}", *hints, "next:", *("  " + line for line in next_commands(short(run_dir)))]
    console.print("\n".join(closing), highlight=False, soft_wrap=True)
    return result


def _checkpoint(cfg: DictConfig, run_dir: Path) -> Path | None:
    """The checkpoint to resume from; refuses one made with other settings."""
    if cfg.ckpt_path is None:
        return None
    named = Path(cfg.ckpt_path)
    checkpoint = named if named.suffix == ".ckpt" else run_dir / LAST_CHECKPOINT
    before, now = run_config(run_dir), OmegaConf.create(resolved(cfg))
    changed = sorted(
        key for key in _flat(before).keys() | _flat(now).keys()
        if key != "ckpt_path" and _flat(before).get(key) != _flat(now).get(key)
    )  # fmt: skip
    if changed:
        was = ", ".join(f"{key} was {_flat(before).get(key)} and is now {_flat(now).get(key)}" for key in changed[:3])
        recorded = json.loads((run_dir / ENVIRONMENT).read_text(encoding="utf-8"))["command"][1:]
        words = " ".join(["python -m t2s.train", *(w for w in recorded if not w.startswith("ckpt_path=")), f"ckpt_path={short(run_dir)}"])
        raise ConfigError(f"{short(run_dir)} was begun with other settings: {was}; go on with {words}")
    return checkpoint


def _flat(cfg: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(cfg, DictConfig):
        return {prefix.rstrip("."): cfg}
    return {key: value for name in map(str, cfg) for key, value in _flat(cfg[name], f"{prefix}{name}.").items()}


def _record(cfg: DictConfig, run_dir: Path, files: dict[str, Path]) -> None:
    """Writes what it takes to repeat the run."""
    write_text(run_dir / CONFIG, OmegaConf.to_yaml(OmegaConf.create({**resolved(cfg), "ckpt_path": None})))
    inputs = {"train": Path(cfg.data.train), "val": Path(cfg.data.val), **{f"database {n}": f for n, f in files.items()}}
    versions = {name: revision(inputs[name]) for name in ("train", "val")}
    write_json(run_dir / ENVIRONMENT, {**environment(inputs), "dvc": versions if any(versions.values()) else None})


if __name__ == "__main__":
    main()
