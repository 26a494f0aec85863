"""A three-row database and a sandbox with tight limits."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from t2s.sql.execute import Sandbox


@pytest.fixture(scope="session")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pets") / "pets.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE pets (id INTEGER PRIMARY KEY, name TEXT, age INTEGER)")
        connection.executemany("INSERT INTO pets VALUES (?, ?, ?)", [(1, "Mia", 3), (2, "Tom", 5), (3, "Zoe", None)])
    return path


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timeout_s=0.5, max_rows=1000, max_bytes=2_000_000, max_memory_bytes=128 << 20) as sandbox:
        yield sandbox
