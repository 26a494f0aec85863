"""Query logs: what a database was really asked, without the questions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from t2s.data.parameters import parameters
from t2s.data.text_files import csv_rows, open_text
from t2s.errors import DataError
from t2s.sql.lexer import code_tokens, tokens
from t2s.sql.parse import parse_query

# As long as a statement that the sandbox takes. A log without `;` that goes on longer is read line by line.
_MAX_STATEMENT_CHARS = 100_000
_SHOWN_CHARS = 200
QUERY_COLUMNS = ("query", "sql", "statement", "query_text", "sql_text")
COUNT_COLUMNS = ("calls", "count", "executions", "execution_count", "num_calls")
COMMENT_COLUMNS = ("comment", "title", "name", "description")


@dataclass(frozen=True)
class LoggedQuery:
    """A query that somebody ran.

    Attributes:
        sql: As it was written the first time, without comments above it and without a last `;`.
        count: How often it was run, in all its spellings.
        comment: What stands above it, or beside it: perhaps a question; empty where nothing does.
        place: `file:line` of the first time.
    """

    sql: str
    count: int
    comment: str
    place: str


@dataclass(frozen=True)
class Skipped:
    """Statements of one shape that are of no use.

    Attributes:
        sql: The first of them, with its literals masked, cut to 200 characters.
        count: How many there are.
        reason: Why: no SELECT, cannot be parsed, a parameter without a value.
        place: `file:line` of the first.
    """

    sql: str
    count: int
    reason: str
    place: str


@dataclass(frozen=True)
class QueryLog:
    """All that a log holds: each statement is counted in one of the two, in the order in which they were first met."""

    queries: tuple[LoggedQuery, ...]
    skipped: tuple[Skipped, ...]


class Statement(NamedTuple):
    """One statement of a log as it stands there: its text, the line it begins on, the comment above it, its count."""

    sql: str
    line: int
    comment: str
    times: int = 1


def read_query_log(path: Path, bind: Callable[[str], str] | None, translate: Callable[[str], str] | None) -> QueryLog:
    """Reads the queries of a log.

    - `.sql`: statements that end with `;`, or stand on a line each. A comment right above one, or behind it on its line, is kept.
    - `.csv`, `.tsv`: a column called query, sql or statement, as pg_stat_statements and query histories have it, and
      perhaps calls or count.

    Queries that differ in spelling and comments alone are merged. Other statements and what cannot be parsed are counted.

    Args:
        path: The log, UTF-8; it may be larger than memory.
        bind: Puts values in the place of parameters, or refuses by a DataError, as `parameters.bind` does. None refuses
            every query that has parameters.
        translate: Turns another dialect into SQLite's, or refuses by a DataError; None takes SQL as it is.

    Raises:
        DataError: the file is missing, not UTF-8, of another kind, or holds no query at all.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; give a query log as .sql, .csv or .tsv")
    collector = _Collector(path, bind, translate)
    for statement in _statements(path):
        collector.take(statement)
    log = QueryLog(tuple(collector.queries.values()), tuple(collector.skipped.values()))
    if not log.queries:
        reasons = [f"{item.place}: {item.reason}" for item in log.skipped[:20]] or [f"{path}: no statement"]
        raise DataError.from_problems(reasons, f"{path.name} holds no query that can be used; give a log with SELECT statements")
    return log


class _Collector:
    """Merges statements as they come, so that a log takes the memory of its different queries."""

    def __init__(self, path: Path, bind: Callable[[str], str] | None, translate: Callable[[str], str] | None) -> None:
        self._path, self._bind, self._translate = path, bind, translate
        self._known: dict[str, str] = {}  # key of the query by text as written: most of a log repeats itself
        self.queries: dict[str, LoggedQuery] = {}
        self.skipped: dict[tuple[str, str], Skipped] = {}

    def take(self, statement: Statement) -> None:
        key = self._known.get(statement.sql)
        if key is None:
            try:
                sql = self._usable(statement.sql)
                key = parse_query(sql).sql("sqlite", comments=False)
            except DataError as error:
                self._skip(statement, str(error))
                return
            place = f"{self._path.name}:{statement.line}"
            self.queries.setdefault(key, LoggedQuery(sql, 0, "", place))
            self._known[statement.sql] = key
        found = self.queries[key]
        self.queries[key] = replace(found, count=found.count + statement.times, comment=found.comment or statement.comment)

    def _usable(self, sql: str) -> str:
        first = next(code_tokens(sql), None)
        word = first.text.upper() if first is not None else ""
        if word not in ("SELECT", "WITH", "VALUES", "("):
            raise DataError(f"{word or 'nothing'} is no query")
        if parameters(sql):
            if self._bind is None:
                raise DataError("has parameters whose values the log does not hold")
            sql = self._bind(sql)
        return self._translate(sql) if self._translate is not None else sql

    def _skip(self, statement: Statement, reason: str) -> None:
        # The error of a parser repeats the SQL, which would keep apart what is of one kind.
        short = reason.replace(repr(statement.sql), "it").partition("\n")[0]
        masked = _masked(statement.sql)
        first = Skipped(masked, 0, short, f"{self._path.name}:{statement.line}")
        found = self.skipped.get((masked, short.partition(" ")[0]), first)
        self.skipped[masked, short.partition(" ")[0]] = replace(found, count=found.count + statement.times)


def _masked(sql: str) -> str:
    """The statement on one line, strings and numbers as `?`, so that a million inserts look alike."""
    parts = []
    for token in code_tokens(sql):
        literal = (token.kind == "quoted" and token.text[0] == "'") or (token.kind == "word" and token.text[0].isdigit())
        parts.append("?" if literal else token.text)
    return " ".join(parts)[:_SHOWN_CHARS]


def _statements(path: Path) -> Iterator[Statement]:
    if path.suffix == ".sql":
        with open_text(path) as lines:
            yield from split_statements(lines)
    elif path.suffix in (".csv", ".tsv"):
        yield from _from_table(path)
    else:
        raise DataError(f"{path}: ending {path.suffix or 'missing'} is not known for a query log; use .sql, .csv or .tsv")


def _from_table(path: Path) -> Iterator[Statement]:
    problems: list[str] = []
    for line, row in csv_rows(path):
        by_name = {name.lower(): value for name, value in row.items()}
        column = next((name for name in QUERY_COLUMNS if name in by_name), None)
        if column is None:
            raise DataError(f"{path}:1: no column of queries; name one {', '.join(QUERY_COLUMNS)}; its columns are {', '.join(row)}")
        try:
            count = _count(next((by_name[name] for name in COUNT_COLUMNS if by_name.get(name)), "1"))
        except ValueError as error:
            problems.append(f"{path}:{line}: {error}")
            continue
        comment = next((by_name[name] for name in COMMENT_COLUMNS if by_name.get(name)), "")
        for number, statement in enumerate(split_statements(by_name[column].splitlines(keepends=True))):
            yield Statement(statement.sql, line, statement.comment or ("" if number else comment.strip()), count)
    if problems:
        raise DataError.from_problems(problems, f"correct or delete these lines of {path.name}; nothing was read")


def _count(text: str) -> int:
    number = float(text)
    if not number >= 0 or number != int(number):
        raise ValueError(f"a count of {text!r}")
    return int(number)


def split_statements(lines: Iterable[str]) -> Iterator[Statement]:
    """The statements of a text, which comes line by line.

    They end with `;`, or stand on a line each where what lies between two `;` is no statement and its lines are.

    Args:
        lines: With their ends.

    Example:
        "-- all pets\\nSELECT * FROM pets;" -> one statement with the comment "all pets"
    """
    held: list[str] = []
    chars = 0
    first = 1
    for number, line in enumerate(lines, 1):
        held.append(line.removeprefix("\ufeff"))
        chars += len(line)
        if ";" in line and (chunks := _ended("".join(held))) is not None:
            complete, rest = chunks
            for chunk in complete:
                yield from _chunk(chunk, first)
                first += chunk.count("\n")
            held, chars = ([rest] if rest else []), len(rest)
        elif chars > _MAX_STATEMENT_CHARS:
            yield from _by_line("".join(held), first)
            held, chars, first = [], 0, number + 1
    yield from _chunk("".join(held), first)


def _ended(text: str) -> tuple[list[str], str] | None:
    """The parts that `;` ends, each with what stands behind it on its line if that is a comment; and the rest. None without one."""
    parts: list[str] = []
    start = 0
    ends = [token.start + 1 for token in code_tokens(text) if token.text == ";" and token.kind == "symbol"]
    for end in ends:
        behind = re.compile(r"[ \t]*(--[^\n]*|/\*[^\n]*?\*/[ \t]*(?=\n|\Z))?\n?").match(text, end)
        end = behind.end() if behind is not None and (behind.group(1) or behind.group().endswith("\n")) else end
        parts.append(text[start:end])
        start = end
    return (parts, text[start:]) if parts else None


def _chunk(text: str, first_line: int) -> Iterator[Statement]:
    """A part between two `;`: one statement, or one a line."""
    statement = _statement(text, first_line)
    if statement is None:
        return
    if "\n" in statement.sql and not _parses(statement.sql):
        lines = list(_by_line(text, first_line))
        # Lines of one broken statement do not parse by themselves either.
        if sum(_parses(line.sql) or _other(line.sql) for line in lines) == len(lines):
            yield from lines
            return
    yield statement


def _by_line(text: str, first_line: int) -> Iterator[Statement]:
    above: list[str] = []
    for number, line in enumerate(text.split("\n"), first_line):
        if next(code_tokens(line), None) is None:
            above = [*above, line] if line.strip() else []
            continue
        statement = _statement("\n".join([*above, line]), number - len(above))
        above = []
        if statement is not None:
            yield statement


def _statement(text: str, first_line: int) -> Statement | None:
    """The statement in a text and the comment right above it, or behind it; None where there is no code."""
    code = [token for token in code_tokens(text) if token.text != ";"]
    if not code:
        return None
    start, last = code[0].start, code[-1]
    end = last.start + len(last.text)
    comment = _comment(_last_paragraph(text[:start])) or _comment(text[end:])
    return Statement(text[start:end], first_line + text.count("\n", 0, start), comment)


def _last_paragraph(text: str) -> str:
    """What no blank line parts from what follows: a file's head is no comment on its first query."""
    return re.split(r"\n[ \t\r]*\n", text)[-1]


def _comment(text: str) -> str:
    parts = []
    for token in tokens(text):
        if token.kind == "comment":
            inside = token.text.lstrip("-") if token.text.startswith("--") else token.text.removeprefix("/*").removesuffix("*/")
            parts.append(" ".join(line.strip().strip("*=-#").strip() for line in inside.splitlines()))
    return " ".join(" ".join(parts).split())


def _parses(sql: str) -> bool:
    try:
        parse_query(sql)
    except DataError:
        return bool(parameters(sql)) and "\n" not in sql
    return True


def _other(sql: str) -> bool:
    """Whether this begins a statement of another kind."""
    first = next(code_tokens(sql), None)
    return first is not None and first.text.upper() in {
        *("INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "BEGIN", "COMMIT", "ROLLBACK", "SET", "PRAGMA", "USE", "SHOW"),
        *("EXPLAIN", "ANALYZE", "VACUUM", "GRANT", "REVOKE", "TRUNCATE", "REPLACE", "MERGE", "CALL", "END", "START"),
    }
