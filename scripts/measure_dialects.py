"""How many gold queries survive a visit to other dialects, and how many run there with the same rows.

python scripts/measure_dialects.py company.sqlite data/company/train.jsonl --dialects postgres mysql duckdb tsql --duckdb
"""

from __future__ import annotations

import argparse
import datetime
import decimal
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from t2s.errors import DataError
from t2s.sql.compare import is_ordered, same_result
from t2s.sql.dialect import round_trip, to_dialect
from t2s.sql.execute import Row, Sandbox
from t2s.sql.schema import Schema, read_schema


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--dialects", nargs="+", default=["postgres", "mysql", "duckdb"])
    parser.add_argument("--duckdb", action="store_true", help="run them on a copy in DuckDB, too")
    parser.add_argument("--postgres", metavar="URL", help="run them on a copy in this database, too (its schema t2s_measure is replaced)")
    parser.add_argument("--show", type=int, default=0, help="how many failures to show")
    arguments = parser.parse_args()
    lines = arguments.pairs.read_text(encoding="utf-8").splitlines()
    queries = list(dict.fromkeys(json.loads(line)["sql"] for line in lines))
    schema = read_schema(arguments.database, 0)
    with Sandbox(timeout_s=20, max_rows=200_000, max_bytes=100_000_000, max_memory_bytes=1_000_000_000) as sandbox:
        gold = [o.rows for o in sandbox.execute_many((sql, arguments.database) for sql in queries)]
        for dialect in arguments.dialects:
            tally(
                f"{dialect} and back", queries, there_and_back(queries, gold, dialect, schema, sandbox, arguments.database), arguments.show
            )
    if arguments.duckdb:
        tally("run on DuckDB", queries, on_duckdb(queries, gold, schema, arguments.database), arguments.show)
    if arguments.postgres:
        tally("run on PostgreSQL", queries, on_postgres(queries, gold, schema, arguments.database, arguments.postgres), arguments.show)


def tally(name: str, queries: list[str], results: Iterable[tuple[str, str]], show: int) -> None:
    found = list(results)
    counts = Counter(kind for kind, _ in found)
    print(f"{name:24} {counts['same']} of {len(queries)} return the same rows;", dict(counts))
    for sql, (kind, detail) in [(sql, result) for sql, result in zip(queries, found, strict=True) if result[0] != "same"][:show]:
        print(f"    {kind}: {sql}\n        {detail}")


def there_and_back(
    queries: list[str], gold: list[tuple[Row, ...]], dialect: str, schema: Schema, sandbox: Sandbox, database: Path
) -> Iterable[tuple[str, str]]:
    for sql, rows in zip(queries, gold, strict=True):
        try:
            back = round_trip(sql, dialect, schema)
        except DataError as error:
            yield "refused", str(error)
            continue
        outcome = sandbox.execute(back, database)
        same = outcome.kind == "ok" and same_result(rows, outcome.rows, "strict", is_ordered(sql))
        yield ("same" if same else "other rows" if outcome.kind == "ok" else outcome.kind), f"{back} {outcome.detail}"


def on_duckdb(queries: list[str], gold: list[tuple[Row, ...]], schema: Schema, database: Path) -> Iterable[tuple[str, str]]:
    import duckdb

    with duckdb.connect() as connection:
        for table in schema.tables:
            kinds = ", ".join(f'"{column.name}" {column.type}' for column in table.columns)
            connection.execute(f'CREATE TABLE "{table.name}" ({kinds.replace("REAL", "DOUBLE")})')
            for rows in _batches(database, table.name):
                connection.executemany(f'INSERT INTO "{table.name}" VALUES ({", ".join("?" * len(table.columns))})', rows)
        yield from _compared(queries, gold, "duckdb", schema, lambda sql: connection.execute(sql).fetchall())


def on_postgres(queries: list[str], gold: list[tuple[Row, ...]], schema: Schema, database: Path, url: str) -> Iterable[tuple[str, str]]:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS t2s_measure CASCADE")
        connection.execute("CREATE SCHEMA t2s_measure")
        connection.execute("SET search_path TO t2s_measure")
        for table in schema.tables:
            kinds = ", ".join(f'"{column.name}" {column.type}' for column in table.columns)
            key = [f'"{column.name}"' for column in table.columns if column.primary_key]
            kinds += f", PRIMARY KEY ({', '.join(key)})" if key else ""
            connection.execute(f'CREATE TABLE "{table.name}" ({kinds.replace("REAL", "DOUBLE PRECISION")})'.encode())
            with connection.cursor() as cursor, cursor.copy(f'COPY "{table.name}" FROM STDIN'.encode()) as copy:
                for rows in _batches(database, table.name):
                    for row in rows:
                        copy.write_row(row)
        connection.execute("ANALYZE")
        yield from _compared(queries, gold, "postgres", schema, lambda sql: connection.execute(sql.encode()).fetchall())


def _compared(queries: list[str], gold: list[tuple[Row, ...]], dialect: str, schema: Schema, run: Any) -> Iterable[tuple[str, str]]:
    for sql, rows in zip(queries, gold, strict=True):
        try:
            written = to_dialect(sql, dialect, schema)
        except DataError as error:
            yield "refused", str(error)
            continue
        try:
            found = [tuple(map(_plain, row)) for row in run(written)]
        except Exception as error:
            yield "fails", f"{written}\n        {str(error).splitlines()[0]}"
            continue
        same = same_result(rows, found, "strict", is_ordered(sql)) or same_result(rows, found, "strict", ordered=False)
        yield "same" if same else "other rows", f"{written}\n        {rows[:3]} {found[:3]}"


def _plain(cell: Any) -> Any:
    if isinstance(cell, decimal.Decimal):
        return float(cell)
    if isinstance(cell, datetime.date | datetime.datetime):
        return str(cell)
    return int(cell) if isinstance(cell, bool) else cell


def _batches(database: Path, table: str) -> Iterable[list[Row]]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(f'SELECT * FROM "{table}"')
        while batch := rows.fetchmany(2000):
            yield batch


if __name__ == "__main__":
    main()
