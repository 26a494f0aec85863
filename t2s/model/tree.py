"""Tree attention: every branch of a pack sees the shared prefix and itself, and nothing of size T x T is made on a CPU.

Two implementations stand behind one operator, so that torch.compile passes over it: the kernel (`tree_attention.cpp`), and
matrix products of torch, which need no compiler. Both follow flash attention
(Dao et al. 2022): the backward pass makes the weights again from the scores and the log-sum-exp.
"""

# H heads  K key/value heads  G heads per key/value head  T tokens  N branches  P prefix tokens  D head width

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from t2s.model.kernel import TreeKernel


def attend_tree(query: Tensor, key: Tensor, value: Tensor, layout: Tensor, scaling: float | None) -> Tensor:
    """Tree attention.

    Args:
        query: [1, H, T, D]; T is the prefix and then each branch, and so on for further trees.
        key: [1, K, T, D].
        value: [1, K, T, D].
        layout: Lengths of the prefix and of each branch, and so on for further trees, whose prefix's length is negative: int64, on
            the CPU.
        scaling: Of the scores; None for 1 / sqrt(D).

    Returns:
        [1, H, T, D].
    """
    if query.device.type != "cpu":
        attend = _attend_blocks if query.shape[2] > LONGEST_DENSE else _attend_dense
        return attend(query, key, value, layout, scaling)
    out: Tensor = _tree_attention(query, key, value, layout, query.shape[-1] ** -0.5 if scaling is None else scaling)[0]
    return out


def tree_mask(layout: Tensor, device: torch.device) -> Tensor:
    """What the tokens of trees attend to: bool [1, 1, T, T]."""
    tree_T, branch_T = _owners(layout, device)
    prefix_TT = (tree_T[:, None] == tree_T[None, :]) & (branch_T == -1)[None, :]
    own_TT = (branch_T[:, None] == branch_T[None, :]) & (tree_T[:, None] == tree_T[None, :])
    return (prefix_TT | own_TT).tril()[None, None]


def tree_block_mask(layout: Tensor, device: torch.device) -> BlockMask:
    """The same for FlexAttention, which skips blocks that see nothing. Its length is rounded up to whole blocks.

    Padding behind the last branch is a branch of its own: its rows count for nothing, and are no rows without a key.
    """
    padding = -int(layout.abs().sum()) % BLOCK_TOKENS
    tree_T, branch_T = _owners(torch.cat([layout, layout.new_tensor([padding])]), device)

    def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        of_branch = (branch_T[key] == -1) | (branch_T[key] == branch_T[query])
        return (key <= query) & (tree_T[key] == tree_T[query]) & of_branch

    T = len(tree_T)
    return create_block_mask(visible, None, None, T, T, device=device, BLOCK_SIZE=BLOCK_TOKENS)


def _owners(layout: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Of each token the tree and the branch, which is -1 in a prefix: int64 [T] both."""
    opens = layout < 0
    opens[0] = True
    branches = torch.arange(len(layout)).masked_fill(opens, -1)
    tree_T, branch_T = (torch.repeat_interleave(x, layout.abs()).to(device) for x in (opens.cumsum(0), branches))
    return tree_T, branch_T


BLOCK_TOKENS = 128
# On CUDA, shorter packs are quicker under a dense mask than FlexAttention's compiled code is to start.
LONGEST_DENSE = 1024
# All layers of a forward pass bring the same layout.
_block_masks: WeakKeyDictionary[Tensor, BlockMask] = WeakKeyDictionary()


def _attend_dense(query: Tensor, key: Tensor, value: Tensor, layout: Tensor, scaling: float | None) -> Tensor:
    mask = tree_mask(layout, query.device)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True)


def _attend_blocks(query: Tensor, key: Tensor, value: Tensor, layout: Tensor, scaling: float | None) -> Tensor:
    mask = _block_masks.get(layout)
    if mask is None:
        mask = _block_masks[layout] = tree_block_mask(layout, query.device)
    T = query.shape[2]
    padded = [F.pad(x, (0, 0, 0, -T % BLOCK_TOKENS)) for x in (query, key, value)]
    out: Any = _flex_attention(query.device.type)(*padded, block_mask=mask, scale=scaling, enable_gqa=True)
    attended: Tensor = out[:, :, :T]
    return attended


@cache
def _flex_attention(device_type: str) -> Callable[..., Any]:
    # Without its compiled kernel FlexAttention makes all scores, which is for checking it on a CPU.
    attend: Callable[..., Any] = flex_attention
    return torch.compile(attend, dynamic=False) if device_type == "cuda" else attend


_kernel: TreeKernel | None = None


def use_kernel(kernel: TreeKernel | None) -> None:
    """Lets `kernel` compute tree attention where it can; None takes that back."""
    global _kernel
    _kernel = kernel


@torch.library.custom_op("t2s::attend_tree", mutates_args=(), device_types="cpu")
def _tree_attention(query: Tensor, key: Tensor, value: Tensor, layout: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Output [1, H, T, D] and log-sum-exp of the scores, float32 [1, H, T]."""
    out, lse = _like_tokens(query), query.new_empty(query.shape[:3], dtype=torch.float32)
    forward = _kernel.forward if _kernel and _kernel.can(query) else _forward_by_products
    trees = _trees(layout)
    if len(trees) == 1:
        forward(query, key, value, layout, scale, out, lse)
    else:
        for tokens, own in trees:
            q, k, v = (x[:, :, tokens] for x in (query, key, value))
            out[:, :, tokens], lse[:, :, tokens] = _filled(forward, (q, k, v, own, scale), _like_tokens(q), lse.new_empty(q.shape[:3]))
    return out, lse


@_tree_attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, layout: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    return _like_tokens(query), query.new_empty(query.shape[:3], dtype=torch.float32)


@torch.library.custom_op("t2s::attend_tree_backward", mutates_args=(), device_types="cpu")
def _tree_attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, layout: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value."""
    gradients = tuple(_like_tokens(x) for x in (query, key, value))
    backward = _kernel.backward if _kernel and _kernel.can(query) else _backward_by_products
    trees = _trees(layout)
    if len(trees) == 1:
        backward(grad, query, key, value, out, lse, layout, scale, *gradients)
    else:
        for tokens, own in trees:
            parts = [x[:, :, tokens] for x in (grad, query, key, value, out, lse)]
            made = _filled(backward, (*parts, own, scale), *(_like_tokens(x) for x in parts[1:4]))
            for whole, part in zip(gradients, made, strict=True):
                whole[:, :, tokens] = part
    dquery, dkey, dvalue = gradients
    return dquery, dkey, dvalue


@_tree_attention_backward.register_fake
def _(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, layout: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    return _like_tokens(query), _like_tokens(key), _like_tokens(value)


def _trees(layout: Tensor) -> list[tuple[slice, Tensor]]:
    """The tokens of each tree, and its own lengths."""
    starts = [0, *(i for i, length in enumerate(layout.tolist()) if i and length < 0)]
    parts = [layout[start:stop].abs() for start, stop in zip(starts, [*starts[1:], len(layout)], strict=True)]
    ends = torch.stack([part.sum() for part in parts]).cumsum(0).tolist()
    return [(slice(stop - int(part.sum()), stop), part) for part, stop in zip(parts, ends, strict=True)]


def _filled(fill: Callable[..., None], inputs: tuple[Any, ...], *results: Tensor) -> tuple[Tensor, ...]:
    fill(*inputs, *results)
    return results


def _like_tokens(x: Tensor) -> Tensor:
    """An empty [1, heads, T, D] whose heads lie side by side for each token, as the layers around attention want them."""
    B, heads, T, D = x.shape
    return x.new_empty(B, T, heads, D).transpose(1, 2)


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    query, key, value, layout, ctx.scale = inputs
    ctx.save_for_backward(query, key, value, *output, layout)


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return (*_tree_attention_backward(grad, *ctx.saved_tensors, ctx.scale), None, None)


_tree_attention.register_autograd(_backward, setup_context=_keep_for_backward)


# By products of torch: queries are taken block by block, each block meets nothing but the keys it may see, and its scores
# stay in the processor's cache. torch's own flash backward for the CPU (2.13) takes half as long again.


def _forward_by_products(query: Tensor, key: Tensor, value: Tensor, layout: Tensor, scale: float, out: Tensor, lse: Tensor) -> None:
    H, T, D = query.shape[1:]
    K = key.shape[1]
    P = int(layout[0])
    q_KGTD, k_KTD = (query[0].float() * scale).reshape(K, H // K, T, D), key[0].float()
    out_KGTD, lse_KGT1 = out[0].unflatten(0, (K, H // K)), lse.view(K, H // K, T, 1)
    # The prefix is one causal sequence: torch's flash forward is the fastest there.
    keys, values = (x[:, :, :P].repeat_interleave(H // K, 1) for x in (key, value))
    out[:, :, :P], lse[:, :, :P] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query[:, :, :P], keys, values, 0.0, True, scale=scale
    )
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


def _backward_by_products(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    layout: Tensor,
    scale: float,
    dquery: Tensor,
    dkey: Tensor,
    dvalue: Tensor,
) -> None:
    H, T, D = query.shape[1:]
    K = key.shape[1]
    q_KGTD, k_KTD, v_KTD = (query[0].float() * scale).reshape(K, H // K, T, D), key[0].float(), value[0].float()
    g_KGTD, lse_KGT1 = grad[0].float().reshape(K, H // K, T, D), lse.reshape(K, H // K, T, 1)
    mean_KGT1 = (g_KGTD * out[0].unflatten(0, (K, H // K))).sum(-1, keepdim=True)
    dq_KGTD, dk_KTD, dv_KTD = torch.empty_like(q_KGTD), torch.zeros_like(k_KTD), torch.zeros_like(v_KTD)
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
    dquery.copy_(dq_KGTD.mul_(scale).view(1, H, T, D))
    dkey.copy_(dk_KTD[None])
    dvalue.copy_(dv_KTD[None])


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
