"""Two processes that share a step learn what one process learns from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import encode, lora_model, tiny_spec
from torch import Tensor

from t2s.data.datamodule import StepLoader
from t2s.data.pack import collate
from t2s.data.prompt import TokenizedExample
from t2s.model import load
from t2s.model.module import OptimizerSpec, TextToSQLModule, gradients_of, sum_over_processes

SPEC = OptimizerSpec("adamw", 1e-3, lora_b_ratio=1.0, weight_decay=0.0, betas=(0.9, 0.99), warmup_steps=0, final_ratio=1.0, clip_norm=0.0)


def learn(batch_size: int, packing: str, rank: int = 0, ranks: int = 1, meeting: Path = Path()) -> list[Tensor]:
    """Loss and gradients of each step, as `training_step` adds them up."""
    torch.set_num_threads(1)
    model, tokenizer = lora_model(tiny_spec("llama"))
    model.train()
    if ranks > 1:  # after loading: transformers lets only the first process of a group write files
        torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks)
    learner = TextToSQLModule(model, SPEC, total_steps=10, seed=0, self_check=False)
    examples = [*encode(tokenizer, "pond"), *encode(tokenizer, "lake")]
    steps = []
    for batch in StepLoader(examples, batch_size, packing, 4096, seed=0, rank=rank, ranks=ranks):
        total = torch.zeros(())
        for pack in batch.packs:
            total += learner._learn(pack, batch.supervised_tokens)
        sum_over_processes([total, *gradients_of(model)])
        steps.append(torch.cat([total[None] / batch.supervised_tokens, *(g.flatten() for g in gradients_of(model))]))
        model.zero_grad()
    return steps


def process(rank: int, directory: str, batch_size: int, packing: str) -> None:
    load.compute_dtype = lambda device: torch.float32  # as conftest has it in the test's own process
    torch.save(learn(batch_size, packing, rank, 2, Path(directory, "meeting")), f"{directory}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(("batch_size", "packing"), [(5, "shared"), (3, "none")])  # 10 examples: 3 leaves one rank without any
def test_two_processes_have_the_loss_and_gradients_of_one(tmp_path: Path, batch_size: int, packing: str) -> None:
    torch.multiprocessing.spawn(process, (str(tmp_path), batch_size, packing), nprocs=2)
    alone = learn(batch_size, packing)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert len(first) == len(second) == len(alone)
    for one, other, expected in zip(first, second, alone, strict=True):
        assert one.equal(other), "both processes take the same step"
        assert float((one - expected).norm() / expected.norm()) < 1e-5


def test_each_example_goes_to_one_process_and_all_know_the_whole_steps_tokens() -> None:
    _, tokenizer = lora_model(tiny_spec("llama"))
    examples: list[TokenizedExample] = encode(tokenizer)
    whole = collate(examples, "shared", 4096)
    shares = [collate(examples, "shared", 4096, rank, 3) for rank in range(3)]
    assert [share.examples for share in shares] == [2, 2, 1]
    assert sum(pack.supervised_tokens for share in shares for pack in share.packs) == whole.supervised_tokens
    assert {share.supervised_tokens for share in shares} == {whole.supervised_tokens}
    assert collate(examples[:1], "shared", 4096, 1, 3).packs == ()
