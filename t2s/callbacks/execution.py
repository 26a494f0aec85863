"""Execution accuracy on the validation set, before training and after every validation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from t2s.data.example import Example
from t2s.data.prompt import PromptEncoder
from t2s.metrics.execution_accuracy import Judge, Score, Verdict, score
from t2s.model.generate import generate
from t2s.model.module import TextToSQLModule
from t2s.runtime import write_text
from t2s.sql.parse import answer_is_complete, split_answer

# Each is a curve; rarer kinds stand in the predictions file.
LOGGED_VERDICTS = ("mismatch", "syntax_error", "missing_table", "missing_column", "ambiguous_column", "timeout")


@dataclass(frozen=True)
class Prediction:
    """What the model wrote for one example, and what happened when it ran."""

    example: Example
    sql: str
    verdict: Verdict

    def to_json(self, index: int) -> str:
        row = {
            "index": index,
            "question": self.example.question,
            "database": self.example.database,
            "gold": self.example.sql,
            "predicted": self.sql,
            "verdict": self.verdict.kind,
            "detail": self.verdict.detail,
            "tags": list(self.example.tags),
            "id": self.example.id,
        }
        return json.dumps(row, ensure_ascii=False)


def write_predictions(file: Path, predictions: Sequence[Prediction]) -> None:
    """One JSON line per prediction, in the examples' order."""
    write_text(file, "".join(prediction.to_json(i) + "\n" for i, prediction in enumerate(predictions)))


@dataclass(frozen=True)
class GenerationSpec:
    """How answers are generated: their longest length in tokens, and how many at once."""

    max_new_tokens: int
    batch_size: int


def answer(
    model: nn.Module,
    autocast: AbstractContextManager[object],
    encoder: PromptEncoder,
    examples: Sequence[Example],
    spec: GenerationSpec,
    on_answer: Callable[[int, str], object] = lambda index, sql: None,
) -> list[str]:
    """SQL the model writes for each example, greedily; `on_answer` is given each index and its SQL as soon as it is there.

    In SQLite, whatever dialect the model writes. An answer ends with the model's end token, or with the `;` behind its query.
    """
    answers = [""] * len(examples)

    def take(index: int, ids: list[int]) -> None:
        answers[index] = encoder.tongue.read(split_answer(encoder.decode(ids)), examples[index].database)
        on_answer(index, answers[index])

    def is_complete(ids: list[int]) -> bool:
        # Few tokens hold a `;`, so the whole answer is seldom looked at.
        return ";" in encoder.text(ids[-1:]) and answer_is_complete(encoder.decode(ids))

    prompts = [encoder.prompt(example) for example in examples]
    generate(model, prompts, encoder.end_token_id, spec.max_new_tokens, spec.batch_size, autocast, take, is_complete)
    return answers


class ExecutionAccuracy(Callback):
    """Generates SQL for the validation set, runs it, logs `val/execution_accuracy`, `val/valid_sql` and verdict counts.

    The scores of all validations are part of a checkpoint, so a resumed run still knows its base model's.

    Args:
        examples: The validation set.
        encoder: Writes prompts.
        databases: SQLite file by name.
        judge: Runs and compares.
        spec: How to generate.
        predictions_dir: Gets `val_step<N>.jsonl`.
        before_training: Score the base model too.
        on_progress: Told (done, all).
    """

    def __init__(
        self,
        examples: Sequence[Example],
        encoder: PromptEncoder,
        databases: dict[str, Path],
        judge: Judge,
        spec: GenerationSpec,
        predictions_dir: Path,
        before_training: bool,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self._examples = examples
        self._encoder = encoder
        self._databases = databases
        self._judge = judge
        self._spec = spec
        self._predictions_dir = predictions_dir
        self._before_training = before_training
        self._on_progress = on_progress
        self.scores: dict[int, dict[str, Any]] = {}  # by optimizer step; 0 is the base model

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        # In here, not in a trainer.validate of its own: that would move the quantized base off its device and back.
        if self._before_training and not self.scores and trainer.global_step == 0:
            metrics = self._measure(0, pl_module)
            trainer.callback_metrics.update({name: torch.tensor(value) for name, value in metrics.items()})
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=0)

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        metrics = self._measure(trainer.global_step, pl_module)
        pl_module.log_dict(metrics)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.global_step not in self.scores:  # max_steps ended training between validations
            metrics = self._measure(trainer.global_step, pl_module)
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=trainer.global_step - 1)

    def _measure(self, step: int, module: lightning.LightningModule) -> dict[str, float]:
        assert isinstance(module, TextToSQLModule)
        total = len(self._examples)
        self._on_progress(0, total)
        # What has ended is run while the rest is still being written; the sandbox is a process of its own.
        with ThreadPoolExecutor(1, thread_name_prefix="judge") as judging:
            verdicts: dict[int, Future[Verdict]] = {}

            def on_answer(index: int, sql: str) -> None:
                example = self._examples[index]
                verdicts[index] = judging.submit(self._judge.judge, self._databases[example.database], example.sql, sql)
                self._on_progress(len(verdicts), total)

            answers = answer(module.model, module.autocast(), self._encoder, self._examples, self._spec, on_answer)
        predictions = [
            Prediction(example, sql, verdicts[i].result()) for i, (example, sql) in enumerate(zip(self._examples, answers, strict=True))
        ]
        write_predictions(self._predictions_dir / f"val_step{step:06d}.jsonl", predictions)
        result = score([prediction.verdict for prediction in predictions])
        self.scores[step] = score_json(result)
        counts = {f"val/verdicts/{kind}": float(result.verdicts.get(kind, 0)) for kind in LOGGED_VERDICTS}
        return {"val/execution_accuracy": result.execution_accuracy, "val/valid_sql": result.valid_sql, **counts}

    def state_dict(self) -> dict[str, Any]:
        return {"scores": self.scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scores = dict(state_dict["scores"])


def score_json(result: Score) -> dict[str, Any]:
    """A score as result.json shows it."""
    values = asdict(result)
    return {**values, "interval": list(result.interval)}
