"""What a run says at its end: tables on the terminal, result.json, pictures and a README of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from t2s.data.survey import Survey
from t2s.report.plots import plot_lengths
from t2s.runtime import write_json, write_text


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def interval(bounds: Sequence[float]) -> str:
    return f"{100 * bounds[0]:.0f} to {100 * bounds[1]:.0f} %"


def show_survey(console: Console, result: Survey, directory: Path) -> None:
    """Prints the data report and writes data_report.json and data_lengths.png."""
    table = Table(title="Data", title_justify="left", caption_justify="left")
    for name in ("split", "pairs", "dropped", "repeats", "schema tokens", "longest pair", "question in train", "SQL", "shape"):
        table.add_column(name, justify="left" if name == "split" else "right")
    for name, split in result.splits.items():
        shared = result.leakage.get(name)
        leaks = ["-"] * 3 if shared is None else [str(shared.questions), str(shared.queries), str(shared.skeletons)]
        counts = (split.examples, split.dropped, split.duplicates, split.prefix_tokens, max(split.branch_tokens))
        table.add_row(name, *map(str, counts), *leaks)
    console.print(table)
    console.print("shape: SQL, literals aside. The model learns what stands in «»:", highlight=False)
    console.print("  …" + result.decoded_mask[-200:].replace("\n", "\n  "), markup=False, highlight=False)
    write_json(directory / "data_report.json", result.to_json())
    plot_lengths(directory / "data_lengths.png", {name: split.branch_tokens for name, split in result.splits.items()})


def show_scores(console: Console, title: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints one row per model or split: EX, its interval, valid SQL, n."""
    table = Table(title=title, title_justify="left")
    for name in ("", "execution accuracy", "95 % interval", "valid SQL", "questions"):
        table.add_column(name, justify="right" if name else "left")
    for name, row in rows.items():
        table.add_row(name, percent(row["execution_accuracy"]), interval(row["interval"]), percent(row["valid_sql"]), str(row["n"]))
    console.print(table)


def show_tags(console: Console, title: str, by_tag: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints EX per tag, most frequent first."""
    show_scores(console, title, dict(sorted(by_tag.items(), key=lambda item: (-item[1]["n"], item[0]))))


def write_run_readme(run_dir: Path, result: Mapping[str, Any]) -> None:
    """README.md of a run: the result, the settings that matter, and what to type next."""
    base = result["base"]
    lines = [
        f"# {result['model']} on {result['data']}",
        "",
        "| | execution accuracy | 95 % interval | valid SQL |",
        "|---|---|---|---|",
        *(
            f"| {name} | {percent(row['execution_accuracy'])} | {interval(row['interval'])} | {percent(row['valid_sql'])} |"
            for name, row in (("base", base), ("tuned", result["tuned"]))
            if row is not None
        ),
        "",
        f"Validation set, {result['tuned']['n']} questions, comparison `{result['comparison']}`. "
        f"Trained {result['train_seconds']:.0f} s, {result['examples_per_second']:.2f} examples/s, "
        f"peak memory {result['peak_memory_bytes'] / 2**30:.1f} GiB, best at step {result['best_step']}.",
        "",
        "![accuracy](execution_accuracy.png)",
        "",
        "![loss](learning_curve.png)",
        "",
        "## Next",
        "",
        "```",
        *next_commands(run_dir),
        "```",
        "",
        "## What lies here",
        "",
        "- `adapter/`: the best adapter, plain PEFT format",
        "- `result.json`, `metrics.csv`: the numbers",
        "- `config.yaml`, `environment.json`: what it takes to repeat the run",
        "- `predictions/`: what the model wrote at each validation, with verdicts",
        "- `checkpoints/`: to resume (`ckpt_path=last`); adapter, optimizer and data position, not the base model",
        "- `data_report.json`, `data_lengths.png`: the data as the model saw it",
        "",
    ]
    write_text(run_dir / "README.md", "\n".join(lines))


def next_commands(run_dir: Path) -> list[str]:
    """What to type after training."""
    return [
        f"python -m t2s.evaluate run={run_dir}",
        f'python -m t2s.infer run={run_dir} question="..."',
    ]
