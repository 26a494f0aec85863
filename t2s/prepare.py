"""python -m t2s.prepare: your database in, training data out."""

from __future__ import annotations

from omegaconf import DictConfig
from rich.console import Console

from t2s.config import entry
from t2s.preparation import check_drift, prepare


@entry("prepare")
def main(cfg: DictConfig) -> None:
    console = Console()
    if cfg.check:
        raise SystemExit(check_drift(cfg, console))
    prepare(cfg, console)


if __name__ == "__main__":
    main()
