"""python -m t2s.train: fine-tune a model on one database's questions, and show what that gained."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from t2s.assembly import ADAPTER, CONFIG, databases, model_spec, prompt_encoder, run_config, sandbox
from t2s.config import entry
from t2s.data.readers import read_examples
from t2s.errors import ConfigError
from t2s.model.sources import ensure_available
from t2s.runtime import (
    LAST_CHECKPOINT,
    RESULT,
    environment,
    keep_freed_memory,
    quiet_libraries,
    seed_everything,
    short,
    write_json,
    write_text,
)

ENVIRONMENT = "environment.json"
BEST_CHECKPOINT = Path("checkpoints/best.ckpt")


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
    examples = {name: read_examples(Path(cfg.data[name]), files) for name in ("train", "val")}
    _record(cfg, run_dir, files, resumed=checkpoint is not None)

    console.print(f"loading {cfg.model.name} ({cfg.model.quantization}); its first use here takes longer", highlight=False)
    keep_freed_memory()
    quiet_libraries()
    import lightning

    from t2s.callbacks.execution import ExecutionAccuracy, GenerationSpec
    from t2s.callbacks.progress import ProgressDisplay
    from t2s.callbacks.stopwatch import Stopwatch
    from t2s.data.datamodule import TextToSQLData
    from t2s.data.survey import fitting, survey
    from t2s.metrics.execution_accuracy import Judge
    from t2s.model.load import best_device, load_base
    from t2s.model.lora import add_lora, save_adapter, trainable
    from t2s.model.module import TextToSQLModule, memory_bytes
    from t2s.report.run import next_commands, show_scores, show_survey, write_run_readme

    device = best_device() if cfg.trainer.accelerator != "cpu" else _cpu()
    _set_threads(cfg.trainer.threads)
    seed_everything(cfg.seed)
    base, tokenizer = load_base(spec, device)
    model = add_lora(base, _lora_spec(cfg.lora)).train()
    if cfg.model.activation_checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    trained = sum(p.numel() for p in trainable(model).values())
    console.print(f"training {trained:,} LoRA weights on {device}", highlight=False)

    encoder = prompt_encoder(tokenizer, cfg.data, files)
    fit = {name: fitting(read, encoder, cfg.data.max_tokens, cfg.data.too_long, name) for name, read in examples.items()}
    show_survey(console, survey(fit, {name: len(read) for name, read in examples.items()}, encoder), run_dir)
    data = TextToSQLData(
        fit["train"][1], fit["val"][1], cfg.data.batch_size, cfg.data.packing, cfg.data.max_tokens, cfg.seed
    )  # fmt: skip
    module = TextToSQLModule(model, _optimizer_spec(cfg.optimizer), cfg.seed)
    progress, stopwatch = ProgressDisplay(console), Stopwatch()
    with sandbox(cfg.eval) as box:
        accuracy = ExecutionAccuracy(
            fit["val"][0],
            encoder,
            files,
            Judge(box, cfg.eval.comparison),
            GenerationSpec(cfg.eval.max_new_tokens, cfg.eval.batch_size),
            run_dir / "predictions",
            cfg.eval.before_training,
            progress.answering,
        )
        loggers = _loggers(cfg, run_dir, checkpoint)
        trainer = lightning.Trainer(
            **_trainer_options(cfg.trainer),
            logger=loggers,
            callbacks=[stopwatch, accuracy, *_checkpoints(cfg, run_dir), progress],  # in this order: score, save, show
            default_root_dir=run_dir,
        )
        try:
            trainer.fit(module, data, ckpt_path=None if checkpoint is None else str(checkpoint), weights_only=False)
        finally:
            progress.close()
    if trainer.interrupted:
        raise ConfigError("interrupted; go on with python -m t2s.train ckpt_path=last")

    best_step = _restore_best(module, run_dir)
    save_adapter(model, run_dir / ADAPTER)
    result = {
        "model": cfg.model.name,
        "data": cfg.data.name,
        "seed": cfg.seed,
        "comparison": cfg.eval.comparison,
        "base": accuracy.scores.get(0),
        "tuned": accuracy.scores[best_step],
        "best_step": best_step,
        "steps": trainer.global_step,
        "train_seconds": stopwatch.fit_seconds,
        "examples_per_second": stopwatch.examples / stopwatch.step_seconds,
        "peak_memory_bytes": memory_bytes(device),
        "trained_parameters": trained,
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    _report(run_dir, result, accuracy.scores)
    write_run_readme(run_dir, result, {"model": cfg.model.name, "data": cfg.data.name, "comparison": cfg.eval.comparison})
    show_scores(console, "Validation", {k: result[k] for k in ("base", "tuned") if result[k] is not None})
    closing = [f"results: {short(run_dir)}", *_sync_hints(loggers), "next:", *("  " + line for line in next_commands(short(run_dir)))]
    console.print("\n".join(closing), highlight=False, soft_wrap=True)
    return result


def _checkpoint(cfg: DictConfig, run_dir: Path) -> Path | None:
    """The checkpoint to resume from; refuses one made with other settings."""
    if cfg.ckpt_path is None:
        return None
    named = Path(cfg.ckpt_path)
    checkpoint = named if named.suffix == ".ckpt" else run_dir / LAST_CHECKPOINT
    before, now = run_config(run_dir), OmegaConf.create(_resolved(cfg))
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


def _resolved(cfg: DictConfig) -> dict[str, Any]:
    """All settings of ours, interpolations replaced, data paths absolute, so that a run can be read from anywhere."""
    plain = OmegaConf.to_container(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]), resolve=True)
    assert isinstance(plain, dict)
    data = plain["data"]
    for name in ("database", "train", "val"):
        data[name] = str(Path(data[name]).expanduser().absolute())
    data["held_out"] = {name: str(Path(file).expanduser().absolute()) for name, file in data["held_out"].items() if file}
    return {str(key): value for key, value in plain.items()}


def _flat(cfg: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(cfg, DictConfig):
        return {prefix.rstrip("."): cfg}
    return {key: value for name in map(str, cfg) for key, value in _flat(cfg[name], f"{prefix}{name}.").items()}


def _record(cfg: DictConfig, run_dir: Path, files: dict[str, Path], *, resumed: bool) -> None:
    """Writes what it takes to repeat the run. A resumed run keeps what it began with."""
    if resumed:
        return
    write_text(run_dir / CONFIG, OmegaConf.to_yaml(OmegaConf.create({**_resolved(cfg), "ckpt_path": None})))
    inputs = {"train": Path(cfg.data.train), "val": Path(cfg.data.val), **{f"database {n}": f for n, f in files.items()}}
    write_json(run_dir / ENVIRONMENT, environment(inputs))


def _cpu() -> Any:
    import torch

    return torch.device("cpu")


def _set_threads(threads: int | None) -> None:
    import torch

    if threads is not None:
        torch.set_num_threads(threads)


def _lora_spec(lora: DictConfig) -> Any:
    from t2s.model.lora import LoraSpec

    settings: dict[str, Any] = dict(lora)
    if not isinstance(settings["target_modules"], str):
        settings["target_modules"] = tuple(settings["target_modules"])
    return LoraSpec(**settings)


def _optimizer_spec(optimizer: DictConfig) -> Any:
    from t2s.model.module import OptimizerSpec

    settings: dict[str, Any] = dict(optimizer)
    return OptimizerSpec(**{**settings, "betas": tuple(optimizer.betas)})


def _trainer_options(settings: DictConfig) -> dict[str, Any]:
    limit = settings.limit_train_batches
    return {
        "max_epochs": settings.max_epochs,
        "max_steps": settings.max_steps,
        "accelerator": settings.accelerator,
        "devices": settings.devices,
        "limit_train_batches": int(limit) if limit > 1 else limit,
        "check_val_every_n_epoch": settings.check_val_every_n_epoch,
        "log_every_n_steps": settings.log_every_n_steps,
        "num_sanity_val_steps": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }


def _checkpoints(cfg: DictConfig, run_dir: Path) -> list[Any]:
    """`last.ckpt` now and then, `best.ckpt` by validation, and an early stop."""
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

    directory = run_dir / LAST_CHECKPOINT.parent
    monitor: dict[str, Any] = {"monitor": "val/execution_accuracy", "mode": "max"}
    common: dict[str, Any] = {"dirpath": directory, "enable_version_counter": False}
    callbacks: list[Any] = [
        ModelCheckpoint(**common, **monitor, filename=BEST_CHECKPOINT.stem, save_on_train_epoch_end=False),
        ModelCheckpoint(**common, filename=LAST_CHECKPOINT.stem, every_n_train_steps=cfg.callbacks.checkpoint.every_n_steps),
    ]
    if cfg.callbacks.early_stopping.patience is not None:
        callbacks.append(EarlyStopping(**monitor, patience=cfg.callbacks.early_stopping.patience, check_on_train_epoch_end=False))
    return callbacks


def _loggers(cfg: DictConfig, run_dir: Path, checkpoint: Path | None) -> list[Any]:
    import torch

    from t2s.callbacks.metrics_file import MetricsFile
    from t2s.callbacks.trackers import build_tracker

    step = 0 if checkpoint is None else torch.load(checkpoint, weights_only=False, map_location="cpu")["global_step"]
    trackers = [build_tracker(name, settings, run_dir) for name, settings in cfg.logger.items()]
    for tracker in trackers:
        tracker.log_hyperparams(_resolved(cfg))
    return [MetricsFile(run_dir, step), *trackers]


def _restore_best(module: Any, run_dir: Path) -> int:
    """Puts the best validated adapter back into the module; returns its step."""
    import torch

    checkpoint = torch.load(run_dir / BEST_CHECKPOINT, weights_only=False, map_location="cpu")
    module.load_state_dict(checkpoint["state_dict"], strict=False)
    return int(checkpoint["global_step"])


def _report(run_dir: Path, result: dict[str, Any], scores: dict[int, dict[str, Any]]) -> None:
    from t2s.callbacks.metrics_file import read_metrics
    from t2s.report.plots import plot_accuracy, plot_learning

    plot_learning(run_dir / "learning_curve.png", read_metrics(run_dir))
    plot_accuracy(run_dir / "execution_accuracy.png", scores)
    write_json(run_dir / RESULT, result)


def _sync_hints(loggers: list[Any]) -> list[str]:
    from lightning.pytorch.loggers import WandbLogger

    return [f"upload with: wandb sync {Path(x.experiment.dir).parent}" for x in loggers if isinstance(x, WandbLogger) and x._offline]


if __name__ == "__main__":
    main()
