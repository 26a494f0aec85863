"""4-bit and 8-bit bases: gradients stay exact before and after a validation, on this processor."""

from __future__ import annotations

import bitsandbytes
import pytest
import torch
from peft import PeftModel
from tiny_models import encode, lora_model, tiny_spec
from torch import Tensor, nn

from t2s.data.pack import shared_pack
from t2s.model.generate import generate
from t2s.model.lora import trainable
from t2s.model.module import pack_loss


def gradients(model: nn.Module, tokenizer: object) -> Tensor:
    model.train()
    model.zero_grad()
    pack_loss(model, shared_pack(encode(tokenizer))).backward()  # type: ignore[arg-type]
    return torch.cat([p.grad.flatten() for p in trainable(model).values() if p.grad is not None]).clone()


def dequantized(model: PeftModel) -> PeftModel:
    """The same model with plain linear layers that hold the 4-bit weights' exact values."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, bitsandbytes.nn.Linear4bit):
                weight = bitsandbytes.functional.dequantize_4bit(child.weight.data, child.weight.quant_state)
                linear = nn.Linear(child.in_features, child.out_features, bias=child.bias is not None)
                linear.weight = nn.Parameter(weight.float(), requires_grad=False)
                if child.bias is not None:
                    linear.bias = nn.Parameter(child.bias.float(), requires_grad=False)
                setattr(parent, name, linear)
    return model


@pytest.mark.parametrize("decode_once", ["always", "never"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_nf4_trains_exactly_before_and_after_a_validation(architecture: str, decode_once: str) -> None:
    model, tokenizer = lora_model(tiny_spec(architecture, "nf4", decode_once=decode_once))
    layers = [m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(layers) == 14
    assert all(layer.weight.quant_state.nested for layer in layers), "double quantization"
    assert all(hasattr(layer, "decoded") == (decode_once == "always") for layer in layers)
    before = gradients(model, tokenizer)
    generate(model, [e.prompt for e in encode(tokenizer)], -1, 4, 5, torch.autocast("cpu", dtype=torch.bfloat16))
    after = gradients(model, tokenizer)
    oracle = gradients(dequantized(model), tokenizer)
    assert oracle.norm() > 1e-3
    for ours in (before, after):
        assert float((ours - oracle).norm() / oracle.norm()) < 1e-4


def test_int8_learns() -> None:
    model, tokenizer = lora_model(tiny_spec("llama", "int8"))
    assert any(isinstance(m, bitsandbytes.nn.Linear8bitLt) for m in model.modules())
    optimizer = torch.optim.AdamW(trainable(model).values(), lr=5e-3)
    pack, losses = shared_pack(encode(tokenizer)), []
    model.train()
    for _ in range(15):
        loss = pack_loss(model, pack)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
