"""What may be configured: typed schemas, their limits, and messages that name the fix. No defaults: those are in conf/.

Entry points decorate their main function with `entry`, which composes and checks the configuration before anything heavy
is imported, so a typing mistake answers at once.
"""

from __future__ import annotations

import difflib
import functools
import math
import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, OmegaConf, ValidationError
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from t2s.errors import ConfigError, T2SError
from t2s.runtime import fail, find_run

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"
FREE_TEXT = ("question", "data.instruction")
T = TypeVar("T")


def limited(
    *, least: float | None = None, above: float | None = None, most: float | None = None, choices: Sequence[str] | None = None
) -> Any:
    """A field whose value YAML must give, within limits."""
    return field(default=MISSING, metadata={"least": least, "above": above, "most": most, "choices": choices})


@dataclass
class PathsConfig:
    data_dir: str = MISSING
    output_dir: str = MISSING
    sweep_dir: str = MISSING
    cache_dir: str = MISSING


@dataclass
class TinyConfig:
    architecture: str = limited(choices=("llama", "qwen2"))
    hidden_size: int = limited(least=8)
    layers: int = limited(least=1)
    heads: int = limited(least=1)
    vocabulary: int = limited(least=300)
    seed: int = limited(least=0)


@dataclass
class ModelConfig:
    name: str = MISSING
    source: str = limited(choices=("package", "hub", "random"))
    path: str = MISSING
    revision: str | None = MISSING
    quantization: str = limited(choices=("nf4", "int8", "none"))
    decode_once: str = limited(choices=("auto", "always", "never"))
    attention: str = limited(choices=("sdpa", "eager", "flash_attention_2"))
    activation_checkpointing: bool = MISSING
    tiny: TinyConfig | None = MISSING


@dataclass
class SchemaConfig:
    types: bool = MISSING
    keys: bool = MISSING
    comments: bool = MISSING
    samples: int = limited(least=0)


@dataclass
class DataConfig:
    name: str = MISSING
    builder: str | None = limited(choices=("company",))
    root: str | None = MISSING
    database: str = MISSING
    train: str = MISSING
    val: str = MISSING
    held_out: dict[str, str | None] = MISSING
    version: str | None = limited(choices=("v1_raw", "v2_cleaned"))
    dialect: str = MISSING
    linking: str = limited(choices=("none", "keyword", "auto"))
    linking_tokens: int = limited(least=1)
    value_hints: bool = MISSING
    infer_keys: bool = MISSING
    template: str = limited(choices=("auto", "chatml"))
    instruction: str = MISSING
    schema: SchemaConfig = MISSING
    packing: str = limited(choices=("shared", "none"))
    supervise: str = limited(choices=("last", "all"))
    batch_size: int = limited(least=1)
    max_tokens: int = limited(least=16)
    too_long: str = limited(choices=("refuse", "drop"))


@dataclass
class LoraSettings:
    r: int = limited(least=1)
    alpha: float = limited(above=0)
    dropout: float = limited(least=0, most=0.99)
    target_modules: Any = MISSING
    dora: bool = MISSING
    rslora: bool = MISSING
    init: str = limited(choices=("default", "gaussian", "pissa", "olora"))


@dataclass
class OptimizerConfig:
    name: str = limited(choices=("adamw", "adamw_fused", "paged_adamw_8bit"))
    learning_rate: float = limited(above=0)
    lora_b_ratio: float = limited(above=0)
    weight_decay: float = limited(least=0)
    betas: list[float] = MISSING
    warmup_steps: int = limited(least=0)
    final_ratio: float = limited(least=0, most=1)
    clip_norm: float = limited(least=0)


@dataclass
class EvalConfig:
    comparison: str = limited(choices=("strict", "bird", "spider"))
    max_new_tokens: int = limited(least=1)
    batch_size: int = limited(least=1)
    before_training: bool = MISSING
    suite: bool = MISSING
    timeout_s: float = limited(above=0)
    max_rows: int = limited(least=1)
    max_bytes: int = limited(least=1000)
    max_memory_bytes: int = limited(least=10_000_000)


@dataclass
class TrainerConfig:
    max_epochs: int = limited(least=1)
    max_steps: int = limited(least=-1)
    cpu_minutes: float | None = limited(above=0)
    accelerator: str = limited(choices=("auto", "cpu", "gpu"))
    devices: int = limited(least=1, most=1)
    limit_train_batches: float = limited(above=0)
    check_val_every_n_epoch: int = limited(least=1)
    log_every_n_steps: int = limited(least=1)
    threads: int | None = limited(least=1)
    val_check_interval: float = limited(above=0, most=1)
    compile: str = limited(choices=("auto", "always", "never"))
    max_tokens: Any = MISSING  # auto or a number: OmegaConf (2.3) cannot merge a union this deep
    self_check: bool = MISSING


@dataclass
class CheckpointConfig:
    every_n_steps: int = limited(least=1)


@dataclass
class EarlyStoppingConfig:
    patience: int | None = limited(least=1)


@dataclass
class CallbacksConfig:
    checkpoint: CheckpointConfig = MISSING
    early_stopping: EarlyStoppingConfig = MISSING


@dataclass
class TrainConfig:
    seed: int = limited(least=0)
    ckpt_path: str | None = MISSING
    paths: PathsConfig = MISSING
    model: ModelConfig = MISSING
    data: DataConfig = MISSING
    lora: LoraSettings = MISSING
    optimizer: OptimizerConfig = MISSING
    eval: EvalConfig = MISSING
    trainer: TrainerConfig = MISSING
    callbacks: CallbacksConfig = MISSING
    logger: dict[str, Any] = MISSING


@dataclass
class EvaluateConfig:
    run: str | None = MISSING
    predictions: str | None = MISSING
    baseline: str | None = MISSING
    data: DataConfig | None = MISSING
    splits: list[str] | None = MISSING
    output: str | None = MISSING
    force: bool = MISSING
    batch_size: int | None = limited(least=1)
    history: str = limited(choices=("gold", "own"))
    comparison: str = limited(choices=("strict", "spider", "bird"))
    suite: bool | str | None = MISSING
    columns: str = limited(choices=("fixed", "free"))
    min_ex: float | None = limited(least=0, most=1)
    timeout_s: float = limited(above=0)
    max_rows: int = limited(least=1)
    max_bytes: int = limited(least=1000)
    max_memory_bytes: int = limited(least=10_000_000)
    workers: int = limited(least=1, most=256)
    paths: PathsConfig = MISSING


@dataclass
class InferConfig:
    run: str = MISSING
    question: str | None = MISSING
    input: str | None = MISSING
    output: str | None = MISSING
    database: str | None = MISSING
    rows: int = limited(least=1)
    batch_size: int | None = limited(least=1)
    paths: PathsConfig = MISSING


@dataclass
class SourceConfig:
    database: str = MISSING
    dialect: str = MISSING
    rows_per_table: int = limited(least=1)
    infer_keys: bool = MISSING


@dataclass
class TeacherConfig:
    name: str = limited(choices=("offline", "openai", "model"))
    base_url: str | None = MISSING
    model: str | None = MISSING
    api_key: str | None = MISSING
    pairs_per_request: int = limited(least=1, most=50)
    wordings: int = limited(least=1, most=6)
    review: bool = MISSING
    values: bool = MISSING
    withheld: list[str] = MISSING
    rows_per_table: int = limited(least=0)
    notes: str = MISSING
    max_schema_chars: int = limited(least=500)
    temperature: float = limited(least=0, most=2)
    max_completion_tokens: int = limited(least=50)
    context_tokens: int = limited(least=512)
    concurrency: int = limited(least=1, most=256)
    timeout_s: float = limited(above=0)
    tries: int = limited(least=1)
    max_tokens: int | None = limited(least=1)
    max_cost: float | None = limited(above=0)
    prompt_price: float = limited(least=0)
    completion_price: float = limited(least=0)


@dataclass
class SynthesisConfig:
    most_per_skeleton: int = limited(least=1)
    empty_share: float = limited(least=0, most=1)
    free_wording: float = limited(least=0, most=1)
    forms: dict[str, float] = MISSING
    tests: dict[str, float] = MISSING
    hardness: dict[str, float] = MISSING
    registers: dict[str, float] = MISSING


@dataclass
class CleaningConfig:
    min_question_words: int = limited(least=1)
    max_question_chars: int = limited(least=1)
    max_sql_chars: int = limited(least=1)
    max_per_skeleton: int | None = limited(least=1)
    max_per_wording: int | None = limited(least=1)
    near_duplicate_likeness: float | None = limited(above=0, most=1)
    personal_data: str = limited(choices=("off", "report", "mask", "refuse"))
    refuse_toxic: bool = MISSING
    check_luck: bool = MISSING
    check_agreement: bool = MISSING
    one_style: bool = MISSING


@dataclass
class PrepareConfig:
    name: str | None = MISSING
    output: str = MISSING
    conf: str = MISSING
    seed: int = limited(least=0)
    stage: str = limited(choices=("all", "build", "generate", "clean", "split"))
    force: bool = MISSING
    check: bool = MISSING
    data: SourceConfig = MISSING
    teacher: TeacherConfig = MISSING
    pairs: int = limited(least=0)
    questions_per_query: int = limited(least=1, most=6)
    synthesis: SynthesisConfig = MISSING
    imports: list[str] = MISSING
    val: float = limited(above=0, most=0.5)
    test: float = limited(above=0, most=0.5)
    benchmarks: list[str] = MISSING
    cleaning: CleaningConfig = MISSING
    timeout_s: float = limited(above=0)
    max_rows: int = limited(least=1)
    max_bytes: int = limited(least=1000)
    max_memory_bytes: int = limited(least=10_000_000)
    workers: int = limited(least=1, most=256)
    paths: PathsConfig = MISSING


SCHEMAS: dict[str, type] = {"train": TrainConfig, "evaluate": EvaluateConfig, "infer": InferConfig, "prepare": PrepareConfig}


def register() -> None:
    """Makes schemas and resolvers known to Hydra; doing it twice does no harm."""
    for name, schema in SCHEMAS.items():
        ConfigStore.instance().store(name=f"{name}_schema", node=schema)
    OmegaConf.register_new_resolver("t2s_groups", _groups, replace=True)
    OmegaConf.register_new_resolver("t2s_root", lambda: str(ROOT), replace=True)
    OmegaConf.register_new_resolver("t2s_run_dir", _run_dir, replace=True)


def _groups() -> str:
    """Groups and their choices, for --help, 80 columns wide."""
    lines = []
    for directory in sorted(path for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"):
        choices = ", ".join(sorted(file.stem for file in directory.glob("*.yaml")))
        lines += textwrap.wrap(choices, 78, initial_indent=f"  {f'{directory.name}:':<12}", subsequent_indent=" " * 14)
    return "\n".join(lines)


def _run_dir(output_dir: str, ckpt_path: str | None, day: str, moment: str) -> str:
    if ckpt_path is None:
        return str(Path(output_dir) / day / moment)
    return str(find_run(ckpt_path, Path(output_dir)))


def entry(config_name: str) -> Callable[[Callable[[DictConfig], T]], Callable[[], None]]:
    """Turns `task(cfg)` into a command line program configured by conf/<config_name>.yaml."""

    def decorate(task: Callable[[DictConfig], T]) -> Callable[[], None]:
        @functools.wraps(task)
        def guarded(cfg: DictConfig) -> T:
            try:
                check(cfg, config_name)
                return task(cfg)
            except T2SError as error:
                if os.environ.get("T2S_FULL_ERROR"):
                    raise
                fail(error)

        def main() -> None:
            register()
            sys.argv[1:] = [_quoted(argument) for argument in sys.argv[1:]]
            try:
                _preflight(config_name, sys.argv[1:])
            except ConfigError as error:
                fail(error)
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(guarded)()

        return main

    return decorate


def _quoted(argument: str) -> str:
    """Free text as Hydra's grammar wants it: the shell took the user's quotes, and commas and brackets mean lists there."""
    key, equals, value = argument.partition("=")
    if key not in FREE_TEXT or not equals or (len(value) > 1 and value[0] == value[-1] and value[0] in "'\""):
        return argument
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'{key}="{escaped}"'


def compose(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """The checked configuration of a command.

    Raises:
        ConfigError: says which setting is wrong and what it may be.
    """
    register()
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = hydra.compose(config_name, list(overrides), return_hydra_config=True)
        check(cfg, config_name)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error, SCHEMAS[config_name])) from error
    except AssertionError as error:  # OmegaConf's answer to a key below a null, as model.tiny.layers=3 without a tiny model
        raise ConfigError(f"one of {', '.join(overrides)} sets a key below something that is null here; leave it out") from error
    return cfg


def _preflight(config_name: str, arguments: Sequence[str]) -> None:
    """Refuses bad settings before Hydra starts a job and before torch is imported."""
    flags = [a for a in arguments if a.startswith("-")]
    if set(flags) - {"-m", "--multirun"}:
        return  # --help, --cfg and the like run nothing, and may take values of their own
    overrides = [a for a in arguments if not a.startswith("-")]
    for combination in _single_values(overrides) if flags else [overrides]:
        cfg = compose(config_name, combination)
        if not flags and config_name == "train":
            _run_dir(cfg.paths.output_dir, cfg.ckpt_path, "", "")


def _single_values(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Of a sweep, each value once beside the first of the others."""
    try:
        parsed = [OverridesParser.create().parse_override(text) for text in overrides]
    except HydraException as error:
        raise ConfigError(str(error)) from error
    values = [
        [f"{o.get_key_element()}={value}" for value in o.sweep_string_iterator()]
        if o.is_sweep_override() and o.is_discrete_sweep()
        else ([] if o.is_sweep_override() else [text])
        for text, o in zip(overrides, parsed, strict=True)
    ]
    first = [choices[0] for choices in values if choices]
    for position, choices in enumerate(values):
        others = [v[0] for i, v in enumerate(values) if v and i != position]
        for value in choices:
            yield [*others, value]
    if not overrides:
        yield first


def check(cfg: DictConfig, config_name: str) -> None:
    """Limits, missing values and rules across fields.

    Raises:
        ConfigError: names the setting, its value and what is allowed.
    """
    ours = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    missing = sorted(OmegaConf.missing_keys(ours) - ({"data.train", "data.val"} if config_name == "evaluate" else set()))
    if missing:
        raise ConfigError(f"{missing[0]} has no value; give one, as in {missing[0]}=...")
    for key, value, spec in _leaves(cfg, SCHEMAS[config_name], "", SCHEMAS[config_name]):
        _check_limits(key, value, spec)
    if config_name == "train":
        _check_train(cfg)
    if config_name == "evaluate":
        _check_evaluate(cfg)
    if config_name == "infer" and cfg.question is not None and cfg.input is not None:
        raise ConfigError('give either question="..." or input=questions.jsonl, or neither to ask one question after the other')
    if config_name == "infer" and (cfg.input is None) != (cfg.output is None):
        raise ConfigError("input= and output= go together: input=questions.jsonl output=answers.jsonl")


def _check_evaluate(cfg: DictConfig) -> None:
    if (cfg.run is None) == (cfg.predictions is None):
        raise ConfigError("give either run=outputs/... or predictions=file.sql with data=...")
    if cfg.predictions is not None and cfg.data is None:
        raise ConfigError(
            "predictions= needs the questions: data=spider data.root=..., data=bird, data=company, or data=jsonl with its files"
        )
    if isinstance(cfg.suite, str) and not (Path(cfg.suite) / "suite.json").is_file():
        raise ConfigError(f"there is no suite in {cfg.suite}; suite= takes true, false or a directory made by scripts/build_suite.py")
    if cfg.predictions is not None and cfg.history == "own":
        raise ConfigError("history=own has no effect beside predictions=: they are there already; leave it out")
    given, useless = ("predictions", ("batch_size", "force")) if cfg.run is None else ("run", ("data", "baseline"))
    for name in useless:
        if cfg[name]:
            value = cfg.data.name if name == "data" else cfg[name]
            raise ConfigError(f"{name}={value} has no effect beside {given}=; leave it out")


def _check_train(cfg: DictConfig) -> None:
    if (cfg.model.source == "random") != (cfg.model.tiny is not None):
        raise ConfigError(f"model.source={cfg.model.source} and model.tiny do not fit: a random model, and only that, has a tiny shape")
    if cfg.model.decode_once == "always" and cfg.model.quantization != "nf4":
        raise ConfigError(
            f"model.decode_once=always has no effect on model.quantization={cfg.model.quantization}; set model.decode_once=auto"
        )
    betas = list(cfg.optimizer.betas)
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ConfigError(f"optimizer.betas={betas}; give two numbers of at least 0 and below 1, as in [0.9,0.999]")
    for name, settings in cfg.logger.items():
        if not OmegaConf.is_dict(settings) or "_target_" not in settings:
            raise ConfigError(f"logger.{name}={settings} is no tracker; choose a file of conf/logger, or give it a _target_")
    targets = cfg.lora.target_modules
    if not isinstance(targets, str) and not (OmegaConf.is_list(targets) and targets and all(isinstance(t, str) for t in targets)):
        raise ConfigError(f"lora.target_modules={targets}; give all-linear or a list such as [q_proj,v_proj]")
    most = cfg.trainer.max_tokens
    if most != "auto" and (isinstance(most, bool) or not isinstance(most, int) or most < 16):
        raise ConfigError(f"trainer.max_tokens={cfg.trainer.max_tokens} is out of range; choose auto or a whole number >= 16")
    if cfg.data.version is not None and cfg.data.version not in str(cfg.data.train):
        raise ConfigError(f"data.version={cfg.data.version} has no effect: data={cfg.data.name} has no versions; leave it out")
    limit = cfg.trainer.limit_train_batches
    if limit > 1 and limit != int(limit):
        raise ConfigError(f"trainer.limit_train_batches={limit}; give a share up to 1.0 or a whole number of steps")


def _leaves(cfg: Any, schema: type, prefix: str, root: type) -> Iterator[tuple[str, Any, Field[Any]]]:
    hints = get_type_hints(schema)
    known = {spec.name for spec in fields(schema)}
    for name in cfg:
        if name not in known and f"{prefix}{name}" != "hydra":  # +key=value adds what nothing reads
            raise ConfigError(_unknown(f"{prefix}{name}", root))
    for spec in fields(schema):
        value = None if OmegaConf.is_missing(cfg, spec.name) else cfg[spec.name]  # what must be there is checked before
        key = f"{prefix}{spec.name}"
        inner = next((t for t in (hints[spec.name], *get_args(hints[spec.name])) if is_dataclass(t)), None)
        if inner is not None and value is not None:
            yield from _leaves(value, inner, f"{key}.", root)  # type: ignore[arg-type]
        elif value is not None:
            yield key, value, spec


def _check_limits(key: str, value: Any, spec: Field[Any]) -> None:
    limits = spec.metadata
    if not limits:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    wrong = (
        (limits["choices"] is not None and value not in limits["choices"])
        or (number and not math.isfinite(value))
        or (limits["least"] is not None and value < limits["least"])
        or (limits["above"] is not None and value <= limits["above"])
        or (limits["most"] is not None and value > limits["most"])
    )
    if wrong:
        raise ConfigError(f"{key}={value} is out of range; choose {_allowed(spec)}")


def _allowed(spec: Field[Any]) -> str:
    kind = "a whole number" if "int" in str(spec.type) else "a number" if "float" in str(spec.type) else "a text"
    kind = ("true, false or a text" if "str" in str(spec.type) else "true or false") if "bool" in str(spec.type) else kind
    kind = "a list, as in [a,b]" if "list" in str(spec.type) else kind
    limits = spec.metadata
    if not limits:
        return kind
    if limits["choices"] is not None:
        return " or ".join(limits["choices"])
    words = [f"{word} {limits[name]:g}" for name, word in (("least", ">="), ("above", ">"), ("most", "<=")) if limits[name] is not None]
    return " ".join((kind, " and ".join(words)))


def _explain(error: BaseException, schema: type) -> str:
    """One message from Hydra's and OmegaConf's nested ones."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    for link in reversed(chain):
        if isinstance(link, OverrideParseException):
            return f"{link.override} cannot be read; write key=value, with quotes inside quotes for text: 'key=\"a, b\"'"
        if isinstance(link, ConfigError):
            return str(link)
        if isinstance(link, ValidationError) and link.full_key:
            spec = _field(link.full_key, schema)
            return f"{link.full_key}: {str(link.msg).splitlines()[0]}" + (f"; choose {_allowed(spec)}" if spec else "")
        if isinstance(link, MissingMandatoryValue):
            # Behind an interpolation only the message names it (OmegaConf 2.3).
            key = link.full_key or str(link).splitlines()[0].rpartition(": ")[2]
            return f"{key} has no value; give one, as in {key}=..."
        if isinstance(link, ConfigKeyError) and link.full_key:
            return _unknown(link.full_key, schema)
        if isinstance(link, MissingConfigException) and link.missing_cfg_file:
            return _unknown_choice(link.missing_cfg_file, link.options or ())
        override = re.match(r"Could not override '(.+?)'", str(link))
        if override:
            return _unknown(override[1], schema)
    # Hydra often wraps a telling error in one without words.
    return next((" ".join(str(link).split()) for link in chain if str(link).strip()), repr(error))


def _unknown_choice(missing: str | Sequence[str], options: Sequence[str]) -> str:
    group, _, choice = (missing if isinstance(missing, str) else missing[0]).rpartition("/")
    near = difflib.get_close_matches(choice, options, 1, cutoff=0.6)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"{group}={choice} is not a choice; {guess}conf/{group} has {', '.join(options) or 'no files yet'}"


def _field(full_key: str, schema: type) -> Field[Any] | None:
    *path, last = full_key.split(".")
    parent = _schema_at(path, schema)
    return next((f for f in fields(parent) if f.name == last), None) if parent else None


def _schema_at(path: Sequence[str], schema: type) -> type | None:
    for name in path:
        hint = get_type_hints(schema).get(name)
        inner = next((t for t in (hint, *get_args(hint)) if is_dataclass(t)), None)
        if inner is None:
            return None
        schema = inner  # type: ignore[assignment]
    return schema


def _unknown(full_key: str, schema: type) -> str:
    *path, last = full_key.split(".")
    parent = _schema_at(path, schema)
    if parent is None:
        return f"{full_key} is not a setting; --help lists them all"
    known = [f.name for f in fields(parent)]
    where = ".".join(path)
    near = difflib.get_close_matches(last, known, 1, cutoff=0.6)
    guess = f"did you mean {'.'.join([*path, near[0]])}? " if near else ""
    return f"{full_key} is not a setting; {guess}{where + ' has' if where else 'settings are'} {', '.join(known)}"
