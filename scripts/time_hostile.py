"""Runs every statement of tests/fixtures/sql/hostile.sql in a sandbox and prints the table of docs/sandbox.md.

python scripts/time_hostile.py [--all]
"""

import argparse
import hashlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from t2s.sql.execute import Sandbox

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 1.0
MAX_SHOWN = 60


def main() -> None:
    """Prints one line for each group of statements, or for each statement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="a line for each statement")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        timed = list(_time_all(Path(folder) / "target.sqlite"))
    print(*(_each(timed) if arguments.all else _groups(timed)), sep="\n")


# group, title, kind, seconds until the answer, detail
Timed = tuple[str, str, str, float, str]


def _time_all(database: Path) -> Iterator[Timed]:
    sys.path.append(str(ROOT / "tests" / "helpers"))
    import hostile

    hostile.build(database)
    before = hashlib.sha256(database.read_bytes()).digest()
    with Sandbox(TIMEOUT_S, max_rows=1000, max_bytes=2_000_000, max_memory_bytes=128 << 20) as sandbox:
        for attack in hostile.attacks():
            sandbox.execute("SELECT 1", database)  # a new process after a kill starts here
            start = time.monotonic()
            outcome = sandbox.execute(attack.sql, database)
            yield attack.group, attack.title, outcome.kind, time.monotonic() - start, outcome.detail
    if hashlib.sha256(database.read_bytes()).digest() != before:
        raise SystemExit("the database has changed")


def _groups(timed: list[Timed]) -> Iterator[str]:
    yield "| group | statements | verdicts | longest |"
    yield "|---|---|---|---|"
    for group, rows in groupby(timed, key=lambda row: row[0]):
        members = list(rows)
        kinds = ", ".join(f"{kind} {count}" for kind, count in Counter(row[2] for row in members).most_common())
        yield f"| {group} | {len(members)} | {kinds} | {max(row[3] for row in members):.2f} s |"


def _each(timed: list[Timed]) -> Iterator[str]:
    yield "| group | statement | verdict | seconds | detail |"
    yield "|---|---|---|---|---|"
    for group, title, kind, seconds, detail in timed:
        shown = " ".join(detail.split()).replace("|", "\\|")
        yield f"| {group} | {title} | {kind} | {seconds:.3f} | {shown[:MAX_SHOWN]} |"


if __name__ == "__main__":
    main()
