"""Splits JSONL pairs into train, val and test by SQL skeleton: python scripts/split_pairs.py pool.jsonl out/ --val 80 --test 120"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from t2s.data.example import Example
from t2s.data.readers import jsonl_line, read_examples
from t2s.data.split import split_examples
from t2s.errors import T2SError
from t2s.runtime import fail, write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path, nargs="+", help="JSONL files, pooled")
    parser.add_argument("out", type=Path, help="directory for train.jsonl, val.jsonl, test.jsonl")
    parser.add_argument("--database", default="company", help="name written with each pair")
    parser.add_argument("--val", type=int, required=True, help="pairs in val")
    parser.add_argument("--test", type=int, required=True, help="pairs in test, at least")
    parser.add_argument("--seed", type=int, default=7, help="of the draw")
    arguments = parser.parse_args()
    try:
        pool = [e for file in arguments.pairs for e in read_examples(file, [arguments.database])]
        split = split_examples(pool, arguments.val, arguments.test, arguments.seed)
    except T2SError as error:
        fail(error)
    for name in ("train", "val", "test"):
        examples: Sequence[Example] = getattr(split, name)
        write_text(arguments.out / f"{name}.jsonl", "".join(jsonl_line(example) for example in examples))
        print(f"{arguments.out / name}.jsonl: {len(examples)} pairs", file=sys.stderr)


if __name__ == "__main__":
    main()
