"""Packs: what one forward pass of training sees.

A *shared* pack is a tree: one prefix and, behind it, a branch (suffix and completion) for each example. Positions restart
at the prefix's end and each branch sees the prefix and itself, so the loss and its gradients are those of one padded row
per example, at a fraction of the tokens. A *padded* pack is that plain form: the oracle, and `data.packing=none`.
"""

# B rows  T tokens

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from t2s.data.prompt import TokenizedExample
from t2s.errors import DataError, PromptTooLongError

IGNORED = -100  # cross_entropy's ignore_index


@dataclass(frozen=True)
class Tree:
    """Lengths, in tokens, of a sequence that is a prefix and then branches."""

    prefix_tokens: int
    branches: tuple[int, ...]

    @property
    def layout(self) -> Tensor:
        """All lengths, the prefix's first: int64 [1 + N], on the CPU."""
        return torch.tensor([self.prefix_tokens, *self.branches])

    @property
    def bounds(self) -> list[int]:
        """Where each branch starts, and where the last one ends."""
        return list(accumulate(self.branches, initial=self.prefix_tokens))

    @property
    def logical_tokens(self) -> int:
        """Tokens of all branches, each counted with the prefix."""
        return self.prefix_tokens * len(self.branches) + sum(self.branches)


@dataclass(frozen=True)
class Pack:
    """Examples laid out for one forward pass.

    Attributes:
        ids_BT: Token ids; padding is 0.
        positions_BT: Position of each token in its own prompt.
        real_BT: False on padding.
        targets_BT: The token each position shall predict, -100 where nothing is learnt. Already shifted by one.
        tree: Layout of a shared pack (B is 1); None for padded rows.
        logical_tokens: Tokens of all examples, each counted with its prefix.
    """

    ids_BT: Tensor
    positions_BT: Tensor
    real_BT: Tensor
    targets_BT: Tensor
    tree: Tree | None
    logical_tokens: int

    @property
    def supervised_tokens(self) -> int:
        return int((self.targets_BT != IGNORED).sum())

    @property
    def physical_tokens(self) -> int:
        return self.ids_BT.numel()

    @property
    def examples(self) -> int:
        return self.ids_BT.shape[0] if self.tree is None else len(self.tree.branches)

    def part(self, first: int, stop: int) -> Pack:
        """Examples `first` to `stop` alone, as a pack of the same form."""
        if self.tree is None:
            rows = slice(first, stop)
            kept = {name: getattr(self, name)[rows] for name in _TENSORS}
            return replace(self, **kept, logical_tokens=int(kept["real_BT"].sum()))
        bounds = self.tree.bounds
        columns = torch.cat([torch.arange(bounds[0]), torch.arange(bounds[first], bounds[stop])]).to(self.ids_BT.device)
        tree = Tree(self.tree.prefix_tokens, self.tree.branches[first:stop])
        return replace(self, **{name: getattr(self, name)[:, columns] for name in _TENSORS}, tree=tree, logical_tokens=tree.logical_tokens)

    def as_rows(self) -> Pack:
        """The same examples as padded rows."""
        if self.tree is None:
            return self
        P, bounds = self.tree.prefix_tokens, self.tree.bounds
        longest = P + max(self.tree.branches)
        blank = {"ids_BT": 0, "positions_BT": 0, "real_BT": False, "targets_BT": IGNORED}
        rows = {name: getattr(self, name).new_full((self.examples, longest), blank[name]) for name in _TENSORS}
        for row, (start, stop) in enumerate(pairwise(bounds)):
            for name, values in rows.items():
                values[row, :P] = getattr(self, name)[0, :P]
                values[row, P : P + stop - start] = getattr(self, name)[0, start:stop]
        return replace(self, **rows, tree=None)

    def to(self, device: torch.device) -> Pack:
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in _TENSORS})


_TENSORS = ("ids_BT", "positions_BT", "real_BT", "targets_BT")


@dataclass(frozen=True)
class StepBatch:
    """All packs of one optimizer step, or one process's share of them.

    Attributes:
        packs: One forward and backward pass each.
        supervised_tokens: Of the whole step, in all processes: what the loss is divided by.
        examples: Number of examples in these packs.
    """

    packs: tuple[Pack, ...]
    supervised_tokens: int
    examples: int

    def to(self, device: torch.device) -> StepBatch:
        return replace(self, packs=tuple(pack.to(device) for pack in self.packs))


def completion_labels(example: TokenizedExample) -> list[int]:
    """Labels that train on the SQL and its end token alone; prompt positions are -100.

    Example:
        prefix (7,), suffix (8,), completion (9, 2) -> [-100, -100, 9, 2]
    """
    if not example.completion:
        raise DataError("an example has no supervised token: its SQL is empty")
    return [IGNORED] * (len(example.prompt.prefix) + len(example.prompt.suffix)) + list(example.completion)


def shared_pack(examples: Sequence[TokenizedExample]) -> Pack:
    """One prefix, many branches.

    Args:
        examples: All with the same prefix.

    Raises:
        ValueError: prefixes differ.
    """
    prefix = examples[0].prompt.prefix
    if any(example.prompt.prefix != prefix for example in examples):
        raise ValueError("a shared pack takes examples with one prefix; group them first")
    ids, positions, targets = list(prefix), list(range(len(prefix))), [IGNORED] * len(prefix)
    for example in examples:
        branch = [*example.prompt.suffix, *example.completion]
        ids += branch
        positions += range(len(prefix), len(prefix) + len(branch))
        # The first completion token is predicted by the suffix's last, the last by the one before it.
        targets += [*completion_labels(example)[len(prefix) + 1 :], IGNORED]
    ids_BT = torch.tensor([ids])
    tree = Tree(len(prefix), tuple(example.tokens - len(prefix) for example in examples))
    return Pack(
        ids_BT=ids_BT,
        positions_BT=torch.tensor([positions]),
        real_BT=torch.ones_like(ids_BT, dtype=torch.bool),
        targets_BT=torch.tensor([targets]),
        tree=tree,
        logical_tokens=tree.logical_tokens,
    )


def padded_pack(examples: Sequence[TokenizedExample]) -> Pack:
    """One right-padded row per example."""
    longest = max(example.tokens for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    real = torch.zeros(len(examples), longest, dtype=torch.bool)
    targets = torch.full((len(examples), longest), IGNORED)
    for row, example in enumerate(examples):
        tokens = [*example.prompt.prefix, *example.prompt.suffix, *example.completion]
        ids[row, : len(tokens)] = torch.tensor(tokens)
        real[row, : len(tokens)] = True
        targets[row, : len(tokens) - 1] = torch.tensor(completion_labels(example)[1:])
    positions = torch.arange(longest).expand(len(examples), longest)
    return Pack(ids, positions, real, targets, None, logical_tokens=sum(example.tokens for example in examples))


def collate(examples: Sequence[TokenizedExample], packing: str, max_tokens: int, rank: int = 0, ranks: int = 1) -> StepBatch:
    """Lays out one optimizer step's examples in packs of at most `max_tokens` tokens.

    Several processes share a step: each lays out its part, and knows the supervised tokens of the whole.

    Args:
        examples: Tokenised examples of one step.
        packing: `shared` or `none`.
        max_tokens: Most tokens in a forward pass; an example longer than that cannot be trained on.
        rank: Which process this is.
        ranks: How many there are.

    Raises:
        PromptTooLongError: one example alone exceeds `max_tokens`.
        DataError: no token is supervised.
    """
    # Neighbours of one length share fairly; whoever is last may get one example less, or none.
    own = sorted(examples, key=lambda example: example.tokens)[rank::ranks] if ranks > 1 else examples
    packs = tuple(shared_pack(group) if packing == "shared" else padded_pack(group) for group in _groups(own, packing, max_tokens))
    supervised = sum(len(example.completion) for example in examples)
    if not supervised or not all(example.completion for example in examples):
        raise DataError("no token of this batch is supervised, so there is nothing to learn; look at the data report's decoded mask")
    return StepBatch(packs, supervised, len(own))


def _groups(examples: Sequence[TokenizedExample], packing: str, max_tokens: int) -> list[list[TokenizedExample]]:
    """Examples that share a pack: the longest first, each into the first pack it fits (Johnson 1973: at most 11/9 of the fewest)."""
    groups: list[list[TokenizedExample]] = []
    for example in sorted(examples, key=lambda example: -example.tokens):
        if example.tokens > max_tokens:
            raise PromptTooLongError(f"an example of {example.tokens} tokens exceeds data.max_tokens={max_tokens}")
        with_room = (
            group
            for group in groups
            if (packing != "shared" or group[0].prompt.prefix == example.prompt.prefix) and _size([*group, example], packing) <= max_tokens
        )
        group = next(with_room, None)
        if group is None:
            groups.append([example])
        else:
            group.append(example)
    return groups


def _size(group: Sequence[TokenizedExample], packing: str) -> int:
    if packing == "shared":
        prefix = len(group[0].prompt.prefix)
        return prefix + sum(example.tokens - prefix for example in group)
    return len(group) * max(example.tokens for example in group)
