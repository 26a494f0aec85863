"""Model tests compute in float32."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 throughout, so that equal means equal; mixed precision has tests of its own."""
    monkeypatch.setattr("t2s.model.load.compute_dtype", lambda device: torch.float32)
