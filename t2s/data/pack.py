"""Packs: what one forward pass of training sees.

A *shared* pack is a row of trees: each one prefix and, behind it, a branch (suffix and completion) for each of its examples.
Positions restart at the prefix's end and each branch sees its prefix and itself, so the loss and its gradients are those of
one padded row per example, at a fraction of the tokens. A *padded* pack is that plain form: the oracle, and `data.packing=none`.
"""

# B rows  T tokens

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    def tokens(self) -> int:
        return self.prefix_tokens + sum(self.branches)

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
        trees: Of a shared pack (B is 1), one behind the other; none for padded rows.
        logical_tokens: Tokens of all examples, each counted with its prefix.
    """

    ids_BT: Tensor
    positions_BT: Tensor
    real_BT: Tensor
    targets_BT: Tensor
    trees: tuple[Tree, ...]
    logical_tokens: int

    @property
    def supervised_tokens(self) -> int:
        return int((self.targets_BT != IGNORED).sum())

    @property
    def physical_tokens(self) -> int:
        return self.ids_BT.numel()

    @property
    def examples(self) -> int:
        return sum(len(tree.branches) for tree in self.trees) if self.trees else self.ids_BT.shape[0]

    @property
    def layout(self) -> Tensor:
        """Lengths of all prefixes and branches, in tokens; a prefix's but the first is negative: int64, on the CPU."""
        lengths = [length for tree in self.trees for length in (-tree.prefix_tokens, *tree.branches)]
        return torch.tensor([-lengths[0], *lengths[1:]])

    def part(self, first: int, stop: int) -> Pack:
        """Examples `first` to `stop` alone, as a pack of the same form."""
        if not self.trees:
            kept = {name: getattr(self, name)[first:stop] for name in _TENSORS}
            return replace(self, **kept, logical_tokens=int(kept["real_BT"].sum()))
        columns: list[int] = []
        trees: list[Tree] = []
        start = seen = 0
        for tree in self.trees:
            low, high = max(first - seen, 0), min(stop - seen, len(tree.branches))
            if low < high:
                columns += range(start, start + tree.prefix_tokens)
                columns += range(start + tree.bounds[low], start + tree.bounds[high])
                trees.append(Tree(tree.prefix_tokens, tree.branches[low:high]))
            start, seen = start + tree.tokens, seen + len(tree.branches)
        kept = {name: getattr(self, name)[:, columns] for name in _TENSORS}
        return replace(self, **kept, trees=tuple(trees), logical_tokens=sum(tree.logical_tokens for tree in trees))

    def as_rows(self) -> Pack:
        """The same examples as padded rows."""
        if not self.trees:
            return self
        spans: list[tuple[int, int, int, int]] = []  # from and to where its prefix lies, and its branch
        start = 0
        for tree in self.trees:
            spans += [(start, start + tree.prefix_tokens, start + low, start + high) for low, high in pairwise(tree.bounds)]
            start += tree.tokens
        longest = max(end - begin + high - low for begin, end, low, high in spans)
        blank = {"ids_BT": 0, "positions_BT": 0, "real_BT": False, "targets_BT": IGNORED}
        rows = {name: getattr(self, name).new_full((len(spans), longest), blank[name]) for name in _TENSORS}
        for row, (begin, end, low, high) in enumerate(spans):
            for name, values in rows.items():
                whole = getattr(self, name)[0]
                values[row, : end - begin + high - low] = torch.cat([whole[begin:end], whole[low:high]])
        return replace(self, **rows, trees=())

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
    """Labels that train on the SQL and its end token alone, of the last turn and of `earlier` ones; all else is -100.

    Example:
        prefix (7,), suffix (8,), completion (9, 2) -> [-100, -100, 9, 2]
        prefix (7,), suffix (8, 5, 2, 6), completion (9, 2), earlier ((1, 3),) -> [-100, -100, 5, 2, -100, 9, 2]
    """
    if not example.completion:
        raise DataError("an example has no supervised token: its SQL is empty")
    suffix = [IGNORED] * len(example.prompt.suffix)
    for start, stop in example.earlier:
        suffix[start:stop] = example.prompt.suffix[start:stop]
    return [IGNORED] * len(example.prompt.prefix) + suffix + list(example.completion)


def shared_pack(examples: Sequence[TokenizedExample]) -> Pack:
    """One tree for each prefix, with a branch for each example; examples of one prefix keep their order."""
    by_prefix: dict[tuple[int, ...], list[TokenizedExample]] = {}
    for example in examples:
        by_prefix.setdefault(example.prompt.prefix, []).append(example)
    ids: list[int] = []
    positions: list[int] = []
    targets: list[int] = []
    for prefix, members in by_prefix.items():
        ids += prefix
        positions += range(len(prefix))
        targets += [IGNORED] * len(prefix)
        for example in members:
            branch = [*example.prompt.suffix, *example.completion]
            ids += branch
            positions += range(len(prefix), len(prefix) + len(branch))
            # Each learnt token is predicted by the one before it: the first of a completion by the suffix's last.
            targets += [*completion_labels(example)[len(prefix) + 1 :], IGNORED]
    ids_BT = torch.tensor([ids])
    return Pack(
        ids_BT=ids_BT,
        positions_BT=torch.tensor([positions]),
        real_BT=torch.ones_like(ids_BT, dtype=torch.bool),
        targets_BT=torch.tensor([targets]),
        trees=tuple(Tree(len(prefix), tuple(e.tokens - len(prefix) for e in members)) for prefix, members in by_prefix.items()),
        logical_tokens=sum(example.tokens for example in examples),
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
    return Pack(ids, positions, real, targets, (), logical_tokens=sum(example.tokens for example in examples))


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
    supervised = sum(example.supervised_tokens for example in examples)
    if not supervised or not all(example.completion for example in examples):
        raise DataError("no token of this batch is supervised, so there is nothing to learn; look at the data report's decoded mask")
    return StepBatch(packs, supervised, len(own))


def _groups(examples: Sequence[TokenizedExample], packing: str, max_tokens: int) -> list[list[TokenizedExample]]:
    """Examples that share a pack, in the order given.

    Those of one prefix come together first, so that it is seldom computed twice; then what has room joins up.
    """
    by_prefix: dict[tuple[int, ...], list[int]] = {}
    for index, example in enumerate(examples):
        if example.tokens > max_tokens:
            raise PromptTooLongError(f"an example of {example.tokens} tokens exceeds trainer.max_tokens={max_tokens}")
        by_prefix.setdefault(example.prompt.prefix if packing == "shared" else (), []).append(index)

    def size(indices: list[int]) -> int:
        return _size([examples[i] for i in indices], packing)

    trees = [tree for members in by_prefix.values() for tree in _first_fit([[i] for i in members], size, max_tokens)]
    return [[examples[i] for i in sorted(indices)] for indices in _first_fit(trees, size, max_tokens)]


def _first_fit(items: Sequence[list[int]], size: Callable[[list[int]], int], most: int) -> list[list[int]]:
    """Joins items, the largest first, each into the first bin it fits (Johnson 1973: at most 11/9 of the fewest bins)."""
    bins: list[list[int]] = []
    for item in sorted(items, key=size, reverse=True):
        room = next((one for one in bins if size(one + item) <= most), None)
        if room is None:
            bins.append(list(item))
        else:
            room += item
    return bins


def _size(group: Sequence[TokenizedExample], packing: str) -> int:
    if packing == "shared":
        prefixes = {example.prompt.prefix for example in group}
        return sum(map(len, prefixes)) + sum(example.tokens - len(example.prompt.prefix) for example in group)
    return len(group) * max(example.tokens for example in group)
