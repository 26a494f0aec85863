"""Imports go downward only, and importing does nothing else."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EVERYWHERE = {"errors", "runtime"}
# Rows from the top; a row may import the rows under it and itself, but for APART.
ROWS = (
    {"train", "evaluate", "infer", "prepare", "pipeline", "serve"},
    {"training", "preparation"},
    {"handover"},
    {"teaching", "places"},
    {"assembly", "stages"},
    {"callbacks", "export", "report", "monitor"},
    {"model", "metrics"},
    {"data"},
    {"sql"},
)
APART = {"model", "metrics"}
SPECIAL = {"errors": set(), "runtime": {"errors"}, "config": EVERYWHERE}


def layer(module: str) -> str:
    """`t2s.data.pack` -> `data`; what is not of t2s has its own first name."""
    first, *rest = module.split(".")
    return rest[0] if first == "t2s" and rest else first


def may_import(module: str, imported: str) -> bool:
    """Whether `module` may import `imported`, both dotted names."""
    here, there = layer(module), layer(imported)
    if there == "t2s" or module.startswith("scripts."):
        return True
    if here in SPECIAL:
        return there in SPECIAL[here]
    level = next(i for i, row in enumerate(ROWS) if here in row)
    if there == "config":
        return level == 0
    if here in APART and there in APART:
        return here == there
    return there in EVERYWHERE or any(there in row for row in ROWS[level:])


def dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST, module: str, package: bool) -> Iterator[str]:
    """Every import, at the top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".") if package else module.split(".")[:-1]
            base = ".".join([*parts[: len(parts) + 1 - node.level], *([node.module] if node.module else [])]) if node.level else node.module
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imports_of(file: Path) -> list[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return list(imports(tree, dotted(file), file.name == "__init__.py"))


FILES = sorted([*(ROOT / "t2s").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")])


@pytest.mark.parametrize("file", FILES, ids=dotted)
def test_a_module_imports_only_what_lies_under_it(file: Path) -> None:
    module = dotted(file)
    upward = [name for name in imports_of(file) if name.split(".")[0] in ("t2s", "scripts") and not may_import(module, name)]
    assert upward == []


@pytest.mark.parametrize(
    ("module", "imported", "allowed"),
    [
        ("t2s.sql.parse", "t2s.sql.lexer", True),
        ("t2s.sql.parse", "t2s.data.example", False),
        ("t2s.data.pack", "t2s.sql.schema", True),
        ("t2s.data.pack", "t2s.model.lora.LoraSpec", False),
        ("t2s.metrics.intervals", "t2s.data.example", True),
        ("t2s.metrics.intervals", "t2s.model.load", False),
        ("t2s.model.module", "t2s.metrics", False),
        ("t2s.callbacks.execution", "t2s.metrics.execution_accuracy", True),
        ("t2s.report.run", "t2s.assembly", False),
        ("t2s.report.run", "t2s.config", False),
        ("t2s.assembly", "t2s.config", False),
        ("t2s.assembly", "t2s.train", False),
        ("t2s.train", "t2s.config", True),
        ("t2s.pipeline", "t2s.train", True),
        ("t2s.config", "t2s.runtime", True),
        ("t2s.config", "t2s.sql.parse", False),
        ("t2s.runtime", "t2s.errors", True),
        ("t2s.errors", "t2s.runtime", False),
        ("scripts.bench", "t2s.train", True),
        ("t2s.data.pack", "scripts.bench", False),
    ],
)
def test_the_rule_tells_downward_from_upward(module: str, imported: str, allowed: bool) -> None:
    assert may_import(module, imported) is allowed


def test_imports_are_found_at_the_top_and_inside_functions_and_by_relative_name() -> None:
    tree = ast.parse("import t2s.a\nfrom t2s import b\ndef f():\n    from t2s.c import d\n    from . import e\n    from ..g import h")
    assert set(imports(tree, "t2s.x.y", package=False)) == {"t2s.a", "t2s.b", "t2s.c.d", "t2s.x.e", "t2s.g.h"}


@pytest.mark.parametrize("file", sorted((ROOT / "t2s" / "sql").glob("*.py")), ids=dotted)
def test_the_sql_layer_needs_the_standard_library_sqlglot_and_two_libraries_of_words(file: Path) -> None:
    needed = {name.split(".")[0] for name in imports_of(file)}
    assert needed - sys.stdlib_module_names <= {"t2s", "sqlglot", "inflect", "snowballstemmer"}


LIGHT = [dotted(file) for file in FILES if layer(dotted(file)) in {"sql", "metrics", "errors", "runtime", "config", "assembly"}]
REPORT = """
import importlib, json, os, sys
before = dict(os.environ)
for name in sys.argv[2:]:
    importlib.import_module(name)
changed = {key for key in before.keys() | os.environ.keys() if before.get(key) != os.environ.get(key)}
json.dump({"modules": sorted(sys.modules), "environment": sorted(changed)}, open(sys.argv[1], "w"))
"""


@pytest.mark.parametrize("modules", [LIGHT, ["t2s.train"], ["t2s.evaluate"], ["t2s.infer"]], ids=["layers", "train", "evaluate", "infer"])
def test_importing_neither_prints_nor_sets_variables_nor_loads_torch(modules: list[str], tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    command = [sys.executable, "-c", REPORT, str(told), *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    report = json.loads(told.read_text())
    assert report["environment"] == []
    assert {"torch", "lightning", "transformers"}.isdisjoint(report["modules"])
    assert set(modules) <= set(report["modules"])
