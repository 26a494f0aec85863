"""Five steps of a tiny model from seed 0: a change that should change nothing changes none of these digits."""

from __future__ import annotations

import pytest
import torch
from tiny_models import encode, lora_model, tiny_spec

from t2s.data.datamodule import StepLoader
from t2s.model.lora import trainable
from t2s.model.module import pack_loss

GOLDEN = {
    "llama": [6.446002, 6.383568, 6.396167, 6.294805, 6.190679],
    "qwen2": [6.452613, 6.452145, 6.465042, 6.334626, 6.25282],
}


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_five_steps_give_the_same_losses_as_ever(architecture: str) -> None:
    model, tokenizer = lora_model(tiny_spec(architecture))
    model.train()
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=1e-3)
    losses = []
    for batch in [*StepLoader(encode(tokenizer) * 5, 5, "shared", 4096, 0)]:
        total = sum(pack_loss(model, pack) for pack in batch.packs) / batch.supervised_tokens
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total.item())
    assert losses == pytest.approx(GOLDEN[architecture], abs=1e-5)
