"""The order of training is fixed by seed and epoch, and a resumed run goes on where it stopped."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.data.datamodule import StepLoader, TextToSQLData
from t2s.data.pack import StepBatch
from t2s.data.prompt import TokenizedExample, TokenizedPrompt

Step = tuple[int, ...]


def pool(*sizes: int) -> list[TokenizedExample]:
    """Examples on `len(sizes)` databases; the first completion token of each is its number, from 1000 on."""
    prefixes = [number for number, size in enumerate(sizes) for _ in range(size)]
    return [TokenizedExample(TokenizedPrompt((1 + prefix, 50), (60,)), (1000 + i, 2)) for i, prefix in enumerate(prefixes)]


def loader(examples: list[TokenizedExample], batch_size: int = 4, seed: int | None = 0) -> StepLoader:
    return StepLoader(examples, batch_size, "shared", 1000, seed)


def numbers(batch: StepBatch) -> Step:
    return tuple(token - 1000 for pack in batch.packs for token in pack.targets_BT.flatten().tolist() if token >= 1000)


def epoch(steps: Iterable[StepBatch]) -> list[Step]:
    return [numbers(batch) for batch in steps]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 6), st.none() | st.integers(0, 3))
def test_every_example_comes_once_an_epoch_in_steps_of_at_most_the_batch_size(sizes: list[int], batch_size: int, seed: int | None) -> None:
    steps = loader(pool(*sizes), batch_size, seed)
    for _ in range(2):
        dealt = epoch(steps)
        assert sorted(number for step in dealt for number in step) == list(range(sum(sizes)))
        assert all(len(step) <= batch_size for step in dealt)
        assert len(dealt) == len(steps)


def test_seed_and_epoch_fix_the_order() -> None:
    first, second = loader(pool(30)), loader(pool(30))
    orders = [epoch(first) for _ in range(3)]
    assert orders == [epoch(second) for _ in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    assert epoch(loader(pool(30), seed=1)) != orders[0]


def test_without_a_seed_the_order_is_the_files() -> None:
    steps = loader(pool(10), seed=None)
    assert epoch(steps) == epoch(steps) == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)]


def test_a_step_keeps_to_one_database_where_that_fills_it() -> None:
    databases = [{len([n for n in step if n < 8]), len([n for n in step if n >= 8])} for step in epoch(loader(pool(8, 8)))]
    assert databases == [{0, 4}] * 4


@pytest.mark.parametrize("stop", range(1, 9))
def test_a_loader_resumes_in_mid_epoch_exactly(stop: int) -> None:
    unbroken = loader(pool(11, 5))
    expected = [step for _ in range(3) for step in epoch(unbroken)]

    killed = loader(pool(11, 5))
    dealt: list[Step] = []
    state = killed.state_dict()
    while len(dealt) < stop:
        for batch in killed:
            dealt.append(numbers(batch))
            state = killed.state_dict()
            if len(dealt) == stop:
                break
    resumed = loader(pool(11, 5))
    resumed.load_state_dict(state)
    while len(dealt) < len(expected):
        dealt += epoch(resumed)
    assert dealt[: len(expected)] == expected


def test_a_state_is_plain_data_that_later_steps_do_not_change() -> None:
    steps = loader(pool(8))
    dealing = iter(steps)
    next(dealing)
    state = steps.state_dict()
    next(dealing)
    assert state == {"epoch": 0, "position": 1}


def test_the_module_deals_training_shuffled_and_validation_in_order() -> None:
    data = TextToSQLData(pool(12), pool(6), batch_size=4, packing="none", max_tokens=1000, seed=0)
    assert epoch(data.val_dataloader()) == [(0, 1, 2, 3), (4, 5)]
    assert epoch(data.train_dataloader()) != [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)]
