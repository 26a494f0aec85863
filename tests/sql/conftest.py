"""A PostgreSQL server of its own for the tests that need one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    pgserver = pytest.importorskip("pgserver")
    with tempfile.TemporaryDirectory() as folder:
        # Where root starts it, the server runs as somebody else, who has to get in.
        Path(folder).chmod(0o755)
        server = pgserver.get_server(Path(folder) / "data")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
