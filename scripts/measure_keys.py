"""How well foreign keys are guessed: declared ones are hidden, guessed anew, and compared.

python scripts/measure_keys.py data/company/company.sqlite more.sqlite … [--names]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from t2s.sql.database import open_readonly
from t2s.sql.keys import infer_references
from t2s.sql.schema import key_tables

Key = tuple[str, str, str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("databases", nargs="+", type=Path)
    parser.add_argument("--names", action="store_true", help="also show each key that is missing (-) or too many (+)")
    arguments = parser.parse_args()
    right = wrong = missed = 0
    for database in arguments.databases:
        start = time.perf_counter()
        declared, guessed = declared_keys(database), guessed_keys(database)
        hits = len(declared & guessed)
        right, wrong, missed = right + hits, wrong + len(guessed - declared), missed + len(declared - guessed)
        print(f"{database.stem:40} {len(declared):4} declared {hits:4} found {len(guessed - declared):4} others", end=" ")
        print(f"{time.perf_counter() - start:6.2f} s")
        if arguments.names:
            show("-", sorted(declared - guessed))
            show("+", sorted(guessed - declared))
    print(f"precision {right / max(1, right + wrong):.3f}, recall {right / max(1, right + missed):.3f}, {right + missed} declared")


def declared_keys(database: Path) -> set[Key]:
    """Declared keys of one column."""
    from t2s.sql.schema import read_schema

    return {(k.table, k.column, k.target_table, k.target_column) for k in read_schema(database, 0).foreign_keys()}


def guessed_keys(database: Path) -> set[Key]:
    """What is guessed where nothing is declared."""
    with closing(open_readonly(database)) as connection:
        tables = [
            replace(table, columns=tuple(replace(column, refers=False) for column in table.columns)) for table in key_tables(connection)
        ]
        return {(*column, *target) for column, target in infer_references(connection, tables).items()}


def show(mark: str, keys: Sequence[Key]) -> None:
    for table, column, target, target_column in keys:
        print(f"    {mark} {table}.{column} -> {target}.{target_column}")


if __name__ == "__main__":
    main()
