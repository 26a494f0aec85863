"""What preparation leaves for those that go on: a data setting, DVC's pipeline, the next command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from t2s.data.dvc import DvcStage, write_pipeline
from t2s.places import VERSIONS, Place
from t2s.runtime import short, write_text

_CONF = Path(__file__).resolve().parent.parent / "conf" / "data"  # where t2s.train looks by itself


def plain_values(value: Any) -> Any:
    """A setting as plain values."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def write_settings(cfg: DictConfig, place: Place) -> None:
    """The data setting that `t2s.train data=<name>` reads, and DVC's pipeline."""
    data = {
        "defaults": ["jsonl", "_self_"],
        "name": place.name,
        "database": str(place.database),
        "version": VERSIONS[1],
        "train": f"{place.directory}/${{data.version}}/train.jsonl",
        "val": str(place.splits["val"]),
        "held_out": {"test": str(place.splits["test"])},
        "dialect": cfg.data.dialect,
        **(
            {}
            if cfg.data.dialect == "sqlite"
            else {"instruction": f"Answer the question with one {cfg.data.dialect} query over this schema."}
        ),
        "infer_keys": bool(cfg.data.infer_keys),
    }
    head = f"# Made by python -m t2s.prepare from {without_password(place.source)}. Yours to change.\n"
    write_text(Path(cfg.conf).expanduser() / f"{place.name}.yaml", head + yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    source = () if place.remote else (str(place.database),)
    built = ("tables.json", *((place.database.name,) if place.remote else ()))
    v1, v2 = (f"{version}/pairs.jsonl" for version in VERSIONS)
    splits = tuple(str(file.relative_to(place.directory)) for file in place.splits.values())
    stages = [
        DvcStage("build", source, ("data",), built),
        DvcStage("generate", (*built, *source), ("seed", "pairs", "questions_per_query", "synthesis", "teacher", "imports"), (v1,)),
        DvcStage("clean", (v1, *source, *built[1:]), ("cleaning",), (v2, "rejected.jsonl", "results.json"), ("cleaning.json",)),
        DvcStage("split", (v1, v2), ("val", "test", "benchmarks"), splits, ("report.json",)),
    ]
    kept = ("seed", "pairs", "questions_per_query", "imports", "val", "test", "benchmarks", "synthesis", "cleaning")
    teacher = {key: value for key, value in plain_values(cfg.teacher).items() if key != "api_key"}
    conf = Path(cfg.conf).expanduser().absolute()
    settings = {
        "name": place.name,
        "output": "..",
        **({} if conf == _CONF else {"conf": str(conf)}),  # the usual one differs from checkout to checkout
        "data": {**plain_values(cfg.data), "database": without_password(place.source) if place.remote else str(place.database)},
    }
    write_pipeline(place.directory, stages, {**settings, **{key: plain_values(cfg[key]) for key in kept}, "teacher": teacher})


def without_password(source: str) -> str:
    """A URL without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", source)


def next_command(cfg: DictConfig, place: Place) -> str:
    conf = Path(cfg.conf).expanduser().absolute()
    elsewhere = "" if conf == _CONF else f"--config-dir {short(conf.parent)} "
    return f"python -m t2s.train {elsewhere}data={place.name}"
