"""Loaders that deal one optimizer step's examples at a time, in an order fixed by seed and epoch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import lightning
from torch import Tensor

from t2s.data.pack import StepBatch, collate
from t2s.data.prompt import TokenizedExample


class StepLoader:
    """Iterates over one epoch of `StepBatch`es and can start in its middle.

    Its position is part of a checkpoint (`state_dict`), so a resumed run sees the examples an unbroken one would.

    Args:
        examples: Tokenised examples.
        batch_size: Examples per optimizer step.
        packing: `shared` or `none`.
        max_tokens: Most tokens in one forward pass.
        seed: Shuffles; None keeps the given order.
        rank: Which of several processes this is: each is dealt its share of every step.
        ranks: How many there are.
    """

    def __init__(
        self,
        examples: Sequence[TokenizedExample],
        batch_size: int,
        packing: str,
        max_tokens: int,
        seed: int | None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._examples = examples
        self._batch_size = batch_size
        self._packing = packing
        self._max_tokens = max_tokens
        self._seed = seed
        self._rank, self._ranks = rank, ranks
        self.epoch = -1
        self._position = 0
        self._resumed = False

    def __len__(self) -> int:
        """Optimizer steps in an epoch."""
        return len(self._steps(0))

    def __iter__(self) -> Iterator[StepBatch]:
        if not (self._resumed and self._position < len(self)):
            self.epoch, self._position = self.epoch + 1, 0
        self._resumed = False
        steps = self._steps(self.epoch)
        # The position moves before the batch is dealt: a checkpoint taken after its use counts it as done.
        while self._position < len(steps):
            self._position += 1
            step = [self._examples[i] for i in steps[self._position - 1]]
            yield collate(step, self._packing, self._max_tokens, self._rank, self._ranks)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self._position, self._resumed = state["epoch"], state["position"], True

    def _steps(self, epoch: int) -> list[list[int]]:
        """Indices of each step's examples. Examples of one prefix stay together, so that it is computed once."""
        order = list(range(len(self._examples)))
        dice = random.Random(f"{self._seed}/{epoch}")
        if self._seed is not None:
            dice.shuffle(order)
        by_prefix: dict[tuple[int, ...], list[int]] = {}
        for index in order:
            by_prefix.setdefault(self._examples[index].prompt.prefix, []).append(index)
        queues = sorted(by_prefix.values(), key=len, reverse=True)
        chunks = [queue[i : i + self._batch_size] for queue in queues for i in range(0, len(queue), self._batch_size)]
        steps: list[list[int]] = []
        for chunk in chunks:  # leftovers of several prefixes share a step
            if steps and len(steps[-1]) + len(chunk) <= self._batch_size:
                steps[-1] += chunk
            else:
                steps.append(list(chunk))
        if self._seed is not None:
            dice.shuffle(steps)
        return steps


class TextToSQLData(lightning.LightningDataModule):
    """Training and validation loaders.

    Args:
        train: Tokenised training examples.
        val: Tokenised validation examples, for the validation loss.
        batch_size: Examples per optimizer step.
        packing: `shared` or `none`.
        max_tokens: Most tokens in one forward pass.
        seed: Fixes the order of training.
    """

    def __init__(
        self,
        train: Sequence[TokenizedExample],
        val: Sequence[TokenizedExample],
        batch_size: int,
        packing: str,
        max_tokens: int,
        seed: int,
    ) -> None:
        super().__init__()
        self._train = StepLoader(train, batch_size, packing, max_tokens, seed)
        self._val = StepLoader(val, batch_size, packing, max_tokens, None)

    def total_steps(self, max_epochs: int, max_steps: int, limit: int | float) -> int:
        """Optimizer steps of a training.

        Args:
            max_epochs: Passes over the data.
            max_steps: Ends training before that; -1 does not.
            limit: Steps of an epoch that are run: a number (int) or a share (float).
        """
        epoch = len(self._train)
        steps = max_epochs * (min(epoch, limit) if isinstance(limit, int) else int(epoch * limit))
        return steps if max_steps < 0 else min(steps, max_steps)

    def train_dataloader(self) -> StepLoader:
        return self._train

    def val_dataloader(self) -> StepLoader:
        return self._val

    def transfer_batch_to_device(self, batch: StepBatch | Tensor, device: Any, dataloader_idx: int) -> Any:
        return batch.to(device)
