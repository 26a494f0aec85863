"""Attention that knows a shared prefix: one schema, many questions, the work of the schema done once.

transformers lets a model's attention function be replaced by name and hands it whatever keyword the forward pass is
given. Ours answers two keywords and leaves every other forward pass to the implementation it wraps:

- `tree` (training): lengths of a prefix and of branches behind it; a branch sees the prefix and itself.
- `prefix` (generation): keys and values of the prefix, held once for all rows; the ordinary cache holds what follows.
"""

# B rows  H heads  K key/value heads  G heads per key/value head  T tokens  N branches  P prefix tokens  L own tokens
# D head width

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from t2s.model.tree import attend_tree

NAME = "t2s_{}"
# transformers infers a *packed* mask from restarting positions unless it is handed a 4D mask, which it passes through.
NO_MASK = torch.zeros(1, 1, 1, 1)


@dataclass(frozen=True)
class Prefix:
    """Keys and values of one computed prefix, per layer: float32 [K, P, D]."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def tokens(self) -> int:
        return self.keys[0].shape[1]

    @classmethod
    def of(cls, cache: DynamicCache) -> Prefix:
        """Takes over the cache of a forward pass over the prefix, batch 1."""
        layers: list[Any] = list(cache.layers)
        return cls(tuple(layer.keys[0].float() for layer in layers), tuple(layer.values[0].float() for layer in layers))


def share_prefixes(model: PreTrainedModel) -> None:
    """Makes `model` answer to `tree` and `prefix`; all other forward passes stay as they were."""
    plain = model.config._attn_implementation
    name = NAME.format(plain)
    if plain.startswith("t2s_"):
        return
    if name not in ALL_ATTENTION_FUNCTIONS.valid_keys():
        AttentionInterface.register(name, _dispatch(ALL_ATTENTION_FUNCTIONS[plain] if plain != "eager" else _eager))
        AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[plain])
    model.set_attn_implementation(name)


def _dispatch(plain: Callable[..., Any]) -> Callable[..., Any]:
    def attend(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        tree: Tensor | None = None,
        prefix: Prefix | None = None,
        scaling: float | None = None,
        **options: Any,
    ) -> tuple[Tensor, None]:
        if tree is not None:
            return attend_tree(query, key, value, tree, scaling).transpose(1, 2), None
        if prefix is not None:
            assert attention_mask is not None
            layer: int = module.layer_idx  # type: ignore[assignment]
            out = _attend_prefix(query, key, value, attention_mask, prefix.keys[layer], prefix.values[layer], scaling)
            return out.transpose(1, 2), None
        return plain(module, query, key, value, attention_mask, scaling=scaling, **options)  # type: ignore[no-any-return]

    return attend


def _eager(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, **_: Any) -> Any:
    groups = query.shape[1] // key.shape[1]
    scores = query @ key.repeat_interleave(groups, 1).transpose(2, 3) * scaling
    weights = (scores if mask is None else scores + mask).float().softmax(-1).to(query.dtype)
    return (weights @ value.repeat_interleave(groups, 1)).transpose(1, 2), weights


def _attend_prefix(
    query: Tensor, key: Tensor, value: Tensor, allowed: Tensor, prefix_key: Tensor, prefix_value: Tensor, scaling: float | None
) -> Tensor:
    """Attention over a prefix shared by all rows and each row's own tokens, one softmax over both.

    Args:
        query: [B, H, T, D].
        key: [B, K, L, D], own tokens.
        value: [B, K, L, D].
        allowed: bool [B, 1, T, L].
        prefix_key: float32 [K, P, D].
        prefix_value: float32 [K, P, D].
        scaling: Of the scores; None for 1 / sqrt(D).

    Returns:
        [B, H, T, D].
    """
    B, H, T, D = query.shape
    K, P, _ = prefix_key.shape
    # All rows' queries meet the prefix as one matrix; float32, for the scores are rounded only once in a fused kernel.
    q_BKGTD = query.float().view(B, K, H // K, T, D) * (scaling if scaling is not None else D**-0.5)
    q_KND = q_BKGTD.permute(1, 0, 2, 3, 4).reshape(K, -1, D)
    shared = (q_KND @ prefix_key.transpose(1, 2)).view(K, B, H // K, T, P).permute(1, 0, 2, 3, 4)
    own = torch.einsum("bkgtd,bkld->bkgtl", q_BKGTD, key.float()).masked_fill(~allowed[:, :, None], -math.inf)
    weights = torch.cat((shared, own), -1).softmax(-1)
    from_prefix = weights[..., :P].permute(1, 0, 2, 3, 4).reshape(K, -1, P) @ prefix_value
    from_own = torch.einsum("bkgtl,bkld->bkgtd", weights[..., P:], value.float())
    out = from_prefix.view(K, B, H // K, T, D).permute(1, 0, 2, 3, 4) + from_own
    return out.reshape(B, H, T, D).to(query.dtype)
