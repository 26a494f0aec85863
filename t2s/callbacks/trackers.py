"""Experiment trackers beside metrics.csv, each imported only when chosen."""

from __future__ import annotations

import netrc
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger

from t2s.errors import ConfigError

CONNECT_TIMEOUT_S = 3.0


def build_tracker(name: str, settings: Mapping[str, Any], run_dir: Path) -> Logger:
    """The tracker a `logger/` file describes, writing under the run directory.

    Raises:
        ConfigError: its package is missing or it refuses its settings.
    """
    options: dict[str, Any] = {"save_dir": str(run_dir)}
    if name == "wandb":
        options["offline"] = wandb_offline()
    try:
        logger: Logger = instantiate(settings, **options)
    except Exception as error:
        raise ConfigError(f"logger={name} cannot start: {error}") from error
    return logger


def wandb_offline() -> bool:
    """Whether W&B must do without its server: told so, no key, or no network. It would otherwise ask or hang."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return True
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("://")[-1].split("/")[0]
    if not os.environ.get("WANDB_API_KEY") and not _in_netrc(host.split(":")[0]):
        return True
    name, _, port = host.partition(":")
    try:
        socket.create_connection((name, int(port or 443)), timeout=CONNECT_TIMEOUT_S).close()
    except OSError:
        return True
    return False


def _in_netrc(host: str) -> bool:
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
