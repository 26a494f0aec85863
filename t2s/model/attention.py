"""Attention that knows a shared prefix: one schema, many questions, the work of the schema done once.

transformers lets a model's attention function be replaced by name and hands it whatever keyword the forward pass is
given. Ours answers two keywords and leaves every other forward pass to the implementation it wraps:

- `tree` (training): the sequence is a prefix with branches behind it; a branch sees the prefix and itself.
- `prefix` (generation): keys and values of the prefix, held once for all rows; the ordinary cache holds what follows.
"""

# B rows  H heads  K key/value heads  G heads per key/value head  T queries  P prefix tokens  L own tokens  D head width

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from t2s.data.pack import Tree

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
        tree: Tree | None = None,
        prefix: Prefix | None = None,
        scaling: float | None = None,
        **options: Any,
    ) -> tuple[Tensor, None]:
        if tree is not None:
            return _attend_tree(query, key, value, tree, scaling).transpose(1, 2), None
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


def _attend_tree(query: Tensor, key: Tensor, value: Tensor, tree: Tree, scaling: float | None) -> Tensor:
    """Tree attention.

    Args:
        query: [1, H, T, D]; T is the prefix and then each branch.
        key: [1, K, T, D].
        value: [1, K, T, D].
        tree: Lengths of prefix and branches.
        scaling: Of the scores; None for 1 / sqrt(D).

    Returns:
        [1, H, T, D].
    """
    if query.device.type != "cpu":
        mask = tree_mask(tree, query.device)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True)
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    groups, sizes = query.shape[1] // key.shape[1], [tree.prefix_tokens, sum(tree.branches)]
    (q_prefix, q_branch), (k_prefix, k_branch), (v_prefix, v_branch) = (x.split(sizes, dim=2) for x in (query, key, value))
    k_all, v_all = k_prefix.repeat_interleave(groups, 1), v_prefix.repeat_interleave(groups, 1)
    prefix = F.scaled_dot_product_attention(q_prefix, k_all, v_all, is_causal=True, scale=scale)
    branches: Tensor = _BranchAttention.apply(q_branch, k_prefix, v_prefix, k_branch, v_branch, tree, scale)  # type: ignore[no-untyped-call]
    return torch.cat((prefix, branches), 2)


def tree_mask(tree: Tree, device: torch.device) -> Tensor:
    """What a tree's tokens attend to: bool [1, 1, T, T]."""
    owner_T = torch.repeat_interleave(
        torch.arange(-1, len(tree.branches), device=device), torch.tensor([tree.prefix_tokens, *tree.branches], device=device)
    )
    visible_TT = (owner_T[:, None] == owner_T[None, :]) | (owner_T == -1)[None, :]
    return visible_TT.tril()[None, None]


class _BranchAttention(torch.autograd.Function):
    """Branches attend to the prefix and to themselves: unmasked and causal flash passes, merged by their log-sum-exps.

    The merge is exact (Milakov and Gimelshein 2018), and flash attention's backward needs nothing but the merged output and
    log-sum-exp, so it runs once for each part (as in Liu et al. 2023, Ring Attention). Nothing of size T x T is ever made.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, kp: Tensor, vp: Tensor, kb: Tensor, vb: Tensor, tree: Tree, scale: float) -> Tensor:
        """q: [1, H, S, D]; kp, vp: [1, K, P, D]; kb, vb: [1, K, S, D], S all branches' tokens."""
        H, K = q.shape[1], kp.shape[1]
        out_p, lse_p = _flash(_fold(q, K), kp, vp, False, scale)
        out_p, lse_p = _unfold(out_p, H), _unfold(lse_p[..., None], H)
        out_b, lse_b = torch.empty_like(out_p), torch.empty_like(lse_p)
        k_all, v_all = _repeat(kb, H), _repeat(vb, H)
        for bucket in _buckets(tree):
            out, lse = _flash(bucket.rows(q), bucket.rows(k_all), bucket.rows(v_all), True, scale)
            bucket.put(out_b, out)
            bucket.put(lse_b, lse[..., None])
        lse = torch.logaddexp(lse_p, lse_b)
        out = (out_p * (lse_p - lse).exp() + out_b * (lse_b - lse).exp()).to(q.dtype)
        ctx.save_for_backward(q, kp, vp, kb, vb, out, lse)
        ctx.tree, ctx.scale = tree, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, kp, vp, kb, vb, out, lse = ctx.saved_tensors
        H, K = q.shape[1], kp.shape[1]
        grad = grads[0].to(q.dtype)
        dq_p, dkp, dvp = _flash_backward(_fold(grad, K), _fold(q, K), kp, vp, _fold(out, K), _fold(lse, K).squeeze(-1), False, ctx.scale)
        k_all, v_all = _repeat(kb, H), _repeat(vb, H)
        dq, dk, dv = torch.empty_like(q), torch.empty_like(q), torch.empty_like(q)
        for bucket in _buckets(ctx.tree):
            # On short rows the CPU's flash backward is slower in bfloat16 than in float32 (torch 2.13: 54 against 36 ms).
            g_r, q_r, k_r, v_r, out_r = (bucket.rows(x).float() for x in (grad, q, k_all, v_all, out))
            parts = _flash_backward(g_r, q_r, k_r, v_r, out_r, bucket.rows(lse).squeeze(-1), True, ctx.scale)
            for whole, part in zip((dq, dk, dv), parts, strict=True):
                bucket.put(whole, part)
        return dq + _unfold(dq_p, H), dkp, dvp, _sum_groups(dk, K), _sum_groups(dv, K), None, None


def _flash(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal, scale=scale)
    return out, lse


def _flash_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    dq, dk, dv = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(grad, q, k, v, out, lse, 0.0, causal, scale=scale)
    return dq, dk, dv


def _fold(x: Tensor, K: int) -> Tensor:
    """[1, H, S, D] as [1, K, G * S, D]: heads that share keys become more queries, and keys need no copies."""
    _, H, S, D = x.shape
    return x.reshape(1, K, H // K * S, D)


def _unfold(x: Tensor, H: int) -> Tensor:
    _, K, N, D = x.shape
    return x.reshape(1, H, N * K // H, D)


def _repeat(x: Tensor, H: int) -> Tensor:
    return x.repeat_interleave(H // x.shape[1], 1)


def _sum_groups(x: Tensor, K: int) -> Tensor:
    _, H, S, D = x.shape
    return x.view(1, K, H // K, S, D).sum(2)


@dataclass(frozen=True)
class _Bucket:
    """Branches of like length, as right-padded rows [N, H, L, D] of a flat sequence [1, H, S, D]."""

    from_flat: Tensor  # [N * L] into S; padding repeats a row's last token
    real: Tensor  # bool [N * L]
    branches: int

    def rows(self, x: Tensor) -> Tensor:
        # Padding stands behind a row's real tokens: under a causal mask none of them sees it. Its own gradient is dropped.
        padded = x[0].index_select(1, self.from_flat)
        if not bool(self.real.all()):
            padded.mul_(self.real[:, None])
        H, _, D = padded.shape
        return padded.view(H, self.branches, -1, D).transpose(0, 1).contiguous()

    def put(self, whole: Tensor, rows: Tensor) -> None:
        """Writes rows' real tokens to their places in `whole`."""
        flat = rows.transpose(0, 1).flatten(1, 2)
        whole[0].index_copy_(1, self.from_flat[self.real], flat[:, self.real].to(whole.dtype))


BRANCHES_PER_BUCKET = 4


@lru_cache(maxsize=4)
def _buckets(tree: Tree) -> tuple[_Bucket, ...]:
    starts = [sum(tree.branches[:i]) for i in range(len(tree.branches))]
    order = sorted(range(len(tree.branches)), key=lambda i: tree.branches[i])
    buckets = []
    for first in range(0, len(order), BRANCHES_PER_BUCKET):
        members = order[first : first + BRANCHES_PER_BUCKET]
        longest = tree.branches[members[-1]]
        index, real = [], []
        for i in members:
            tokens = tree.branches[i]
            index += [*range(starts[i], starts[i] + tokens), *[starts[i] + tokens - 1] * (longest - tokens)]
            real += [True] * tokens + [False] * (longest - tokens)
        buckets.append(_Bucket(torch.tensor(index), torch.tensor(real), len(members)))
    return tuple(buckets)


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
