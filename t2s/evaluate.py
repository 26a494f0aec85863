"""python -m t2s.evaluate run=...: score a trained run on its held-out questions, once."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from t2s.assembly import ADAPTER, TrainedRun, load_run, run_config, sandbox
from t2s.config import entry
from t2s.data.readers import read_examples
from t2s.errors import ConfigError
from t2s.runtime import keep_freed_memory, quiet_libraries, sha256, short, write_json

ADAPTER_FILE = "adapter_model.safetensors"


@entry("evaluate")
def main(cfg: DictConfig) -> None:
    evaluate(cfg, Console())


def evaluate(cfg: DictConfig, console: Console) -> dict[str, dict[str, Any]]:
    """Scores the held-out sets of a run and writes `evaluation/<split>.json` and `.jsonl`.

    A set is read once for each adapter: a score that is there is shown, not made again, unless `force`.

    Returns:
        What each `<split>.json` holds.
    """
    run_dir = Path(cfg.run)
    run_cfg = run_config(run_dir)
    files = _held_out(run_cfg, cfg.splits)
    adapter = run_dir / ADAPTER / ADAPTER_FILE
    if not adapter.is_file():
        raise ConfigError(f"run={cfg.run} has no {ADAPTER}/{ADAPTER_FILE}; finish it with python -m t2s.train ckpt_path={cfg.run}")
    adapter_hash = sha256(adapter)
    results = {} if cfg.force else _known(run_dir, files, adapter_hash)
    missing = {name: file for name, file in files.items() if name not in results}
    if missing:
        keep_freed_memory()
        quiet_libraries()
        console.print(f"loading {run_cfg.model.name} and {short(adapter.parent)}", highlight=False, soft_wrap=True)
        run = load_run(run_dir)
        for name, file in missing.items():
            results[name] = _score_split(run, name, file, adapter_hash, cfg.batch_size or run_cfg.eval.batch_size, console)
    _show(console, run_dir, results, missing)
    return results


def _held_out(run_cfg: DictConfig, splits: Sequence[str] | None) -> dict[str, Path]:
    known = {str(name): Path(file) for name, file in run_cfg.data.held_out.items() if file}
    if not known:
        raise ConfigError("this run's data names no held-out questions; train with data.held_out.test=test.jsonl")
    unknown = [name for name in splits or () if name not in known]
    if unknown:
        raise ConfigError(f"splits={unknown} are not held-out sets of this run; choose from {', '.join(known)}")
    return {name: file for name, file in known.items() if splits is None or name in splits}


def _known(run_dir: Path, files: dict[str, Path], adapter_hash: str) -> dict[str, dict[str, Any]]:
    """Scores that are there already, of this adapter and these questions."""
    found = {}
    for name, file in files.items():
        saved = run_dir / "evaluation" / f"{name}.json"
        if saved.is_file() and file.is_file():
            result = json.loads(saved.read_text(encoding="utf-8"))
            if result["adapter_sha256"] == adapter_hash and result["data_sha256"] == sha256(file):
                found[name] = result
    return found


def _score_split(run: TrainedRun, name: str, file: Path, adapter_hash: str, batch_size: int, console: Console) -> dict[str, Any]:
    from t2s.callbacks.execution import GenerationSpec, answer, assess, score_json, write_predictions
    from t2s.callbacks.progress import ProgressDisplay
    from t2s.data.survey import leakage
    from t2s.metrics.execution_accuracy import score
    from t2s.model.load import autocast
    from t2s.sql.parse import tags

    examples = read_examples(file, run.databases)
    spec = GenerationSpec(run.cfg.eval.max_new_tokens, batch_size)
    progress = ProgressDisplay(console)
    started = time.perf_counter()
    try:
        answers = answer(
            run.model, autocast(run.device), run.encoder, examples, spec, lambda done: progress.show(name, done, len(examples))
        )
    finally:
        progress.close()
    generated = time.perf_counter() - started
    with sandbox(run.cfg.eval) as box:
        predictions = assess(run.judge(box), run.databases, examples, answers)
    by_tag: dict[str, list[Any]] = {}
    for prediction in predictions:
        for tag in tags(prediction.example.sql):
            by_tag.setdefault(tag, []).append(prediction.verdict)
    train = Path(run.cfg.data.train)
    shared = leakage(examples, read_examples(train, run.databases)) if train.is_file() else None
    result = {
        **score_json(score([prediction.verdict for prediction in predictions])),
        "comparison": run.cfg.eval.comparison,
        "by_tag": {tag: score_json(score(verdicts)) for tag, verdicts in sorted(by_tag.items())},
        "shared_with_train": None if shared is None else vars(shared),
        "generation_seconds": generated,
        "adapter_sha256": adapter_hash,
        "data_sha256": sha256(file),
    }
    write_predictions(run.directory / "evaluation" / f"{name}.jsonl", predictions)
    write_json(run.directory / "evaluation" / f"{name}.json", result)
    return result


def _show(console: Console, run_dir: Path, results: dict[str, dict[str, Any]], made: dict[str, Path]) -> None:
    from t2s.report.run import show_scores, show_tags

    for name, result in results.items():
        show_tags(console, f"{name}, by what the gold query needs", result["by_tag"])
    show_scores(console, f"Held-out questions, comparison {next(iter(results.values()))['comparison']}", results)
    for name, result in results.items():
        shared = result["shared_with_train"]
        if shared:
            console.print(
                f"{name} shares with train: {shared['questions']} questions, {shared['queries']} queries, "
                f"{shared['skeletons']} query shapes",
                highlight=False,
            )
    again = [name for name in results if name not in made]
    if again:
        console.print(f"{', '.join(again)}: scored before with this adapter, shown again (force=true scores anew)", highlight=False)
    closing = f'predictions and scores: {short(run_dir / "evaluation")}\nnext:\n  python -m t2s.infer run={short(run_dir)} question="..."'
    console.print(closing, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
