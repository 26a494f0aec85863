"""Times greedy answers to questions that share a schema: t2s's shared prefix beside plain batched generation and llama.cpp.

    python scripts/bench_generate.py --questions 16 --json generate.json --plot generate.png
    python scripts/bench_generate.py --model tiny --questions 4 --max-new-tokens 8 --variants plain shared

plain      transformers' `generate` on whole prompts, left-padded, in batches
shared     `t2s.model.generate`: the schema once, questions behind it, in the same batches
llama_cpp  llama.cpp on the same prompts, one after the other; its cache keeps the schema from one to the next

plain and shared have the same weights, with a fresh adapter, as a validation during training. llama.cpp has the GGUF file they came
from: its weights are 4-bit (Q4_1), it does not batch here, so compare its speed for each generated token, and not its text. Each
variant runs in a process of its own; the prefix is computed within the time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench_common import (
    Workload,
    add_common_options,
    build_workload,
    fill_adapter,
    ideal_ratio,
    machine,
    measure_apart,
    overrides,
    plot_bars,
    show_table,
    write_figures,
)

VARIANTS = ("plain", "shared", "llama_cpp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--questions", type=int, default=16, help="validation questions")
    parser.add_argument("--batch-size", type=int, default=16, help="prompts decoded together")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--prefix-tokens", type=int, help="show fewer or more tables, up to so many tokens")
    arguments = parser.parse_args()
    if arguments.job:
        work_off(arguments.job)
        return
    figures = bench(arguments)
    show(figures)
    write_figures(figures, arguments.json)
    if arguments.plot:
        speeds = {name: f["questions_per_second"] for name, f in figures["variants"].items() if "unavailable" not in f}
        plot_bars(arguments.plot, f"Answers behind {figures['prefix_tokens']} tokens of schema", "questions/s", speeds)


def bench(arguments: argparse.Namespace) -> dict[str, Any]:
    from t2s.config import compose

    settings = overrides(arguments)
    workload = build_workload(compose("train", settings), "val", arguments.questions, arguments.prefix_tokens, arguments.seed)
    found: dict[str, list[dict[str, Any]]] = {variant: [] for variant in arguments.variants}
    for number, variant in itertools.product(range(arguments.rounds), arguments.variants):
        print(f"round {number + 1} of {arguments.rounds}: {variant}", file=sys.stderr)
        job = {
            "variant": variant,
            "overrides": settings,
            "workload": asdict(workload),
            "batch_size": arguments.batch_size,
            "max_new_tokens": arguments.max_new_tokens,
            "threads": arguments.threads,
            "seed": arguments.seed,
        }
        found[variant].append(measure_apart(__file__, job, arguments.threads))
    variants = {variant: combine(runs) for variant, runs in found.items()}
    ran = {name: figures for name, figures in variants.items() if "unavailable" not in figures}
    ratios = {}
    for other in ("plain", "llama_cpp"):
        if other in ran and "shared" in ran:
            ratios[f"shared_times_{other}"] = {
                "questions_per_second": ran["shared"]["questions_per_second"] / ran[other]["questions_per_second"],
                "tokens_per_second": ran["shared"]["tokens_per_second"] / ran[other]["tokens_per_second"],
                "by_cpu_time": ran[other]["cpu_seconds_per_question"] / ran["shared"]["cpu_seconds_per_question"],
            }
    identical = None
    if {"plain", "shared"} <= set(ran):
        pairs = zip(found["plain"][0]["completions"], found["shared"][0]["completions"], strict=True)
        identical = sum(a == b for a, b in pairs)
    suffix = sum(len(own[0]) for own in workload.own) / len(workload.own)
    return {
        "model": arguments.model,
        "quantization": arguments.quantization,
        "seed": arguments.seed,
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "questions": arguments.questions,
        "batch_size": arguments.batch_size,
        "max_new_tokens": arguments.max_new_tokens,
        "prefix_tokens": len(workload.prefix),
        "suffix_tokens": suffix,
        "ideal_ratio_of_prompts": ideal_ratio(arguments.questions, len(workload.prefix), suffix),
        "machine": machine(),
        "variants": variants,
        "ratios": ratios,
        "identical_completions": identical,
    }


def combine(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds."""
    if "unavailable" in runs[0]:
        return {"unavailable": runs[0]["unavailable"]}
    seconds, cpu_seconds = (statistics.median(run[key] for run in runs) for key in ("seconds", "cpu_seconds"))
    questions, tokens = len(runs[0]["completions"]), sum(map(len, runs[0]["completions"]))
    return {
        "questions_per_second": questions / seconds,
        "tokens_per_second": tokens / seconds,
        "cpu_seconds_per_question": cpu_seconds / questions,
        "generated_tokens": tokens,
        "peak_bytes": max(run["peak_bytes"] for run in runs),
        "seconds": [run["seconds"] for run in runs],
        "cpu_seconds": [run["cpu_seconds"] for run in runs],
    }


def show(figures: dict[str, Any]) -> None:
    print(
        f"\n{figures['questions']} questions, prefix {figures['prefix_tokens']} tokens, {figures['suffix_tokens']:.1f} tokens a question, "
        f"at most {figures['max_new_tokens']} new ones, batches of {figures['batch_size']}\n"
    )
    rows = []
    for name, found in figures["variants"].items():
        if "unavailable" in found:
            rows.append((name, found["unavailable"], *[""] * 4))
            continue
        rows.append(
            (
                name,
                f"{found['questions_per_second']:.3f}",
                f"{found['tokens_per_second']:.1f}",
                f"{found['cpu_seconds_per_question']:.2f}",
                str(found["generated_tokens"]),
                f"{found['peak_bytes'] / 2**30:.1f}",
            )
        )
    show_table(("variant", "questions/s", "generated tokens/s", "CPU s/question", "generated tokens", "peak GiB"), rows)
    for name, ratio in figures["ratios"].items():
        print(
            f"{name.replace('_', ' ')}: {ratio['questions_per_second']:.2f} by questions/s, {ratio['tokens_per_second']:.2f} by "
            f"generated tokens/s, {ratio['by_cpu_time']:.2f} by CPU time"
        )
    if figures["identical_completions"] is not None:
        print(f"completions of plain and shared with identical ids: {figures['identical_completions']} of {figures['questions']}")


# In a measurement's own process.


def work_off(file: Path) -> None:
    from t2s.runtime import keep_freed_memory, quiet_libraries

    job = json.loads(file.read_text(encoding="utf-8"))
    job["workload"] = Workload(**job["workload"])
    if job["variant"] == "shared":
        keep_freed_memory()  # as t2s's commands do, before torch is imported
    quiet_libraries()
    answer = answer_llama_cpp if job["variant"] == "llama_cpp" else answer_torch
    Path(job["answer"]).write_text(json.dumps(answer(job)), encoding="utf-8")


def answer_torch(job: dict[str, Any]) -> dict[str, Any]:
    import torch

    from t2s.assembly import model_spec
    from t2s.config import compose
    from t2s.data.prompt import TokenizedPrompt
    from t2s.model.generate import generate
    from t2s.model.load import autocast, best_device, load_base
    from t2s.model.lora import add_lora
    from t2s.model.module import memory_bytes
    from t2s.training import lora_spec

    cfg = compose("train", job["overrides"])
    device = best_device()
    if job["variant"] == "shared":
        torch.set_flush_denormal(True)
    base, _ = load_base(model_spec(cfg.model, cfg.paths.cache_dir), device)
    model = add_lora(base, lora_spec(cfg.lora))
    fill_adapter(model, job["seed"])
    model.eval()
    workload = job["workload"]
    prompts = [TokenizedPrompt(tuple(workload.prefix), tuple(suffix)) for suffix, _ in workload.own]

    def shared(some: list[TokenizedPrompt], new_tokens: int) -> list[list[int]]:
        return generate(model, some, workload.end_token_id, new_tokens, job["batch_size"], autocast(device))

    def plain(some: list[TokenizedPrompt], new_tokens: int) -> list[list[int]]:
        completions = []
        with torch.no_grad(), autocast(device):
            for start in range(0, len(some), job["batch_size"]):
                rows = [[*prompt.prefix, *prompt.suffix] for prompt in some[start : start + job["batch_size"]]]
                longest = max(map(len, rows))
                ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows], device=device)
                real = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
                out = model.generate(
                    input_ids=ids,
                    attention_mask=real,
                    max_new_tokens=new_tokens,
                    do_sample=False,
                    eos_token_id=workload.end_token_id,
                    pad_token_id=workload.end_token_id,
                )
                completions += [up_to_end(row, workload.end_token_id) for row in out[:, longest:].tolist()]
        return completions

    work = shared if job["variant"] == "shared" else plain
    work(prompts[:1], 2)  # allocations and libraries' first calls are not counted
    return {**timed(lambda: work(prompts, job["max_new_tokens"])), "peak_bytes": memory_bytes(device)}


def answer_llama_cpp(job: dict[str, Any]) -> dict[str, Any]:
    import torch

    from t2s.assembly import model_spec
    from t2s.config import compose
    from t2s.model.module import memory_bytes
    from t2s.model.sources import package_file

    cfg = compose("train", job["overrides"])
    spec = model_spec(cfg.model, cfg.paths.cache_dir)
    if spec.source != "package":
        return {"unavailable": f"{spec.name} comes without a GGUF file"}
    try:
        from llama_cpp import Llama
    except ImportError as error:
        return {"unavailable": f"llama-cpp-python does not import: {error}"}
    workload, new_tokens = job["workload"], job["max_new_tokens"]
    longest = len(workload.prefix) + max(len(suffix) for suffix, _ in workload.own) + new_tokens
    llama = Llama(str(package_file(spec)), n_ctx=longest + 8, n_threads=job["threads"], n_threads_batch=job["threads"], verbose=False)

    def every() -> list[list[int]]:
        completions = []
        for suffix, _ in workload.own:
            ids: list[int] = []
            # What a prompt shares with the one before stays in the cache: the schema.
            tokens = llama.generate([*workload.prefix, *suffix], top_k=1, temp=0.0, repeat_penalty=1.0)
            for token in itertools.islice(tokens, new_tokens):
                ids.append(token)
                if token == workload.end_token_id:
                    break
            completions.append(ids)
        return completions

    try:
        llama.eval(workload.prefix[:1])  # reads the weights; what it leaves in the cache is forgotten
        llama.reset()
        return {**timed(every), "peak_bytes": memory_bytes(torch.device("cpu"))}
    finally:
        llama.close()


def timed(work: Callable[[], list[list[int]]]) -> dict[str, Any]:
    start, cpu_start = time.perf_counter(), time.process_time()
    completions = work()
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu_start, "completions": completions}


def up_to_end(ids: list[int], end_token_id: int) -> list[int]:
    """The ids up to the end token, itself included."""
    return ids[: ids.index(end_token_id) + 1] if end_token_id in ids else ids


if __name__ == "__main__":
    main()
