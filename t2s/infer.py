"""python -m t2s.infer run=... question="...": ask a trained model, and see the rows. Without a question: ask several in turn."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from t2s.assembly import load_run, run_config, sandbox
from t2s.config import entry
from t2s.data.conversations import answer_turn_by_turn
from t2s.data.example import Example, Turn
from t2s.data.readers import read_questions
from t2s.errors import ConfigError
from t2s.runtime import keep_freed_memory, quiet_libraries, short, write_text
from t2s.sql.execute import Outcome

ENDINGS = (".jsonl", ".csv")


@entry("infer")
def main(cfg: DictConfig) -> None:
    infer(cfg, Console())


def infer(cfg: DictConfig, console: Console) -> list[tuple[str, Outcome]]:
    """Answers one question, a file of them, or what is typed.

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
        examples = [] if cfg.input is None else read_questions(Path(cfg.input), names)
    keep_freed_memory()
    quiet_libraries()
    run = load_run(Path(cfg.run))
    with sandbox(run_cfg.eval) as box:
        if not examples:

            def ask(example: Example) -> tuple[str, Outcome]:
                [sql] = run.answer([example], cfg.batch_size, "answering", console)
                return sql, box.execute(sql, run.databases[example.database])

            console.print("ask; an empty line begins a new conversation, end of input (Ctrl-D) leaves", highlight=False)
            return converse(_typed(console), ask, cfg.database or names[0], lambda sql, outcome: _show(console, sql, outcome, cfg.rows))
        answers = answer_file(examples, lambda batch: run.answer(batch, cfg.batch_size, "answering", console))
        results = [(sql, box.execute(sql, run.databases[e.database])) for e, sql in zip(examples, answers, strict=True)]
    if output is None:
        _show(console, *results[0], most=cfg.rows)
    else:
        _write(output, examples, results)
        ran = sum(outcome.kind == "ok" for _, outcome in results)
        console.print(f"{len(results)} questions, {ran} ran: {short(output)}", highlight=False, soft_wrap=True)
    return results


def answer_file(examples: Sequence[Example], answer_batch: Callable[[Sequence[Example]], Sequence[str]]) -> list[str]:
    """SQL for each example; earlier turns that came without SQL are answered first."""
    if all(turn.sql for example in examples for turn in example.history):
        return list(answer_batch(examples))
    return answer_turn_by_turn(examples, answer_batch, only_missing=True)


def converse(
    lines: Iterable[str],
    ask: Callable[[Example], tuple[str, Outcome]],
    database: str,
    show: Callable[[str, Outcome], object],
) -> list[tuple[str, Outcome]]:
    """Answers questions as they come, each with those before it as history; an empty line begins a new conversation.

    Args:
        lines: What is asked, line by line.
        ask: Gives SQL and what it returned.
        database: Name of the database that is asked about.
        show: Given each answer.
    """
    history: list[Turn] = []
    results = []
    for line in lines:
        question = line.strip()
        if not question:
            history = []
            continue
        sql, outcome = ask(Example(question, "", database, tuple(history)))
        history.append(Turn(question, sql))
        results.append((sql, outcome))
        show(sql, outcome)
    return results


def _typed(console: Console) -> Iterator[str]:
    """Lines as a person types them."""
    while True:
        try:
            yield console.input("\n> ")
        except (EOFError, KeyboardInterrupt):
            return


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
