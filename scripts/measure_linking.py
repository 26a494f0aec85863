"""Measures schema linking: how often all tables of the gold query are shown, and how much of the schema that takes.

    python scripts/measure_linking.py data=company split=val taught_by=train
    python scripts/measure_linking.py data=spider data.root=spider split=held_out.dev

Prints a Markdown table over budgets, which are shares of each schema's text; `json=FILE` writes it too, and `misses=N` shows misses.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from t2s.assembly import databases, questions
from t2s.config import compose
from t2s.data.example import Example
from t2s.data.prompt import SchemaStyle, render_schema
from t2s.errors import ConfigError, DataError, T2SError
from t2s.runtime import fail, write_json
from t2s.sql.linking import Linker
from t2s.sql.parse import tables
from t2s.sql.schema import Schema, read_schema
from t2s.sql.value_index import ValueIndex

SHARES = (0.3, 0.4, 0.5, 0.6, 0.8)
SAMPLES = 16
OWN = {"split": "val", "taught_by": "", "json": "", "misses": "0"}


def main() -> None:
    own, overrides = dict(OWN), []
    for word in sys.argv[1:]:
        key, _, value = word.partition("=")
        if key in OWN:
            own[key] = value
        else:
            overrides.append(word)
    try:
        measure(own, overrides)
    except T2SError as error:
        fail(error)


def measure(own: Mapping[str, str], overrides: Sequence[str]) -> None:
    cfg = compose("train", overrides)
    files = databases(cfg.data)
    asked = _read(cfg, own["split"], files)
    taught = _read(cfg, own["taught_by"], files) if own["taught_by"] else []
    style = SchemaStyle(cfg.data.schema.types, cfg.data.schema.keys, cfg.data.schema.comments, cfg.data.schema.samples)
    with tempfile.TemporaryDirectory() as scratch:
        linkers = {
            name: _linker(files[name], style, Path(scratch) / name, taught, name) for name in dict.fromkeys(e.database for e in asked)
        }
        rows = [_at(share, asked, linkers, int(own["misses"]) if share == 0.5 else 0) for share in SHARES]
    print("| budget | all gold tables | gold tables | of the text | of the tables | ms a question |\n|---|---|---|---|---|---|")
    for row in rows:
        shares = [f"{row[name]:.1%}" for name in ("budget", "questions", "tables", "text", "count")]
        print(f"| {' | '.join(shares)} | {row['ms']:.1f} |")
    if own["json"]:
        write_json(Path(own["json"]), {"questions": len(asked), "taught_by": len(taught), "budgets": rows})


def _read(cfg: Any, split: str, files: Mapping[str, Path]) -> list[Example]:
    file = OmegaConf.select(cfg.data, split)
    if file is None:
        raise ConfigError(f"split={split} is no file of this data; choose train, val or held_out.<name>")
    readable = [example for example in questions(Path(file), files) if _gold(example)]
    if not readable:
        raise DataError(f"{file} holds no query whose tables can be read")
    return readable


def _linker(file: Path, style: SchemaStyle, index: Path, taught: Sequence[Example], name: str) -> Linker:
    schema = read_schema(file, SAMPLES)
    linker = Linker(schema, ValueIndex.build(file, schema, index), lambda table: len(render_schema(Schema((table,)), style)))
    linker.learn((example.question, _gold(example)) for example in taught if example.database == name)
    return linker


def _gold(example: Example) -> frozenset[str]:
    try:
        return tables(example.sql)
    except DataError:
        return frozenset()


def _at(share: float, asked: Sequence[Example], linkers: Mapping[str, Linker], misses: int) -> dict[str, float]:
    whole = kept = gold_tables = 0
    text = count = 0.0
    started = time.perf_counter()
    for example in asked:
        linker, gold = linkers[example.database], _gold(example)
        found = linker.link(example.question, int(share * linker.price()), (), 0)
        got = {name.lower() for name in found.tables}
        whole += gold <= got
        kept += len(gold & got)
        gold_tables += len(gold)
        text += linker.price(found.tables) / linker.price()
        count += len(found.tables) / linker.tables
        if misses > 0 and not gold <= got:
            misses -= 1
            print(f"missed {', '.join(sorted(gold - got))}: {example.question}", file=sys.stderr)
    n = len(asked)
    milliseconds = 1000 * (time.perf_counter() - started) / n
    return {"budget": share, "questions": whole / n, "tables": kept / gold_tables, "text": text / n, "count": count / n, "ms": milliseconds}


if __name__ == "__main__":
    main()
