"""Fixtures every test may use."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ponds import PAIRS, Pond

from t2s.sql.execute import Sandbox


@pytest.fixture(scope="session")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A three-row database."""
    path = tmp_path_factory.mktemp("pets") / "pets.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE pets (id INTEGER PRIMARY KEY, name TEXT, age INTEGER)")
        connection.executemany("INSERT INTO pets VALUES (?, ?, ?)", [(1, "Mia", 3), (2, "Tom", 5), (3, "Zoe", None)])
    return path


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with tight limits."""
    with Sandbox(timeout_s=0.5, max_rows=1000, max_bytes=2_000_000, max_memory_bytes=128 << 20) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def pond(tmp_path_factory: pytest.TempPathFactory) -> Pond:
    directory = tmp_path_factory.mktemp("pond")
    with sqlite3.connect(directory / "pond.sqlite") as connection:
        connection.executescript(
            """
            CREATE TABLE ponds (pond_id INTEGER PRIMARY KEY, name TEXT NOT NULL, depth_m REAL);
            CREATE TABLE frogs (
              frog_id INTEGER PRIMARY KEY, pond_id INTEGER REFERENCES ponds (pond_id), species TEXT, mass_g REAL);
            INSERT INTO ponds VALUES (1, 'Mill Pond', 2.5), (2, 'Long Pond', 1.2), (3, 'Dry Pond', NULL);
            INSERT INTO frogs VALUES (1, 1, 'moor', 31.5), (2, 1, 'common', 22.0), (3, 2, 'common', 35.0);
            """
        )
    connection.close()
    rows = {"train": PAIRS * 2, "val": PAIRS[:3], "test": PAIRS[3:6]}
    for name, pairs in rows.items():
        lines = [json.dumps({"question": q, "sql": s, "id": f"{name}{i}"}) for i, (q, s) in enumerate(pairs)]
        (directory / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return Pond(directory)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of the tests' own."""
    pgserver = pytest.importorskip("pgserver")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # where root starts it, the server runs as somebody else, who has to get in
        server = pgserver.get_server(Path(folder) / "data")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
