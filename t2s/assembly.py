"""From settings to objects: the one place, with the entry points, that reads a configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress, TaskID

from t2s.data import company
from t2s.data.benchmarks import find_databases, read_benchmark
from t2s.data.example import Example
from t2s.data.linked import LinkedSchemas, LinkingSpec, tables_read
from t2s.data.prompt import PromptEncoder, SchemaStyle, Tongue, render_schema
from t2s.data.readers import read_examples
from t2s.errors import ConfigError, DataError
from t2s.metrics.suite import cached_suite
from t2s.model.sources import ModelSpec, TinySpec
from t2s.runtime import sha256, short
from t2s.sql.execute import Sandbox
from t2s.sql.linking import Linker
from t2s.sql.schema import Schema, read_schema
from t2s.sql.testsuite import Suite
from t2s.sql.value_index import VERSION as VALUES_VERSION
from t2s.sql.value_index import ValueIndex

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

CONFIG = "config.yaml"
ADAPTER = "adapter"
LINKING = "linking.json"  # what linking learnt from the training pairs
# What prompts depend on and runs of an earlier version do not hold.
PROMPT_SETTINGS = ("supervise", "dialect", "linking", "linking_tokens", "value_hints", "infer_keys")
SAMPLE_COMPANY_SEED = 7  # the committed pairs name values of this build


def databases(data: DictConfig) -> dict[str, Path]:
    """SQLite file by database name; the sample company is built when it is not there.

    Raises:
        DataError: the file, or a directory with one for each database, does not exist.
    """
    file = Path(data.database).expanduser()
    if file.is_dir() or data.root is not None:
        return find_databases(file)
    if data.builder == "company":
        company.build(file, file.parent / "schema.sql", SAMPLE_COMPANY_SEED)
    if not file.is_file():
        raise DataError(f"data.database={data.database} does not exist; give the path of a SQLite file")
    return {file.stem: file}


def questions(file: Path, files: Mapping[str, Path]) -> list[Example]:
    """Examples of a JSONL file, or of a benchmark's JSON array."""
    return read_benchmark(file, files) if file.suffix == ".json" else read_examples(file, files)


def prompt_encoder(
    tokenizer: PreTrainedTokenizerBase,
    data: DictConfig,
    files: Mapping[str, Path],
    cache_dir: str,
    taught_by: Sequence[Example] | Mapping[str, Any],
) -> PromptEncoder:
    """Writes prompts over the schemas of `files` as the settings say.

    Args:
        tokenizer: The model's.
        data: The settings.
        files: SQLite file by database name.
        cache_dir: Keeps indexes of cell values.
        taught_by: Training pairs, which teach linking, or what it learnt from them.
    """
    style = SchemaStyle(data.schema.types, data.schema.keys, data.schema.comments, data.schema.samples)
    infer = bool(data.infer_keys)
    schemas = {name: read_schema(file, data.schema.samples, infer_keys=infer) for name, file in files.items()}
    spec = LinkingSpec(data.linking, data.linking_tokens, data.value_hints)

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False)["input_ids"])

    def linker(name: str) -> Linker:
        index = _value_index(files[name], schemas[name], Path(cache_dir).expanduser() / "values")
        made = Linker(schemas[name], index, lambda table: count(render_schema(Schema((table,)), style)))
        if not isinstance(taught_by, Mapping):
            made.learn((e.question, tables_read(e.sql)) for e in taught_by if e.database == name)
        elif name in taught_by:
            made.remember(taught_by[name])
        return made

    source = LinkedSchemas(schemas, linker, style, spec, count)
    return PromptEncoder(tokenizer, data.template, data.instruction, source, data.supervise, Tongue(data.dialect, schemas))


def _value_index(file: Path, schema: Schema, directory: Path) -> ValueIndex:
    """The index of a database's values: found in the cache, or built."""
    kept = directory / f"{sha256(file)[:24]}-{VALUES_VERSION}.sqlite"
    return ValueIndex(kept) if kept.is_file() else ValueIndex.build(file, schema, kept)


def model_spec(model: DictConfig, cache_dir: str) -> ModelSpec:
    """The base model as plain values."""
    settings = OmegaConf.to_container(model, resolve=True)
    assert isinstance(settings, dict)
    values = {str(key): value for key, value in settings.items()}
    tiny: Any = values.pop("tiny")
    return ModelSpec(**values, cache_dir=Path(cache_dir).expanduser(), tiny=None if tiny is None else TinySpec(**tiny))


def sandbox(settings: DictConfig) -> Sandbox:
    """The process that runs generated SQL."""
    return Sandbox(settings.timeout_s, settings.max_rows, settings.max_bytes, settings.max_memory_bytes)


def suites(files: Mapping[str, Path], examples: Sequence[Example], cache_dir: str, console: Console) -> dict[str, Suite]:
    """A suite by database name for the gold queries of `examples`: built under a progress display, or found in the cache."""
    golds: dict[str, list[str]] = {}
    for example in examples:
        golds.setdefault(example.database, []).append(example.sql)
    directory = Path(cache_dir).expanduser() / "suites"
    with Progress(console=console, transient=True) as bar:
        found = {}
        for name, queries in golds.items():
            task = bar.add_task(f"suite for {name}", total=None)

            def show(step: str, done: int, of: int, task: TaskID = task, name: str = name) -> None:
                bar.update(task, description=f"suite for {name}: {step}", completed=done, total=of)
                if done == of and not console.is_terminal:
                    console.print(f"suite for {name}: {of} {step}", highlight=False)

            found[name] = cached_suite(files[name], queries, directory, show)
            bar.remove_task(task)
    n_queries, n_variants = (sum(map(len, parts)) for parts in zip(*((s.queries, s.variants) for s in found.values()), strict=True))
    console.print(f"suite: {n_queries} queries, {n_variants} databases, kept in {short(directory)}", highlight=False, soft_wrap=True)
    return found


@dataclass(frozen=True)
class TrainedRun:
    """A finished run, ready to answer."""

    directory: Path
    cfg: DictConfig
    model: PeftModel
    encoder: PromptEncoder
    databases: dict[str, Path]
    device: torch.device

    def answer(self, examples: Sequence[Example], batch_size: int | None, name: str, console: Console) -> list[str]:
        """SQL for each example, under a progress display called `name`; `batch_size` None is that of training."""
        from t2s.callbacks.execution import GenerationSpec, answer
        from t2s.callbacks.progress import ProgressDisplay
        from t2s.model.load import autocast

        progress, done = ProgressDisplay(console), count(1)
        spec = GenerationSpec(self.cfg.eval.max_new_tokens, batch_size or self.cfg.eval.batch_size)
        try:
            return answer(
                self.model, autocast(self.device), self.encoder, examples, spec,
                lambda index, sql: progress.show(name, next(done), len(examples)),
            )  # fmt: skip
        finally:
            progress.close()


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """All settings of ours, interpolations replaced, data paths absolute, so that a run can be read from anywhere."""
    plain = OmegaConf.to_container(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]), resolve=True)
    assert isinstance(plain, dict)
    data = plain["data"]
    for name in ("database", "train", "val"):
        data[name] = str(Path(data[name]).expanduser().absolute())
    data["held_out"] = {name: str(Path(file).expanduser().absolute()) for name, file in data["held_out"].items() if file}
    return {str(key): value for key, value in plain.items()}


def run_config(directory: Path) -> DictConfig:
    """The resolved settings a run was made with.

    Raises:
        ConfigError: the directory is no run.
    """
    file = directory / CONFIG
    if not file.is_file():
        raise ConfigError(f"run={directory} is not a run: it has no {CONFIG}; give a directory such as outputs/2026-01-31/12-00-00")
    cfg = OmegaConf.load(file)
    assert isinstance(cfg, DictConfig)
    return cfg


def load_run(directory: Path) -> TrainedRun:
    """Loads a run's base and adapter just as it was trained."""
    cfg = run_config(directory)
    if lacking := [name for name in PROMPT_SETTINGS if name not in cfg.data]:
        raise ConfigError(
            f"run={directory} was made by an earlier version of t2s: its {CONFIG} has no data.{lacking[0]}; "
            f"give data there the settings {', '.join(lacking)} as conf/data/jsonl.yaml has them"
        )
    spec = model_spec(cfg.model, cfg.paths.cache_dir)
    from t2s.model.sources import ensure_available

    ensure_available(spec)
    files = databases(cfg.data)
    from t2s.model.load import best_device, load_base
    from t2s.model.lora import load_adapter

    device = best_device()
    base, tokenizer = load_base(spec, device)
    model = load_adapter(base, directory / ADAPTER)
    learnt = json.loads((directory / LINKING).read_text(encoding="utf-8")) if (directory / LINKING).is_file() else {}
    encoder = prompt_encoder(tokenizer, cfg.data, files, cfg.paths.cache_dir, learnt)
    return TrainedRun(directory, cfg, model, encoder, files, device)
