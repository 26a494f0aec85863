"""One bakery and one sandbox for all tests of synthesis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bakery import build_bakery
from plans import plan

from t2s.data.synthesis import Coverage, Generated, synthesise
from t2s.data.synthesis.facts import Facts, read_facts
from t2s.data.synthesis.graph import Graph
from t2s.sql.execute import Sandbox
from t2s.sql.schema import read_schema


@pytest.fixture(scope="package")
def bakery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bakery(tmp_path_factory.mktemp("bakery") / "bakery.sqlite")


@pytest.fixture(scope="package")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timeout_s=5.0, max_rows=3_000, max_bytes=4_000_000, max_memory_bytes=2**30) as sandbox:
        yield sandbox


@pytest.fixture(scope="package")
def facts(bakery: Path) -> Facts:
    return read_facts(bakery, read_schema(bakery, 4))


@pytest.fixture(scope="package")
def graph(bakery: Path, facts: Facts) -> Graph:
    return Graph(facts, read_schema(bakery, 4))


@pytest.fixture(scope="package")
def made(bakery: Path, sandbox: Sandbox) -> tuple[list[Generated], Coverage]:
    """Some hundreds of pairs, two questions a query."""
    coverage = Coverage()
    pairs = list(synthesise(bakery, read_schema(bakery, 4), sandbox, plan(400, questions_per_query=2), coverage))
    return pairs, coverage
