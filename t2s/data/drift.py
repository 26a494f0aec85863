"""What changed in a database since a model was trained on it, and which of its pairs that spoils."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlglot import exp

from t2s.data.example import Example
from t2s.data.renames import renamed_columns, renamed_tables
from t2s.errors import DataError
from t2s.sql.execute import Outcome, Sandbox
from t2s.sql.fingerprint import fingerprint, ran
from t2s.sql.parse import parse_query
from t2s.sql.schema import Column, Schema, Table

SchemaChangeKind = Literal["table_gone", "table_new", "table_renamed", "column_gone", "column_new", "column_renamed", "type_changed"]
PairChangeKind = Literal["fails", "other_rows"]


@dataclass(frozen=True)
class SchemaChange:
    """One difference between the schema trained on and the live one.

    Attributes:
        kind: What happened.
        table: The table, by its old name where it has one.
        column: The column, by its old name where it has one; empty for a table.
        now: The new name or type; empty where there is none.
    """

    kind: SchemaChangeKind
    table: str
    column: str = ""
    now: str = ""

    def __str__(self) -> str:
        name = f"{self.table}.{self.column}" if self.column else self.table
        match self.kind:
            case "table_gone" | "column_gone":
                return f"{name} is gone"
            case "table_new" | "column_new":
                return f"{name} is new"
            case "table_renamed" | "column_renamed":
                return f"{name} is probably called {self.now} now"
            case "type_changed":
                return f"{name} has another type now: {self.now}"


@dataclass(frozen=True)
class PairChange:
    """A pair that no longer says what it said.

    Attributes:
        example: The pair.
        kind: Its SQL fails, or returns other rows than it did.
        detail: What the database says, or how the results differ in size.
        because: The changes of the schema that the SQL meets.
    """

    example: Example
    kind: PairChangeKind
    detail: str
    because: tuple[SchemaChange, ...]

    def __str__(self) -> str:
        what = f"fails ({self.detail})" if self.kind == "fails" else f"returns other rows ({self.detail})"
        why = f": {'; '.join(map(str, self.because))}" if self.because else ""
        return f"{self.example.id or self.example.question} {what}{why}"


@dataclass(frozen=True)
class Drift:
    """How far a live database is from the one trained on.

    Attributes:
        schema: Differences of the schemas, table by table.
        pairs: The pairs they spoil, and those whose rows changed, in the order given.
        checked: How many pairs were run.
        without_result: How many of them had no old result to compare with.
    """

    schema: tuple[SchemaChange, ...]
    pairs: tuple[PairChange, ...]
    checked: int
    without_result: int

    def lines(self) -> Iterator[str]:
        """The drift for a terminal."""
        yield f"schema: {len(self.schema)} changes" if self.schema else "schema: unchanged"
        yield from (f"  {change}" for change in self.schema)
        fails = sum(pair.kind == "fails" for pair in self.pairs)
        unknown = f", {self.without_result} without an old result" if self.without_result else ""
        yield f"pairs: {fails} of {self.checked} fail, {len(self.pairs) - fails} return other rows{unknown}"
        yield from (f"  {pair}" for pair in self.pairs)


def fingerprints(examples: Iterable[Example], database: Path, sandbox: Sandbox) -> dict[str, str]:
    """The fingerprint of each pair's result by its SQL: what preparation keeps, so that `compare` can see later what changed."""
    queries = list(dict.fromkeys(example.sql for example in examples))
    outcomes = sandbox.execute_many((sql, database) for sql in queries)
    return {sql: fingerprint(outcome) for sql, outcome in zip(queries, outcomes, strict=True)}


def compare(
    before: Schema, after: Schema, examples: Sequence[Example], results: Mapping[str, str], database: Path, sandbox: Sandbox
) -> Drift:
    """Compare a live database with what was trained on.

    Names are compared as SQLite does, whatever their case. A table or column that is gone and one that is new are taken for the
    same under another name where types, places, names and sample values speak for it.

    Args:
        before: The schema trained on; with sample values it guesses renames better.
        after: The live schema, read the same way.
        examples: The pairs trained on, all on this database.
        results: Fingerprints of their results by SQL, from `fingerprints`; those that did not run then are not looked at.
        database: The live database, or its copy.
        sandbox: Runs the pairs.

    Raises:
        DatabaseError: the database is missing, or cannot be read.
    """
    changes = tuple(schema_changes(before, after))
    kept = [example for example in examples if example.sql not in results or ran(results[example.sql])]
    queries = list(dict.fromkeys(example.sql for example in kept))
    found = dict(_found(queries, results, changes, database, sandbox))
    pairs = [PairChange(example, *found[example.sql]) for example in kept if example.sql in found]
    return Drift(changes, tuple(pairs), len(kept), sum(example.sql not in results for example in kept))


def schema_changes(before: Schema, after: Schema) -> Iterator[SchemaChange]:
    """Differences of two schemas: tables in their old order, then new ones."""
    renamed = renamed_tables(before, after)
    live = {table.name.lower(): table for table in after.tables}
    for table in before.tables:
        now = renamed.get(table.name, table.name)
        if now.lower() not in live:
            yield SchemaChange("table_gone", table.name)
            continue
        if table.name in renamed:
            yield SchemaChange("table_renamed", table.name, now=now)
        yield from _column_changes(table, live[now.lower()])
    known = {table.name.lower() for table in before.tables} | {name.lower() for name in renamed.values()}
    yield from (SchemaChange("table_new", table.name) for table in after.tables if table.name.lower() not in known)


def _column_changes(before: Table, after: Table) -> Iterator[SchemaChange]:
    renamed = renamed_columns(before, after)
    live = {column.name.lower(): column for column in after.columns}
    for column in before.columns:
        now = live.get(renamed.get(column.name, column.name).lower())
        if now is None:
            yield SchemaChange("column_gone", before.name, column.name)
            continue
        if column.name in renamed:
            yield SchemaChange("column_renamed", before.name, column.name, now.name)
        if _type(now) != _type(column):
            yield SchemaChange("type_changed", before.name, column.name, f"{now.type or 'none'}, was {column.type or 'none'}")
    known = {column.name.lower() for column in before.columns} | {name.lower() for name in renamed.values()}
    yield from (SchemaChange("column_new", before.name, column.name) for column in after.columns if column.name.lower() not in known)


def _type(column: Column) -> str:
    return "".join(column.type.upper().split())


_Found = tuple[PairChangeKind, str, tuple[SchemaChange, ...]]


def _found(
    queries: Sequence[str], results: Mapping[str, str], changes: Sequence[SchemaChange], database: Path, sandbox: Sandbox
) -> Iterator[tuple[str, _Found]]:
    outcomes = sandbox.execute_many((sql, database) for sql in queries)
    for sql, outcome in zip(queries, outcomes, strict=True):
        found = _difference(outcome, results.get(sql))
        if found is not None:
            yield sql, (*found, tuple(_met(sql, changes)))


def _difference(outcome: Outcome, old: str | None) -> tuple[PairChangeKind, str] | None:
    if outcome.kind != "ok":
        return "fails", f"{outcome.kind}: {outcome.detail}"
    new = fingerprint(outcome)
    if old is None or new == old:
        return None
    sizes = [mark.partition(":")[0].partition("x")[0] for mark in (old, new)]
    return "other_rows", f"{sizes[0]} rows before, {sizes[1]} now" if sizes[0] != sizes[
        1
    ] else f"{sizes[0]} rows as before, with other values"


def _met(sql: str, changes: Sequence[SchemaChange]) -> Iterator[SchemaChange]:
    """Changes of what a query names; what is new explains nothing but the columns of a star."""
    try:
        tree = parse_query(sql)
    except DataError:
        return
    tables = {table.name.lower() for table in tree.find_all(exp.Table)}
    names = {name.name.lower() for name in tree.find_all(exp.Identifier)}
    star = any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star))
    for change in changes:
        if change.table.lower() not in tables or change.kind == "table_new":
            continue
        named = change.column.lower() in names and change.kind != "column_new"
        if not change.column or named or (star and change.kind in ("column_new", "column_gone")):
            yield change
