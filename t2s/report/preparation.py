"""The report on prepared data: what was kept and why not more, as an HTML page, as JSON and on the terminal."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console
from rich.table import Table
from rich.text import Text

from t2s.data.cleaning import Cleaned, Rejected
from t2s.data.example import Example
from t2s.data.leakage import Shared
from t2s.data.pii import mask
from t2s.errors import DataError
from t2s.runtime import write_text
from t2s.sql.hardness import hardness

_LEVELS = ("easy", "medium", "hard", "extra", "unknown")
_MAX_TEXT_CHARS = 600
_MAX_SQL_CHARS = 1500
# The page stays some 10 MB whatever was refused; the counts are of all.
_MAX_REJECTED = 5000
_SHOWN_PER_LEVEL = 4
_MOST_BARS = 24
# Tags of the form `register:curt` say how a question is worded and where a pair comes from.
_FACETS = ("register", "source")


def preparation_summary(
    cleaned: Cleaned,
    splits: Mapping[str, Sequence[Example]],
    leakage: Mapping[str, Mapping[str, Shared]],
    coverage: Mapping[str, Mapping[str, int]],
    seed: int,
) -> dict[str, Any]:
    """All that the report says, as plain values that JSON can hold.

    Args:
        cleaned: The outcome of cleaning.
        splits: The kept examples by split.
        leakage: By split, what it shares with other splits or benchmarks, as `shared_with` says.
        coverage: What is counted -> name -> pairs that use it, 0 for none, as `coverage` says.
        seed: Of the draw of examples to show.
    """
    kept = cleaned.kept
    levels = [_level(example.sql) for example in kept]
    return {
        "pairs_read": cleaned.steps[0].before if cleaned.steps else len(kept),
        "pairs_kept": len(kept),
        "steps": [{**asdict(step), "after": step.after} for step in cleaned.steps],
        "hardness": _counted(levels, _LEVELS),
        "coverage": {what: dict(counts) for what, counts in coverage.items()},
        "question_words": histogram([len(example.question.split()) for example in kept]),
        "sql_chars": histogram([len(example.sql) for example in kept]),
        "facets": _facets(kept),
        "personal_data": dict(cleaned.personal_data),
        "splits": {
            name: {"pairs": len(examples), "hardness": _counted(map(_level_of, examples), _LEVELS)} for name, examples in splits.items()
        },
        "leakage": {name: {other: asdict(shared) for other, shared in found.items()} for name, found in leakage.items()},
        "examples": _samples(kept, levels, seed),
        "rejected": [_rejected(one) for one in cleaned.rejected[:_MAX_REJECTED]],
        "rejected_total": len(cleaned.rejected),
    }


def write_preparation_report(path: Path, title: str, summary: Mapping[str, Any]) -> None:
    """Writes the report as one HTML file, which holds its style, its script and its data, and asks for nothing else.

    Args:
        path: The file to write.
        title: What was prepared.
        summary: As `preparation_summary` makes it.
    """
    page = _environment().get_template("preparation.html").render(title=title, summary=summary, data={"rejected": summary["rejected"]})
    # A refused text may hold half a character, which cannot be written; in the data JSON has escaped it already.
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))


def show_preparation(console: Console, summary: Mapping[str, Any]) -> None:
    """Prints the summary, within 80 columns."""
    console.print(_steps_table(summary))
    console.print(_levels_table(summary))
    for what, counts in summary["coverage"].items():
        missing = [name for name, count in counts.items() if not count]
        said = f"{what}: {len(counts) - len(missing)} of {len(counts)} used" + (f"; not {_listed(missing)}" if missing else "")
        console.print(Text(said), soft_wrap=False)
    for kind, count in summary["personal_data"].items():
        console.print(Text(f"personal data: {kind.replace('_', ' ')}, {count:,} times"))
    leaks = [(name, other, shared) for name, found in summary["leakage"].items() for other, shared in found.items()]
    if leaks:
        console.print(_leaks_table(leaks))


def histogram(values: Sequence[int], most_bars: int = _MOST_BARS) -> dict[str, Any]:
    """Counts of values in bars of one width, the smallest of 1, 2, 5, 10, ... that needs no more bars than allowed.

    Returns:
        `start` and `width` of the bars, their `counts`, and `median` and `most` of the values; without values no bars.

    Example:
        [3, 4, 9] with 2 bars -> {"start": 0, "width": 5, "counts": [2, 1], "median": 4, "most": 9}
    """
    if not values:
        return {"start": 0, "width": 1, "counts": [], "median": 0, "most": 0}
    width = next(step * 10**power for power in range(10) for step in (1, 2, 5) if _bars(values, step * 10**power) <= most_bars)
    start = min(values) // width * width
    counts = Counter((value - start) // width for value in values)
    ordered = sorted(values)
    return {
        "start": start,
        "width": width,
        "counts": [counts[bar] for bar in range(max(counts) + 1)],
        "median": ordered[(len(ordered) - 1) // 2],
        "most": ordered[-1],
    }


def _bars(values: Sequence[int], width: int) -> int:
    return max(values) // width - min(values) // width + 1


def _level(sql: str) -> str:
    try:
        return hardness(sql)
    except (DataError, RecursionError):
        return "unknown"


def _level_of(example: Example) -> str:
    return _level(example.sql)


def _counted(values: Iterable[str], order: Sequence[str]) -> dict[str, int]:
    counts = Counter(values)
    return {name: counts[name] for name in order if counts[name] or name != "unknown"}


def _facets(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {facet: Counter() for facet in _FACETS}
    for example in examples:
        for tag in example.tags:
            facet, colon, value = tag.partition(":")
            if colon and facet in found:
                found[facet][value] += 1
    return {facet: dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))) for facet, counts in found.items() if counts}


def _samples(examples: Sequence[Example], levels: Sequence[str], seed: int) -> dict[str, list[dict[str, str]]]:
    dice = random.Random(seed)
    by_level: dict[str, list[Example]] = {}
    for example, level in zip(examples, levels, strict=True):
        by_level.setdefault(level, []).append(example)
    return {
        level: [_shown(example) for example in dice.sample(by_level[level], min(_SHOWN_PER_LEVEL, len(by_level[level])))]
        for level in _LEVELS
        if level in by_level
    }


def _shown(example: Example) -> dict[str, str]:
    return {
        "question": _shortened(example.question, _MAX_TEXT_CHARS),
        "sql": _shortened(example.sql, _MAX_SQL_CHARS),
        "database": example.database[:_MAX_TEXT_CHARS],
    }


def _rejected(one: Rejected) -> dict[str, str]:
    return {**_shown(one.example), "id": one.example.id[:100], "step": one.step, "reason": _shortened(one.reason, _MAX_TEXT_CHARS)}


def _shortened(text: str, max_chars: int) -> str:
    """The beginning of a text, personal data masked: a report is passed on more readily than the data."""
    # Cut behind what is shown, so that the mask sees whole what the page would show half.
    shown = mask(text[: 2 * max_chars])[:max_chars]
    return shown if len(text) <= max_chars else f"{shown}… ({len(text) - max_chars:,} more characters)"


def _listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    most = 6
    return ", ".join(name[:30] for name in names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else "-"


def _steps_table(summary: Mapping[str, Any]) -> Table:
    read, kept = summary["pairs_read"], summary["pairs_kept"]
    table = Table(title=f"{kept:,} of {read:,} pairs kept ({_share(kept, read)})", title_justify="left")
    for name in ("step", "refused", "changed", "left", "of all"):
        table.add_column(name, justify="left" if name == "step" else "right", no_wrap=True)
    for step in summary["steps"]:
        counts = (f"{step[what]:,}" if step[what] else "" for what in ("rejected", "changed"))
        table.add_row(Text(step["name"]), *counts, f"{step['after']:,}", _share(step["after"], read))
    return table


def _levels_table(summary: Mapping[str, Any]) -> Table:
    table = Table(title="Hardness", title_justify="left")
    table.add_column("split", overflow="fold", max_width=20)
    for name in ("pairs", *summary["hardness"]):
        table.add_column(name, justify="right", no_wrap=True)
    rows = {"all": {"pairs": summary["pairs_kept"], "hardness": summary["hardness"]}, **summary["splits"]}
    for split, row in rows.items():
        table.add_row(Text(split), f"{row['pairs']:,}", *(f"{row['hardness'].get(level, 0):,}" for level in summary["hardness"]))
    return table


def _leaks_table(leaks: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Table:
    table = Table(title="What is shared", title_justify="left")
    for name in ("split", "with"):
        table.add_column(name, overflow="fold", max_width=18)
    for name in ("pairs", "question", "query", "shape"):
        table.add_column(name, justify="right", no_wrap=True)
    for split, other, shared in leaks:
        table.add_row(Text(split), Text(other), *(f"{shared[what]:,}" for what in ("examples", "questions", "queries", "skeletons")))
    return table


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": lambda count, total: _share(count, total), "thousands": lambda count: f"{count:,}"}
    return environment
