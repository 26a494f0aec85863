"""Where memory runs out a pack is learnt in halves, with the gradients of the whole."""

from __future__ import annotations

import pytest
import torch
from peft import PeftModel
from tiny_models import encode, lora_model, tiny_spec
from torch import Tensor

from t2s.data.pack import StepBatch, collate
from t2s.errors import ConfigError
from t2s.model import module as module_room
from t2s.model.lora import trainable
from t2s.model.module import OptimizerSpec, TextToSQLModule

SPEC = OptimizerSpec("adamw", 1e-3, lora_b_ratio=1.0, weight_decay=0.0, betas=(0.9, 0.99), warmup_steps=0, final_ratio=1.0, clip_norm=0.0)


def learn(model: PeftModel, batch: StepBatch) -> tuple[float, Tensor, TextToSQLModule]:
    learner = TextToSQLModule(model, SPEC, total_steps=10, seed=0, self_check=False)
    model.train()
    model.zero_grad()
    total = sum(learner._learn(pack, batch.supervised_tokens).item() for pack in batch.packs)
    return total, torch.cat([p.grad.flatten() for p in trainable(model).values() if p.grad is not None]).clone(), learner


def memory_for(tokens: int, monkeypatch: pytest.MonkeyPatch, fail_in: str) -> list[int]:
    """Lets every pack of more than `tokens` tokens run out of memory, before its forward or late in its backward pass."""
    whole, tried = module_room.pack_loss, []

    class Late(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, grad: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("out of memory")

    def limited(model: torch.nn.Module, pack: object) -> Tensor:
        tried.append(pack.physical_tokens)  # type: ignore[attr-defined]
        if tried[-1] <= tokens:
            return whole(model, pack)  # type: ignore[arg-type]
        if fail_in == "forward":
            raise torch.OutOfMemoryError("out of memory")
        # By the time the first layer's output gets its gradient, the weights of the layers behind it have theirs.
        first = model.base_model.model.get_decoder().layers[0]  # type: ignore[operator]
        handle = first.register_forward_hook(lambda m, i, out: Late.apply(out))
        try:
            return whole(model, pack)  # type: ignore[arg-type]
        finally:
            handle.remove()

    monkeypatch.setattr(module_room, "pack_loss", limited)
    return tried


@pytest.mark.parametrize("fail_in", ["forward", "backward"])
@pytest.mark.parametrize("packing", ["shared", "none"])
def test_halves_have_the_loss_and_gradients_of_the_whole(monkeypatch: pytest.MonkeyPatch, packing: str, fail_in: str) -> None:
    model, tokenizer = lora_model(tiny_spec("llama"))
    batch = collate(encode(tokenizer), packing, 4096)
    loss, gradients, _ = learn(model, batch)
    assert len(batch.packs) == 1
    whole = batch.packs[0]
    most = max(whole.part(i, i + 1).physical_tokens for i in range(whole.examples))  # the longest example alone
    tried = memory_for(most, monkeypatch, fail_in)
    half_loss, half_gradients, learner = learn(model, batch)
    assert half_loss == pytest.approx(loss, rel=1e-5)
    assert float((half_gradients - gradients).norm() / gradients.norm()) < 1e-5
    assert max(tried) > most
    tried.clear()
    learner._learn(whole, batch.supervised_tokens)
    assert tried[0] < whole.physical_tokens, "what failed once is not tried again at its full size"


def test_a_single_example_without_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = lora_model(tiny_spec("llama"))
    batch = collate(encode(tokenizer), "shared", 4096)
    memory_for(3, monkeypatch, "forward")
    with pytest.raises(ConfigError, match="does not fit into memory"):
        learn(model, batch)
