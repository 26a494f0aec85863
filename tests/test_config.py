"""Every settings file composes, every default is in one, and a wrong setting is refused with its remedy."""

import ast
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from omegaconf import MISSING, DictConfig, OmegaConf

from t2s import training
from t2s.assembly import model_spec, resolved, sandbox
from t2s.config import SCHEMAS, compose
from t2s.data.prompt import SchemaStyle
from t2s.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
GROUPS = ("model", "data", "lora", "eval", "trainer", "callbacks", "logger", "paths", "experiment", "debug")
CHOICES = [(file.parent.name, file.stem) for group in GROUPS for file in sorted((CONF / group).glob("*.yaml"))]
OWN_DATA = ["data.database=my.sqlite", "data.train=train.jsonl", "data.val=val.jsonl"]
NEEDED = {("data", "jsonl"): OWN_DATA, ("data", "spider"): ["data.root=spider"], ("data", "bird"): ["data.root=bird"]}
COMMANDS = ("train", "evaluate", "infer")


def compose_choice(group: str, choice: str) -> DictConfig:
    return compose("train", [f"{group}={choice}", *NEEDED.get((group, choice), [])])


def instantiated(cfg: DictConfig) -> list[Any]:
    """The plain objects a run is built from."""
    with sandbox(cfg.eval) as box:
        return [
            box,
            model_spec(cfg.model, cfg.paths.cache_dir),
            training.lora_spec(cfg.lora),
            training.optimizer_spec(cfg.optimizer),
            training.trainer_options(cfg.trainer),
            SchemaStyle(**cfg.data.schema),
        ]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_file_composes_and_its_values_can_be_used(group: str, choice: str) -> None:
    cfg = compose_choice(group, choice)
    given = yaml.safe_load((CONF / group / f"{choice}.yaml").read_text(encoding="utf-8")) or {}
    composed = OmegaConf.to_container(cfg, resolve=False)
    part = composed if group in ("experiment", "debug") else composed[group]  # type: ignore[call-overload,index]
    for key, value in given.items():
        if key != "defaults" and "???" not in str(value):
            assert contains(part[key], value), key
    assert all(instantiated(cfg))


def contains(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return all(contains(whole[key], value) for key, value in part.items())
    return bool(whole == part)


def test_the_trainer_takes_the_options_it_is_given() -> None:
    import lightning

    for overrides in ([], ["trainer.limit_train_batches=3"], ["trainer.limit_train_batches=0.5"]):
        options = training.trainer_options(compose("train", overrides).trainer)
        lightning.Trainer(**{**options, "accelerator": "cpu"}, logger=False, enable_checkpointing=False)


def test_targets_may_be_a_list() -> None:
    spec = training.lora_spec(compose("train", ["lora.target_modules=[q_proj,v_proj]"]).lora)
    assert spec.target_modules == ("q_proj", "v_proj")


@pytest.mark.parametrize(("command", "overrides"), [("evaluate", ["run=a"]), ("infer", ["run=a", "question=why"]), ("infer", ["run=a"])])
def test_commands_that_read_a_run_compose(command: str, overrides: list[str]) -> None:
    assert compose(command, overrides).run == "a"


@pytest.mark.parametrize("group", sorted(path.name for path in CONF.iterdir() if path.is_dir()))
def test_a_package_header_stands_only_where_a_file_speaks_for_several_groups(group: str) -> None:
    with_header = [file for file in (CONF / group).glob("*.yaml") if "@package" in file.read_text(encoding="utf-8")]
    assert with_header == [] or group in ("experiment", "hparams_search", "debug")


WRONG: list[tuple[list[str], list[str]]] = [
    (["data=spider"], ["data.root has no value"]),
    (["data=bird"], ["data.root has no value"]),
    (["lora.r=abc"], ["lora.r", "'abc'", "whole number >= 1"]),
    (["lora.r=0"], ["lora.r=0", "whole number >= 1"]),
    (["lora.r=null"], ["lora.r", "whole number >= 1"]),
    (["lora.r="], ["lora.r", "whole number >= 1"]),
    (["lora.rank=4"], ["lora.rank is not a setting", "lora has r, alpha"]),
    (["+lora.rank=4"], ["lora.rank is not a setting", "lora has r, alpha"]),
    (["++lora.rank=4"], ["lora.rank is not a setting", "lora has r, alpha"]),
    (["lora.r=8,16"], ["lora.r=8,16", "--multirun"]),
    (["lora.dropout=2"], ["lora.dropout=2", "<= 0.99"]),
    (["lora.alpha=true"], ["lora.alpha", "number > 0"]),
    (["lora.dora=maybe"], ["lora.dora", "true or false"]),
    (["lora.target_modules=[]"], ["lora.target_modules=[]", "all-linear"]),
    (["lora.target_modules=3"], ["lora.target_modules=3", "all-linear"]),
    (["model.decode_once=always", "model.quantization=none"], ["no effect on model.quantization=none", "model.decode_once=auto"]),
    (["trainer.compile=maybe"], ["trainer.compile=maybe", "auto or always or never"]),
    (["optimizer.lora_b_ratio=0"], ["optimizer.lora_b_ratio=0", "number > 0"]),
    (["optimizer.learning_rate=-1"], ["optimizer.learning_rate=-1", "number > 0"]),
    (["optimizer.learning_rate=nan"], ["optimizer.learning_rate=nan", "number > 0"]),
    (["optimizer.learning_rate=inf"], ["optimizer.learning_rate=inf", "number > 0"]),
    (["optimizer.learnig_rate=1"], ["did you mean optimizer.learning_rate"]),
    (["optimizer.betas=[0.9]"], ["optimizer.betas=[0.9]", "two numbers"]),
    (["optimizer.betas=[0.9,1]"], ["optimizer.betas=[0.9, 1", "below 1"]),
    (["model=nonsense"], ["model=nonsense", "smollm2", "qwen25_coder"]),
    (["model=smolm2"], ["did you mean smollm2"]),
    (["experiment=nonsense"], ["experiment=nonsense", "not a choice"]),
    (["model.source=random"], ["model.source=random", "model.tiny"]),
    (["model.tiny.layers=3"], ["model.tiny"]),
    (["data.packing=foo"], ["data.packing=foo", "shared or none"]),
    (["data=jsonl"], ["data.database=..."]),
    (["data=jsonl", "data.database=my.sqlite"], ["data.train=..."]),
    (["data.schema.colours=1"], ["data.schema.colours is not a setting", "types, keys, comments, samples"]),
    (["trainer.max_epochs=1.5"], ["trainer.max_epochs", "'1.5'", "whole number >= 1"]),
    (["trainer.limit_train_batches=1.5"], ["trainer.limit_train_batches=1.5", "whole number of steps"]),
    (["trainer.max_tokens=all"], ["trainer.max_tokens=all", "auto or a whole number >= 16"]),
    (["trainer.max_tokens=15"], ["trainer.max_tokens=15", "auto"]),
    (["trainer.devices=2"], ["trainer.devices=2", "<= 1"]),
    (["eval.comparison=exact"], ["eval.comparison=exact", "strict or bird"]),
    (["eval.timeout_s=0"], ["eval.timeout_s=0", "number > 0"]),
    (["eval.suite=maybe"], ["eval.suite", "'maybe'", "true or false"]),
    (["eval.suite=null"], ["eval.suite", "true or false"]),
    (["seed=-1"], ["seed=-1", "whole number >= 0"]),
    (["nonsense=1"], ["nonsense is not a setting", "lora, optimizer"]),
    (["+nonsense=1"], ["nonsense is not a setting", "lora, optimizer"]),
]


@pytest.mark.parametrize(("overrides", "said"), WRONG, ids=[" ".join(overrides) for overrides, _ in WRONG])
def test_a_wrong_setting_is_refused_with_its_name_and_what_it_may_be(overrides: list[str], said: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        compose("train", overrides)
    message = str(refused.value)
    assert [words for words in said if words not in message] == [], message
    assert "\n" not in message


def test_what_a_message_advises_can_be_typed() -> None:
    cfg = compose("train", ["data=jsonl", *OWN_DATA, "data.held_out={test: test.jsonl}"])  # t2s.evaluate says so
    assert cfg.data.held_out == {"test": "test.jsonl"}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["question=why"], "run=..."),
        (["run=a", "question=why", "input=b.jsonl", "output=c.jsonl"], "either"),
        (["run=a", "input=b.jsonl"], "output="),
        (["run=a", "question=why", "rows=0"], "rows=0"),
    ],
)
def test_inference_wants_a_run_and_one_source_of_questions(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compose("infer", overrides)


def run(command: str, *arguments: str, cwd: Path, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import runpy; runpy.run_module('t2s.{command}', run_name='__main__')"
    return subprocess.run([sys.executable, *flags, "-c", program, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("train", ["lora.r=abc"], "lora.r"),
        ("train", ["+lora.rank=4"], "lora.rank"),
        ("train", ["ckpt_path=last"], "ckpt_path=last"),
        ("train", ["--multirun", "lora.r=8,0"], "lora.r=0"),
        ("evaluate", [], "run="),
        ("infer", ["run=a", "input=b.jsonl"], "output="),
    ],
)
def test_a_wrong_command_line_costs_one_line_and_no_torch(command: str, arguments: list[str], said: str, tmp_path: Path) -> None:
    done = run(command, *arguments, cwd=tmp_path, flags=("-X", "importtime"))
    lines = done.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    messages = [line for line in lines if not line.startswith("import time:")]
    assert done.returncode == 1
    assert len(messages) == 1
    assert re.match(r"error: ", messages[0])
    assert said in messages[0]
    assert "omegaconf" in imported
    assert "torch" not in imported
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def helps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cwd = tmp_path_factory.mktemp("help")
    texts = {}
    for command in COMMANDS:
        done = run(command, "--help", cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
        texts[command] = done.stdout
    assert list(cwd.iterdir()) == []
    return texts


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_hundred_columns(command: str, helps: dict[str, str]) -> None:
    assert [line for line in helps[command].splitlines() if len(line) > 100] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples_and_every_setting(command: str, helps: dict[str, str]) -> None:
    text = helps[command]
    assert re.search(rf"^  python -m t2s\.{command}\b", text, re.MULTILINE)
    for spec in dataclasses.fields(SCHEMAS[command]):
        assert re.search(rf"^{spec.name}:", text, re.MULTILINE), spec.name


def test_help_lists_the_groups_and_their_choices(helps: dict[str, str]) -> None:
    listed = " ".join(helps["train"].partition("Settings")[0].split())
    for group, choice in CHOICES:
        assert re.search(rf"\b{group}: [^:]*\b{choice}\b", listed), (group, choice)


def test_examples_of_the_help_compose(helps: dict[str, str]) -> None:
    examples = re.findall(r"^  python -m t2s\.train(.*)$", helps["train"], re.MULTILINE)
    assert len(examples) >= 5
    for line in examples:
        settings = re.split(r"\s{2,}", line.rstrip())[0].split()
        if "--multirun" in settings:
            settings = [text.partition(",")[0] for text in settings]
        cfg = compose("train", [text for text in settings if "=" in text])
        assert cfg.model.name


def schemas(schema: type) -> set[type]:
    found = {schema}
    for hint in get_type_hints(schema).values():
        for inner in (hint, *get_args(hint)):
            if dataclasses.is_dataclass(inner):
                found |= schemas(inner)  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_schemas_hold_no_default(command: str) -> None:
    defaults = {
        f"{schema.__name__}.{spec.name}": spec.default
        for schema in schemas(SCHEMAS[command])
        for spec in dataclasses.fields(schema)
        if spec.default != MISSING or spec.default_factory is not dataclasses.MISSING
    }
    assert defaults == {}


def hidden_defaults(source: str) -> list[str]:
    """Reads of settings that name a default: `cfg.get(key, default)`, `getattr(cfg, key, default)`."""
    settings = r"(?:\w*cfg|\w*config|settings)(?:\.\w+)*"
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    found = [
        ast.unparse(call)
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in ("get", "pop", "setdefault")
        and len(call.args) + len(call.keywords) > 1
        and re.fullmatch(settings, ast.unparse(call.func.value))
    ]
    return found + [
        ast.unparse(call)
        for call in calls
        if ast.unparse(call.func) == "getattr" and len(call.args) == 3 and re.fullmatch(settings, ast.unparse(call.args[0]))
    ]


def test_a_hidden_default_would_be_found() -> None:
    source = "cfg.get('seed', 0); cfg.model.get('r', 1); getattr(cfg, 'x', 2); cfg.get('seed'); names.get('a', 1)"
    assert hidden_defaults(source) == ["cfg.get('seed', 0)", "cfg.model.get('r', 1)", "getattr(cfg, 'x', 2)"]


@pytest.mark.parametrize("file", sorted((ROOT / "t2s").rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_hides_a_default(file: Path) -> None:
    assert hidden_defaults(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("question", ["Which stores, by city?", "What are Oslo's sales?", "Open tickets (by day): how many?", "2024"])
def test_a_question_is_taken_as_it_is_typed(question: str, tmp_path: Path) -> None:
    done = run("infer", "run=a", f"question={question}", cwd=tmp_path)
    assert done.returncode == 1
    assert "run=a is not a run" in done.stderr


def test_a_checkpoint_without_its_settings_is_refused_in_one_line(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"")
    done = run("train", "model=tiny", "ckpt_path=run", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "config.yaml" in done.stderr


def test_resuming_with_other_settings_names_those_of_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"")
    (folder / "environment.json").write_text(json.dumps({"command": ["train.py", "model=tiny", "lora.r=8"]}))
    cfg = compose("train", ["model=tiny", "lora.r=8"])
    plain = {str(key): value for key, value in cfg.items_ex(resolve=False) if key != "hydra"}
    OmegaConf.save(OmegaConf.create(resolved(OmegaConf.create(plain))), folder / "config.yaml")
    done = run("train", "model=tiny", "lora.r=4", "ckpt_path=run", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "lora.r was 8 and is now 4" in done.stderr
    assert "python -m t2s.train model=tiny lora.r=8 ckpt_path=run" in done.stderr
