"""Every command README shows is one this version takes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ponds import ROOT

from t2s.config import SCHEMAS, compose

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    part.strip()
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    for part in line.partition(" #")[0].split("&&")
    if part.strip()
]
OURS = [command for command in COMMANDS if command.startswith("python -m t2s.")]
SCRIPTS = [command for command in COMMANDS if command.startswith("python scripts/")]


def test_readme_begins_with_the_two_commands() -> None:
    assert COMMANDS[:2] == ["pip install -e .", "python -m t2s.train"]
    assert {"pip install -e '.[test]'", "pytest"} <= set(COMMANDS)


@pytest.mark.parametrize("command", OURS)
def test_a_command_of_the_readme_composes(command: str) -> None:
    _, _, module, *arguments = shlex.split(command)
    name = module.removeprefix("t2s.")
    assert name in SCHEMAS
    overrides = [a for a in arguments if not a.startswith("-") and not a.startswith("ckpt_path=")]
    overrides = [re.sub(r"^([\w.]+)=([^\[\"]*?),.*", r"\1=\2", a) if "--multirun" in arguments else a for a in overrides]
    # t2s.prepare has written conf/data/my.yaml by then; tests/test_prepare.py types that.
    overrides = ["data=company" if a == "data=my" else a for a in overrides]
    overrides = [f'{k}="{v}"' if k == "question" else f"{k}={v}" for k, v in (a.split("=", 1) for a in overrides)]
    compose(name, overrides)


@pytest.mark.parametrize("command", SCRIPTS)
def test_a_script_of_the_readme_exists_and_explains_itself(command: str) -> None:
    _, script, *_ = shlex.split(command)
    done = subprocess.run([sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for option in re.findall(r" (--[\w-]+)", command):
        assert option in done.stdout


def test_files_the_readme_points_to_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert Path(ROOT / target).exists(), target
