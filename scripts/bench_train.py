"""Times LoRA training on questions that share a schema: t2s beside TRL and Unsloth, same examples, same model, same adapter.

    pip install -e '.[bench]'
    python scripts/bench_train.py --examples-per-step 16 --json train.json --plot train.png
    python scripts/bench_train.py --model tiny --steps 2 --warmup 1
    python scripts/bench_train.py --variants padded shared --questions-per-schema 2 4 8 16 32 64 --row-examples 8

Every variant gets the same token ids in the same order, the same initial LoRA matrices, AdamW at a constant learning rate, and
the loss averaged over the supervised tokens of a whole step, so their losses can be compared. Each runs in a process of its own
with the same number of threads; with --rounds they alternate. A step's time is that from the end of one step to the next.

trl                 SFTTrainer, one padded row an example, without activation checkpointing (which is the faster way)
trl_checkpointing   the same with it, as SFTConfig has it by default; only when asked for
trl_packed          SFTTrainer(packing=True): rows joined without padding, best-fit decreasing
unsloth             on CUDA, where it imports
padded              t2s with data.packing=none
shared              t2s as it comes
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench_common import (
    Workload,
    add_common_options,
    attention_ratio,
    build_workload,
    fill_adapter,
    ideal_ratio,
    machine,
    measure_apart,
    overrides,
    plot_bars,
    plot_curves,
    show_table,
    tokenized,
    write_figures,
)

VARIANTS = ("trl", "trl_checkpointing", "trl_packed", "unsloth", "padded", "shared")
DEFAULT_VARIANTS = ("trl", "trl_packed", "unsloth", "padded", "shared")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=DEFAULT_VARIANTS)
    parser.add_argument("--examples-per-step", type=int, default=16, help="effective batch")
    parser.add_argument(
        "--precision",
        choices=("auto", "float32"),
        default="auto",
        help="auto: bfloat16 where the processor has it, as t2s.train; float32 to compare losses",
    )
    parser.add_argument("--micro-batch", type=int, default=4, help="rows in one forward pass, of the variants that have rows")
    parser.add_argument("--steps", type=int, default=6, help="counted steps of each variant and round")
    parser.add_argument("--warmup", type=int, default=2, help="steps before that, not counted")
    parser.add_argument("--questions-per-schema", type=int, nargs="+", help="a curve over the number of examples per step")
    parser.add_argument("--prefix-tokens", type=int, nargs="+", help="a curve over the prefix's length, by showing fewer or more tables")
    parser.add_argument(
        "--row-examples", type=int, help="most examples a step of variants with rows, whose cost is one row's times their number"
    )
    parser.add_argument(
        "--plot-by", choices=("clock", "cpu"), default="clock", help="what the picture shows; cpu on a busy machine, with --threads 1"
    )
    arguments = parser.parse_args()
    if arguments.job:
        work_off(arguments.job)
        return
    if arguments.warmup < 1:
        parser.error("--warmup 0 would count the first step, in which layers are compiled; give at least 1")
    figures = bench(arguments)
    if arguments.plot:
        plot(arguments.plot, figures, arguments.plot_by)


def bench(arguments: argparse.Namespace) -> dict[str, Any]:
    """All points of the curve; the JSON file is written anew after each, for a long curve may be cut short."""
    figures = {
        "model": arguments.model,
        "quantization": arguments.quantization,
        "seed": arguments.seed,
        "rounds": arguments.rounds,
        "steps": arguments.steps,
        "warmup": arguments.warmup,
        "micro_batch": arguments.micro_batch,
        "threads": arguments.threads,
        "machine": machine(),
        "points": [],
    }
    known: dict[str, dict[str, Any]] = {}
    for questions in arguments.questions_per_schema or [arguments.examples_per_step]:
        for prefix in arguments.prefix_tokens or [None]:
            figures["points"].append(bench_point(arguments, questions, prefix, known))
            write_figures(figures, arguments.json)
    return figures


def bench_point(
    arguments: argparse.Namespace, questions: int, prefix_tokens: int | None, known: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """All variants on `questions` examples a step behind a prefix of about `prefix_tokens`.

    Args:
        arguments: Of the command line.
        questions: Examples a step.
        prefix_tokens: None for the schema as it is.
        known: Measurements by job; one that an earlier point of the curve made is not made again.
    """
    from t2s.config import compose

    settings = overrides(arguments)
    steps = arguments.warmup + arguments.steps
    workload = build_workload(compose("train", settings), "train", steps * questions, prefix_tokens, arguments.seed)
    found: dict[str, list[dict[str, Any]]] = {variant: [] for variant in arguments.variants}
    for number, variant in itertools.product(range(arguments.rounds), arguments.variants):
        examples = questions if variant == "shared" else min(questions, arguments.row_examples or questions)
        job = {
            "variant": variant,
            "overrides": settings,
            "workload": asdict(replace(workload, own=workload.own[: steps * examples])),
            "examples_per_step": examples,
            "micro_batch": min(arguments.micro_batch, examples),
            "warmup": arguments.warmup,
            "steps": arguments.steps,
            "seed": arguments.seed,
            "float32": arguments.precision == "float32",
        }
        key = json.dumps([number, job])
        if key not in known:
            print(f"{examples} examples a step, {len(workload.prefix)} prefix tokens, round {number + 1}: {variant}", file=sys.stderr)
            known[key] = measure_apart(__file__, job, arguments.threads)
        found[variant].append(known[key])
    point = summarize(found, questions, workload)
    show(point)
    return point


def summarize(found: dict[str, list[dict[str, Any]]], questions: int, workload: Workload) -> dict[str, Any]:
    P, S = len(workload.prefix), workload.own_tokens
    variants = {variant: combine(runs) for variant, runs in found.items()}
    ran = {variant: figures for variant, figures in variants.items() if "unavailable" not in figures}
    ideal = ideal_ratio(questions, P, S)
    ratios = {}
    for baseline in ("trl", "trl_checkpointing", "trl_packed", "unsloth", "padded"):
        if baseline in ran and "shared" in ran:
            # By logical tokens, not examples: where rows take fewer examples, theirs may be longer or shorter. Else both are the same.
            times = ran["shared"]["logical_tokens_per_second"] / ran[baseline]["logical_tokens_per_second"]
            by_cpu = cpu_seconds_per_token(ran[baseline]) / cpu_seconds_per_token(ran["shared"])
            ratios[f"shared_times_{baseline}"] = {
                "ratio": times,
                "by_cpu_time": by_cpu,
                "share_of_ideal": times / ideal,
                "share_of_ideal_by_cpu_time": by_cpu / ideal,
            }
    reference = next((ran[name]["losses"] for name in ("trl", "padded") if name in ran), None)
    differences = {}
    for name, figures in ran.items():
        # Packing by length deals other examples to each step.
        if reference and name != "trl_packed" and len({run["examples_per_step"] for run in ran.values()}) == 1:
            differences[name] = max(abs(a - b) for a, b in zip(figures["losses"], reference, strict=True))
    return {
        "questions": questions,
        "prefix_tokens": P,
        "own_tokens": S,
        "ideal_ratio": ideal,
        "attention_ratio": attention_ratio(questions, P, S),
        "variants": variants,
        "ratios": ratios,
        "largest_loss_difference": differences,
    }


def cpu_seconds_per_token(variant: dict[str, Any]) -> float:
    """Of logical tokens."""
    return variant["cpu_seconds_per_example"] * variant["examples_per_step"] / variant["logical_tokens_per_step"]


def combine(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the counted steps of all rounds; losses of the first round."""
    if "unavailable" in runs[0]:
        return {"unavailable": runs[0]["unavailable"]}
    seconds = statistics.median(s for run in runs for s in run["seconds"])
    cpu_seconds = statistics.median(s for run in runs for s in run["cpu_seconds"])
    steps = sum(len(run["seconds"]) for run in runs)
    examples, physical, logical = (
        sum(run[key] for run in runs) / steps for key in ("examples", "physical_tokens", "logical_tokens")
    )  # each in a step
    return {
        "examples_per_second": examples / seconds,
        "physical_tokens_per_second": physical / seconds,
        "logical_tokens_per_second": logical / seconds,
        "cpu_seconds_per_example": cpu_seconds / examples,
        "examples_per_step": examples,
        "physical_tokens_per_step": physical,
        "logical_tokens_per_step": logical,
        "peak_bytes": max(run["peak_bytes"] for run in runs),
        "losses": runs[0]["losses"],
        "gradient_norms": runs[0]["gradient_norms"],
        "adapter_sum": runs[0]["adapter_sum"],
        "step_seconds": [run["seconds"] for run in runs],
        "step_cpu_seconds": [run["cpu_seconds"] for run in runs],
    }


def show(point: dict[str, Any]) -> None:
    print(
        f"\n{point['questions']} questions a step, prefix {point['prefix_tokens']} tokens, {point['own_tokens']:.1f} of their own: "
        f"ideal ratio {point['ideal_ratio']:.2f}\n"
    )
    head = (
        "variant",
        "examples/s",
        "tokens/s, physical",
        "tokens/s, logical",
        "CPU s/example",
        "peak GiB",
        "loss, first to last",
        "gradient norm",
    )
    rows = []
    for name, figures in point["variants"].items():
        if "unavailable" in figures:
            rows.append((name, figures["unavailable"], *[""] * 6))
            continue
        rows.append(
            (
                name,
                f"{figures['examples_per_second']:.3f}",
                f"{figures['physical_tokens_per_second']:.0f}",
                f"{figures['logical_tokens_per_second']:.0f}",
                f"{figures['cpu_seconds_per_example']:.2f}",
                f"{figures['peak_bytes'] / 2**30:.1f}",
                f"{figures['losses'][0]:.4f} to {figures['losses'][-1]:.4f}",
                f"{figures['gradient_norms'][0]:.3f} to {figures['gradient_norms'][-1]:.3f}",
            )
        )
    show_table(head, rows)
    for name, ratio in point["ratios"].items():
        print(
            f"{name.replace('_', ' ')}: {ratio['ratio']:.2f} ({ratio['by_cpu_time']:.2f} by CPU time), "
            f"{ratio['share_of_ideal']:.0%} of the ideal ratio ({ratio['share_of_ideal_by_cpu_time']:.0%} by CPU time)"
        )
    for name, difference in point["largest_loss_difference"].items():
        print(f"{name}: largest difference of a step's loss {difference:.1e}")


def plot(file: Path, figures: dict[str, Any], by: str) -> None:
    """Examples per second as bars, or the ratio over what was swept; `by` the clock or by CPU time."""
    points, clock = figures["points"], by == "clock"
    if len(points) == 1:
        ran = {name: found for name, found in points[0]["variants"].items() if "unavailable" not in found}
        speeds = {name: found["examples_per_second"] if clock else 1 / found["cpu_seconds_per_example"] for name, found in ran.items()}
        unit = "examples/s" if clock else "examples per CPU second"
        plot_bars(file, f"Training, {points[0]['questions']} questions behind {points[0]['prefix_tokens']} tokens", unit, speeds)
        return
    by_prefix = len({point["questions"] for point in points}) == 1
    x, key = ("prefix tokens", "prefix_tokens") if by_prefix else ("questions that share a schema", "questions")
    ratio = "ratio" if clock else "by_cpu_time"
    curves = {name.replace("_times_", " / "): [(p[key], p["ratios"][name][ratio]) for p in points] for name in points[0]["ratios"]}
    curves["ideal, by tokens"] = [(p[key], p["ideal_ratio"]) for p in points]
    plot_curves(file, f"Training: examples per {'second' if clock else 'CPU second'}, as a multiple", x, "times", curves)


# In a measurement's own process.


class Steps:
    """Collects what each step took and gave."""

    def __init__(self, warmup: int) -> None:
        self._warmup = warmup
        self._times: list[float] = []
        self._cpu_times: list[float] = []
        self.losses: list[float] = []
        self.gradient_norms: list[float] = []

    def mark(self) -> None:
        """At the start, and at the end of each step."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        self._times.append(time.perf_counter())
        self._cpu_times.append(used.ru_utime + used.ru_stime)

    def note(self, loss: float, gradient_norm: float) -> None:
        self.losses.append(float(loss))
        self.gradient_norms.append(float(gradient_norm))

    def result(self, **more: Any) -> dict[str, Any]:
        seconds, cpu_seconds = ([b - a for a, b in itertools.pairwise(times)][self._warmup :] for times in (self._times, self._cpu_times))
        return {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "losses": self.losses,
            "gradient_norms": self.gradient_norms,
            **more,
        }


def work_off(file: Path) -> None:
    job = json.loads(file.read_text(encoding="utf-8"))
    job["workload"] = Workload(**job["workload"])
    if job["variant"] in ("padded", "shared"):
        from t2s.runtime import keep_freed_memory

        keep_freed_memory()  # as t2s.train does, before torch is imported
    if job["variant"] != "unsloth":  # which wants to be imported before transformers
        from t2s.runtime import quiet_libraries

        quiet_libraries()
    if job["float32"]:
        import torch

        from t2s.model import load

        load.compute_dtype = lambda device: torch.float32
    train = {"padded": train_t2s, "shared": train_t2s, "unsloth": train_unsloth}.get(job["variant"], train_trl)
    Path(job["answer"]).write_text(json.dumps(train(job)), encoding="utf-8")


def train_t2s(job: dict[str, Any]) -> dict[str, Any]:
    """t2s as `t2s.train` builds it, but for a constant learning rate that is the same for all matrices."""
    import lightning
    import torch

    from t2s.assembly import model_spec
    from t2s.config import compose
    from t2s.data.datamodule import StepLoader
    from t2s.model.load import best_device, load_base
    from t2s.model.lora import add_lora
    from t2s.model.module import OptimizerSpec, TextToSQLModule, memory_bytes
    from t2s.model.speed import speed_up
    from t2s.training import lora_spec, trainer_options

    cfg = compose("train", job["overrides"])
    spec, device = model_spec(cfg.model, cfg.paths.cache_dir), best_device()
    torch.set_flush_denormal(True)
    base, _ = load_base(spec, device)
    model = add_lora(base, lora_spec(cfg.lora))
    adapter_sum = fill_adapter(model, job["seed"])
    speed_up(base, cfg.trainer.compile, device, spec.cache_dir / "kernels")
    model.train()
    rates = cfg.optimizer
    optimizer = OptimizerSpec(rates.name, rates.learning_rate, 1.0, 0.0, tuple(rates.betas), 0, 1.0, rates.clip_norm)
    examples = tokenized(job["workload"])
    total_steps = job["warmup"] + job["steps"]
    shared = job["variant"] == "shared"
    max_tokens = cfg.data.max_tokens if shared else job["micro_batch"] * max(example.tokens for example in examples)
    loader = StepLoader(examples, job["examples_per_step"], "shared" if shared else "none", max_tokens, None)
    steps, counted = Steps(job["warmup"]), []

    class Watch(lightning.Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            steps.mark()

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
            steps.mark()
            steps.note(trainer.callback_metrics["train/loss"], trainer.callback_metrics["train/gradient_norm"])
            counted.append(batch)

    trainer = lightning.Trainer(
        **{**trainer_options(cfg.trainer), "max_steps": total_steps, "max_epochs": -1, "limit_val_batches": 0},
        logger=False,
        enable_checkpointing=False,
        callbacks=[Watch()],
    )
    trainer.fit(TextToSQLModule(model, optimizer, total_steps, job["seed"], self_check=False), loader)
    packs = [pack for batch in counted[job["warmup"] :] for pack in batch.packs]
    return steps.result(
        examples=sum(batch.examples for batch in counted[job["warmup"] :]),
        physical_tokens=sum(pack.physical_tokens for pack in packs),
        logical_tokens=sum(pack.logical_tokens for pack in packs),
        peak_bytes=memory_bytes(device),
        adapter_sum=adapter_sum,
    )


def train_trl(job: dict[str, Any]) -> dict[str, Any]:
    """SFTTrainer on a model as transformers loads it."""
    try:
        import trl  # noqa: F401
    except ImportError:
        return {"unavailable": "TRL is not installed: pip install -e '.[bench]'"}
    import peft
    from transformers import AutoModelForCausalLM

    from t2s.model.load import _quantization, best_device, compute_dtype

    device = best_device()
    with tempfile.TemporaryDirectory() as directory:
        path, spec, lora = checkpoint(job, Path(directory))
        options: dict[str, Any] = {"dtype": compute_dtype(device), "attn_implementation": "sdpa", "device_map": {"": device}}
        if spec.quantization != "none":
            options["quantization_config"] = _quantization(spec.quantization, options["dtype"])
        model = AutoModelForCausalLM.from_pretrained(path, **options)
    targets = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    config = peft.LoraConfig(r=lora.r, lora_alpha=lora.alpha, lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM")
    return fit_trl(job, peft.get_peft_model(model, config))


def train_unsloth(job: dict[str, Any]) -> dict[str, Any]:
    """Unsloth's model under the same trainer. Written from its documentation; this file's authors had no CUDA to run it on."""
    import torch

    if not torch.cuda.is_available():
        return {"unavailable": "needs CUDA: `import unsloth` refuses a machine without a GPU"}
    try:
        from unsloth import FastLanguageModel
    except (ImportError, NotImplementedError) as error:
        return {"unavailable": f"does not import here: {error}"}
    with tempfile.TemporaryDirectory() as directory:
        path, spec, lora = checkpoint(job, Path(directory))
        longest = max(example.tokens for example in tokenized(job["workload"]))
        four_bit = spec.quantization == "nf4"
        model, _ = FastLanguageModel.from_pretrained(str(path), max_seq_length=job["micro_batch"] * longest, load_in_4bit=four_bit)
    linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    targets = linear if lora.target_modules == "all-linear" else list(lora.target_modules)
    model = FastLanguageModel.get_peft_model(
        model, r=lora.r, lora_alpha=lora.alpha, lora_dropout=0, target_modules=targets, use_gradient_checkpointing=False
    )
    return fit_trl(job, model)


def checkpoint(job: dict[str, Any], scratch: Path) -> tuple[Path | str, Any, Any]:
    """Directory or hub name of the base, its spec, and LoRA's settings."""
    from t2s.assembly import model_spec
    from t2s.config import compose
    from t2s.model.sources import unpacked
    from t2s.training import lora_spec

    cfg = compose("train", job["overrides"])
    spec = model_spec(cfg.model, cfg.paths.cache_dir)
    if spec.source == "random":
        from t2s.model.tiny import build_tiny

        assert spec.tiny is not None
        model, tokenizer = build_tiny(spec.tiny)
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        return scratch, spec, lora_spec(cfg.lora)
    return unpacked(spec) if spec.source == "package" else spec.path, spec, lora_spec(cfg.lora)


def fit_trl(job: dict[str, Any], model: Any) -> dict[str, Any]:
    from bench_common import load_tokenizer
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from t2s.config import compose
    from t2s.model.load import best_device, compute_dtype
    from t2s.model.module import memory_bytes

    cfg = compose("train", job["overrides"])
    device = best_device()
    adapter_sum = fill_adapter(model, job["seed"])
    examples = tokenized(job["workload"])
    total_steps = job["warmup"] + job["steps"]
    rows = [{"input_ids": [*e.prompt.prefix, *e.prompt.suffix, *e.completion], "completion_mask": mask(e)} for e in examples]
    packing, micro_batch = job["variant"] == "trl_packed", job["micro_batch"]
    longest = max(example.tokens for example in examples)
    steps = Steps(job["warmup"])

    class Watch(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            steps.mark()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            steps.mark()

        def on_log(self, arguments: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" in logs:
                steps.note(logs["loss"], logs["grad_norm"])

    with tempfile.TemporaryDirectory() as directory:
        config = SFTConfig(
            output_dir=directory,
            max_steps=total_steps,
            per_device_train_batch_size=1 if packing else micro_batch,
            gradient_accumulation_steps=-(-job["examples_per_step"] // micro_batch),
            learning_rate=cfg.optimizer.learning_rate,
            lr_scheduler_type="constant",
            optim="adamw_torch_fused" if cfg.optimizer.name == "adamw_fused" else "adamw_torch",
            adam_beta1=cfg.optimizer.betas[0],
            adam_beta2=cfg.optimizer.betas[1],
            weight_decay=0.0,
            max_grad_norm=cfg.optimizer.clip_norm,
            train_sampling_strategy="sequential",
            completion_only_loss=True,
            packing=packing,
            max_length=micro_batch * longest if packing else None,
            gradient_checkpointing=job["variant"] == "trl_checkpointing",
            bf16=str(compute_dtype(device)) == "torch.bfloat16",
            use_cpu=device.type == "cpu",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=job["seed"],
        )
        trainer = SFTTrainer(
            model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=load_tokenizer(cfg), callbacks=[Watch()]
        )
        collator = trainer.data_collator = CountingCollator(trainer.data_collator)
        trainer.train()
    passes = collator.passes[config.gradient_accumulation_steps * job["warmup"] : config.gradient_accumulation_steps * total_steps]
    return steps.result(
        examples=sum(p[0] for p in passes),
        logical_tokens=sum(p[1] for p in passes),
        physical_tokens=sum(p[2] for p in passes),
        peak_bytes=memory_bytes(device),
        adapter_sum=adapter_sum,
    )


def mask(example: Any) -> list[int]:
    """1 on the completion."""
    return [0] * (len(example.prompt.prefix) + len(example.prompt.suffix)) + [1] * len(example.completion)


class CountingCollator:
    """TRL's collator, and of each forward pass its examples, their tokens, and its tokens with padding."""

    def __init__(self, collator: Any) -> None:
        self._collator = collator
        self.passes: list[tuple[int, int, int]] = []

    def __call__(self, rows: list[Any]) -> Any:
        batch = self._collator(rows)
        physical = batch["input_ids"].numel()
        if "attention_mask" in batch:
            self.passes.append((len(rows), int(batch["attention_mask"].sum()), physical))
        else:  # joined rows restart their positions
            self.passes.append((int((batch["position_ids"] == 0).sum()), physical, physical))
        return batch


if __name__ == "__main__":
    main()
