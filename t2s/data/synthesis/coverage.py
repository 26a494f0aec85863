"""What a synthesis made use of, and what it left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from t2s.data.synthesis.facts import Facts


@dataclass
class Coverage:
    """Filled while pairs are made; read it at the end, or at any time.

    Attributes:
        forms: Queries kept, by form of need.
        operators: Queries kept, by tag of `t2s.sql.parse.tags`.
        hardness: Queries kept, by class.
        registers: Questions, by register.
        refused: Candidates thrown out, by reason.
        tables: Queries kept that read each table; 0 for those that none did.
        columns: The same for columns, as (table, column).
        queries: How many queries were kept.
        pairs: How many pairs.
        ended: Why fewer pairs came than were asked for; empty if they all came.
    """

    forms: Counter[str] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=Counter)
    hardness: Counter[str] = field(default_factory=Counter)
    registers: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    tables: dict[str, int] = field(default_factory=dict)
    columns: dict[tuple[str, str], int] = field(default_factory=dict)
    queries: int = 0
    pairs: int = 0
    ended: str = ""

    def start(self, facts: Facts) -> None:
        """Note what there is to cover."""
        self.tables = {table.name: 0 for table in facts.tables}
        self.columns = {(table.name, column.name): 0 for table in facts.tables for column in table.columns}

    def uncovered_columns(self) -> list[tuple[str, str]]:
        """Columns that no query names."""
        return [column for column, times in self.columns.items() if not times]

    def uncovered_tables(self) -> list[str]:
        """Tables that no query reads."""
        return [table for table, times in self.tables.items() if not times]
