"""Which tables, columns, clauses and operators pairs use, and which they leave out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from sqlglot import exp

from t2s.data.example import Example
from t2s.errors import DataError
from t2s.sql.parse import parse_query, tags
from t2s.sql.schema import Schema, Table

CLAUSES = ("filter", "group", "having", "order", "limit", "distinct", "join", "multi_join", "self_join", "subquery", "set", "cte",
           "window", "case", "null", "aggregate", "like", "date")  # fmt: skip
_OPERATORS: dict[str, type[exp.Expr]] = {
    "=": exp.EQ, "<>": exp.NEQ, "<": exp.LT, "<=": exp.LTE, ">": exp.GT, ">=": exp.GTE, "BETWEEN": exp.Between, "IN": exp.In,
    "LIKE": exp.Like, "IS NULL": exp.Is, "EXISTS": exp.Exists, "AND": exp.And, "OR": exp.Or, "NOT": exp.Not,
    "COUNT": exp.Count, "SUM": exp.Sum, "AVG": exp.Avg, "MIN": exp.Min, "MAX": exp.Max,
    "UNION": exp.Union, "INTERSECT": exp.Intersect, "EXCEPT": exp.Except,
}  # fmt: skip

# What is counted -> name -> pairs that use it; 0 for what no pair does.
Coverage = dict[str, dict[str, int]]


def coverage(examples: Iterable[Example], schemas: Mapping[str, Schema]) -> Coverage:
    """How many pairs use each table, column, clause and operator, most used first; queries that cannot be read count for nothing.

    A column without its table counts for every table of the query that has one of that name. With several databases the
    names of tables and columns begin with the database's.
    """
    counts: dict[str, Counter[str]] = {"tables": Counter(), "columns": Counter(), "clauses": Counter(), "operators": Counter()}
    for example in examples:
        schema, prefix = schemas[example.database], f"{example.database}." if len(schemas) > 1 else ""
        try:
            tree, used = parse_query(example.sql), tags(example.sql)
        except (DataError, RecursionError):
            continue
        read = {table.name.lower(): table for table in schema.tables}
        counts["tables"].update({prefix + read[name].name for name in {t.name.lower() for t in tree.find_all(exp.Table)} & read.keys()})
        counts["columns"].update({prefix + name for name in _columns(tree, read)})
        counts["clauses"].update(used)
        counts["operators"].update({name for name, kind in _OPERATORS.items() if tree.find(kind) is not None})
    return {what: _ranked(counts[what], every) for what, every in _everything(schemas).items()}


def _columns(tree: exp.Expr, tables: Mapping[str, Table]) -> Iterator[str]:
    alias_of = {table.alias_or_name.lower(): table.name.lower() for table in tree.find_all(exp.Table)}
    here = [tables[name] for name in dict.fromkeys(alias_of.values()) if name in tables]
    for column in tree.find_all(exp.Column):
        owner = tables.get(alias_of.get(column.table.lower(), ""))
        for table in [owner] if owner is not None else here if not column.table else []:
            yield from (f"{table.name}.{one.name}" for one in table.columns if one.name.lower() == column.name.lower())


def _everything(schemas: Mapping[str, Schema]) -> dict[str, list[str]]:
    named = [(f"{name}." if len(schemas) > 1 else "", schema) for name, schema in schemas.items()]
    return {
        "tables": [prefix + table.name for prefix, schema in named for table in schema.tables],
        "columns": [
            f"{prefix}{table.name}.{column.name}" for prefix, schema in named for table in schema.tables for column in table.columns
        ],
        "clauses": list(CLAUSES),
        "operators": list(_OPERATORS),
    }


def _ranked(counts: Counter[str], every: Iterable[str]) -> dict[str, int]:
    return dict(sorted(((name, counts[name]) for name in dict.fromkeys(every)), key=lambda item: -item[1]))
