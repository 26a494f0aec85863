"""Writes the SQL of JSONL pairs in one style, proven by running it: python scripts/clean_pairs.py shop.sqlite raw.jsonl clean.jsonl"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from t2s.data.readers import jsonl_line, read_examples
from t2s.errors import T2SError
from t2s.metrics.execution_accuracy import Judge
from t2s.runtime import fail, write_text
from t2s.sql.canonical import canonical
from t2s.sql.execute import Sandbox
from t2s.sql.parse import skeleton
from t2s.sql.schema import Schema, read_schema


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path, help="SQLite file the pairs ask about")
    parser.add_argument("pairs", type=Path, help="JSONL file")
    parser.add_argument("out", type=Path, help="where the cleaned pairs go; may be the same file")
    parser.add_argument(
        "--held-out", type=Path, nargs="*", default=[], help="JSONL files; pairs with the shape of one of theirs are dropped"
    )
    arguments = parser.parse_args()
    try:
        clean(arguments.database, arguments.pairs, arguments.out, arguments.held_out)
    except T2SError as error:
        fail(error)


def clean(database: Path, pairs: Path, out: Path, held_out: list[Path]) -> None:
    """Rewrites each query where the rewritten one returns the same rows, and says how many."""
    examples = read_examples(pairs, [database.stem])
    schema = read_schema(database, 0)
    with Sandbox(timeout_s=30, max_rows=1_000_000, max_bytes=1_000_000_000, max_memory_bytes=2_000_000_000) as sandbox:
        judge = Judge(sandbox, "strict")
        cleaned = [_restyled(example.sql, schema, database, judge) for example in examples]
    taken = {skeleton(canonical(example.sql, schema)) for file in held_out for example in read_examples(file, [database.stem])}
    kept = [(example, sql) for example, sql in zip(examples, cleaned, strict=True) if skeleton(sql) not in taken]
    write_text(out, "".join(jsonl_line(replace(example, sql=sql)) for example, sql in kept))
    changed = sum(sql != example.sql for example, sql in kept)
    print(f"{out}: {len(kept)} pairs, {changed} rewritten, {len(examples) - len(kept)} dropped for a held-out shape", file=sys.stderr)


def _restyled(sql: str, schema: Schema, database: Path, judge: Judge) -> str:
    restyled = canonical(sql, schema)
    return restyled if restyled == sql or judge.judge(database, sql, restyled).kind == "match" else sql


if __name__ == "__main__":
    main()
