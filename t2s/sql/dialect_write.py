"""From SQLite's syntax tree to one that means the same in another dialect."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect, NormalizationStrategy

from t2s.errors import DataError
from t2s.sql.dialect_dates import EPOCH, JULIAN_DAY, PORTABLE_FORMATS, WEEKDAY, rewrite, shift_of, start_of, template
from t2s.sql.dialect_groups import pick_values
from t2s.sql.schema import Schema

# LIKE tells upper from lower case there; SQLite's does not, nor does that of MySQL and SQL Server as they are installed.
CASE_SENSITIVE_LIKE = frozenset(
    {"postgres", "redshift", "duckdb", "snowflake", "bigquery", "spark", "databricks", "hive", "trino", "presto", "athena", "oracle"}
    | {"clickhouse", "materialize", "risingwave"}
)
# Text functions take nothing but text there.
_STRICT_TEXT = frozenset({"postgres", "redshift", "bigquery", "trino"})
# A comparison is no number there.
_STRICT_BOOLEANS = frozenset({"postgres", "redshift", "snowflake", "bigquery", "trino"})
# Their weekdays in a format are SQLite's.
_FORMATS_OF_STRFTIME = frozenset({"duckdb", "mysql"})
_ROUND_DECIMALS = frozenset({"postgres", "materialize", "risingwave"})
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between)
_INTEGER_TYPES = exp.DataType.INTEGER_TYPES
# Marks a LIKE that must go on telling upper from lower case.
_KEEPS_CASE = "keeps case"
_NUMERIC_STEPS = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
_SAME_TYPE = (exp.Sum, exp.Min, exp.Max, exp.Abs, exp.Paren, exp.Neg, exp.AnyValue)


def mend_for_dialect(tree: exp.Expr, dialect: str, schema: Schema | None) -> exp.Expr:
    """A copy of SQLite's tree that sqlglot writes with SQLite's meaning.

    Raises:
        DataError: the dialect has nothing that means the same.
    """
    mender = _Mender(dialect, schema)
    tree = tree.copy()
    mender.whole_divisions(tree)
    pick_values(tree, dialect, schema)
    return rewrite(tree, mender.mend)


class _Mender:
    def __init__(self, dialect: str, schema: Schema | None) -> None:
        self._dialect = dialect
        self._names = _declared_names(dialect, schema)
        self._integers = _columns_with(schema, ("int",))
        self._texts = _columns_with(schema, ("char", "text", "clob"))

    def mend(self, node: exp.Expr) -> exp.Expr:
        """One node; those inside come after it."""
        for kinds, rule in self._rules():
            if isinstance(node, kinds):
                node = rule(node)
        return node

    def _rules(self) -> tuple[tuple[type | tuple[type, ...], Callable[[exp.Expr], exp.Expr]], ...]:
        return (
            (exp.Anonymous, self._function),
            (_COMPARISONS, self._compared_dates),
            (exp.Round, self._round),
            (exp.Date, self._date),
            (exp.TimeToStr, self._format),
            (exp.Glob, self._glob),
            (exp.Like, self._like),
            (exp.GroupConcat, self._group_concat),
            (exp.Sum, self._sum),
            (exp.Identifier, self._identifier),
        )

    def _refuse(self, node: exp.Expr) -> DataError:
        return DataError(
            f"{node.sql('sqlite')} has no equal in {self._dialect}; write the query without it, or for {self._dialect} by hand"
        )

    def _function(self, node: exp.Expr) -> exp.Expr:
        name, arguments = node.name.upper(), node.expressions
        if name in ("JULIANDAY", "UNIXEPOCH") and len(arguments) == 1:
            templates = JULIAN_DAY if name == "JULIANDAY" else EPOCH
            return self._from_template(templates, node, arguments[0])
        if name == "TOTAL" and not isinstance(node.parent, exp.Window):
            return exp.Coalesce(this=exp.Sum(this=arguments[0]), expressions=[exp.Literal.number("0.0")])
        if name in ("DATE", "DATETIME", "TIME") and arguments:
            return self._moment(node, name, arguments)
        if name in ("JULIANDAY", "UNIXEPOCH", "STRFTIME", "TOTAL", "PRINTF"):
            raise self._refuse(node)
        return node

    def _date(self, node: exp.Expr) -> exp.Expr:
        return exp.CurrentDate() if _is_now(node.this) else exp.cast(node.this, "date")

    def _compared_dates(self, node: exp.Expr) -> exp.Expr:
        """A date with a date, where the other is a column of text."""
        sides = list(node.iter_expressions())
        if any(map(_makes_date, sides)):
            for side in sides:
                value = side.unnest()
                chosen = value.selects[0] if isinstance(value, exp.Select) and len(value.selects) == 1 else value
                if isinstance(chosen, exp.Column) and chosen.name.lower() in self._texts:
                    side.replace(exp.cast(side.copy(), "date"))
        return node

    def _round(self, node: exp.Expr) -> exp.Expr:
        """Postgres rounds nothing but decimals to places."""
        if self._dialect in _ROUND_DECIMALS and node.args.get("decimals") is not None and not isinstance(node.this, exp.Cast):
            node.set("this", exp.cast(node.this.copy(), "decimal"))
        return node

    def _moment(self, node: exp.Expr, name: str, arguments: list[exp.Expr]) -> exp.Expr:
        """DATE and DATETIME with modifiers, one after the other."""
        start, *modifiers = arguments
        kind = "date" if name == "DATE" else "timestamp"
        if name == "TIME":
            raise self._refuse(node)
        now: exp.Expr = exp.CurrentDate() if kind == "date" else exp.CurrentTimestamp()
        moment = now if _is_now(start) else exp.cast(start, kind)
        for modifier in modifiers:
            shift, unit = shift_of(modifier.name), start_of(modifier.name)
            if not isinstance(modifier, exp.Literal) or not (shift or unit):
                raise self._refuse(node)
            if shift:
                moment = exp.cast(_shifted(moment, *shift, kind), kind)
            else:
                assert unit is not None
                moment = self._start(moment, unit, kind)
        return moment

    def _start(self, moment: exp.Expr, unit: str, kind: str) -> exp.Expr:
        if self._dialect == "mysql":  # sqlglot counts months from the year 0, a date that MySQL refuses
            form = {"YEAR": "%Y-01-01", "MONTH": "%Y-%m-01", "DAY": "%Y-%m-%d"}[unit]
            return exp.TimeToStr(this=moment, format=exp.Literal.string(form))
        trunc = exp.DateTrunc if kind == "date" and self._dialect == "bigquery" else exp.TimestampTrunc
        return exp.cast(trunc(this=moment, unit=exp.var(unit)), kind)

    def _format(self, node: exp.Expr) -> exp.Expr:
        form = node.args["format"].name
        moment = node.this.this if isinstance(node.this, exp.TsOrDsToTimestamp) else node.this
        if form == "%w" and self._dialect in WEEKDAY:
            return template(WEEKDAY[self._dialect], self._dialect, moment)
        if form == "%s":
            return exp.cast(self._from_template(EPOCH, node, moment), "text")
        odd = set(re.findall(r"%(.)", form)) - PORTABLE_FORMATS
        if odd and not (self._dialect in _FORMATS_OF_STRFTIME and odd <= {"w"}):
            raise self._refuse(node)
        if _is_now(moment):
            node.set("this", exp.CurrentTimestamp())
        return node

    def _from_template(self, templates: dict[str, str], node: exp.Expr, moment: exp.Expr) -> exp.Expr:
        if self._dialect not in templates:
            raise self._refuse(node)
        return template(templates[self._dialect], self._dialect, exp.CurrentTimestamp() if _is_now(moment) else moment)

    def _like(self, node: exp.Expr) -> exp.Expr:
        pattern = node.args["expression"]
        same_in_any_case = isinstance(pattern, exp.Literal) and pattern.name.lower() == pattern.name.upper()
        if self._dialect not in CASE_SENSITIVE_LIKE or same_in_any_case or node.meta.get(_KEEPS_CASE):
            return node
        return exp.ILike(this=node.this, expression=pattern, **{k: v for k, v in node.args.items() if k not in ("this", "expression")})

    def _glob(self, node: exp.Expr) -> exp.Expr:
        pattern = node.args["expression"]
        if self._dialect not in CASE_SENSITIVE_LIKE or not isinstance(pattern, exp.Literal) or re.search(r"[\[\]%_\\]", pattern.name):
            raise self._refuse(node)
        like = exp.Like(this=node.this, expression=exp.Literal.string(pattern.name.replace("*", "%").replace("?", "_")))
        like.meta[_KEEPS_CASE] = True
        return like

    def _group_concat(self, node: exp.Expr) -> exp.Expr:
        inner = node.this.expressions[0] if isinstance(node.this, exp.Distinct) else node.this
        if self._dialect in _STRICT_TEXT and not isinstance(inner, exp.Cast | exp.Order):
            inner.replace(exp.cast(inner.copy(), "text"))
        if node.args.get("separator") is None:
            node.set("separator", exp.Literal.string(","))  # not all dialects have one by themselves
        return node

    def _sum(self, node: exp.Expr) -> exp.Expr:
        if self._dialect in _STRICT_BOOLEANS and isinstance(node.this.unnest(), exp.Predicate):
            node.set("this", exp.cast(node.this.copy(), "int"))
        return node

    def _identifier(self, node: exp.Expr) -> exp.Expr:
        spelling = None if node.args.get("quoted") else self._names.get(node.name.lower())
        return exp.to_identifier(spelling, quoted=True) if spelling else node

    def whole_divisions(self, tree: exp.Expr) -> None:
        """Whole numbers divide to whole numbers in SQLite, to fractions in MySQL, DuckDB and others."""
        if Dialect.get_or_raise(self._dialect).TYPED_DIVISION:
            return
        for division in list(tree.find_all(exp.Div)):
            divisor = division.expression
            if self._is_whole(division.this) and self._is_whole(divisor):
                safe = divisor if isinstance(divisor, exp.Literal) else exp.Nullif(this=divisor, expression=exp.Literal.number(0))
                division.replace(exp.IntDiv(this=division.this, expression=safe))

    def _is_whole(self, node: exp.Expr) -> bool:
        if isinstance(node, exp.Literal):
            return node.is_int
        if isinstance(node, exp.Column):
            return node.name.lower() in self._integers
        if isinstance(node, exp.Count | exp.Length | exp.IntDiv | exp.RowNumber):
            return True
        if isinstance(node, exp.Cast):
            return bool(node.to.this in _INTEGER_TYPES)
        if isinstance(node, exp.Window | exp.Filter):
            return self._is_whole(node.this)
        if isinstance(node, _NUMERIC_STEPS):
            return self._is_whole(node.this) and self._is_whole(node.expression)
        return isinstance(node, _SAME_TYPE) and self._is_whole(node.this)


def _makes_date(node: exp.Expr) -> bool:
    return isinstance(node, exp.Date) or (isinstance(node, exp.Anonymous) and node.name.upper() == "DATE")


def _is_now(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and node.is_string and node.name.strip().lower() == "now"


def _shifted(moment: exp.Expr, number: str, unit: str, kind: str) -> exp.Expr:
    later = exp.DateAdd if kind == "date" else exp.TimestampAdd
    return later(this=moment, expression=exp.Literal.string(number), unit=exp.var(unit))


def _declared_names(dialect: str, schema: Schema | None) -> dict[str, str]:
    """How names are spelled that a dialect would fold to lower case."""
    if schema is None or Dialect.get_or_raise(dialect).normalization_strategy != NormalizationStrategy.LOWERCASE:
        return {}
    names = [name for table in schema.tables for name in (table.name, *(column.name for column in table.columns))]
    spellings: dict[str, set[str]] = {}
    for name in names:
        spellings.setdefault(name.lower(), set()).add(name)
    return {lower: min(found) for lower, found in spellings.items() if len(found) == 1 and min(found) != lower}


def _columns_with(schema: Schema | None, types: tuple[str, ...]) -> frozenset[str]:
    """Columns whose name stands for one of these types in every table that has it."""
    fitting: dict[str, bool] = {}
    for table in schema.tables if schema else ():
        for column in table.columns:
            name = column.name.lower()
            fitting[name] = fitting.get(name, True) and any(part in column.type.lower() for part in types)
    return frozenset(name for name, fits in fitting.items() if fits)
