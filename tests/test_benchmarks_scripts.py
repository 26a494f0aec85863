"""The benchmarks run end to end on a tiny model, and their arithmetic is right."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from bench_common import attention_ratio, fit_schema, ideal_ratio
from ponds import PAIRS, ROOT, Pond, clean_env

from t2s.model.tree import tree_mask

TRL = importlib.util.find_spec("trl") is not None


def bench(script: str, pond: Pond, figures: Path, *arguments: str, train: Path | None = None) -> dict[str, Any]:
    settings = [setting for setting in pond.overrides() if not setting.startswith(("model", "data.train=" if train else "model"))]
    settings += [f"data.train={train}"] if train else []
    command = [sys.executable, f"scripts/{script}.py", "--model", "tiny", "--threads", "1", "--json", str(figures), *arguments]
    done = subprocess.run([*command, "--set", *settings], cwd=ROOT, env=clean_env(), capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(figures.read_text())
    assert "ratio" in done.stdout or "shared times" in done.stdout
    return found


@pytest.mark.parametrize(
    ("questions", "prefix", "own", "ratio"),
    [
        (10, 90, 10, 1000 / 190),
        (16, 705, 99, 12864 / 2289),  # the sample company
        (1, 705, 99, 1.0),  # nothing to share with
        (16, 0, 99, 1.0),  # nothing to share
        (10**9, 900, 100, 10.0),  # at most (P + S) / S
    ],
)
def test_the_ideal_ratio_is_what_one_computes_by_hand(questions: int, prefix: int, own: int, ratio: float) -> None:
    assert ideal_ratio(questions, prefix, own) == pytest.approx(ratio, rel=1e-6)


def test_the_ratio_of_attention_counts_the_pairs_of_a_tree() -> None:
    N, P, S = 8, 200, 50
    pairs_of_tree = int(tree_mask(torch.tensor([P] + [S] * N), torch.device("cpu")).sum())
    pairs_of_rows = N * (P + S) * (P + S + 1) // 2
    assert attention_ratio(N, P, S) == pytest.approx(pairs_of_rows / pairs_of_tree, rel=0.01)


def test_a_schema_is_shown_in_part_or_in_copies_with_names_of_their_own() -> None:
    tables = ["ponds(pond_id integer primary key)", '"old frogs"(name text)']
    assert fit_schema(tables, len, 40) == tables[:1]
    assert fit_schema(tables, len, 130) == [*tables, "ponds_2(pond_id integer primary key)", '"old frogs_2"(name text)']


def test_the_training_benchmark_gives_every_variant_the_same_work(pond: Pond, tmp_path: Path) -> None:
    options = ("--steps", "2", "--warmup", "1", "--examples-per-step", "4", "--micro-batch", "2", "--plot", str(tmp_path / "bars.png"))
    variants = ("--variants", "trl", "unsloth", "padded", "shared", "--precision", "float32")
    figures = bench("bench_train", pond, tmp_path / "figures.json", *options, *variants)
    (point,) = figures["points"]
    assert (tmp_path / "bars.png").stat().st_size > 1000
    assert point["ideal_ratio"] == pytest.approx(ideal_ratio(4, point["prefix_tokens"], point["own_tokens"]))
    assert "CUDA" in point["variants"]["unsloth"]["unavailable"] or torch.cuda.is_available()
    ran = {name: variant for name, variant in point["variants"].items() if "unavailable" not in variant}
    assert {"padded", "shared"} <= set(ran)
    for variant in ran.values():
        assert len(variant["losses"]) == len(variant["gradient_norms"]) == 3
        assert len(variant["step_seconds"][0]) == 2
        assert min(variant[key] for key in ("examples_per_second", "physical_tokens_per_second", "peak_bytes")) > 0
    assert len({variant["adapter_sum"] for variant in ran.values()}) == 1
    assert len({variant["logical_tokens_per_step"] for variant in ran.values()}) == 1
    shared, padded = ran["shared"], ran["padded"]
    assert shared["physical_tokens_per_step"] < shared["logical_tokens_per_step"] <= padded["physical_tokens_per_step"]
    assert point["ratios"]["shared_times_padded"]["share_of_ideal"] > 0
    assert max(point["largest_loss_difference"].values()) < 1e-3


@pytest.mark.skipif(TRL, reason="TRL is installed")
def test_without_trl_the_training_benchmark_says_how_to_get_it(pond: Pond, tmp_path: Path) -> None:
    figures = bench("bench_train", pond, tmp_path / "figures.json", "--variants", "trl", "--steps", "1", "--warmup", "1")
    assert "pip install" in figures["points"][0]["variants"]["trl"]["unavailable"]


@pytest.mark.slow
@pytest.mark.skipif(not TRL, reason="TRL is not installed: pip install -e '.[bench]'")
def test_rows_that_trl_joins_do_not_see_each_other(pond: Pond, tmp_path: Path) -> None:
    """Of examples that are all alike each step has the same loss, however they are packed, unless one sees another."""
    question, sql = PAIRS[0]
    alike = tmp_path / "alike.jsonl"
    alike.write_text(json.dumps({"question": question, "sql": sql}) + "\n")
    options = ("--variants", "trl", "trl_packed", "--steps", "1", "--warmup", "1", "--examples-per-step", "4", "--precision", "float32")
    point = bench("bench_train", pond, tmp_path / "figures.json", *options, train=alike)["points"][0]
    assert point["variants"]["trl_packed"]["losses"] == pytest.approx(point["variants"]["trl"]["losses"], abs=1e-4)


@pytest.mark.slow
def test_a_curve_measures_what_has_rows_once(pond: Pond, tmp_path: Path) -> None:
    options = ("--variants", "padded", "shared", "--steps", "1", "--warmup", "1", "--row-examples", "2", "--questions-per-schema", "2", "4")
    figures = bench("bench_train", pond, tmp_path / "figures.json", *options, "--plot", str(tmp_path / "curve.png"))
    first, second = figures["points"]
    assert first["variants"]["padded"] == second["variants"]["padded"]
    assert first["largest_loss_difference"]
    assert not second["largest_loss_difference"], "steps of other sizes have losses of their own"
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_the_generation_benchmark_compares_the_same_answers(pond: Pond, tmp_path: Path) -> None:
    options = ("--questions", "3", "--batch-size", "2", "--max-new-tokens", "4", "--plot", str(tmp_path / "bars.png"))
    figures = bench("bench_generate", pond, tmp_path / "figures.json", *options)
    assert figures["identical_completions"] == 3
    assert "GGUF" in figures["variants"]["llama_cpp"]["unavailable"]
    assert set(figures["ratios"]) == {"shared_times_plain"}
    for name in ("plain", "shared"):
        assert figures["variants"][name]["questions_per_second"] > 0
        assert 3 <= figures["variants"][name]["generated_tokens"] <= 12
    assert (tmp_path / "bars.png").stat().st_size > 1000
