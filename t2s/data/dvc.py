"""DVC: the pipeline of a prepared database as a file, so that its versions can be repeated, compared and shared.

DVC (dvc.org) is an extra: nothing here imports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from t2s.runtime import sha256, write_text

PIPELINE = "dvc.yaml"
LOCK = "dvc.lock"
PARAMS = "params.yaml"
_HEAD = "# Made by python -m t2s.prepare. `dvc repro` in this directory does again what has changed; docs/dvc.md.\n"


@dataclass(frozen=True)
class DvcStage:
    """One stage of a pipeline; paths as seen from its directory.

    Attributes:
        name: Of the stage, and what `stage=` of t2s.prepare is called.
        deps: Files it reads.
        params: Keys of params.yaml it depends on.
        outs: Files it writes, kept by DVC.
        metrics: Files of figures it writes, kept by git.
    """

    name: str
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]
    metrics: tuple[str, ...] = ()


def write_pipeline(directory: Path, stages: Sequence[DvcStage], params: Mapping[str, Any]) -> None:
    """Writes dvc.yaml, and params.yaml, which is a configuration of t2s.prepare too.

    Args:
        directory: Where both lie, and where their commands run.
        stages: In order.
        params: Settings of t2s.prepare that decide the outcome.
    """
    command = "python -m t2s.prepare --config-dir . --config-name params stage="
    written = {
        stage.name: {
            "cmd": command + stage.name,
            **({"deps": list(stage.deps)} if stage.deps else {}),
            **({"params": list(stage.params)} if stage.params else {}),
            "outs": list(stage.outs),
            **({"metrics": [{file: {"cache": False}} for file in stage.metrics]} if stage.metrics else {}),
        }
        for stage in stages
    }
    write_text(directory / PARAMS, _HEAD + _yaml({"defaults": ["prepare", "_self_"], **params}))
    write_text(directory / PIPELINE, _HEAD + _yaml({"stages": written}))


def revision(file: Path) -> dict[str, str] | None:
    """What DVC says of a data file: where its lock lies and the lock's hash; None where no lock knows the file.

    The lock holds the hashes of all outputs, so its hash names the version of the data.
    """
    for directory in list(file.absolute().parents)[:3]:
        lock = directory / LOCK
        if lock.is_file():
            known = file.absolute().relative_to(directory).as_posix() in lock.read_text(encoding="utf-8")
            return {"lock": str(lock), "sha256": sha256(lock)} if known else None
    return None


def _yaml(value: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=120))
