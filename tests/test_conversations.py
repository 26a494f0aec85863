"""Conversations in the commands: answered behind the model's own answers, or asked one question after the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from ponds import PAIRS, TINY, Pond, only_run, run_t2s

from t2s.assembly import load_run
from t2s.data.example import Example, Turn
from t2s.errors import ConfigError
from t2s.infer import answer_file, converse
from t2s.sql.execute import Outcome

ROWS = Outcome("ok", ("n",), ((1,),), "", 0.0)


def test_each_question_is_asked_with_those_before_it_and_an_empty_line_begins_anew() -> None:
    asked: list[Example] = []
    shown: list[str] = []

    def ask(example: Example) -> tuple[str, Outcome]:
        asked.append(example)
        return f"SELECT {len(asked)}", ROWS

    lines = ["  ", "How many frogs?", " heavy ones ", "", "ponds?", "deep ones"]
    results = converse(lines, ask, "pond", lambda sql, outcome: shown.append(sql))
    assert asked == [
        Example("How many frogs?", "", "pond"),
        Example("heavy ones", "", "pond", (Turn("How many frogs?", "SELECT 1"),)),
        Example("ponds?", "", "pond"),
        Example("deep ones", "", "pond", (Turn("ponds?", "SELECT 3"),)),
    ]
    assert results == [(f"SELECT {n}", ROWS) for n in (1, 2, 3, 4)]
    assert shown == [sql for sql, _ in results]


def test_a_file_is_answered_in_one_go_unless_an_earlier_turn_lacks_its_sql() -> None:
    batches: list[list[Example]] = []

    def answer(batch: Sequence[Example]) -> list[str]:
        batches.append(list(batch))
        return [f"answer to {example.question}" for example in batch]

    given = [Example("a", "", "pond"), Example("b", "", "pond", (Turn("a", "SELECT 1"),))]
    assert answer_file(given, answer) == ["answer to a", "answer to b"]
    assert batches == [given]
    lacking = [Example("a", "", "pond"), Example("b", "", "pond", (Turn("a", ""),))]
    assert answer_file(lacking, answer) == ["answer to a", "answer to b"]
    assert batches[1:] == [[lacking[0]], [Example("b", "", "pond", (Turn("a", "answer to a"),))]]
    assert answer_file([*lacking, Example("c", "", "pond", (Turn("a", "SELECT 1"),))], answer)[2] == "answer to c"
    assert batches[-1][1].history == (Turn("a", "SELECT 1"),), "SQL that is given stays"


@pytest.mark.slow  # trains, and starts five commands
def test_a_run_learns_conversations_is_scored_on_them_both_ways_and_can_be_talked_to(pond: Pond, tmp_path: Path) -> None:
    def written(name: str, talks: Sequence[Sequence[tuple[str, str]]]) -> str:
        rows = [{"turns": [{"question": q, "sql": s} for q, s in talk]} for talk in talks]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(tmp_path / name)

    train = written("train.jsonl", [PAIRS[:3], PAIRS[3:5], PAIRS[5:9]])
    test = written("test.jsonl", [PAIRS[:3], PAIRS[4:6]])
    files = [f"data.train={train}", f"data.val={test}", f"data.held_out.test={test}", f"data.database={pond.database}"]
    done = run_t2s("train", *TINY, *files, "data.supervise=all", "trainer.max_epochs=1", "eval.before_training=false", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path)
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["supervise"] == "all"
    report = json.loads((run / "data_report.json").read_text())
    assert (report["splits"]["train"]["examples"], len(report["splits"]["train"]["branch_tokens"])) == (9, 3)
    assert report["decoded_mask"].count("«") == 3
    assert json.loads((run / "result.json").read_text())["tuned"]["n"] == 5, "validation asks every turn"

    found = {}
    for history in ("gold", "own"):
        done = run_t2s("evaluate", f"run={run}", f"history={history}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "scored before" not in done.stdout
        found[history] = json.loads((run / "evaluation/test.json").read_text())
        assert (found[history]["question_match"]["n"], found[history]["interaction_match"]["n"]) == (5, 2)
    assert "history" not in found["gold"]
    assert found["own"]["history"] == "own"
    again = run_t2s("evaluate", f"run={run}", "history=own", cwd=tmp_path)
    assert "scored before" in again.stdout

    told = run_t2s("infer", f"run={run}", cwd=tmp_path, stdin="How many frogs?\nheavy ones\n\nponds\n")
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("\n> ") == 5, "three questions, an empty line, the end"


def test_own_history_on_questions_asked_alone_is_refused() -> None:
    from omegaconf import OmegaConf
    from rich.console import Console

    from t2s.errors import ConfigError
    from t2s.evaluate import _answers

    class Stub:
        def answer(self, examples: Sequence[Example], batch_size: int | None, name: str, console: Console) -> list[str]:
            return [f"{name}: {example.history[-1].sql if example.history else ''}" for example in examples]

    own, gold = (OmegaConf.create({"history": history, "batch_size": None}) for history in ("own", "gold"))
    talk = [
        Example("a", "SELECT 1", "pond", conversation="t"),
        Example("b", "SELECT 2", "pond", (Turn("a", "SELECT 1"),), conversation="t"),
    ]
    with pytest.raises(ConfigError, match="history=own has no effect on test"):
        _answers(own, Stub(), "test", talk[:1], Console())  # type: ignore[arg-type]
    assert _answers(gold, Stub(), "test", talk, Console()) == ["test: ", "test: SELECT 1"]  # type: ignore[arg-type]
    assert _answers(own, Stub(), "test", talk, Console()) == ["test, turn 1: ", "test, turn 2: test, turn 1: "]  # type: ignore[arg-type]


def test_a_run_of_an_earlier_version_says_which_settings_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data: {supervise: last}\nmodel: {}\npaths: {cache_dir: x}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no data\.dialect.*linking, linking_tokens"):
        load_run(tmp_path)
