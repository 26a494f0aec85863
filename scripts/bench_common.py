"""What the benchmarks of training and generation share: the ideal ratios, the prompts, one process per measurement, tables, pictures.

Nothing here imports torch at the top: each measurement runs in a process of its own, which sets memory and threads first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from t2s.data.prompt import TokenizedExample

BLUE, ORANGE, GREY, GREEN = "#2f6db3", "#d9822b", "#8a8f98", "#3f8f5f"
DATABASE = "benchmark"
TABLE_NAME = re.compile(r'^("?)([^("]+)("?)\(')


def ideal_ratio(questions: int, prefix_tokens: float, own_tokens: float) -> float:
    """How many times fewer tokens a shared prefix leaves: N (P + S) / (P + N S). docs/benchmarks.md derives it.

    Args:
        questions: N, examples behind one prefix.
        prefix_tokens: P.
        own_tokens: S, tokens of one example behind the prefix, on average.

    Example:
        10 questions, a prefix of 90 tokens, 10 of their own: 1000 tokens become 190.
    """
    return questions * (prefix_tokens + own_tokens) / (prefix_tokens + questions * own_tokens)


def attention_ratio(questions: int, prefix_tokens: float, own_tokens: float) -> float:
    """How many times fewer pairs of query and key are left: N (P + S)^2 / (P^2 + N (2 P S + S^2)).

    Arguments as of `ideal_ratio`. A causal sequence of T tokens has T^2 / 2 pairs, up to a term in T.
    """
    P, S = prefix_tokens, own_tokens
    return questions * (P + S) ** 2 / (P**2 + questions * (2 * P * S + S**2))


def add_common_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="smollm2", help="a file of conf/model (default: smollm2; tiny for a quick try)")
    parser.add_argument("--quantization", default="none", help="none (default), nf4 or int8")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of conf/train.yaml, as in lora.r=16")
    parser.add_argument("--rounds", type=int, default=1, help="how often each variant is timed, in alternation")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads of each variant (default: all cores)")
    parser.add_argument("--seed", type=int, default=0, help="picks and orders the examples, and fills the adapter")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--plot", type=Path, help="write a PNG")
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)  # a measurement's own process


def overrides(arguments: argparse.Namespace) -> list[str]:
    """Settings for `t2s.config.compose`, the same in every process."""
    given = [f"model={arguments.model}", f"model.quantization={arguments.quantization}", "lora.dropout=0", f"seed={arguments.seed}"]
    return [*given, *arguments.set]


@dataclass(frozen=True)
class Workload:
    """Tokenised questions on one database.

    Attributes:
        prefix: Token ids of the shared prefix.
        own: Suffix and completion of each example, token ids.
        end_token_id: Ends a completion.
    """

    prefix: list[int]
    own: list[tuple[list[int], list[int]]]
    end_token_id: int

    @property
    def own_tokens(self) -> float:
        """Tokens behind the prefix, suffix and completion, on average."""
        return sum(len(suffix) + len(completion) for suffix, completion in self.own) / len(self.own)


def build_workload(cfg: DictConfig, split: str, count: int, prefix_tokens: int | None, seed: int) -> Workload:
    """The first `count` questions of a shuffled split, again from the start where there are fewer.

    Args:
        cfg: As conf/train.yaml composes it.
        split: `train` or `val`.
        count: Examples.
        prefix_tokens: Wanted length of the prefix, reached to about a table; None for the schema as it is.
        seed: Of the shuffle.
    """
    from t2s.assembly import databases, prompt_encoder, questions
    from t2s.data.example import Example
    from t2s.data.prompt import PromptEncoder, SchemaStyle, render_schema
    from t2s.sql.schema import read_schema

    tokenizer = load_tokenizer(cfg)
    files = databases(cfg.data)
    ((name, file),) = files.items()
    if prefix_tokens is None:
        encoder = prompt_encoder(tokenizer, cfg.data, files, cfg.paths.cache_dir, [])
    else:
        style = SchemaStyle(cfg.data.schema.types, cfg.data.schema.keys, cfg.data.schema.comments, cfg.data.schema.samples)
        tables = render_schema(read_schema(file, cfg.data.schema.samples), style).splitlines()
        lines = fit_schema(tables, lambda text: len(tokenizer(text)["input_ids"]), prefix_tokens)
        encoder = PromptEncoder(tokenizer, cfg.data.template, cfg.data.instruction, {name: "\n".join(lines)}, "last")
    pairs = questions(Path(cfg.data[split]), files)
    random.Random(seed).shuffle(pairs)
    chosen = [pairs[i % len(pairs)] for i in range(count)]
    encoded = [encoder.encode(Example(pair.question, pair.sql, name)) for pair in chosen]
    return Workload(list(encoded[0].prompt.prefix), [(list(e.prompt.suffix), list(e.completion)) for e in encoded], encoder.end_token_id)


def fit_schema(tables: Sequence[str], count_tokens: Any, target: int) -> list[str]:
    """As many rendered tables as `target` tokens hold, at least one; more than there are come as `<table>_2`, `<table>_3`, ...

    Queries then speak of tables not shown, or not of all that are; the work of a step is the same.
    """
    lines: list[str] = []
    tokens, copy = 0, 0
    while True:
        copy += 1
        for table in tables:
            line = table if copy == 1 else TABLE_NAME.sub(rf"\g<1>\g<2>_{copy}\g<3>(", table)
            tokens += count_tokens(line + "\n")
            if lines and tokens > target:
                return lines
            lines.append(line)


def load_tokenizer(cfg: DictConfig) -> Any:
    """The model's tokenizer, without the model where there is one on disk."""
    from t2s.assembly import model_spec
    from t2s.model.sources import ensure_available, unpacked

    spec = model_spec(cfg.model, cfg.paths.cache_dir)
    ensure_available(spec)
    if spec.source == "random":
        from t2s.model.tiny import build_tiny

        assert spec.tiny is not None
        return build_tiny(spec.tiny)[1]
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(unpacked(spec) if spec.source == "package" else spec.path)


def tokenized(workload: Workload) -> list[TokenizedExample]:
    from t2s.data.prompt import TokenizedExample, TokenizedPrompt

    prefix = tuple(workload.prefix)
    return [TokenizedExample(TokenizedPrompt(prefix, tuple(suffix)), tuple(completion)) for suffix, completion in workload.own]


def fill_adapter(model: Any, seed: int) -> float:
    """Fills LoRA matrices by their names, so that every library starts from the same ones: A uniform as PEFT's own, B zero.

    Returns:
        The sum of all magnitudes, to be compared between libraries.
    """
    import torch

    total = 0.0
    for name, parameter in sorted((n, p) for n, p in model.named_parameters() if p.requires_grad):
        draws = torch.Generator().manual_seed(seed + int.from_bytes(name.encode()[-24:], "little") % 2**40 + sum(name.encode()))
        if "lora_B" in name:
            parameter.data.zero_()
        else:
            bound = parameter.shape[1] ** -0.5
            parameter.data.copy_((torch.rand(parameter.shape, generator=draws) * 2 - 1) * bound)
        total += float(parameter.data.double().abs().sum())
    return total


def measure_apart(script: str, job: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """Runs `script --job` in a process of its own and reads what it found.

    Raises:
        SystemExit: the process failed; its last words are shown.
    """
    with tempfile.TemporaryDirectory() as directory:
        file, answer = Path(directory) / "job.json", Path(directory) / "answer.json"
        file.write_text(json.dumps({**job, "answer": str(answer)}), encoding="utf-8")
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run([sys.executable, script, "--job", str(file)], capture_output=True, text=True, env=env)
        if done.returncode:
            raise SystemExit(f"{job['variant']} failed:\n{done.stderr[-4000:]}")
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return found


def machine() -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    names = ("torch", "transformers", "peft", "trl", "unsloth", "llama-cpp-python")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "packages": {name: installed(name) for name in names},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a Markdown table."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def write_figures(figures: Mapping[str, Any], file: Path | None) -> None:
    if file:
        file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def plot_bars(file: Path, title: str, unit: str, values: Mapping[str, float]) -> None:
    """One bar a variant, its value beside it."""
    figure, axes = _figure(title, (6, 0.5 * len(values) + 1.1))
    bars = axes.barh(list(values), list(values.values()), color=[BLUE if name == "shared" else GREY for name in values])
    axes.bar_label(bars, labels=[f"{value:.3g}" for value in values.values()], padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.margins(x=0.12)
    figure.savefig(file)


def plot_curves(file: Path, title: str, x: str, y: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Curves over a logarithmic axis; those whose name begins with `ideal` are dashed."""
    figure, axes = _figure(title, (6, 3.6))
    colours = iter((BLUE, ORANGE, GREEN, GREY))
    for name, points in curves.items():
        style = {"linestyle": "--", "color": GREY} if name.startswith("ideal") else {"marker": "o", "color": next(colours)}
        axes.plot(*zip(*points, strict=True), label=name, **style)
    axes.set_xscale("log", base=2)
    ticks = sorted({point[0] for points in curves.values() for point in points})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(frameon=False)
    figure.savefig(file)


def _figure(title: str, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x" if size[1] < 3.6 else "y", alpha=0.25)
    return figure, axes
