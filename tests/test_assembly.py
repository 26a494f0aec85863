"""Settings become objects."""

from __future__ import annotations

from pathlib import Path

from t2s.assembly import model_spec
from t2s.config import compose


def test_a_home_directory_in_the_cache_setting_is_the_users_own() -> None:
    """Kernels and models were once kept in a directory called `~` beside the command."""
    cfg = compose("train", ["paths.cache_dir='~/somewhere'"])
    assert model_spec(cfg.model, cfg.paths.cache_dir).cache_dir == Path.home() / "somewhere"
