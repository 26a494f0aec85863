"""Greedy generation with the schema's prefix computed once."""

# B rows  T tokens

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import DynamicCache, PretrainedConfig

from t2s.data.prompt import TokenizedPrompt
from t2s.model.attention import Prefix
from t2s.model.lora import merged
from t2s.model.speed import uncompiled


@torch.no_grad()
def generate(
    model: nn.Module,
    prompts: Sequence[TokenizedPrompt],
    end_token_id: int,
    max_new_tokens: int,
    batch_size: int,
    autocast: AbstractContextManager[object],
    on_completion: Callable[[int, list[int]], object] = lambda index, ids: None,
    is_complete: Callable[[list[int]], bool] = lambda ids: False,
) -> list[list[int]]:
    """Greedy completions, token for token those of plain `model.generate` on whole prompts.

    Each prefix is computed once and its keys and values are shared by all rows behind it; suffixes of like length share
    a batch, and a row that has ended leaves it.

    Args:
        model: A causal language model, as `t2s.model.load` gives it; put in eval mode and back.
        prompts: Any mixture of prefixes.
        end_token_id: Ends a completion.
        max_new_tokens: Longest completion, in tokens.
        batch_size: Prompts decoded together.
        autocast: Mixed precision as trained.
        on_completion: Given each prompt's index and completion as soon as it ends, so that work on it can begin.
        is_complete: Ends a completion without an end token; asked after every token, so it must be quick.

    Returns:
        Completion ids in the order of `prompts`, end token included where reached.
    """
    completions: list[list[int]] = [[] for _ in prompts]
    by_prefix: dict[tuple[int, ...], list[int]] = {}
    for index, prompt in enumerate(prompts):
        by_prefix.setdefault(prompt.prefix, []).append(index)
    was_training = model.training
    model.eval()
    try:
        # On CUDA 4-bit layers decode their weights for every token; on a CPU that is done already, and rounding would win little.
        with autocast, uncompiled(), merged(model, half=_device(model).type == "cuda"):
            for ids, members in by_prefix.items():
                prefix = _prefill(model, ids)
                members.sort(key=lambda i: len(prompts[i].suffix))
                for start in range(0, len(members), batch_size):
                    batch = members[start : start + batch_size]
                    decoder = _Decoder(model, prefix, [prompts[i].suffix for i in batch], end_token_id, is_complete)
                    for row, completion in decoder.run(max_new_tokens):
                        completions[batch[row]] = completion
                        on_completion(batch[row], completion)
    finally:
        model.train(was_training)
    return completions


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _config(model: nn.Module) -> PretrainedConfig:
    config = model.config
    assert isinstance(config, PretrainedConfig)
    return config


def _cache_name(model: nn.Module) -> str:
    """What a forward pass calls its cache: transformers 5.24 renamed `past_key_values` and warns of the old name."""
    forward = (model.get_base_model() if isinstance(model, PeftModel) else model).forward
    return "cache" if "cache" in inspect.signature(forward).parameters else "past_key_values"


def _prefill(model: nn.Module, ids: tuple[int, ...]) -> Prefix:
    cache = DynamicCache(config=_config(model))
    model(input_ids=torch.tensor([ids], device=_device(model)), **{_cache_name(model): cache}, use_cache=True, logits_to_keep=1)
    return Prefix.of(cache)


class _Decoder:
    """Decodes one batch of suffixes behind a prefix, greedily."""

    def __init__(
        self,
        model: nn.Module,
        prefix: Prefix,
        suffixes: Sequence[tuple[int, ...]],
        end_token_id: int,
        is_complete: Callable[[list[int]], bool],
    ) -> None:
        self._model, self._prefix, self._end, self._is_complete = model, prefix, end_token_id, is_complete
        longest = max(len(suffix) for suffix in suffixes)
        device = _device(model)
        # Left padding, so that every row's next token stands in the last column.
        padding = [longest - len(suffix) for suffix in suffixes]
        self._ids_BT = torch.tensor([[0] * p + list(s) for p, s in zip(padding, suffixes, strict=True)], device=device)
        self._padding_B = torch.tensor(padding, device=device)
        self._cache, self._cache_name = DynamicCache(config=_config(model)), _cache_name(model)
        self._rows = list(range(len(suffixes)))
        self._completions: list[list[int]] = [[] for _ in suffixes]

    def run(self, max_new_tokens: int) -> Iterator[tuple[int, list[int]]]:
        """Rows with their completions, as they end."""
        for _ in range(max_new_tokens):
            next_B = self._forward().argmax(-1)
            tokens = next_B.tolist()
            for row, token in zip(self._rows, tokens, strict=True):
                self._completions[row].append(token)
            ended = {
                row
                for row, token in zip(self._rows, tokens, strict=True)
                if token == self._end or self._is_complete(self._completions[row])
            }
            alive = [i for i, row in enumerate(self._rows) if row not in ended]
            yield from ((row, self._completions[row]) for row in self._rows if row in ended)
            if not alive:
                return
            if len(alive) < len(tokens):
                self._keep(torch.tensor(alive, device=next_B.device))
                self._rows = [self._rows[i] for i in alive]
                next_B = next_B[alive]
            self._ids_BT = next_B[:, None]
        yield from ((row, self._completions[row]) for row in self._rows)

    def _forward(self) -> Tensor:
        """Logits [B, V] of the next token; the cache grows by the tokens fed."""
        _B, T = self._ids_BT.shape
        past = self._cache.get_seq_length()
        column_T = torch.arange(past, past + T, device=self._ids_BT.device)
        column_L = torch.arange(past + T, device=self._ids_BT.device)
        allowed_BTL = (column_L[None, None] <= column_T[None, :, None]) & (column_L[None, None] >= self._padding_B[:, None, None])
        # A padding position sees itself, or its softmax would divide by zero.
        allowed_BTL = allowed_BTL | (column_L[None, None] == column_T[None, :, None])
        positions_BT = (column_T[None] - self._padding_B[:, None]).clamp_(min=0) + self._prefix.tokens
        logits_BTV: Tensor = self._model(
            input_ids=self._ids_BT,
            position_ids=positions_BT,
            attention_mask=allowed_BTL[:, None],
            **{self._cache_name: self._cache},
            use_cache=True,
            logits_to_keep=1,
            prefix=self._prefix,
        ).logits
        return logits_BTV[:, -1]

    def _keep(self, rows: Tensor) -> None:
        self._cache.batch_select_indices(rows)
        self._padding_B = self._padding_B[rows]
