"""The loss sees the SQL and its end token, nothing else; packs fit, and hold every example once."""

# B rows  T tokens

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.data.example import Example
from t2s.data.pack import Pack, Tree, collate, completion_labels, padded_pack, shared_pack
from t2s.data.prompt import PromptEncoder, TokenizedExample, TokenizedPrompt
from t2s.errors import DataError, PromptTooLongError

PACKINGS = ("shared", "none")
COUNT = Example("How many stores?", "SELECT COUNT(*) FROM stores", "shop")
BERGEN = Example("Stores in Bergen?", "SELECT * FROM stores WHERE city = 'Bergen'", "shop")

tokens = st.lists(st.integers(1, 99), min_size=1, max_size=6).map(tuple)
prefixes = st.sampled_from([(1, 2, 3), (1, 2), (4,)])
examples = st.builds(
    lambda prefix, suffix, completion: TokenizedExample(TokenizedPrompt(prefix, suffix), completion), prefixes, tokens, tokens
)


def toy(prefix: tuple[int, ...], suffix: tuple[int, ...], completion: tuple[int, ...]) -> TokenizedExample:
    return TokenizedExample(TokenizedPrompt(prefix, suffix), completion)


def rows(pack: Pack) -> list[tuple[list[int], list[int], list[int]]]:
    """Ids, positions and targets of each example, as one row that begins with the prefix; taken from the tensors alone."""
    ids_BT, positions_BT, targets_BT = pack.ids_BT.tolist(), pack.positions_BT.tolist(), pack.targets_BT.tolist()
    if not pack.trees:
        lengths = pack.real_BT.sum(dim=1).tolist()
        return [(ids_BT[b][:n], positions_BT[b][:n], targets_BT[b][:n]) for b, n in enumerate(lengths)]
    found, start = [], 0
    for tree in pack.trees:
        head = slice(start, start + tree.prefix_tokens)
        start = head.stop
        for length in tree.branches:
            part = slice(start, start + length)
            found.append(tuple(values[0][head] + values[0][part] for values in (ids_BT, positions_BT, targets_BT)))
            start += length
    assert start == pack.physical_tokens
    return found  # type: ignore[return-value]


def masked_text(pack: Pack, encoder: PromptEncoder, row: int) -> str:
    """A row as the loss sees it: tokens that some position must predict stand between guillemets."""
    ids, _, targets = rows(pack)[row]
    learnt = [False, *(target != -100 for target in targets[:-1])]
    text, inside = "", False
    for token, now in zip(ids, learnt, strict=True):
        text += ("«" if now else "»") * (now != inside) + encoder.text([token])
        inside = now
    return text + "»" * inside


@pytest.mark.parametrize("packing", PACKINGS)
def test_one_decoded_mask_of_each_family_shows_the_sql_and_its_end(
    encoder: PromptEncoder, family: str, end_token: str, packing: str
) -> None:
    batch = collate([encoder.encode(COUNT), encoder.encode(BERGEN)], packing, 10_000)
    for row, example in enumerate((COUNT, BERGEN)):
        text = masked_text(batch.packs[0], encoder, row)
        print(f"{family}, {packing}:\n{text}")
        before, learnt = text[:-1].split("«")
        assert text[-1] == "»"
        assert learnt == example.sql + end_token
        prompt = encoder.prompt(example)
        assert before == encoder.text([*prompt.prefix, *prompt.suffix])
        assert example.question in before


def test_labels_are_those_of_the_documented_example() -> None:
    assert completion_labels(toy((7,), (8,), (9, 2))) == [-100, -100, 9, 2]
    assert completion_labels(replace(toy((7,), (8, 5, 2, 6), (9, 2)), earlier=((1, 3),))) == [-100, -100, 5, 2, -100, 9, 2]


def test_sql_of_earlier_turns_is_predicted_by_the_token_before_it() -> None:
    talk = replace(toy((1, 2), (3, 4, 5, 6), (7, 8)), earlier=((1, 3),))
    assert shared_pack([talk]).targets_BT.tolist() == [[-100, -100, 4, 5, -100, 7, 8, -100]]
    assert padded_pack([talk]).targets_BT.tolist() == [[-100, -100, 4, 5, -100, 7, 8, -100]]
    both = shared_pack([toy((1, 2), (9,), (9,)), talk])
    assert both.targets_BT.tolist() == [[-100, -100, 9, -100, 4, 5, -100, 7, 8, -100]]
    assert both.part(1, 2).targets_BT.tolist() == [[-100, -100, 4, 5, -100, 7, 8, -100]]
    assert both.as_rows().targets_BT.tolist() == [[-100, -100, 9, -100, -100, -100, -100, -100], [-100, -100, 4, 5, -100, 7, 8, -100]]


def test_a_shared_pack_is_laid_out_as_drawn() -> None:
    pack = shared_pack([toy((1, 2), (3,), (4, 5)), toy((1, 2), (6, 7), (8,))])
    assert pack.ids_BT.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert pack.positions_BT.tolist() == [[0, 1, 2, 3, 4, 2, 3, 4]]
    assert pack.targets_BT.tolist() == [[-100, -100, 4, 5, -100, -100, 8, -100]]
    assert pack.real_BT.all()
    assert pack.trees == (Tree(2, (3, 3)),)
    assert pack.layout.tolist() == [2, 3, 3]
    assert (pack.supervised_tokens, pack.physical_tokens, pack.logical_tokens) == (3, 8, 10)


def test_a_padded_pack_is_laid_out_as_drawn() -> None:
    pack = padded_pack([toy((1, 2), (3,), (4, 5)), toy((6,), (7,), (8,))])
    assert pack.ids_BT.tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]]
    assert pack.positions_BT.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert pack.real_BT.tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    assert pack.targets_BT.tolist() == [[-100, -100, 4, 5, -100], [-100, 8, -100, -100, -100]]
    assert pack.trees == ()
    assert (pack.supervised_tokens, pack.physical_tokens, pack.logical_tokens) == (3, 10, 8)


@given(st.lists(examples, min_size=1, max_size=12), st.sampled_from(PACKINGS), st.integers(15, 60))
def test_packs_fit_and_hold_every_example_once_with_its_next_tokens_as_targets(
    batch: list[TokenizedExample], packing: str, max_tokens: int
) -> None:
    step = collate(batch, packing, max_tokens)
    assert all(pack.physical_tokens <= max_tokens for pack in step.packs)
    found = [row for pack in step.packs for row in rows(pack)]
    expected = [
        (ids, list(range(len(ids))), [-100] * (len(ids) - len(e.completion) - 1) + list(e.completion) + [-100])
        for e in batch
        for ids in [[*e.prompt.prefix, *e.prompt.suffix, *e.completion]]
    ]
    assert sorted(found) == sorted(expected)
    assert step.examples == len(batch)
    assert step.supervised_tokens == sum(len(e.completion) for e in batch)


@given(st.lists(examples, min_size=1, max_size=8), st.sampled_from(PACKINGS), st.data())
def test_a_part_of_a_pack_is_the_pack_of_its_part(batch: list[TokenizedExample], packing: str, data: st.DataObject) -> None:
    batch.sort(key=lambda e: e.prompt.prefix)  # as they lie in a shared pack
    first = data.draw(st.integers(0, len(batch) - 1))
    stop = data.draw(st.integers(first + 1, len(batch)))
    made = shared_pack if packing == "shared" else padded_pack
    part, expected = made(batch).part(first, stop), made(batch[first:stop])
    assert rows(part) == rows(expected)
    assert (part.trees, part.examples, part.logical_tokens) == (expected.trees, stop - first, expected.logical_tokens)


@given(st.lists(examples, min_size=1, max_size=8))
def test_a_shared_pack_as_rows_is_the_padded_pack(batch: list[TokenizedExample]) -> None:
    batch.sort(key=lambda e: e.prompt.prefix)
    found, expected = shared_pack(batch).as_rows(), padded_pack(batch)
    assert found.trees == ()
    assert found.logical_tokens == expected.logical_tokens
    for name in ("ids_BT", "real_BT", "targets_BT"):
        assert getattr(found, name).equal(getattr(expected, name))
    assert found.positions_BT[found.real_BT].equal(expected.positions_BT[found.real_BT])


@given(st.lists(examples, min_size=1, max_size=12))
def test_with_room_enough_each_prefix_is_computed_once(batch: list[TokenizedExample]) -> None:
    [pack] = collate(batch, "shared", 1000).packs
    assert len(pack.trees) == len({e.prompt.prefix for e in batch})


def test_packs_are_filled_before_another_is_begun() -> None:
    """In the order given, each example would meet a pack it does not fit: 3 packs where 2 hold all."""
    lengths = (2, 5, 6, 3)
    batch = [toy((1, 2), (3,), tuple(range(10, 10 + n - 1))) for n in lengths]
    packs = collate(batch, "shared", 2 + 8).packs
    assert sorted(sorted(pack.trees[0].branches) for pack in packs) == [[2, 6], [3, 5]]


def test_two_schemas_in_a_pack_are_two_trees_laid_out_as_drawn() -> None:
    pack = shared_pack([toy((1, 2), (3,), (4, 5)), toy((9,), (6, 7), (8,)), toy((1, 2), (6,), (7,))])
    assert pack.ids_BT.tolist() == [[1, 2, 3, 4, 5, 6, 7, 9, 6, 7, 8]]
    assert pack.positions_BT.tolist() == [[0, 1, 2, 3, 4, 2, 3, 0, 1, 2, 3]]
    assert pack.targets_BT.tolist() == [[-100, -100, 4, 5, -100, 7, -100, -100, -100, 8, -100]]
    assert pack.trees == (Tree(2, (3, 2)), Tree(1, (3,)))
    assert pack.layout.tolist() == [2, 3, 2, -1, 3]
    assert (pack.examples, pack.logical_tokens) == (3, 13)


def test_examples_of_a_schema_come_together_before_schemas_do() -> None:
    """By length alone the two schemas would be mixed, and each computed in both packs."""
    one, two = (1, 2, 3), (7, 8, 9)
    batch = [toy(prefix, (3,), (4,) * n) for prefix, n in [(one, 4), (two, 4), (one, 3), (two, 3), (one, 2), (two, 2)]]
    packs = collate(batch, "shared", 18).packs
    assert [[tree.branches for tree in pack.trees] for pack in packs] == [[(5, 4, 3)], [(5, 4, 3)]]
    assert [[tree.branches for tree in pack.trees] for pack in collate(batch, "shared", 30).packs] == [[(5, 4, 3), (5, 4, 3)]]


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_example_without_a_supervised_token_is_refused(packing: str) -> None:
    with pytest.raises(DataError, match="no supervised token"):
        collate([toy((1,), (2,), ())], packing, 100)
    with pytest.raises(DataError, match="no supervised token"):
        collate([toy((1,), (2,), (3,)), toy((1,), (2,), ())], packing, 100)


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_example_that_fits_no_pack_is_refused_with_its_length(packing: str) -> None:
    longest = toy((1,), (2, 3), (4, 5))
    assert collate([longest], packing, 5).examples == 1
    with pytest.raises(PromptTooLongError, match=r"5 tokens exceeds trainer\.max_tokens=4"):
        collate([longest], packing, 4)


def test_no_example_of_the_real_renderer_is_cut(chatml_encoder: PromptEncoder) -> None:
    encoded = chatml_encoder.encode(replace(BERGEN, sql="SELECT " + ", ".join(["city"] * 400) + " FROM stores"))
    [pack] = collate([encoded], "shared", encoded.tokens).packs
    assert rows(pack)[0][0] == [*encoded.prompt.prefix, *encoded.prompt.suffix, *encoded.completion]
