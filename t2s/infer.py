"""python -m t2s.infer run=... question="...": ask a trained model, and see the rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from t2s.assembly import load_run, run_config, sandbox
from t2s.config import entry
from t2s.data.example import Example
from t2s.data.readers import read_questions
from t2s.errors import ConfigError
from t2s.runtime import keep_freed_memory, quiet_libraries, short, write_text
from t2s.sql.execute import Outcome

ENDINGS = (".jsonl", ".csv")


@entry("infer")
def main(cfg: DictConfig) -> None:
    infer(cfg, Console())


def infer(cfg: DictConfig, console: Console) -> list[tuple[str, Outcome]]:
    """Answers one question or a file of them.

    Returns:
        SQL and what it returned, in the order of the questions.
    """
    run_cfg = run_config(Path(cfg.run))
    output = None if cfg.output is None else Path(cfg.output)
    if output is not None and output.suffix not in ENDINGS:
        raise ConfigError(f"output={cfg.output}: ending {output.suffix or 'missing'} is not known; use {' or '.join(ENDINGS)}")
    names = [Path(run_cfg.data.database).stem]
    if cfg.database is not None and cfg.database not in names:
        raise ConfigError(f"database={cfg.database} is none of this run's; choose from {', '.join(names)}")
    if cfg.question is not None:
        if not cfg.question.strip():
            raise ConfigError("question is empty; ask something")
        examples = [Example(cfg.question.strip(), "", cfg.database or names[0])]
    else:
        examples = read_questions(Path(cfg.input), names)
    keep_freed_memory()
    quiet_libraries()
    run = load_run(Path(cfg.run))
    answers = run.answer(examples, cfg.batch_size, "answering", console)
    with sandbox(run_cfg.eval) as box:
        results = [(sql, box.execute(sql, run.databases[e.database])) for e, sql in zip(examples, answers, strict=True)]
    if output is None:
        _show(console, *results[0], most=cfg.rows)
    else:
        _write(output, examples, results)
        ran = sum(outcome.kind == "ok" for _, outcome in results)
        console.print(f"{len(results)} questions, {ran} ran: {short(output)}", highlight=False, soft_wrap=True)
    return results


def _show(console: Console, sql: str, outcome: Outcome, most: int) -> None:
    console.print(sql, markup=False, highlight=False, soft_wrap=True)
    if outcome.kind != "ok":
        console.print(f"\ndid not run: {outcome.kind}, {outcome.detail}", markup=False, highlight=False)
        return
    table = Table()
    for column in outcome.columns:
        table.add_column(column)
    for row in outcome.rows[:most]:
        table.add_row(*("NULL" if value is None else str(value) for value in row))
    console.print(table)
    hidden = len(outcome.rows) - most
    console.print(
        f"{len(outcome.rows)} rows" + (f", first {most} shown (rows={len(outcome.rows)} shows all)" if hidden > 0 else ""), highlight=False
    )


def _write(output: Path, examples: Sequence[Example], results: Sequence[tuple[str, Outcome]]) -> None:
    rows = [
        {
            "id": example.id,
            "question": example.question,
            "database": example.database,
            "sql": sql,
            "execution": outcome.kind,
            "detail": outcome.detail,
            "rows": len(outcome.rows),
        }
        for example, (sql, outcome) in zip(examples, results, strict=True)
    ]
    if output.suffix == ".jsonl":
        write_text(output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_text(output, text.getvalue())


if __name__ == "__main__":
    main()
