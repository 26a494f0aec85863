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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

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


def attend_tree(query: Tensor, key: Tensor, value: Tensor, layout: Tensor, scaling: float | None) -> Tensor:
    """Tree attention.

    Args:
        query: [1, H, T, D]; T is the prefix and then each branch.
        key: [1, K, T, D].
        value: [1, K, T, D].
        layout: Lengths of the prefix and of each branch, int64 [1 + N], on the CPU.
        scaling: Of the scores; None for 1 / sqrt(D).

    Returns:
        [1, H, T, D].
    """
    if query.device.type != "cpu":
        mask = tree_mask(layout, query.device)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True)
    out: Tensor = _tree_attention(query, key, value, layout, query.shape[-1] ** -0.5 if scaling is None else scaling)[0]
    return out


def tree_mask(layout: Tensor, device: torch.device) -> Tensor:
    """What a tree's tokens attend to: bool [1, 1, T, T]."""
    owner_T = torch.repeat_interleave(torch.arange(-1, len(layout) - 1), layout).to(device)
    visible_TT = (owner_T[:, None] == owner_T[None, :]) | (owner_T == -1)[None, :]
    return visible_TT.tril()[None, None]


# Tree attention on the CPU, as an operator of its own so that torch.compile passes over it. Queries are taken block by
# block and each block meets nothing but the keys it may see: nothing of size T x T is ever made, and a block's scores
# stay in the processor's cache. The backward pass is flash attention's (Dao et al. 2022): weights come again from the
# scores and the log-sum-exp. torch's own flash backward for the CPU (2.13) takes half as long again.


@torch.library.custom_op("t2s::tree_attention", mutates_args=(), device_types="cpu")
def _tree_attention(query: Tensor, key: Tensor, value: Tensor, layout: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Output [1, H, T, D] and log-sum-exp of the scores, float32 [1, H, T]."""
    H, T, D = query.shape[1:]
    K = key.shape[1]
    P = int(layout[0])
    q_KGTD, k_KTD = (query[0].float() * scale).view(K, H // K, T, D), key[0].float()
    out_KGTD, lse_KGT1 = query.new_empty(K, H // K, T, D), q_KGTD.new_empty(K, H // K, T, 1)
    # The prefix is one causal sequence: torch's flash forward is the fastest there.
    keys, values = (x[:, :, :P].repeat_interleave(H // K, 1) for x in (key, value))
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query[:, :, :P], keys, values, 0.0, True, scale=scale)
    out_KGTD[:, :, :P], lse_KGT1[:, :, :P] = out.view(K, H // K, P, D), lse.reshape(K, H // K, P, 1)
    with _products_in(query.dtype):
        for block in _blocks(layout):
            if block.stop <= P:
                continue
            rows = slice(block.start, block.stop)
            scores = torch.bmm(_flat(q_KGTD[:, :, rows]), block.keys(k_KTD).transpose(1, 2))
            block.hide(scores, -math.inf)
            highest = scores.amax(-1, keepdim=True)
            weights = scores.sub_(highest).exp_()
            total = weights.sum(-1, keepdim=True)
            out_KGTD[:, :, rows] = torch.bmm(weights.to(query.dtype), block.keys(value[0])).div_(total).view(K, H // K, -1, D)
            lse_KGT1[:, :, rows] = total.log_().add_(highest).view(K, H // K, -1, 1)
    return out_KGTD.view(1, H, T, D), lse_KGT1.view(1, H, T)


@_tree_attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, layout: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    return query.new_empty(query.shape), query.new_empty(query.shape[:3], dtype=torch.float32)


@torch.library.custom_op("t2s::tree_attention_backward", mutates_args=(), device_types="cpu")
def _tree_attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, layout: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value."""
    H, T, D = query.shape[1:]
    K = key.shape[1]
    q_KGTD, k_KTD, v_KTD = (query[0].float() * scale).view(K, H // K, T, D), key[0].float(), value[0].float()
    g_KGTD, lse_KGT1 = grad[0].float().view(K, H // K, T, D), lse.view(K, H // K, T, 1)
    mean_KGT1 = (g_KGTD * out[0].view(K, H // K, T, D)).sum(-1, keepdim=True)
    dq_KGTD, dk_KTD, dv_KTD = q_KGTD.new_empty(q_KGTD.shape), k_KTD.new_zeros(k_KTD.shape), v_KTD.new_zeros(v_KTD.shape)
    with _products_in(query.dtype):
        for block in _blocks(layout):
            rows = slice(block.start, block.stop)
            q, g = _flat(q_KGTD[:, :, rows]), _flat(g_KGTD[:, :, rows])
            weights = torch.bmm(q, block.keys(k_KTD).transpose(1, 2)).sub_(_flat(lse_KGT1[:, :, rows])).exp_()
            block.hide(weights, 0.0)
            block.add(dv_KTD, torch.bmm(weights.to(query.dtype).transpose(1, 2), g.to(query.dtype)))
            dscores = torch.bmm(g, block.keys(v_KTD).transpose(1, 2)).sub_(_flat(mean_KGT1[:, :, rows])).mul_(weights).to(query.dtype)
            dq_KGTD[:, :, rows] = torch.bmm(dscores, block.keys(key[0])).view(K, H // K, -1, D)
            block.add(dk_KTD, torch.bmm(dscores.transpose(1, 2), q.to(query.dtype)))
    return dq_KGTD.mul_(scale).view(1, H, T, D).to(query.dtype), dk_KTD[None].to(key.dtype), dv_KTD[None].to(value.dtype)


@_tree_attention_backward.register_fake
def _(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, layout: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    return query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    query, key, value, layout, ctx.scale = inputs
    ctx.save_for_backward(query, key, value, *output, layout)


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return (*_tree_attention_backward(grad, *ctx.saved_tensors, ctx.scale), None, None)


_tree_attention.register_autograd(_backward, setup_context=_keep_for_backward)


@dataclass(frozen=True)
class _Block:
    """Queries `start` to `stop` see keys 0 to `seen_to`, `own_from` to `start`, and among themselves those before them."""

    start: int
    stop: int
    seen_to: int
    own_from: int

    def keys(self, x_KTD: Tensor) -> Tensor:
        """What the block sees of keys or values."""
        if self.seen_to == self.own_from:
            return x_KTD[:, : self.stop]
        return torch.cat((x_KTD[:, : self.seen_to], x_KTD[:, self.own_from : self.stop]), 1)

    def add(self, whole_KTD: Tensor, part: Tensor) -> None:
        """Adds a gradient of `keys` to its places."""
        whole_KTD[:, : self.seen_to] += part[:, : self.seen_to]
        whole_KTD[:, self.own_from : self.stop] += part[:, self.seen_to :]

    def hide(self, scores: Tensor, value: float) -> None:
        """Puts `value` where a query of the block would see a later one. scores: [K, G * queries, keys]."""
        n = self.stop - self.start
        later = torch.ones(n, n, dtype=torch.bool).triu_(1)
        scores.view(scores.shape[0], -1, n, scores.shape[-1])[..., -n:].masked_fill_(later, value)


QUERIES_PER_BLOCK = 128


def _blocks(layout: Tensor) -> list[_Block]:
    lengths: list[int] = layout.tolist()
    blocks, start = [], 0
    for branch, length in enumerate(lengths):
        seen_to = lengths[0] if branch else 0
        for first in range(start, start + length, QUERIES_PER_BLOCK):
            blocks.append(_Block(first, min(first + QUERIES_PER_BLOCK, start + length), seen_to, start))
        start += length
    return blocks


def _flat(x_KGND: Tensor) -> Tensor:
    """[K, G, N, D] as [K, G * N, D]: heads that share keys become more queries, and keys need no copies."""
    K, G, N, D = x_KGND.shape
    return x_KGND.reshape(K, G * N, D)


@contextmanager
def _products_in(dtype: torch.dtype) -> Iterator[None]:
    """Multiplies float32 matrices in `dtype` where the processor can, with float32 sums and results."""
    settings: Any = getattr(torch.backends.mkldnn, "matmul")  # noqa: B009  # unknown to the type checker
    before = settings.fp32_precision
    if dtype == torch.bfloat16:
        settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


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
