"""python -m t2s.evaluate: score a trained run on its held-out questions, or any file of predicted SQL."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress

from t2s.assembly import ADAPTER, TrainedRun, databases, load_run, questions, run_config, suites
from t2s.config import entry
from t2s.data.conversations import answer_turn_by_turn
from t2s.data.example import Example
from t2s.data.predictions import read_predictions
from t2s.errors import ConfigError, DataError
from t2s.metrics.assess import Assessor
from t2s.metrics.assessment import Assessment, Case
from t2s.metrics.cache import AnswerCache
from t2s.metrics.execution_accuracy import Verdict, score
from t2s.metrics.paired import Paired, compare_sets
from t2s.metrics.suite import judge_on_suite
from t2s.metrics.summary import conversation_totals, is_match, summary
from t2s.report.judgement import show_conversations, show_judgement, show_paired, write_report
from t2s.runtime import keep_freed_memory, quiet_libraries, sha256, short, write_json, write_text
from t2s.sql.execute import Sandbox
from t2s.sql.parse import tags
from t2s.sql.schema import read_schema
from t2s.sql.testsuite import VERSION, Suite, load_suite

ADAPTER_FILE = "adapter_model.safetensors"


@entry("evaluate")
def main(cfg: DictConfig) -> None:
    reached = evaluate(cfg, Console())
    if cfg.min_ex is not None and reached < cfg.min_ex:
        raise ConfigError(f"execution accuracy {reached:.3f} ({cfg.comparison}) is below min_ex={cfg.min_ex}")


def evaluate(cfg: DictConfig, console: Console) -> float:
    """Scores a run or a file of predictions, writes what it found, shows the totals.

    Returns:
        The execution accuracy by `cfg.comparison`; of several held-out sets, the lowest.
    """
    return _evaluate_predictions(cfg, console) if cfg.run is None else _evaluate_run(cfg, console)


def _evaluate_predictions(cfg: DictConfig, console: Console) -> float:
    files = databases(cfg.data)
    (name,) = _held_out(cfg.data, cfg.splits, only_one=True)
    examples = questions(Path(cfg.data.held_out[name]).expanduser(), files)
    predictions = Path(cfg.predictions)
    answers = read_predictions(predictions, examples)
    judged_on = _suites(cfg, files, examples, console)
    found = _assess(cfg, console, name, files, judged_on, examples, answers)
    paired = None
    if cfg.baseline is not None:
        before = _assess(cfg, console, "baseline", files, judged_on, examples, read_predictions(Path(cfg.baseline), examples))
        paired = compare_sets(before, found, names=(Path(cfg.baseline).name, predictions.name))
    directory = Path(cfg.output or "evaluation")
    totals = {**summary(found), **_rules(cfg), "predictions_sha256": sha256(predictions)}
    _write(directory, f"{predictions.name} on {cfg.data.name} {name}", found, totals, paired)
    show_judgement(console, totals)
    if paired is not None:
        show_paired(console, paired)
    console.print(f"report: {short(directory / 'report.html')}", highlight=False, soft_wrap=True)
    reached: float = totals[cfg.comparison]["execution_accuracy"]
    return reached


def _evaluate_run(cfg: DictConfig, console: Console) -> float:
    """A set is read once for each adapter: a score that is there is shown, not made again, unless `force`."""
    run_dir = Path(cfg.run)
    run_cfg = run_config(run_dir)
    files = _held_out(run_cfg.data, cfg.splits, only_one=False)
    adapter = run_dir / ADAPTER / ADAPTER_FILE
    if not adapter.is_file():
        raise ConfigError(f"run={cfg.run} has no {ADAPTER}/{ADAPTER_FILE}; finish it with python -m t2s.train ckpt_path={cfg.run}")
    directory = Path(cfg.output) if cfg.output else run_dir / "evaluation"
    made_of = {"adapter_sha256": sha256(adapter), **_rules(cfg)}
    results = {} if cfg.force else _known(directory, files, made_of, cfg.history)
    again = list(results) if len(results) == len(files) else []
    if not again:
        keep_freed_memory()
        quiet_libraries()
        console.print(f"loading {run_cfg.model.name} and {short(adapter.parent)}", highlight=False, soft_wrap=True)
        run = load_run(run_dir)
        found = {name: _score_split(cfg, run, name, file, directory, made_of, console) for name, file in files.items()}
        results = {name: result for name, (result, _) in found.items()}
        everything = [assessment for _, assessments in found.values() for assessment in assessments]
        _write(directory, f"{run_cfg.model.name} on {', '.join(found)}", everything, {**summary(everything), **_rules(cfg)})
    _show(console, run_dir, directory, results, again)
    return min(float(result["execution_accuracy"]) for result in results.values())


def _held_out(data: DictConfig, splits: Sequence[str] | None, *, only_one: bool) -> dict[str, Path]:
    known = {str(name): Path(file) for name, file in data.held_out.items() if file}
    if not known:
        raise ConfigError("this data names no held-out questions; give data.held_out.test=test.jsonl")
    unknown = [name for name in splits or () if name not in known]
    if unknown:
        raise ConfigError(f"splits={unknown} are not held-out sets of this data; choose from {', '.join(known)}")
    chosen = {name: file for name, file in known.items() if splits is None or name in splits}
    if only_one and len(chosen) > 1:
        raise ConfigError(f"predictions= answer one set of questions; say which: splits=[{next(iter(chosen))}] of {', '.join(chosen)}")
    return chosen


def _known(directory: Path, files: Mapping[str, Path], made_of: Mapping[str, Any], history: str) -> dict[str, dict[str, Any]]:
    """Scores that are there already, of this adapter, these questions and this comparison."""
    found = {}
    for name, file in files.items():
        saved = directory / f"{name}.json"
        if saved.is_file() and file.is_file():
            result = json.loads(saved.read_text(encoding="utf-8"))
            if {**made_of, "data_sha256": sha256(file)}.items() <= result.items() and result.get("history", "gold") == history:
                found[name] = result
    return found


def _score_split(
    cfg: DictConfig, run: TrainedRun, name: str, file: Path, directory: Path, made_of: Mapping[str, Any], console: Console
) -> tuple[dict[str, Any], list[Assessment]]:
    from t2s.data.survey import leakage

    examples = questions(file, run.databases)
    judged_on = _suites(cfg, run.databases, examples, console)
    started = time.perf_counter()
    answers = _answers(cfg, run, name, examples, console)
    generated = time.perf_counter() - started
    found = _assess(cfg, console, name, run.databases, judged_on, examples, answers)
    by_tag: dict[str, list[Assessment]] = {}
    for assessment in found:
        for tag in _tags(assessment.case.gold):
            by_tag.setdefault(tag, []).append(assessment)
    train = Path(run.cfg.data.train)
    shared = leakage(examples, questions(train, run.databases)) if train.is_file() else None
    result = {
        **_score(found, cfg),
        **made_of,
        **conversation_totals(found),
        "by_tag": {tag: _score(group, cfg) for tag, group in sorted(by_tag.items())},
        "shared_with_train": None if shared is None else vars(shared),
        "generation_seconds": generated,
        "data_sha256": sha256(file),
    }
    write_json(directory / f"{name}.json", result)
    _write_lines(directory / f"{name}.jsonl", found)
    return result, found


def _answers(cfg: DictConfig, run: TrainedRun, name: str, examples: Sequence[Example], console: Console) -> list[str]:
    if cfg.history == "gold":
        return run.answer(examples, cfg.batch_size, name, console)
    if not any(example.history for example in examples):
        raise ConfigError(f"history=own has no effect on {name}: none of its questions has earlier turns; leave it out, or choose splits=")

    def answer_batch(batch: Sequence[Example]) -> list[str]:
        return run.answer(batch, cfg.batch_size, f"{name}, turn {len(batch[0].history) + 1}", console)

    return answer_turn_by_turn(examples, answer_batch, only_missing=False)


def _tags(gold: str) -> Sequence[str]:
    try:
        return tags(gold)
    except DataError:
        return ["unreadable"]  # SQLite runs what sqlglot cannot read


def _rules(cfg: DictConfig) -> dict[str, Any]:
    """What decides between right and wrong, as it stands beside the figures."""
    suite = f"built, version {VERSION}" if cfg.suite is True else cfg.suite or None
    own = {"history": cfg.history} if cfg.history != "gold" else {}
    return {"comparison": cfg.comparison, "columns": cfg.columns, "suite": suite, **own}


def _suites(cfg: DictConfig, files: Mapping[str, Path], examples: Sequence[Example], console: Console) -> dict[str, Suite]:
    """By database name: built for these questions, or read from the directory that is named."""
    if cfg.suite is True:
        return suites(files, examples, cfg.paths.cache_dir, console)
    if not cfg.suite:
        return {}
    suite = load_suite(Path(cfg.suite))
    meant = [name for name, file in files.items() if sha256(file) == suite.database_sha256]
    if not meant:
        raise ConfigError(
            f"suite={cfg.suite} was made from another database than these questions are about ({suite.database}); build it anew"
        )
    return dict.fromkeys(meant, suite)


def _assess(
    cfg: DictConfig,
    console: Console,
    name: str,
    files: Mapping[str, Path],
    judged_on: Mapping[str, Suite],
    examples: Sequence[Example],
    answers: Sequence[str],
) -> list[Assessment]:
    """Runs and compares, with what earlier evaluations found on the same files."""
    cases = [
        Case(
            i, example.question, example.database, files[example.database], example.sql, sql, example.tags,
            example.conversation, tuple(turn.question for turn in example.history),
        )
        for i, (example, sql) in enumerate(zip(examples, answers, strict=True))
    ]  # fmt: skip
    limits = (cfg.timeout_s, cfg.max_rows, cfg.max_bytes, cfg.max_memory_bytes)
    schemas = {name: read_schema(files[name], 0) for name in dict.fromkeys(case.database for case in cases)}
    with (
        Sandbox(*limits, workers=cfg.workers) as box,
        AnswerCache(Path(cfg.paths.cache_dir).expanduser() / "answers.sqlite") as cache,
        Progress(console=console, transient=True) as bar,
    ):
        task = bar.add_task(f"running {name}", total=len(cases))
        assessor = Assessor(box, schemas, cache, f"{limits}", cfg.columns)
        found = assessor.assess(cases, lambda done: bar.update(task, completed=done))
        if not judged_on:
            return found
        found, covered = judge_on_suite(found, judged_on, assessor)
    variants = sum(len(suite.variants) for suite in judged_on.values())
    console.print(f"{name}: {covered} of {len(found)} questions judged on the suite's {variants} databases too", highlight=False)
    return found


def _score(found: Sequence[Assessment], cfg: DictConfig) -> dict[str, Any]:
    verdicts = [
        Verdict("match" if is_match(a, cfg.comparison) else "mismatch" if a.execution == "ok" else a.execution, a.detail) for a in found
    ]
    return vars(score(verdicts))


def _write(directory: Path, title: str, found: Sequence[Assessment], totals: Mapping[str, Any], paired: Paired | None = None) -> None:
    _write_lines(directory / "predictions.jsonl", found)
    write_json(directory / "summary.json", totals)
    write_report(directory / "report.html", title, found, totals, paired)
    if paired is not None:
        write_json(directory / "paired.json", paired.to_json())
        write_text(directory / "changes.jsonl", _lines(change.line() for change in paired.changes))


def _write_lines(file: Path, found: Sequence[Assessment]) -> None:
    write_text(file, _lines(assessment.line() for assessment in found))


def _lines(rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _show(console: Console, run_dir: Path, directory: Path, results: Mapping[str, dict[str, Any]], again: Sequence[str]) -> None:
    from t2s.report.run import show_scores, show_tags

    for name, result in results.items():
        show_tags(console, f"{name}, by what the gold query needs", result["by_tag"])
        show_conversations(console, result)
    show_scores(console, f"Held-out questions, comparison {next(iter(results.values()))['comparison']}", results)
    for name, result in results.items():
        shared = result["shared_with_train"]
        if shared:
            console.print(
                f"{name} shares with train: {shared['questions']} questions, {shared['queries']} queries, "
                f"{shared['skeletons']} query shapes",
                highlight=False,
            )
    if again:
        console.print(f"{', '.join(again)}: scored before with this adapter, shown again (force=true scores anew)", highlight=False)
    closing = f'predictions, scores and report.html: {short(directory)}\nnext:\n  python -m t2s.infer run={short(run_dir)} question="..."'
    console.print(closing, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
