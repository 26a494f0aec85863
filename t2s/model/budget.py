"""How many tokens a forward and backward pass may have: found by trying two sizes and drawing the line through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch

from t2s.data.pack import Pack, collate
from t2s.data.prompt import TokenizedExample
from t2s.errors import ConfigError
from t2s.model.lora import trainable
from t2s.model.module import pack_loss

# What is left is for the optimizer's state, for fragments, and for packs that need more than the tried ones.
SHARE_OF_FREE_MEMORY = 0.85
TRIED_EXAMPLES = 4


def token_budget(examples: Sequence[TokenizedExample], packing: str, peak_bytes: Callable[[Pack], int], free_bytes: int, most: int) -> int:
    """Most tokens in a pack, for which memory should last.

    Memory grows in a line with a pack's tokens: activations do, and so do logits, since the longest examples are tried and
    their share of supervised tokens is typical. The line goes through a pack of one example and one of a few.

    Args:
        examples: Those that will be trained on.
        packing: `shared` or `none`.
        peak_bytes: What learning from a pack takes at its peak; raises torch.OutOfMemoryError where there is not enough.
        free_bytes: What is free before.
        most: Never more than that.

    Raises:
        ConfigError: the longest example alone does not fit.
    """
    longest = sorted(examples, key=lambda example: example.tokens, reverse=True)[:TRIED_EXAMPLES]
    [one] = collate(longest[:1], packing, longest[0].tokens).packs
    least = one.physical_tokens
    try:
        few_bytes = bytes_of_one = peak_bytes(one)
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"the longest example, {least} tokens, does not fit into memory; set model.activation_checkpointing=true, choose a smaller "
            "model, or set data.max_tokens lower and data.too_long=drop"
        ) from error
    few = max(collate(longest, packing, least * TRIED_EXAMPLES).packs, key=lambda pack: pack.physical_tokens)
    if few.physical_tokens == least:
        return max(least, min(most, int(least * SHARE_OF_FREE_MEMORY * free_bytes / bytes_of_one)))
    try:
        few_bytes = peak_bytes(few)
    except torch.OutOfMemoryError:
        return least
    per_token = max(1.0, (few_bytes - bytes_of_one) / (few.physical_tokens - least))
    room = SHARE_OF_FREE_MEMORY * free_bytes - bytes_of_one
    return max(least, min(most, int(least + room / per_token)))


def cuda_peak(model: torch.nn.Module, autocast: AbstractContextManager[object], device: torch.device) -> Callable[[Pack], int]:
    """Measures packs on CUDA, for `token_budget`."""

    def peak_bytes(pack: Pack) -> int:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        with autocast:
            loss = pack_loss(model, pack.to(device))
        torch.autograd.grad(loss, [*trainable(model).values()])
        return torch.cuda.max_memory_allocated(device) - before

    return peak_bytes
