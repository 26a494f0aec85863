"""What a database holds, as far as questions about it are concerned: things and their names, values, dates, amounts, flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from t2s.data.synthesis import lexicon
from t2s.data.synthesis.columns import column_facts
from t2s.data.synthesis.comments import Hints
from t2s.data.synthesis.probe import TableSample, Value, read_samples
from t2s.errors import DataError
from t2s.sql.naming import singular, spoken, stem, words
from t2s.sql.schema import Schema, Table

Kind = Literal["key", "link", "name", "category", "flag", "number", "year", "date", "code", "contact", "text", "other"]
Sense = Literal["money", "quantity", "measure", ""]


@dataclass(frozen=True, eq=False)
class ColumnFacts:
    """One column, and what people may say of it.

    Attributes:
        table: Name of its table.
        name: Its name.
        noun: What it holds in spoken words, without the table's own noun: "list price".
        kind: What its values are good for.
        sense: What a number counts or measures.
        whole: Whether every number seen is an integer.
        values: Values with how often they were seen, the most frequent first.
        distinct: How many different values were seen.
        rows: How many rows were read.
        missing: How many of them hold NULL.
        unique: Whether no value comes twice.
        levels: Numbers from the lowest to the highest at equal shares of the rows.
        form: "date" or "datetime" for ISO text; empty for all else.
        first: The first date; empty where there is none.
        last: The last date.
        unit: Unit of a number as spoken, "grams"; empty where the name has none.
        on: The value of a flag that means yes.
        off: The value that means no.
        hints: What the column's comment adds.
    """

    table: str
    name: str
    noun: str
    kind: Kind
    sense: Sense
    whole: bool
    values: tuple[tuple[Value, int], ...]
    distinct: int
    rows: int
    missing: int
    unique: bool
    levels: tuple[float, ...]
    form: str
    first: str
    last: str
    unit: str
    on: Value
    off: Value
    hints: Hints

    @property
    def numeric(self) -> bool:
        return self.kind == "number" and bool(self.levels)


@dataclass(frozen=True, eq=False)
class TableFacts:
    """One table, and what its rows are.

    Attributes:
        name: Its name.
        noun: What one row is called.
        columns: Its columns.
        rows: About how many rows it has.
        key: The column that tells rows apart, if a single one does.
        label: The columns that name a row: one name, or first and last name; empty where rows have none.
        names: Names of some rows, as many values each as `label` has columns.
        date: The column that says when a row came about.
        goods: Columns of quantity, price and perhaps discount, where a row is a sale of goods.
        person: Whether its rows are people.
        place: Whether its rows are places one can be in.
        view: Whether it is a view.
    """

    name: str
    noun: str
    columns: tuple[ColumnFacts, ...]
    rows: int
    key: ColumnFacts | None
    label: tuple[ColumnFacts, ...]
    names: tuple[tuple[object, ...], ...]
    date: ColumnFacts | None
    goods: tuple[ColumnFacts, ...]
    person: bool
    place: bool
    view: bool

    def column(self, name: str) -> ColumnFacts:
        return next(column for column in self.columns if column.name.lower() == name.lower())


@dataclass(frozen=True, eq=False)
class Facts:
    """All tables that hold rows.

    Attributes:
        tables: The tables, in the schema's order.
        stems: Stems of all words in names of tables and columns.
        value_words: Stems of all words in values of categories.
    """

    tables: tuple[TableFacts, ...]
    stems: frozenset[str]
    value_words: frozenset[str]

    def table(self, name: str) -> TableFacts:
        return next(table for table in self.tables if table.name == name)


def read_facts(database: Path, schema: Schema) -> Facts:
    """What the database holds, from its schema and a bounded sample of its rows.

    Raises:
        DataError: no table has a row.
        DatabaseError: the file is missing or is not a SQLite database.
    """
    samples = read_samples(database, schema)
    tables = tuple(_table(table, samples[table.name]) for table in schema.tables if samples[table.name].read)
    if not tables:
        raise DataError(f"no table of {database} has a row that can be read; questions are made from rows, so fill the database first")
    names = [name for table in schema.tables for name in (table.name, *(column.name for column in table.columns))]
    values = [str(value) for table in tables for column in table.columns if column.kind == "category" for value, _ in column.values]
    said = frozenset(stem(word) for value in values for word in words(value))
    return Facts(tables, frozenset(stem(word) for name in names for word in words(spoken(name))), said)


def _table(table: Table, sample: TableSample) -> TableFacts:
    noun = row_noun(table.name)
    columns = tuple(column_facts(table, column, sample, noun) for column in table.columns)
    person = noun.split()[-1] in lexicon.PERSON
    label = _label(columns, noun, sample.read)
    return TableFacts(
        name=table.name,
        noun=noun,
        columns=columns,
        rows=sample.rows,
        key=_key(table, columns),
        label=label,
        names=tuple(tuple(row[columns.index(column)] for column in label) for row in sample.some) if label else (),
        date=_date(columns, noun),
        goods=_goods(columns),
        person=person or len(label) == 2,
        place=stem(noun.split()[-1]) in lexicon.PLACE | lexicon.PLACE_TABLE,
        view=sample.view,
    )


def row_noun(name: str) -> str:
    """What one row of the table is called; what only says that it is a table goes.

    Example:
        "tblOrderDetails" -> "order detail"
    """
    parts = words(spoken(name))
    while len(parts) > 1 and parts[0] in ("tbl", "tb", "dim", "fact", "t", "vw", "v"):
        parts = parts[1:]
    if len(parts) > 1 and parts[-1] in ("table", "tbl", "list", "data", "info", "master", "records"):
        parts = parts[:-1]
    noun = singular(" ".join(parts)) or name
    return f"{noun} record" if noun.split()[-1] in lexicon.UNCOUNTABLE else noun


def _key(table: Table, columns: tuple[ColumnFacts, ...]) -> ColumnFacts | None:
    keys = [facts for facts, column in zip(columns, table.columns, strict=True) if column.primary_key]
    if len(keys) == 1:
        return keys[0]
    unique = [c for c in columns if c.unique and not c.missing and c.kind in ("key", "code", "name") and c.rows > 2]
    return unique[0] if unique and not keys else None


def _label(columns: tuple[ColumnFacts, ...], noun: str, rows: int) -> tuple[ColumnFacts, ...]:
    by_words = {frozenset(c.noun.split()): c for c in columns if c.kind in ("name", "category", "code", "text")}
    for first, last in (("first name", "last name"), ("given name", "family name"), ("forename", "surname"), ("first name", "surname")):
        if frozenset(first.split()) in by_words and frozenset(last.split()) in by_words:
            return by_words[frozenset(first.split())], by_words[frozenset(last.split())]
    named = [c for c in columns if c.kind in ("name", "category") and stem(c.noun.split()[-1]) in lexicon.NAME]
    plain = [c for c in named if c.noun in ("name", "title", "full name", f"{noun} name", f"{noun} title", f"{noun}")]
    whole = [c for c in columns if c.kind == "name" and c.noun == noun]
    good = [c for c in (*whole, *plain, *named) if c.distinct * 3 >= c.rows - c.missing]
    if good:
        return (good[0],)
    telling = lexicon.NAME | lexicon.CODE
    told = [c for c in columns if c.kind in ("name", "code") and c.unique and c.missing * 10 < rows and stem(c.noun.split()[-1]) in telling]
    descriptions = [c for c in columns if c.kind in ("text", "name") and c.unique and stem(c.noun) == stem("description")]
    return tuple((told or descriptions)[:1])


def _date(columns: tuple[ColumnFacts, ...], noun: str) -> ColumnFacts | None:
    dates = [c for c in columns if c.form]
    said = {lexicon.PASSIVE.get(stem(word), stem(word)) for word in noun.split()}
    own = [c for c in dates if {lexicon.PASSIVE.get(stem(word), stem(word)) for word in words(c.name)} & said]
    always = [c for c in dates if not c.missing and not {"updated", "modified", "birth", "end", "due", "required"} & set(words(c.name))]
    return next(iter((*own, *always)), None)


def _goods(columns: tuple[ColumnFacts, ...]) -> tuple[ColumnFacts, ...]:
    """Quantity and price of a row that is a sale, and its discount where that is a share of the price."""
    parts = {c: words(c.name) for c in columns if c.numeric}
    amounts = [c for c, said in parts.items() if stem(said[-1]) in lexicon.AMOUNT_OF_GOODS and c.whole and len(said) <= 2]
    prices = [c for c, said in parts.items() if stem(said[-1]) in _PRICE_STEMS and c not in amounts]
    discounts = [c for c, said in parts.items() if "discount" in said and c.levels[-1] <= 1]
    links = sum(c.kind == "link" for c in columns)
    return (amounts[0], prices[0], *discounts[:1]) if len(amounts) == 1 and len(prices) == 1 and links >= 1 else ()


_PRICE_STEMS = frozenset([stem("price"), stem("rate")])
