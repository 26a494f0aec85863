"""What makes a step fast leaves its results alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import CPU, encode, lora_model, tiny_spec
from torch import Tensor, nn

from t2s.data.pack import Pack, shared_pack
from t2s.errors import ConfigError
from t2s.model import speed
from t2s.model.lora import trainable
from t2s.model.module import OptimizerSpec, TextToSQLModule, pack_loss


def step(model: nn.Module, pack: Pack) -> tuple[float, Tensor]:
    model.zero_grad()
    loss = pack_loss(model, pack)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), torch.cat([p.grad.flatten() for p in trainable(model).values() if p.grad is not None]).clone()


@pytest.mark.slow  # a minute of C++ compiler
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_compiled_layers_compute_what_written_ones_do(architecture: str, tmp_path: Path) -> None:
    """Packs of several lengths, so that code made for one length would show."""
    model, tokenizer = lora_model(tiny_spec(architecture))
    model.train()
    examples = encode(tokenizer)
    packs = [shared_pack(examples[:n]) for n in (3, 5, 1, 4)]
    written = [step(model, pack) for pack in packs]
    assert "layers" in speed.speed_up(model.base_model.model, "always", CPU, tmp_path)
    torch._dynamo.utils.counters.clear()
    compiled = [step(model, pack) for pack in packs]
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs == 1, f"one program serves all layers and lengths, here were {graphs}"
    for (loss, gradients), (expected_loss, expected) in zip(compiled, written, strict=True):
        assert loss == pytest.approx(expected_loss, rel=1e-5)
        assert float((gradients - expected).norm() / expected.norm()) < 1e-5


def test_compilation_without_a_compiler_is_refused_or_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    model, _ = lora_model(tiny_spec("llama"))
    base = model.base_model.model
    with pytest.raises(ConfigError, match="a C\\+\\+ compiler"):
        speed.speed_up(base, "always", CPU, tmp_path)
    assert speed.speed_up(base, "auto", CPU, tmp_path).startswith("not compiled for want of a C++ compiler")


def test_b_matrices_learn_faster_by_the_ratio() -> None:
    model, _ = lora_model(tiny_spec("llama"))
    spec = OptimizerSpec(
        "adamw", 1e-3, lora_b_ratio=8.0, weight_decay=0.0, betas=(0.9, 0.99), warmup_steps=0, final_ratio=1.0, clip_norm=1.0
    )
    optimizer = TextToSQLModule(model, spec, total_steps=10, seed=0, self_check=False).configure_optimizers()["optimizer"]
    rates = {id(parameter): group["initial_lr"] for group in optimizer.param_groups for parameter in group["params"]}
    named = trainable(model)
    assert len(rates) == len(named)
    assert all(rates[id(parameter)] == pytest.approx(8e-3 if "lora_B" in name else 1e-3) for name, parameter in named.items())
