"""The commands end to end on a tiny model: train, evaluate, infer, and what they leave behind."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml
from ponds import PAIRS, ROOT, Pond, only_run, run_t2s


@pytest.fixture(scope="module")
def trained(pond: Pond, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run and what the terminal showed."""
    directory = tmp_path_factory.mktemp("main_job")
    done = run_t2s("train", *pond.overrides(), "trainer.max_epochs=2", cwd=directory)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "nothing but our own words on the terminal"
    return only_run(directory), done.stdout


def test_a_run_leaves_what_it_promises(trained: tuple[Path, str]) -> None:
    run, _ = trained
    expected = {
        "config.yaml", "environment.json", "data_report.json", "data_lengths.png", "metrics.csv", "learning_curve.png",
        "execution_accuracy.png", "result.json", "README.md", "adapter/adapter_config.json", "adapter/adapter_model.safetensors",
        "checkpoints/best.ckpt", "checkpoints/last.ckpt", "predictions/val_step000000.jsonl", "predictions/val_step000020.jsonl",
    }  # fmt: skip
    assert {name for name in expected if not (run / name).is_file()} == set()
    assert (run / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_result_json_has_stable_keys_and_true_numbers(trained: tuple[Path, str]) -> None:
    run, _ = trained
    result = json.loads((run / "result.json").read_text())
    assert set(result) >= {"base", "tuned", "train_seconds", "examples_per_second", "peak_memory_bytes", "best_step", "seed"}
    for side in ("base", "tuned"):
        assert set(result[side]) >= {"execution_accuracy", "valid_sql", "interval", "n", "verdicts"}
        assert result[side]["n"] == 3
    step = result["best_step"]
    verdicts = [json.loads(line)["verdict"] for line in (run / f"predictions/val_step{step:06d}.jsonl").read_text().splitlines()]
    assert result["tuned"]["execution_accuracy"] == pytest.approx(verdicts.count("match") / 3)


def test_metrics_csv_has_a_row_for_every_step_and_the_curve_falls(trained: tuple[Path, str]) -> None:
    run, _ = trained
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    losses = [float(row["train/loss"]) for row in rows if row["train/loss"]]
    assert len(losses) == 20  # 20 examples, 2 a step, 2 epochs
    assert sum(losses[-5:]) < sum(losses[:5])
    logged = {key for row in rows for key, value in row.items() if value}
    assert logged >= {
        "train/learning_rate", "train/gradient_norm", "train/tokens_per_second", "train/examples_per_second", "train/memory_bytes",
        "val/execution_accuracy", "val/valid_sql", "val/loss", "val/verdicts/mismatch",
    }  # fmt: skip


def test_a_run_can_be_repeated_from_what_it_recorded(trained: tuple[Path, str]) -> None:
    run, _ = trained
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["lora"]["r"] == 4
    assert Path(config["data"]["train"]).is_absolute()
    environment = json.loads((run / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert all(len(entry["sha256"]) == 64 for entry in environment["data"].values())
    assert {"train", "val", "database pond"} == set(environment["data"])


def test_checkpoints_hold_the_adapter_and_not_the_base(trained: tuple[Path, str]) -> None:
    run, _ = trained
    checkpoint = torch.load(run / "checkpoints/last.ckpt", weights_only=False)
    assert all("lora_" in name for name in checkpoint["state_dict"])
    assert checkpoint["optimizer_states"]
    assert checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"][0]["position"] == 10


def test_the_adapter_loads_without_t2s(trained: tuple[Path, str]) -> None:
    from peft import PeftModel

    from t2s.model.sources import TinySpec
    from t2s.model.tiny import build_tiny

    run, _ = trained
    config = yaml.safe_load((run / "config.yaml").read_text())
    base, _ = build_tiny(TinySpec(**config["model"]["tiny"]))
    model = PeftModel.from_pretrained(base, str(run / "adapter"))
    weights = {name: p for name, p in model.named_parameters() if "lora_B" in name}
    assert len(weights) == 14
    assert all(p.abs().sum() > 0 for p in weights.values())


def test_the_terminal_ends_with_base_against_tuned_and_the_next_commands(trained: tuple[Path, str]) -> None:
    run, terminal = trained
    short = "/".join(run.parts[-3:])
    assert max(map(len, terminal.splitlines()[:-6])) <= 80
    assert "base model: execution accuracy" in terminal
    assert "│ tuned │" in terminal
    assert terminal.rstrip().endswith(f'python -m t2s.infer run={short} question="..."')
    assert "SELECT COUNT(*) FROM ponds<|im_end|>»" in terminal


def test_evaluate_scores_once_and_shows_the_same_again(trained: tuple[Path, str]) -> None:
    run, _ = trained
    first = run_t2s("evaluate", f"run={run}", cwd=run)
    assert first.returncode == 0, first.stderr
    scores = json.loads((run / "evaluation/test.json").read_text())
    assert set(scores) >= {"execution_accuracy", "interval", "valid_sql", "n", "by_tag", "comparison"}
    assert scores["n"] == 3
    assert scores["shared_with_train"] == {"questions": 3, "queries": 3, "skeletons": 3}
    rows = [json.loads(line) for line in (run / "evaluation/test.jsonl").read_text().splitlines()]
    assert [row["question"] for row in rows] == [question for question, _ in PAIRS[3:6]]
    written = (run / "evaluation/test.json").stat().st_mtime_ns
    second = run_t2s("evaluate", f"run={run}", cwd=run)
    assert "scored before" in second.stdout
    assert (run / "evaluation/test.json").stat().st_mtime_ns == written
    forced = run_t2s("evaluate", f"run={run}", "force=true", "splits=[test]", cwd=run)
    assert forced.returncode == 0, forced.stderr
    assert (run / "evaluation/test.json").stat().st_mtime_ns > written


def test_infer_answers_one_question_and_files_of_them(trained: tuple[Path, str], tmp_path: Path) -> None:
    run, _ = trained
    one = run_t2s("infer", f"run={run}", "question=How many frogs?", cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    (tmp_path / "in.csv").write_text("question,note\nHow many frogs?,a\nnames of all ponds,b\n")
    (tmp_path / "in.jsonl").write_text('{"question": "How many frogs?"}\n')
    for source, target, expected in (("in.csv", "out.jsonl", 2), ("in.jsonl", "out.csv", 1)):
        done = run_t2s("infer", f"run={run}", f"input={source}", f"output={target}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        text = (tmp_path / target).read_text()
        rows = list(map(json.loads, text.splitlines())) if target.endswith("jsonl") else list(csv.DictReader(text.splitlines()))
        assert len(rows) == expected
        assert set(rows[0]) == {"id", "question", "database", "sql", "execution", "detail", "rows"}


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("evaluate", ["run=nowhere"], "is not a run"),
        ("infer", ["run={run}", "question=x", "input=q.csv", "output=x.csv"], "give either question="),
        ("infer", ["run={run}", "input=missing.jsonl", "output=x.jsonl"], "does not exist"),
        ("infer", ["run={run}", "question=x", "output=x.xml", "input=null"], "go together"),
        ("evaluate", ["run={run}", "splits=[nonsense]"], "choose from test"),
    ],
)
def test_bad_input_gets_one_sentence(trained: tuple[Path, str], tmp_path: Path, command: str, arguments: list[str], message: str) -> None:
    done = run_t2s(command, *(a.format(run=trained[0]) for a in arguments), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_bad_pairs_are_refused_all_at_once_before_a_model_is_loaded(pond: Pond, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"question": "a"}\nnot json\n{"question": "b", "sql": "SELEC 1"}\n')
    done = run_t2s("train", *pond.overrides(), f"data.train={bad}", cwd=tmp_path)
    assert done.returncode == 1
    assert [f"bad.jsonl:{n}:" in done.stderr for n in (1, 2, 3)] == [True] * 3
    assert "loading" not in done.stdout


def test_a_hub_model_that_cannot_be_had_is_one_sentence(tmp_path: Path) -> None:
    for extra in ({}, {"HF_HUB_OFFLINE": "1"}):
        done = run_t2s("train", "model=qwen25_coder", "lora.r=16", cwd=tmp_path, env={"HF_HOME": str(tmp_path / "hub"), **extra})
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "hf download Qwen/Qwen2.5-Coder-7B-Instruct" in done.stderr


def test_wandb_without_key_or_network_runs_offline(pond: Pond, tmp_path: Path) -> None:
    done = run_t2s("train", *pond.overrides(), "logger=wandb", "trainer.max_epochs=1", cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "wandb sync" in done.stdout
    assert list(only_run(tmp_path).glob("wandb/offline-run-*/run-*.wandb"))


def test_a_sweep_is_one_run_for_each_value(pond: Pond, tmp_path: Path) -> None:
    done = run_t2s("train", "--multirun", *pond.overrides(), "lora.r=2,4", "trainer.max_steps=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ranks = {yaml.safe_load(file.read_text())["lora"]["r"] for file in tmp_path.glob("multirun/*/*/*/config.yaml")}
    assert ranks == {2, 4}
    assert len(list(tmp_path.glob("multirun/*/*/*/result.json"))) == 2


def test_debug_fast_does_the_whole_main_job(tmp_path: Path) -> None:
    done = run_t2s("train", "debug=fast", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((only_run(tmp_path) / "result.json").read_text())["tuned"]["n"] == 80


def test_validation_can_judge_on_a_suite(pond: Pond, tmp_path: Path) -> None:
    arguments = [*pond.overrides(), "eval.suite=true", "trainer.max_steps=2", f"paths.cache_dir={tmp_path / 'cache'}"]
    done = run_t2s("train", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "suite: 3 queries" in done.stdout
    assert json.loads((only_run(tmp_path) / "result.json").read_text())["suite"] is True
    assert list((tmp_path / "cache/suites").glob("*/variant_*.sqlite"))


def test_the_first_pack_is_compared_with_rows_before_anything_is_learnt(pond: Pond, tmp_path: Path) -> None:
    """A model whose attention ignores the tree ends the command with one sentence, and leaves no adapter."""
    (tmp_path / "sitecustomize.py").write_text(
        "import torch\n"
        "from t2s.model import attention\n"
        "attention.attend_tree = lambda q, k, v, layout, scaling: torch.nn.functional.scaled_dot_product_attention(\n"
        "    q, k, v, is_causal=True, scale=scaling, enable_gqa=True)\n"
    )
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = run_t2s("train", *pond.overrides(), "trainer.max_steps=2", "eval.before_training=false", cwd=tmp_path, env=env)
    assert done.returncode == 1
    assert "drops or changes the tree mask; train with data.packing=none" in " ".join(done.stderr.split())
    assert not (only_run(tmp_path) / "adapter").exists()
