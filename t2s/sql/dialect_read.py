"""From another dialect's syntax tree to one that SQLite runs with the same meaning."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp

from t2s.sql.dialect_dates import EPOCH, FORMATS, JULIAN_DAY, WEEKDAY, call, matched, modifier, rewrite, strftime, unit_name
from t2s.sql.dialect_write import CASE_SENSITIVE_LIKE
from t2s.sql.schema import Schema

_TIMES = frozenset(
    {exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.TIMESTAMPLTZ, exp.DType.TIMESTAMPNTZ, exp.DType.DATETIME, exp.DType.DATETIME2}
)
# Sunday is 0 there, 1 elsewhere.
_SUNDAY_IS_0 = frozenset({"snowflake", "duckdb"})
_SECONDS = {"HOUR": 3600, "MINUTE": 60, "SECOND": 1}
_DATES = frozenset({exp.DType.DATE, exp.DType.DATE32})
_FIELDS: tuple[tuple[type[exp.Expr], str], ...] = (
    (exp.Year, "YEAR"),
    (exp.Month, "MONTH"),
    (exp.Day, "DAY"),
    (exp.DayOfMonth, "DAY"),
    (exp.DayOfYear, "DOY"),
    (exp.Hour, "HOUR"),
    (exp.Minute, "MINUTE"),
    (exp.Second, "SECOND"),
    (exp.Quarter, "QUARTER"),
)
_LATER = (exp.DateAdd, exp.DatetimeAdd, exp.TimestampAdd, exp.TsOrDsAdd)
_EARLIER = (exp.DateSub, exp.DatetimeSub, exp.TimestampSub)
# Marks a LIKE that ignored case before.
_ANY_CASE = "any case"
_STARTS = {"YEAR": "start of year", "MONTH": "start of month", "DAY": "start of day"}


def mend_for_sqlite(tree: exp.Expr, dialect: str, schema: Schema | None) -> exp.Expr:
    """A copy of the dialect's tree that sqlglot writes for SQLite with the dialect's meaning."""
    return rewrite(rewrite(tree.copy(), _Mender(dialect, schema).mend), _dated_once)


class _Mender:
    def __init__(self, dialect: str, schema: Schema | None) -> None:
        self._dialect = dialect
        self._dates = _date_columns(schema)
        self._rules: tuple[tuple[type | tuple[type, ...], Callable[[exp.Expr], exp.Expr]], ...] = (
            (exp.Expr, self._templates),
            (exp.Table, _without_schema),
            (exp.Column, _without_schema),
            (exp.TimeToStr, _format),
            (exp.Extract, self._extract),
            (tuple(kind for kind, _ in _FIELDS), self._field),
            (exp.DayOfWeek, self._day_of_week),
            (exp.UnixSeconds, lambda node: _number("%s", _uncast(node.this))),
            ((exp.TimestampTrunc, exp.DateTrunc), _truncated),
            ((*_LATER, *_EARLIER), self._shifted),
            ((exp.Add, exp.Sub), self._interval),
            ((exp.Add, exp.Sub), self._days),
            (exp.Add, self._joined_text),
            ((exp.DateDiff, exp.TimestampDiff, exp.DatetimeDiff), _difference),
            (exp.Cast, self._cast),
            (exp.ILike, _ilike),
            (exp.Like, self._like),
            (exp.AnyValue, _any_value),
            ((exp.ArgMin, exp.ArgMax), lambda node: _of_the_least(node, node.this, node.args["expression"])),
            (exp.Bracket, _first_by),
            (exp.GroupConcat, _group_concat),
            (exp.Group, _group_by_all),
            (exp.Nullif, _needless_nullif),
            (exp.Anonymous, _function),
        )

    def mend(self, node: exp.Expr) -> exp.Expr:
        """One node, by the first rule that changes it; `transform` goes on inside what comes back."""
        for kinds, rule in self._rules:
            if isinstance(node, kinds):
                changed = rule(node)
                if changed is not node:
                    return self.mend(changed)
        return node

    def _templates(self, node: exp.Expr) -> exp.Expr:
        """What `to_dialect` writes for SQLite's own functions."""
        for templates, make in _MADE_FROM_TEMPLATES:
            moment = matched(templates[self._dialect], self._dialect, node) if self._dialect in templates else None
            if moment is not None:
                return make(_uncast(moment))
        return node

    def _extract(self, node: exp.Expr) -> exp.Expr:
        return self._part(unit_name(node.this), node.args["expression"], node)

    def _field(self, node: exp.Expr) -> exp.Expr:
        unit = next(name for kind, name in _FIELDS if isinstance(node, kind))
        return self._part(unit, node.this, node)

    def _part(self, unit: str, moment: exp.Expr, node: exp.Expr) -> exp.Expr:
        moment = _uncast(moment)
        if unit == "QUARTER":
            month = exp.Add(this=_number("%m", moment), expression=exp.Literal.number(2))
            return exp.paren(exp.Div(this=exp.paren(month), expression=exp.Literal.number(3), typed=True))
        if unit == "DAYOFWEEK":
            return self._weekday(moment)
        return _number(FORMATS[unit], moment) if unit in FORMATS else node

    def _shifted(self, node: exp.Expr) -> exp.Expr:
        amount = node.args["expression"]
        unit = unit_name(node.args.get("unit"))
        if isinstance(amount, exp.Interval):
            amount, unit = amount.this, unit_name(amount.args.get("unit"))
        return self._later(node.this, amount, unit, -1 if isinstance(node, _EARLIER) else 1) or node

    def _interval(self, node: exp.Expr) -> exp.Expr:
        """`day + INTERVAL '1 month'`."""
        moment, interval = node.this, node.args["expression"]
        if isinstance(moment, exp.Interval) and isinstance(node, exp.Add):
            moment, interval = interval, moment
        if not isinstance(interval, exp.Interval):
            return node
        sign = -1 if isinstance(node, exp.Sub) else 1
        return self._later(moment, interval.this, unit_name(interval.args.get("unit")), sign) or node

    def _later(self, moment: exp.Expr, amount: exp.Expr | None, unit: str, sign: int) -> exp.Expr | None:
        by = modifier(amount, unit, sign)
        if by is None:
            return None
        moment = _function(moment)
        timed = unit in _SECONDS or _is_time(moment)
        return call("DATETIME", _uncast(moment), by) if timed else call("DATE", _undated(moment), by)

    def _days(self, node: exp.Expr) -> exp.Expr:
        """Dates subtract to days and take days; SQLite would reckon with the years that they begin with."""
        first, second = node.this, node.args["expression"]
        if not self._is_date(first):
            return node
        if isinstance(second, exp.Literal) and second.is_int:
            return self._later(first, second, "DAY", -1 if isinstance(node, exp.Sub) else 1) or node
        if not (isinstance(node, exp.Sub) and self._is_date(second)):
            return node
        days = exp.Sub(this=call("JULIANDAY", _uncast(first)), expression=call("JULIANDAY", _uncast(second)))
        return exp.cast(days, "int")

    def _joined_text(self, node: exp.Expr) -> exp.Expr:
        """SQL Server joins texts with +."""
        parts = node.this, node.args["expression"]
        if self._dialect != "tsql" or not any(isinstance(part, exp.DPipe) or part.is_string for part in parts):
            return node
        return exp.DPipe(this=parts[0].copy(), expression=parts[1].copy())

    def _day_of_week(self, node: exp.Expr) -> exp.Expr:
        return self._weekday(_uncast(node.this))

    def _weekday(self, moment: exp.Expr) -> exp.Expr:
        day = _number("%w", moment)
        return day if self._dialect in _SUNDAY_IS_0 else exp.paren(day + 1)

    def _is_date(self, node: exp.Expr) -> bool:
        if isinstance(node, exp.Cast):
            return node.to.this in _DATES
        return isinstance(node, exp.CurrentDate | exp.Date) or (isinstance(node, exp.Column) and node.name.lower() in self._dates)

    def _cast(self, node: exp.Expr) -> exp.Expr:
        kind = node.args["to"].this
        sizes = node.args["to"].expressions
        if kind == exp.DType.USERDEFINED or (node.this.is_string and kind in exp.DataType.TEXT_TYPES):
            bare: exp.Expr = node.this.copy()  # SQLite would make a number of a type that it does not know
            return bare
        if kind in _TIMES:  # SQLite would make a number of it
            return call("DATETIME", _uncast(node.this))
        if kind == exp.DType.DECIMAL and len(sizes) == 2:  # rounds, where SQLite's would only pick a type
            return exp.Round(this=exp.cast(node.this, "double"), decimals=exp.Literal.number(sizes[1].name))
        if kind == exp.DType.DECIMAL and isinstance(node.parent, exp.Round) and node is node.parent.this:
            inner: exp.Expr = node.this.copy()  # Postgres rounds nothing but decimals to places
            return inner
        return node

    def _like(self, node: exp.Expr) -> exp.Expr:
        """SQLite's LIKE ignores case: where the dialect's does not, GLOB says the same."""
        pattern = node.args["expression"]
        if isinstance(pattern, exp.Cast) and pattern.to.this in exp.DataType.TEXT_TYPES:
            pattern = pattern.this  # as Postgres shows a view's
        if self._dialect not in CASE_SENSITIVE_LIKE or node.meta.get(_ANY_CASE) or not isinstance(pattern, exp.Literal):
            return node
        text = pattern.name
        if text.lower() == text.upper() or isinstance(node.parent, exp.Escape) or re.search(r"[*?\[\]\\]", text):
            return node
        return exp.Glob(this=node.this.copy(), expression=exp.Literal.string(text.replace("%", "*").replace("_", "?")))


def _without_schema(node: exp.Expr) -> exp.Expr:
    """`public.t` is t: a SQLite file has one schema."""
    if node.args.get("db") is None and node.args.get("catalog") is None:
        return node
    bare = node.copy()
    bare.set("db", None)
    bare.set("catalog", None)
    return bare


def _format(node: exp.Expr) -> exp.Expr:
    form = node.args["format"]
    return call("STRFTIME", form, _uncast(node.this)) if isinstance(form, exp.Literal) else node


def _difference(node: exp.Expr) -> exp.Expr:
    """Whole units from the second moment to the first."""
    later, earlier, unit = _uncast(node.this), _uncast(node.args["expression"]), unit_name(node.args.get("unit"))
    if unit == "DAY":
        later, earlier = call("DATE", later), call("DATE", earlier)
        return exp.cast(exp.Sub(this=call("JULIANDAY", later), expression=call("JULIANDAY", earlier)), "int")
    if unit in _SECONDS:
        seconds = exp.paren(exp.Sub(this=_number("%s", later), expression=_number("%s", earlier)))
        whole = exp.Div(this=seconds, expression=exp.Literal.number(_SECONDS[unit]), typed=True)
        return seconds if unit == "SECOND" else exp.paren(whole)
    if unit not in ("YEAR", "MONTH"):
        return node
    years = exp.paren(exp.Sub(this=_number("%Y", later), expression=_number("%Y", earlier)))
    months = exp.Sub(this=_number("%m", later), expression=_number("%m", earlier))
    return years if unit == "YEAR" else exp.paren(exp.Add(this=years * 12, expression=months))


def _dated_once(node: exp.Expr) -> exp.Expr:
    """A date need not be made a date."""
    outer = (isinstance(node, exp.Cast) and node.to.this in _DATES) or isinstance(node, exp.Date)
    return node.this.copy() if outer and isinstance(node.this, exp.Anonymous) and node.this.name == "DATE" else node


def _truncated(node: exp.Expr) -> exp.Expr:
    unit = unit_name(node.args.get("unit"))
    moment = _undated(node.this)
    if unit in _STARTS:
        return call("DATE", moment, exp.Literal.string(_STARTS[unit])) if unit != "DAY" else call("DATE", moment)
    if unit == "HOUR":
        return strftime("%Y-%m-%d %H:00:00", moment)
    return strftime("%Y-%m-%d %H:%M:00", moment) if unit == "MINUTE" else node


def _ilike(node: exp.Expr) -> exp.Expr:
    like = exp.Like(this=node.this.copy(), expression=node.args["expression"].copy())
    like.meta[_ANY_CASE] = True
    return like


def _any_value(node: exp.Expr) -> exp.Expr:
    """A bare column gives any of its group's values in SQLite."""
    return node.this.copy() if isinstance(node.this, exp.Column) else exp.Min(this=node.this.copy())


def _first_by(node: exp.Expr) -> exp.Expr:
    """`(ARRAY_AGG(name ORDER BY mass))[1]`."""
    array = node.this.unnest()
    order = array.this if isinstance(array, exp.ArrayAgg) else None
    if not isinstance(order, exp.Order) or len(order.expressions) != 1:
        return node
    return _of_the_least(node, order.this, order.expressions[0].this)


def _of_the_least(node: exp.Expr, column: exp.Expr, least: exp.Expr) -> exp.Expr:
    """A bare column is of the row with the least or the greatest, where a query asks for that."""
    select = node.find_ancestor(exp.Select)
    asked = select is not None and any(found.this == least for found in select.find_all(exp.Min, exp.Max))
    return column.copy() if asked and isinstance(column, exp.Column) else node


def _group_by_all(node: exp.Expr) -> exp.Expr:
    """GROUP BY ALL names every column that is not aggregated."""
    select = node.parent
    if not node.args.get("all") or not isinstance(select, exp.Select):
        return node
    plain = [projection.unalias() for projection in select.selects if projection.find(exp.AggFunc) is None]
    return exp.Group(expressions=[projection.copy() for projection in plain])


def _group_concat(node: exp.Expr) -> exp.Expr:
    """SQLite takes no separator beside DISTINCT; a comma is its own."""
    separator = node.args.get("separator")
    if isinstance(node.this, exp.Distinct) and isinstance(separator, exp.Literal) and separator.name == ",":
        node.set("separator", None)
    return node


def _needless_nullif(node: exp.Expr) -> exp.Expr:
    """SQLite divides by zero to NULL by itself."""
    parent, zero = node.parent, node.args["expression"]
    divides = isinstance(parent, exp.Div | exp.IntDiv) and node is parent.args["expression"]
    return node.this.copy() if divides and isinstance(zero, exp.Literal) and zero.name == "0" else node


def _function(node: exp.Expr) -> exp.Expr:
    if node.name.upper() == "NOW" and not node.expressions:
        return exp.CurrentTimestamp()
    return call("JULIANDAY", node.expressions[0]) if node.name.upper() == "JULIAN" and len(node.expressions) == 1 else node


def _undated(moment: exp.Expr) -> exp.Expr:
    """As `_uncast`, for what becomes a date anyway."""
    moment = _uncast(moment)
    while isinstance(moment, exp.Cast) and moment.to.this in _DATES:
        moment = _uncast(moment.this)
    return moment


def _uncast(moment: exp.Expr) -> exp.Expr:
    """The text inside: SQLite's functions take dates as text, so no cast is needed to make one."""
    while (isinstance(moment, exp.Cast) and moment.to.this in _TIMES) or isinstance(
        moment, exp.TsOrDsToTimestamp | exp.TsOrDsToDate | exp.TsOrDsToDatetime | exp.Paren
    ):
        moment = moment.this
    return moment.copy()


def _is_time(node: exp.Expr) -> bool:
    return isinstance(node, exp.CurrentTimestamp) or (isinstance(node, exp.Cast) and node.to.this in _TIMES)


def _number(form: str, moment: exp.Expr) -> exp.Expr:
    return exp.cast(strftime(form, moment), "int")


def _date_columns(schema: Schema | None) -> frozenset[str]:
    """Columns whose name stands for dates in every table that has it."""
    dates: dict[str, bool] = {}
    for table in schema.tables if schema else ():
        for column in table.columns:
            name = column.name.lower()
            dates[name] = dates.get(name, True) and column.type.lower() == "date"
    return frozenset(name for name, is_date in dates.items() if is_date)


# What `to_dialect` writes for SQLite's own functions, and those functions again.
_MADE_FROM_TEMPLATES: tuple[tuple[dict[str, str], Callable[[exp.Expr], exp.Expr]], ...] = (
    (JULIAN_DAY, lambda moment: call("JULIANDAY", moment)),
    (WEEKDAY, lambda moment: strftime("%w", moment)),
    (EPOCH, lambda moment: _number("%s", moment)),
)
