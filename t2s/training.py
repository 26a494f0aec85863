"""The heavy half of the main job: objects that need torch, and the fit itself."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import Logger, WandbLogger
from omegaconf import DictConfig
from peft import PeftModel
from rich.console import Console

from t2s.assembly import ADAPTER, prompt_encoder, resolved, sandbox
from t2s.callbacks.budget import TimeBudget
from t2s.callbacks.execution import ExecutionAccuracy, GenerationSpec
from t2s.callbacks.metrics_file import MetricsFile, read_metrics
from t2s.callbacks.progress import ProgressDisplay
from t2s.callbacks.stopwatch import Stopwatch
from t2s.callbacks.trackers import build_tracker
from t2s.data.datamodule import TextToSQLData
from t2s.data.example import Example
from t2s.data.prompt import PromptEncoder, TokenizedExample
from t2s.data.survey import Survey, fitting, survey
from t2s.errors import ConfigError
from t2s.metrics.execution_accuracy import Judge
from t2s.model.budget import cuda_peak, token_budget
from t2s.model.load import autocast, best_device, load_base
from t2s.model.lora import LoraSpec, add_lora, save_adapter, trainable
from t2s.model.module import OptimizerSpec, TextToSQLModule, memory_bytes
from t2s.model.sources import ModelSpec
from t2s.model.speed import speed_up
from t2s.report.plots import plot_accuracy, plot_learning
from t2s.runtime import LAST_CHECKPOINT, seed_everything
from t2s.sql.testsuite import Suite

BEST_CHECKPOINT = Path("checkpoints/best.ckpt")


@dataclass(frozen=True)
class Learner:
    """Everything a fit needs, built and surveyed."""

    model: PeftModel
    module: TextToSQLModule
    data: TextToSQLData
    encoder: PromptEncoder
    validation: Sequence[Example]
    survey: Survey
    trained_parameters: int
    device: torch.device
    compiled: str


def build(cfg: DictConfig, spec: ModelSpec, files: Mapping[str, Path], examples: Mapping[str, Sequence[Example]]) -> Learner:
    """Loads the base, puts LoRA on it, tokenises the examples.

    Args:
        cfg: As conf/train.yaml composes it.
        spec: The base model.
        files: SQLite file by database name.
        examples: `train` and `val`.
    """
    device = torch.device("cpu") if cfg.trainer.accelerator == "cpu" else best_device()
    if cfg.trainer.threads is not None:
        torch.set_num_threads(cfg.trainer.threads)
    torch.set_flush_denormal(True)  # before torch's threads start, which inherit it: on numbers near zero a CPU is slow
    seed_everything(cfg.seed)
    base, tokenizer = load_base(spec, device)
    model = add_lora(base, lora_spec(cfg.lora))
    if cfg.model.activation_checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    compiled = speed_up(base, cfg.trainer.compile, device, spec.cache_dir / "kernels")
    model.train()  # Lightning leaves each module in the mode it finds it in
    encoder = prompt_encoder(tokenizer, cfg.data, files, cfg.paths.cache_dir, examples["train"])
    fit = {name: fitting(read, encoder, cfg.data.max_tokens, cfg.data.too_long, name) for name, read in examples.items()}
    budget = _token_budget(cfg, model, fit["train"][1], max(item.tokens for _, items in fit.values() for item in items), device)
    loaders = TextToSQLData(fit["train"][1], fit["val"][1], cfg.data.batch_size, cfg.data.packing, budget, cfg.seed)
    return Learner(
        model=model,
        module=TextToSQLModule(model, optimizer_spec(cfg.optimizer), _total_steps(cfg.trainer, loaders), cfg.seed, cfg.trainer.self_check),
        data=loaders,
        encoder=encoder,
        validation=fit["val"][0],
        survey=survey(fit, {name: len(read) for name, read in examples.items()}, encoder),
        trained_parameters=sum(p.numel() for p in trainable(model).values()),
        device=device,
        compiled=compiled,
    )


def _token_budget(cfg: DictConfig, model: PeftModel, train: Sequence[TokenizedExample], longest: int, device: torch.device) -> int:
    """Most tokens in one forward pass."""
    wanted = cfg.trainer.max_tokens
    if wanted != "auto":
        if wanted < longest:
            raise ConfigError(f"trainer.max_tokens={wanted} is less than the longest example has, {longest}; set it higher or to auto")
        return int(wanted)
    if device.type != "cuda":
        return int(cfg.data.max_tokens)
    # A step's batch is the most that a pack can hold.
    most = cfg.data.batch_size * longest
    return max(
        longest, token_budget(train, cfg.data.packing, cuda_peak(model, autocast(device), device), torch.cuda.mem_get_info(device)[0], most)
    )


def fit(
    cfg: DictConfig,
    learner: Learner,
    files: dict[str, Path],
    suites: Mapping[str, Suite],
    run_dir: Path,
    checkpoint: Path | None,
    console: Console,
) -> tuple[dict[str, Any], list[str]]:
    """Trains, keeps the best adapter, draws the curves.

    Args:
        cfg: As conf/train.yaml composes it.
        learner: What `build` gave.
        files: SQLite file by database name.
        suites: By database name: what judges validations beside the database itself.
        run_dir: Gets checkpoints, adapter, metrics and pictures.
        checkpoint: To go on from; None to begin.
        console: Shows progress.

    Returns:
        What result.json holds, and hints for the end of the terminal's output.

    Raises:
        ConfigError: interrupted from the keyboard.
    """
    progress, stopwatch = ProgressDisplay(console), Stopwatch()
    loggers = _loggers(cfg, run_dir, checkpoint)
    with sandbox(cfg.eval) as box:
        accuracy = ExecutionAccuracy(
            learner.validation,
            learner.encoder,
            files,
            Judge(box, cfg.eval.comparison, {files[name]: suite for name, suite in suites.items()}),
            GenerationSpec(cfg.eval.max_new_tokens, cfg.eval.batch_size),
            run_dir / "predictions",
            cfg.eval.before_training,
            progress.answering,
        )
        trainer = lightning.Trainer(
            **trainer_options(cfg.trainer),
            logger=loggers,
            # In this order: budget, score, save, show.
            callbacks=[*_budget(cfg, learner.device, console), stopwatch, accuracy, *_checkpoints(cfg, run_dir), progress],
            default_root_dir=run_dir,
        )
        resume = None if checkpoint is None else str(checkpoint)
        try:
            trainer.fit(learner.module, learner.data, ckpt_path=resume, weights_only=False)
        finally:
            progress.close()
    if trainer.interrupted:
        raise ConfigError("interrupted; go on with the same command and ckpt_path=last")
    best_step = _keep_best(learner.module, accuracy.scores, trainer.global_step, run_dir)
    save_adapter(learner.model, run_dir / ADAPTER)
    plot_learning(run_dir / "learning_curve.png", read_metrics(run_dir))
    plot_accuracy(run_dir / "execution_accuracy.png", accuracy.scores)
    result = {
        "model": cfg.model.name,
        "data": cfg.data.name,
        "seed": cfg.seed,
        "comparison": cfg.eval.comparison,
        "suite": cfg.eval.suite,
        "base": accuracy.scores.get(0),
        "tuned": accuracy.scores[best_step],
        "best_step": best_step,
        "steps": trainer.global_step,
        "train_seconds": stopwatch.fit_seconds,
        "examples_per_second": stopwatch.examples / stopwatch.step_seconds,
        "peak_memory_bytes": memory_bytes(learner.device),
        "trained_parameters": learner.trained_parameters,
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    return result, _sync_hints(loggers)


def lora_spec(lora: DictConfig) -> LoraSpec:
    settings: dict[str, Any] = dict(lora)
    if not isinstance(settings["target_modules"], str):
        settings["target_modules"] = tuple(settings["target_modules"])
    return LoraSpec(**settings)


def optimizer_spec(optimizer: DictConfig) -> OptimizerSpec:
    settings: dict[str, Any] = dict(optimizer)
    return OptimizerSpec(**{**settings, "betas": tuple(optimizer.betas)})


def trainer_options(settings: DictConfig) -> dict[str, Any]:
    limit = settings.limit_train_batches
    return {
        "max_epochs": settings.max_epochs,
        "max_steps": settings.max_steps,
        "accelerator": settings.accelerator,
        "devices": settings.devices,
        "limit_train_batches": int(limit) if limit > 1 else limit,
        "check_val_every_n_epoch": settings.check_val_every_n_epoch,
        "val_check_interval": settings.val_check_interval,
        "log_every_n_steps": settings.log_every_n_steps,
        "num_sanity_val_steps": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }


def _total_steps(settings: DictConfig, loaders: TextToSQLData) -> int:
    return loaders.total_steps(settings.max_epochs, settings.max_steps, trainer_options(settings)["limit_train_batches"])


def _budget(cfg: DictConfig, device: torch.device, console: Console) -> list[Callback]:
    minutes = cfg.trainer.cpu_minutes
    return [] if minutes is None or device.type != "cpu" else [TimeBudget(minutes, lambda line: console.print(line, highlight=False))]


def _checkpoints(cfg: DictConfig, run_dir: Path) -> list[Callback]:
    """`last.ckpt` now and then, `best.ckpt` by validation, and an early stop."""
    directory = run_dir / LAST_CHECKPOINT.parent
    monitor: dict[str, Any] = {"monitor": "val/execution_accuracy", "mode": "max"}
    common: dict[str, Any] = {"dirpath": directory, "enable_version_counter": False}
    callbacks: list[Callback] = [
        ModelCheckpoint(**common, **monitor, filename=BEST_CHECKPOINT.stem, save_on_train_epoch_end=False),
        ModelCheckpoint(**common, filename=LAST_CHECKPOINT.stem, every_n_train_steps=cfg.callbacks.checkpoint.every_n_steps),
    ]
    if cfg.callbacks.early_stopping.patience is not None:
        callbacks.append(EarlyStopping(**monitor, patience=cfg.callbacks.early_stopping.patience, check_on_train_epoch_end=False))
    return callbacks


def _loggers(cfg: DictConfig, run_dir: Path, checkpoint: Path | None) -> list[Logger]:
    step = 0 if checkpoint is None else torch.load(checkpoint, weights_only=False, map_location="cpu")["global_step"]
    trackers = [build_tracker(name, settings, run_dir) for name, settings in cfg.logger.items()]
    for tracker in trackers:
        tracker.log_hyperparams(resolved(cfg))
    return [MetricsFile(run_dir, step), *trackers]


def _keep_best(module: TextToSQLModule, scores: Mapping[int, Mapping[str, Any]], last_step: int, run_dir: Path) -> int:
    """Puts the best validated adapter back into the module, the earliest of equals; returns its step."""
    trained = [step for step in scores if step > 0]
    best = max(trained, key=lambda step: (scores[step]["execution_accuracy"], -step))
    if best != last_step:
        checkpoint = torch.load(run_dir / BEST_CHECKPOINT, weights_only=False, map_location="cpu")
        assert checkpoint["global_step"] == best, "best.ckpt is written at the validation that set the record"
        module.load_state_dict(checkpoint["state_dict"], strict=False)
    return best


def _sync_hints(loggers: Sequence[Logger]) -> list[str]:
    return [f"upload with: wandb sync {Path(x.experiment.dir).parent}" for x in loggers if isinstance(x, WandbLogger) and x._offline]
