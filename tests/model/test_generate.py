"""Generation behind a shared prefix writes what plain `generate` writes, token by token."""

from __future__ import annotations

from contextlib import nullcontext

import bitsandbytes as bnb
import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from tiny_models import encode, lora_model, tiny_spec

from t2s.data.prompt import TokenizedPrompt
from t2s.model.generate import generate
from t2s.model.lora import merged


def plain(model: PeftModel, prompt: TokenizedPrompt, end: int, most: int) -> list[int]:
    """transformers' own greedy generation on one whole prompt."""
    ids = torch.tensor([[*prompt.prefix, *prompt.suffix]])
    model.eval()
    with torch.no_grad():
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=most, do_sample=False, eos_token_id=end, pad_token_id=end
        )
    return list(out[0, ids.shape[1] :].tolist())


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_tokens_are_those_of_plain_generate(architecture: str, batch_size: int) -> None:
    model, tokenizer = lora_model(tiny_spec(architecture))
    prompts = [e.prompt for database in ("pond", "lake") for e in encode(tokenizer, database)]
    prompts = prompts[::2] + prompts[1::2]  # prefixes interleaved
    expected = [plain(model, prompt, end=-1, most=24) for prompt in prompts]
    assert generate(model, prompts, -1, 24, batch_size, nullcontext()) == expected


def test_rows_end_at_the_end_token_each_at_its_own_time() -> None:
    model, tokenizer = lora_model(tiny_spec("llama"))
    prompts = [e.prompt for e in encode(tokenizer)]
    free = [plain(model, prompt, end=-1, most=24) for prompt in prompts]
    # Some token the model really writes in mid-answer serves as end token, so rows finish at different steps.
    end = next(token for token in free[0][3:] if token not in free[0][:3])
    expected = [row[: row.index(end) + 1] if end in row else row for row in free]
    assert len({len(row) for row in expected}) > 1
    assert generate(model, prompts, end, 24, 5, nullcontext()) == expected


def test_the_model_returns_to_training_and_each_completion_is_told_once() -> None:
    model, tokenizer = lora_model(tiny_spec("llama"))
    model.train()
    told: list[tuple[int, list[int]]] = []
    completions = generate(model, [e.prompt for e in encode(tokenizer)], -1, 2, 2, nullcontext(), lambda *one: told.append(one))
    assert model.training
    assert sorted(told) == list(enumerate(completions))


def test_a_complete_answer_ends_its_row_and_no_other() -> None:
    model, tokenizer = lora_model(tiny_spec("llama"))
    prompts = [e.prompt for e in encode(tokenizer)]
    free = generate(model, prompts, -1, 12, 5, nullcontext())
    last = free[0][4]
    expected = [row[: row.index(last) + 1] if last in row else row for row in free]
    assert len({len(row) for row in expected}) > 1
    assert generate(model, prompts, -1, 12, 5, nullcontext(), is_complete=lambda ids: ids[-1] == last) == expected


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_merged_layers_compute_what_base_and_adapter_compute_and_leave_no_trace(quantization: str) -> None:
    model, tokenizer = lora_model(tiny_spec("qwen2", quantization, decode_once="always"))
    model.float().eval()  # as on a processor without bfloat16
    prompt = encode(tokenizer)[0].prompt
    ids = torch.tensor([[*prompt.prefix, *prompt.suffix]])
    layer = next(m for m in model.modules() if isinstance(m, LoraLayer))
    calls: list[object] = []
    handle = layer.lora_B["default"].register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        apart = model(ids).logits
        assert len(calls) == 1
        with merged(model):
            together = model(ids).logits
            assert len(calls) == 1, "the adapter is in the weight"
        again = model(ids).logits
    handle.remove()
    assert float((together - apart).norm() / apart.norm()) < 1e-5
    assert again.equal(apart)
    with torch.autocast("cpu", dtype=torch.bfloat16), merged(model):
        assert "forward" not in vars(layer), "bfloat16 rounds, so it is asked for"


@pytest.mark.parametrize("decode_once", ["always", "never"])
def test_layers_merged_in_bfloat16_multiply_by_the_sum_rounded_once(decode_once: str) -> None:
    model, _ = lora_model(tiny_spec("llama", "nf4", decode_once=decode_once))
    model.eval()
    layer = next(m for m in model.modules() if isinstance(m, LoraLayer))
    base = layer.get_base_layer()
    a, b = layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach()
    original = bnb.functional.dequantize_4bit(base.weight.data, base.weight.quant_state)
    expected = original.float() + layer.scaling["default"] * b @ a
    x = torch.eye(expected.shape[1], dtype=torch.bfloat16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16), merged(model, half=True):
        merged_weight = layer(x).T.float()
    assert ((merged_weight - expected).abs() <= 2**-8 * expected.abs()).all(), "half of a last digit"
    assert (original.float() - expected).abs().max() / expected.abs().max() > 2**-6, "the adapter is no rounding error here"
    assert "forward" not in vars(layer)
