"""Makes databases that tell right SQL from nearly right.

python scripts/build_suite.py --database shop.sqlite --pairs val.jsonl --out suite/
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from t2s.data.readers import read_examples
from t2s.errors import T2SError
from t2s.runtime import fail
from t2s.sql.execute import Sandbox
from t2s.sql.testsuite import Suite, build_suite


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", type=Path, required=True, help="SQLite file the pairs ask about")
    parser.add_argument("--pairs", type=Path, required=True, help="JSONL file with the gold SQL")
    parser.add_argument("--out", type=Path, required=True, help="directory for suite.json and the variants")
    parser.add_argument("--variants", type=int, default=36, help="databases to choose from")
    parser.add_argument("--probes", type=int, default=24, help="databases drawn only for the figures")
    parser.add_argument("--sample", type=int, default=0, help="queries drawn from the pairs; 0 takes all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--timeout-s", type=float, default=2.0, help="deadline of one query")
    arguments = parser.parse_args()
    try:
        golds = _golds(arguments.pairs, arguments.database.stem, arguments.sample, arguments.seed)
        with Sandbox(arguments.timeout_s, max_rows=200_000, max_bytes=50_000_000, max_memory_bytes=1_000_000_000) as sandbox:
            suite = build_suite(
                arguments.database,
                golds,
                arguments.out,
                sandbox,
                variants=arguments.variants,
                probes=arguments.probes,
                seed=arguments.seed,
                progress=_show,
            )
    except T2SError as error:
        fail(error)
    print(table(suite))


def _golds(pairs: Path, database: str, sample: int, seed: int) -> list[str]:
    golds = list(dict.fromkeys(example.sql for example in read_examples(pairs, [database])))
    return random.Random(seed).sample(golds, sample) if 0 < sample < len(golds) else golds


def _show(step: str, done: int, of: int) -> None:
    print(f"\r{step}: {done} of {of}", end="\n" if done == of else "", file=sys.stderr, flush=True)


def table(suite: Suite) -> str:
    """The figures, for reading."""
    figures = suite.figures
    lines = [f"{'rule':15}{'mutants':>9}{'pass one':>10}{'pass suite':>12}{'missed':>8}"]
    lines += [f"{rule:15}{ran:9}{one:10}{left:12}{lost:8}" for rule, (ran, one, left, lost) in figures.by_rule.items()]
    lines += [f"{'all':15}{figures.mutants:9}{figures.survive_one:10}{figures.survive_suite:12}{figures.missed:8}", ""]
    lines += [f"{v.file.name}  {v.style:7}{v.rows:7} rows, judges {_judged(suite, v.unsettled)}" for v in suite.variants]
    lines += [f"skipped ({reason}): {gold}" for gold, reason in suite.skipped]
    lines += [f"probably equivalent: {figures.equivalent}", f"of the others, {figures.fallen:.1%} fall on the suite"]
    return "\n".join(lines)


def _judged(suite: Suite, unsettled: frozenset[int]) -> str:
    return f"{len(suite.queries) - len(unsettled)} of {len(suite.queries)} queries"


if __name__ == "__main__":
    main()
