"""Times this judge beside a plain evaluator, on the same predictions in one run.

    python scripts/bench_eval.py --questions dev.json --databases database --predictions a.sql b.sql

The plain one does for each prediction what the official script of Spider does: a fresh connection for the gold and another
for the prediction, both run without their DISTINCT, rows compared under every order of the columns. It keeps nothing between
predictions and has no sandbox, only a deadline. Ours is timed cold, with an empty cache, and warm, with what that left.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from t2s.data.benchmarks import find_databases, read_benchmark
from t2s.data.predictions import read_predictions
from t2s.metrics.assess import Assessor
from t2s.metrics.assessment import Case
from t2s.metrics.cache import AnswerCache
from t2s.sql.compare import as_spider_runs, spider_orders
from t2s.sql.execute import Sandbox

LIMITS = (30.0, 200_000, 100_000_000, 1_000_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, required=True, help="a JSON array as Spider's dev.json or BIRD's")
    parser.add_argument("--databases", type=Path, required=True, help="the directory of <name>/<name>.sqlite")
    parser.add_argument("--predictions", type=Path, nargs="+", required=True, help="prediction files, one for each system")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed, in alternation")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    cases = read_cases(arguments.questions, arguments.databases, arguments.predictions)
    figures = bench(cases, arguments.workers, arguments.rounds)
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


def read_cases(questions: Path, databases: Path, predictions: Sequence[Path]) -> list[Case]:
    files = find_databases(databases)
    examples = read_benchmark(questions, files)
    return [
        Case(i, example.question, example.database, files[example.database], example.sql, sql)
        for file in predictions
        for i, (example, sql) in enumerate(zip(examples, read_predictions(file, examples), strict=True))
    ]


def bench(cases: list[Case], workers: int, rounds: int) -> dict[str, Any]:
    """Predictions per second of each, medians over the rounds, and the ratios of the medians."""
    seconds: dict[str, list[float]] = {"plain": [], "cold": [], "warm": []}
    answers: dict[str, list[bool]] = {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        answers["plain"] = timed(seconds["plain"], lambda: [plain(case) for case in cases])
        with tempfile.TemporaryDirectory() as directory:
            cache = Path(directory) / "answers.sqlite"
            answers["cold"] = timed(seconds["cold"], lambda cache=cache: ours(cases, workers, cache))
            answers["warm"] = timed(seconds["warm"], lambda cache=cache: ours(cases, workers, cache))
    per_second = {name: len(cases) / statistics.median(times) for name, times in seconds.items()}
    return {
        "predictions": len(cases),
        "per_second": per_second,
        "cold_times_plain": per_second["cold"] / per_second["plain"],
        "warm_times_plain": per_second["warm"] / per_second["plain"],
        "other_verdict_than_plain": sum(a != b for a, b in zip(answers["plain"], answers["cold"], strict=True)),
        "cold_and_warm_differ": sum(a != b for a, b in zip(answers["cold"], answers["warm"], strict=True)),
        "workers": workers,
        "rounds": rounds,
        "machine": platform.processor() or platform.machine(),
    }


def timed(seconds: list[float], work: Callable[[], list[bool]]) -> list[bool]:
    start = time.perf_counter()
    found = work()
    seconds.append(time.perf_counter() - start)
    return found


def ours(cases: list[Case], workers: int, cache_file: Path) -> list[bool]:
    """From starting workers to the last verdict, by all three comparisons."""
    with Sandbox(*LIMITS, workers=workers) as box, AnswerCache(cache_file) as cache:
        return [judgement.spider for judgement in Assessor(box, {}, cache, f"{LIMITS}", "fixed").judge(cases)]


def plain(case: Case) -> bool:
    gold, predicted = as_spider_runs(case.gold), as_spider_runs(case.predicted)
    try:
        expected, found = run(case.file, gold), run(case.file, predicted)
    except (sqlite3.Error, sqlite3.Warning):
        return False
    if not expected and not found:
        return True
    if len(expected) != len(found) or len(expected[0]) != len(found[0]):
        return False
    if Counter(map(bag, expected)) != Counter(map(bag, found)):
        return False
    orders = itertools.permutations(range(len(expected[0])))
    turned = ([tuple(row[i] for i in order) for row in found] for order in orders)
    same: Callable[[list[Any]], bool] = (
        (lambda rows: rows == expected) if spider_orders(gold) else (lambda rows: Counter(rows) == Counter(expected))
    )
    return any(same(rows) for rows in turned)


def run(file: Path, sql: str) -> list[Any]:
    connection = sqlite3.connect(file)
    try:
        connection.text_factory = lambda text: text.decode(errors="ignore")
        deadline = time.monotonic() + LIMITS[0]
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def bag(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(sorted(row, key=lambda cell: str(cell) + str(type(cell))))


if __name__ == "__main__":
    main()
