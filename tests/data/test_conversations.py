"""Conversations: which tokens are learnt, that none is learnt twice, and answers that build on answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from transformers import PreTrainedTokenizerBase

from t2s.data.conversations import answer_turn_by_turn, whole_conversations
from t2s.data.example import Example, Turn
from t2s.data.pack import collate, completion_labels
from t2s.data.prompt import PromptEncoder, TokenizedExample
from t2s.data.survey import decoded_mask, fitting, survey
from t2s.errors import ConfigError

ASKED = (
    ("How many stores?", "SELECT COUNT(*) FROM stores"),
    ("in Oslo", "SELECT COUNT(*) FROM stores WHERE city = 'Oslo'"),
    ("Which ones?", "SELECT store_id FROM stores WHERE city = 'Oslo'"),
)


def turns(asked: Sequence[tuple[str, str]] = ASKED, conversation: str = "c") -> list[Example]:
    """One example for each turn."""
    history = [Turn(*pair) for pair in asked]
    return [Example(q, sql, "shop", tuple(history[:n]), conversation=conversation) for n, (q, sql) in enumerate(asked)]


@pytest.fixture(scope="module")
def teaching_all(tokenizer: PreTrainedTokenizerBase, schemas: dict[str, str]) -> PromptEncoder:
    return PromptEncoder(tokenizer, "auto", "Answer with SQL.", schemas, "all")


def learnt_runs(example: TokenizedExample) -> list[list[int]]:
    """Runs of tokens that have a label, each with the label checked against the token it stands at."""
    ids = [*example.prompt.prefix, *example.prompt.suffix, *example.completion]
    runs: list[list[int]] = [[]]
    for token, label in zip(ids, completion_labels(example), strict=True):
        if label == -100:
            runs.append([])
        else:
            assert label == token
            runs[-1].append(token)
    return [run for run in runs if run]


def test_of_a_conversation_every_sql_is_learnt_with_its_end(teaching_all: PromptEncoder, end_token: str) -> None:
    encoded = teaching_all.encode(turns()[-1])
    assert [teaching_all.text(run) for run in learnt_runs(encoded)] == [sql + end_token for _, sql in ASKED]
    text = decoded_mask(encoded, teaching_all)
    print(text)
    assert [part.partition("»")[0] for part in text.split("«")[1:]] == [sql + end_token for _, sql in ASKED]
    assert text.replace("«", "").replace("»", "") == teaching_all.text(
        [*encoded.prompt.prefix, *encoded.prompt.suffix, *encoded.completion]
    )


def test_or_the_last_alone(encoder: PromptEncoder, end_token: str) -> None:
    encoded = encoder.encode(turns()[-1])
    assert [encoder.text(run) for run in learnt_runs(encoded)] == [ASKED[-1][1] + end_token]
    assert encoded.supervised_tokens == len(encoded.completion)


def test_both_ways_have_the_same_tokens(encoder: PromptEncoder, teaching_all: PromptEncoder) -> None:
    for example in turns():
        last, every = encoder.encode(example), teaching_all.encode(example)
        assert (last.prompt, last.completion) == (every.prompt, every.completion)
        assert last.prompt == encoder.prompt(example) == teaching_all.prompt(example)


def test_what_is_learnt_of_an_earlier_turn_stands_behind_the_tokens_it_is_asked_with(teaching_all: PromptEncoder) -> None:
    """A conversation trains each answer behind the very tokens that inference puts before it."""
    whole = teaching_all.encode(turns()[-1])
    ids = [*whole.prompt.prefix, *whole.prompt.suffix, *whole.completion]
    starts = [len(whole.prompt.prefix) + start for start, _ in whole.earlier] + [len(ids) - len(whole.completion)]
    for example, start in zip(turns(), starts, strict=True):
        asked = teaching_all.prompt(example)
        assert ids[:start] == [*asked.prefix, *asked.suffix]
        completion = teaching_all.encode(example).completion
        assert tuple(ids[start : start + len(completion)]) == completion


def test_a_conversation_is_learnt_once(encoder: PromptEncoder, teaching_all: PromptEncoder) -> None:
    other = turns((("How many pets?", "SELECT 1"), ASKED[1]), "d")
    mixed = [*turns(), *other, Example("Cities?", "SELECT city FROM stores", "shop")]
    random.Random(1).shuffle(mixed)
    kept = whole_conversations([teaching_all.encode(example) for example in mixed])
    whole = [turns()[-1], other[-1], Example("Cities?", "SELECT city FROM stores", "shop")]
    assert sorted(item.completion for item in kept) == sorted(teaching_all.encode(example).completion for example in whole)
    once = [teaching_all.text(run) for item in kept for run in learnt_runs(item)]
    apart = [encoder.text(run) for example in mixed for run in learnt_runs(encoder.encode(example))]
    assert sorted(once) == sorted(apart), "learnt together is what the turns teach one by one"


def test_another_answer_to_the_same_question_is_kept(teaching_all: PromptEncoder) -> None:
    encoded = [teaching_all.encode(example) for example in (replace(turns()[0], sql="SELECT 7"), turns()[1])]
    assert whole_conversations(encoded) == encoded


def test_where_the_last_turn_alone_is_learnt_nothing_is_left_out(encoder: PromptEncoder) -> None:
    encoded = [encoder.encode(example) for example in turns()]
    assert whole_conversations(encoded) == encoded


def test_the_survey_keeps_every_turn_to_be_asked_and_one_item_to_learn_from(chatml_encoder: PromptEncoder, chatml: PreTrainedTokenizerBase,
                                                                           schemas: dict[str, str]) -> None:  # fmt: skip
    every = PromptEncoder(chatml, "auto", "Answer with SQL.", schemas, "all")
    examples, encoded = fitting(turns(), every, 10_000, "refuse", "train")
    assert (examples, encoded) == (turns(), [every.encode(turns()[-1])])
    report = survey({"train": (examples, encoded)}, {"train": 3}, every)
    assert (report.splits["train"].examples, report.splits["train"].dropped, len(report.splits["train"].branch_tokens)) == (3, 0, 1)
    assert report.decoded_mask.count("«") == 3
    assert len(fitting(turns(), chatml_encoder, 10_000, "refuse", "train")[1]) == 3


def test_a_conversation_too_long_leaves_its_shorter_beginning(teaching_all: PromptEncoder) -> None:
    room = teaching_all.encode(turns()[1]).tokens
    examples, encoded = fitting(turns(), teaching_all, room, "drop", "train")
    assert (examples, encoded) == (turns()[:2], [teaching_all.encode(turns()[1])])


@pytest.mark.parametrize("packing", ["shared", "none"])
def test_a_step_counts_every_learnt_token(teaching_all: PromptEncoder, packing: str) -> None:
    encoded = [teaching_all.encode(turns()[-1]), teaching_all.encode(turns()[0])]
    step = collate(encoded, packing, 10_000)
    expected = sum(len(run) for item in encoded for run in learnt_runs(item))
    assert step.supervised_tokens == expected == sum(pack.supervised_tokens for pack in step.packs)
    assert len(encoded[0].earlier) == 2


def test_a_template_that_ends_earlier_answers_in_another_way_is_refused(
    tokenizers: Callable[[str], PreTrainedTokenizerBase],
) -> None:
    tokenizer = tokenizers("chatml")
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    schemas = {"pets": "pets(name text)"}
    with pytest.raises(ConfigError, match=r"use data\.template=chatml or data\.supervise=last"):
        PromptEncoder(tokenizer, "auto", "", schemas, "all")
    assert PromptEncoder(tokenizer, "auto", "", schemas, "last").encode(Example("Names?", "SELECT 1", "pets")).earlier == ()
    assert PromptEncoder(tokenizer, "chatml", "", schemas, "all").encode(Example("Names?", "SELECT 1", "pets")).earlier == ()


class Scribe:
    """Answers with what it was shown, and remembers each batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, batch: Sequence[Example]) -> list[str]:
        self.batches.append([example.question for example in batch])
        return [" / ".join([*(turn.sql for turn in example.history), example.question]) for example in batch]


def test_each_turn_is_asked_behind_the_answers_to_those_before() -> None:
    scribe = Scribe()
    mixed = [*reversed(turns((("a", "gold a"), ("b", "gold b"), ("c", "gold c")), "1")), *turns((("x", "gold x"), ("b", "gold b")), "2")]
    answers = answer_turn_by_turn(mixed, scribe, only_missing=False)
    assert answers == ["a / a / b / c", "a / b", "a", "x", "x / b"]
    assert scribe.batches == [["a", "x"], ["b", "b"], ["c"]]


def test_turns_of_other_conversations_and_databases_are_not_mixed_up() -> None:
    first, second = turns((("a", "1"), ("b", "2")), "1"), turns((("a", "3"), ("b", "4")), "2")
    elsewhere = [replace(example, database="pets") for example in first]

    def numbered(batch: Sequence[Example]) -> list[str]:
        return [f"{e.database}{e.conversation}<{','.join(t.sql for t in e.history)}>" for e in batch]

    answers = answer_turn_by_turn([*first, *second, *elsewhere], numbered, only_missing=False)
    assert answers[1::2] == ["shop1<shop1<>>", "shop2<shop2<>>", "pets1<pets1<>>"]


def test_an_earlier_turn_that_is_not_asked_keeps_its_sql() -> None:
    last = turns((("a", "gold a"), ("b", "gold b"), ("c", "gold c")))[1:]
    assert answer_turn_by_turn(last, Scribe(), only_missing=False) == ["gold a / b", "gold a / gold a / b / c"]


def test_only_what_is_missing_can_be_filled_in() -> None:
    examples = turns((("a", ""), ("b", "gold b"), ("c", "")))
    assert answer_turn_by_turn(examples, Scribe(), only_missing=True) == ["a", "a / b", "a / gold b / c"]


def test_an_answer_too_few_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        answer_turn_by_turn(turns(), lambda batch: [], only_missing=False)
