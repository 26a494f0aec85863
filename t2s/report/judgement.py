"""The judge's report: one HTML page that needs nothing beside itself, and tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console
from rich.table import Table
from rich.text import Text

from t2s.metrics.assessment import Assessment, Head
from t2s.metrics.paired import Change, Paired
from t2s.metrics.summary import COMPARISONS, is_match, summary
from t2s.runtime import write_text
from t2s.sql.execute import Value
from t2s.sql.lexer import Token, tokens

# What a person reads of one miss. A page of 10,000 misses stays some 20 MB, whatever the database holds.
_MAX_SQL_CHARS = 4000
_MAX_TEXT_CHARS = 1000
_MAX_CELL_CHARS = 100
_MAX_ROWS, _MAX_COLUMNS = 6, 12
# difflib's time grows with the square of this at best.
_MAX_DIFF_TOKENS = 600

_GROUPS = ("hardness", "database", "tag", "execution", "diagnosis", "turn")
_CONVERSATION_MATCHES = ("question_match", "interaction_match")


def write_report(path: Path, title: str, assessments: Sequence[Assessment], rules: Mapping[str, Any], paired: Paired | None = None) -> None:
    """Write the report on judged predictions as one HTML file.

    It holds its style, its script and its data, and asks for nothing else. Long texts and large results are cut, and
    say so. Every prediction that is wrong by at least one comparison is listed.

    Args:
        path: The file to write.
        title: What was judged.
        assessments: The judged predictions, in input order.
        rules: How it was judged: `columns` (fixed or free), `suite` (None for none) and perhaps `history` (own: turns of
            a conversation were answered behind the model's own answers).
        paired: A comparison with another set of predictions, to be shown too.

    Raises:
        DataError: there are no predictions.
    """
    totals = summary(assessments)
    misses = [a for a in assessments if not all(is_match(a, comparison) for comparison in COMPARISONS)]
    data = {"misses": [_miss(a) for a in misses], "changes": [_change(c, paired.names) for c in paired.changes] if paired else []}
    page = (
        _environment()
        .get_template("judgement.html")
        .render(
            title=title,
            totals=totals,
            comparisons=COMPARISONS,
            groups=_groups(totals),
            conversation_matches=[name for name in _CONVERSATION_MATCHES if name in totals],
            data=data,
            rules=rules,
            paired=paired,
        )
    )
    # A lone surrogate, as in a file name that is no UTF-8, cannot be written; in the data JSON has escaped it already.
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))


def show_judgement(console: Console, totals: Mapping[str, Any]) -> None:
    """Print totals as `summary` makes them, within 80 columns."""
    console.print(_headline_table(totals))
    show_conversations(console, totals)
    for group in _groups(totals):
        if group == "turn":
            continue  # stands with the conversations
        rows = totals[f"by_{group}"]
        # A group of all predictions says what the headline says.
        if any(row["share"] < 1 or group == "diagnosis" for row in rows.values()):
            console.print(_group_table(group, rows))


def show_conversations(console: Console, totals: Mapping[str, Any]) -> None:
    """Print what `conversation_totals` found, within 80 columns; nothing where there are no conversations."""
    if "by_turn" not in totals:
        return
    table = Table(title="Conversations", title_justify="left")
    for name in ("", "n", *COMPARISONS):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for name in _CONVERSATION_MATCHES:
        if name in totals:
            row = totals[name]
            table.add_row(_plain(name), str(row["n"]), *(_percent(row[comparison]["share"]) for comparison in COMPARISONS))
    console.print(table)
    console.print(_group_table("turn", totals["by_turn"]))


def show_paired(console: Console, paired: Paired) -> None:
    """Print a paired comparison, within 80 columns."""
    first, second = paired.names
    title = f"{second} against {first}, n = {paired.scores[0].n}, p of an exact McNemar test"
    table = Table(title=Text(title), title_justify="left")
    for name in ("right by", "only first", "only second", "points", "95 % interval", "p"):
        table.add_column(name, justify="left" if name == "right by" else "right", no_wrap=True)
    for score in paired.scores:
        counts = (str(score.only_first), str(score.only_second))
        table.add_row(score.comparison, *counts, _points(score.difference), _point_range(score.interval), _p(score.p_value))
    console.print(table)


def mark_differences(left: str, right: str) -> tuple[list[str], list[str]]:
    """Two queries cut into runs that are, by turns, common to both and not.

    Tokens are compared, not characters: the case of words, white space and comments do not count.

    Returns:
        The runs of each query; joined they give it back. The first, third, ... run is common, and may be empty.

    Example:
        "SELECT a FROM t", "select b FROM t" -> ["SELECT ", "a", " FROM t"], ["select ", "b", " FROM t"]
    """
    first, second = list(tokens(left)), list(tokens(right))
    common_first, common_second = _common_places([_key(t) for t in first if _is_code(t)], [_key(t) for t in second if _is_code(t)])
    return _runs(first, common_first), _runs(second, common_second)


def _groups(totals: Mapping[str, Any]) -> list[str]:
    return [group for group in _GROUPS if f"by_{group}" in totals]


def _is_code(token: Token) -> bool:
    return token.kind not in ("space", "comment")


def _key(token: Token) -> str:
    return token.text.casefold() if token.kind == "word" else token.text


def _common_places(left: list[str], right: list[str]) -> tuple[set[int], set[int]]:
    """Places in each list that the two have in common, in the same order."""
    start = _shared_length(left, right)
    end = _shared_length(left[start:][::-1], right[start:][::-1])
    blocks = [(0, 0, start), (len(left) - end, len(right) - end, end)]
    if max(len(left), len(right)) - start - end <= _MAX_DIFF_TOKENS:
        middle = SequenceMatcher(None, left[start : len(left) - end], right[start : len(right) - end], autojunk=False)
        blocks += [(start + i, start + j, size) for i, j, size in middle.get_matching_blocks()]
    first = {i + k for i, _, size in blocks for k in range(size)}
    return first, {j + k for _, j, size in blocks for k in range(size)}


def _shared_length(left: list[str], right: list[str]) -> int:
    """How many items the two begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def _runs(query: Sequence[Token], common: set[int]) -> list[str]:
    """The query cut where tokens in `common` places begin or end; white space and comments stay with the common ones."""
    runs, gap, place = [""], "", 0
    for token in query:
        if not _is_code(token):
            gap += token.text
            continue
        marking = len(runs) % 2 == 0
        if (place not in common) == marking:
            runs[-1] += gap + token.text
        elif marking:
            runs.append(gap + token.text)
        else:
            runs[-1] += gap
            runs.append(token.text)
        gap, place = "", place + 1
    if gap and len(runs) % 2 == 0:
        return [*runs, gap]
    return [*runs[:-1], runs[-1] + gap]


def _miss(a: Assessment) -> dict[str, Any]:
    wrong_by: list[str] = [comparison for comparison in COMPARISONS if not is_match(a, comparison)]
    diagnosis = list(dict.fromkeys(a.diagnosis))
    failure: list[str] = [] if a.execution == "ok" else [a.execution]
    facets: dict[str, list[str]] = {"execution": [a.execution], "diagnosis": diagnosis, "wrong by": wrong_by}
    sides = [("gold", a.case.gold, a.gold_head), ("predicted", a.case.predicted, a.predicted_head)]
    return _row(a, a.detail, facets, [*_by("wrong only", wrong_by), *map(_plain, failure + diagnosis)], sides)


def _change(change: Change, names: tuple[str, str]) -> dict[str, Any]:
    moves = [("gained", change.gained()), ("lost", change.lost())]
    facets = {"change": [f"{move} by {comparison}" for move, comparisons in moves for comparison in comparisons]}
    chips = [chip for move, comparisons in moves for chip in _by(move, comparisons) or [move] if comparisons]
    sides = [(name, a.case.predicted, a.predicted_head) for name, a in zip(names, (change.first, change.second), strict=True)]
    return _row(change.first, f"gold: {change.first.case.gold}", facets, chips, sides)


def _by(what: str, comparisons: Sequence[str]) -> list[str]:
    """A label that says by which comparisons; none when it is by all of them, the plain case, or by no one."""
    return [f"{what} by {', '.join(comparisons)}"] if 0 < len(comparisons) < len(COMPARISONS) else []


_Side = tuple[str, str, Head | None]


def _row(a: Assessment, detail: str, facets: Mapping[str, Sequence[str]], chips: Sequence[str], sides: Sequence[_Side]) -> dict[str, Any]:
    """A row of the page's tables; `facets` are what it can be filtered by, `chips` what stands out."""
    return {
        "index": a.case.index,
        # A follow-up says little without what was asked before it.
        "question": _cut(" → ".join((*a.case.asked, a.case.question)), _MAX_TEXT_CHARS),
        "detail": _cut(detail, _MAX_TEXT_CHARS),
        "facets": {"hardness": [a.hardness], "database": [a.case.database], "tag": list(dict.fromkeys(a.case.tags)), **facets},
        "chips": chips,
        "panels": _panels(sides),
    }


def _panels(sides: Sequence[_Side]) -> list[dict[str, Any]]:
    """What stands side by side: a name, a query in runs, and the beginning of its result."""
    (left, right) = (sql[:_MAX_SQL_CHARS] for _, sql, _ in sides)
    return [
        {"name": name, "sql": runs, "more": max(0, len(sql) - _MAX_SQL_CHARS), "head": _head(head)}
        for (name, sql, head), runs in zip(sides, mark_differences(left, right), strict=True)
    ]


def _head(head: Head | None) -> dict[str, Any] | None:
    if head is None:
        return None
    return {
        "columns": [_cut(name, _MAX_CELL_CHARS) for name in head.columns[:_MAX_COLUMNS]],
        "more_columns": max(0, len(head.columns) - _MAX_COLUMNS),
        "rows": [[_cell(value) for value in row[:_MAX_COLUMNS]] for row in head.rows[:_MAX_ROWS]],
        "total": head.total,
    }


def _cell(value: Value) -> tuple[str, str]:
    """A cell's kind and its text. Numbers are text too: a browser's lose digits past 2**53, and JSON has no NaN."""
    if value is None:
        return "null", "NULL"
    if isinstance(value, bytes):
        return "blob", f"{_cut(value[:_MAX_CELL_CHARS].hex(' '), _MAX_CELL_CHARS // 2)} ({len(value)} bytes)"
    return ("text", _cut(value, _MAX_CELL_CHARS)) if isinstance(value, str) else ("number", str(value))


def _cut(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else f"{text[:max_chars]}… ({len(text) - max_chars:,} more characters)"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "range": _range, "points": _points, "point_range": _point_range, "p": _p, "plain": _plain}
    return environment


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _range(bounds: Sequence[float]) -> str:
    return f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def _point_range(bounds: Sequence[float]) -> str:
    return f"{100 * bounds[0]:+.1f} to {100 * bounds[1]:+.1f}"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _plain(name: str) -> str:
    """A kind as words: `missing_table` -> `missing table`."""
    return name.replace("_", " ")


def _headline_table(totals: Mapping[str, Any]) -> Table:
    table = Table(title=f"{totals['n']} predictions, {totals['intervals']}", title_justify="left")
    for name in ("", "execution accuracy", "95 % interval", "right"):
        table.add_column(name, justify="right" if name else "left")
    for comparison in COMPARISONS:
        row = totals[comparison]
        table.add_row(comparison, _percent(row["execution_accuracy"]), _range(row["interval"]), str(row["matches"]))
    table.add_section()
    table.add_row("valid SQL", _percent(totals["valid_sql"]))
    table.add_row("syntax errors", _percent(totals["syntax_error"]))
    return table


def _group_table(group: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(title=f"By {group}", title_justify="left")
    table.add_column(group, overflow="fold", max_width=28)
    for name in ("n", *COMPARISONS, "valid SQL"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in rows.items():
        shares = [row[comparison]["execution_accuracy"] for comparison in COMPARISONS] + [row["valid_sql"]]
        # Text, not str: a name in brackets is no markup.
        table.add_row(Text(name), str(row["n"]), *map(_percent, shares))
    return table
