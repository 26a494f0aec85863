"""Sets this judge's verdicts beside those an official evaluator gave on the same predictions.

    python scripts/check_agreement.py --questions dev.json --databases database --verdicts verdicts

Each file of verdicts is one system's: a JSON object a line with `index`, `predicted`, `official_match` (1 or 0) and, if known,
`official_hardness`. Prints a Markdown table, then every disagreement.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from t2s.data.benchmarks import find_databases, read_benchmark
from t2s.data.example import Example
from t2s.errors import T2SError
from t2s.metrics.assess import Assessor
from t2s.metrics.assessment import Assessment, Case
from t2s.metrics.cache import AnswerCache
from t2s.runtime import fail
from t2s.sql.execute import Sandbox
from t2s.sql.schema import read_schema

LIMITS = (30.0, 200_000, 100_000_000, 1_000_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, required=True, help="a JSON array as Spider's dev.json or BIRD's")
    parser.add_argument("--databases", type=Path, required=True, help="the directory of <name>/<name>.sqlite")
    parser.add_argument("--verdicts", type=Path, required=True, help="a directory of .jsonl files, one for each system")
    parser.add_argument("--comparison", choices=("spider", "bird"), default="spider")
    arguments = parser.parse_args()
    try:
        files = find_databases(arguments.databases)
        examples = read_benchmark(arguments.questions, files)
        check(examples, files, sorted(arguments.verdicts.glob("*.jsonl")), arguments.comparison)
    except T2SError as error:
        fail(error)


def check(examples: Sequence[Example], files: dict[str, Path], systems: Sequence[Path], comparison: str) -> None:
    disagreements: list[str] = []
    total = 0
    print("| system | predictions | official EX | ours | other verdict | other hardness |\n|---|---|---|---|---|---|")
    with Sandbox(*LIMITS, workers=2) as box, AnswerCache(None) as cache:
        assessor = Assessor(box, {name: read_schema(file, 0) for name, file in files.items()}, cache, f"{LIMITS}", "fixed")
        for system in systems:
            verdicts = [json.loads(line) for line in system.read_text(encoding="utf-8").splitlines()]
            found = assessor.assess(cases(verdicts, examples, files), lambda done: None)
            other = list(others(system.stem, verdicts, found, comparison))
            hard = sum(v.get("official_hardness", a.hardness) != a.hardness for v, a in zip(verdicts, found, strict=True))
            official, ours = sum(v["official_match"] for v in verdicts), sum(getattr(a, comparison) for a in found)
            n = len(verdicts)
            print(f"| {system.stem} | {n} | {100 * official / n:.1f} % | {100 * ours / n:.1f} % | {len(other)} | {hard} |", flush=True)
            disagreements += other
            total += n
    same = total - len(disagreements)
    print(f"\n{same} of {total} verdicts are the same: {100 * same / total:.3f} %")
    print("\n".join(disagreements))


def cases(verdicts: Sequence[dict[str, Any]], examples: Sequence[Example], files: dict[str, Path]) -> Iterator[Case]:
    for verdict in verdicts:
        example = examples[verdict["index"]]
        yield Case(verdict["index"], example.question, example.database, files[example.database], example.sql, verdict["predicted"])


def others(system: str, verdicts: Sequence[dict[str, Any]], found: Sequence[Assessment], comparison: str) -> Iterator[str]:
    for verdict, a in zip(verdicts, found, strict=True):
        if getattr(a, comparison) != bool(verdict["official_match"]):
            official = "right" if verdict["official_match"] else "wrong"
            head = f"{system} {a.case.index}: officially {official}; here {a.execution} {a.detail}"
            yield "\n".join((head, f"  gold      {a.case.gold}", f"  predicted {a.case.predicted}"))


if __name__ == "__main__":
    main()
