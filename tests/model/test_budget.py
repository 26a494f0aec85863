"""The token budget that is found by measuring, with memory that grows as we say."""

from __future__ import annotations

import pytest
import torch
from tiny_models import encode, lora_model, tiny_spec

from t2s.data.pack import Pack, collate
from t2s.data.prompt import TokenizedExample
from t2s.errors import ConfigError
from t2s.model.budget import SHARE_OF_FREE_MEMORY, token_budget


@pytest.fixture(scope="module")
def examples() -> list[TokenizedExample]:
    return encode(lora_model(tiny_spec("llama"))[1])


def growing(fixed: int, per_token: int, limit: float = float("inf")):
    def peak_bytes(pack: Pack) -> int:
        needed = fixed + per_token * pack.physical_tokens
        if needed > limit:
            raise torch.OutOfMemoryError("out of memory")
        return needed

    return peak_bytes


@pytest.mark.parametrize("packing", ["shared", "none"])
@pytest.mark.parametrize(("fixed", "per_token"), [(0, 1000), (5_000_000, 300)])
def test_the_budget_fills_the_share_of_memory_it_may(examples, packing, fixed, per_token):
    free = 40_000_000
    budget = token_budget(examples, packing, growing(fixed, per_token), free, 10**9)
    assert fixed + per_token * budget == pytest.approx(SHARE_OF_FREE_MEMORY * free, rel=1e-3)


def test_it_never_exceeds_what_a_step_can_hold_nor_falls_below_the_longest_example(examples):
    assert token_budget(examples, "shared", growing(0, 1), 10**12, 5000) == 5000
    longest = max(example.tokens for example in examples)
    assert token_budget(examples, "shared", growing(0, 1000), 1000 * longest, 10**9) == longest


def test_where_only_one_example_fits_the_budget_is_one_example(examples):
    longest = max(example.tokens for example in examples)
    assert token_budget(examples, "shared", growing(0, 1, limit=longest), 10**9, 10**9) == longest


def test_an_example_that_does_not_fit_is_refused_with_the_ways_out(examples):
    with pytest.raises(ConfigError, match=r"activation_checkpointing=true.*data\.too_long=drop"):
        token_budget(examples, "shared", growing(0, 1, limit=1), 10**9, 10**9)


def test_a_single_example_scales_by_its_own_size(examples):
    one = examples[:1]
    tokens = collate(one, "shared", one[0].tokens).packs[0].physical_tokens
    assert token_budget(one, "shared", growing(0, 10), 10_000 * tokens, 10**9) == int(tokens * SHARE_OF_FREE_MEMORY * 1000)
