"""Over-long examples are counted, never cut in silence; repeats and leaks are told."""

import json

import pytest

from t2s.data.example import Example, Turn
from t2s.data.prompt import PromptEncoder
from t2s.data.survey import Leakage, decoded_mask, fitting, leakage, survey
from t2s.errors import PromptTooLongError

SHORT = Example("Names?", "SELECT name FROM pets", "pets", id="a:1")
LONG = Example("Names? " * 50, "SELECT name FROM pets", "pets", id="a:2")


def tokens(encoder: PromptEncoder, example: Example) -> int:
    encoded = encoder.encode(example)
    return len([*encoded.prompt.prefix, *encoded.prompt.suffix, *encoded.completion])


def test_examples_that_fit_are_kept_with_their_tokens(chatml_encoder: PromptEncoder) -> None:
    most = tokens(chatml_encoder, LONG)
    kept, encoded = fitting([SHORT, LONG], chatml_encoder, most, "refuse", "train")
    assert kept == [SHORT, LONG]
    assert encoded == [chatml_encoder.encode(SHORT), chatml_encoder.encode(LONG)]


def test_a_long_example_is_refused_with_the_number_that_would_do(chatml_encoder: PromptEncoder) -> None:
    needed = tokens(chatml_encoder, LONG)
    with pytest.raises(PromptTooLongError) as refused:
        fitting([SHORT, LONG], chatml_encoder, needed - 1, "refuse", "train")
    message = str(refused.value)
    said = ("1 of 2 examples of train", "a:2", f"data.max_tokens={needed - 1}", f"set data.max_tokens={needed}", "data.too_long=drop")
    assert [words for words in said if words not in message] == []


def test_a_long_example_is_dropped_and_counted_on_demand(chatml_encoder: PromptEncoder) -> None:
    fit = fitting([SHORT, LONG], chatml_encoder, tokens(chatml_encoder, SHORT), "drop", "train")
    assert fit == ([SHORT], [chatml_encoder.encode(SHORT)])
    report = survey({"train": fit}, {"train": 2}, chatml_encoder)
    assert (report.splits["train"].examples, report.splits["train"].dropped) == (1, 1)


def test_dropping_everything_is_refused(chatml_encoder: PromptEncoder) -> None:
    needed = tokens(chatml_encoder, LONG)
    with pytest.raises(PromptTooLongError, match=f"no example of val fits data.max_tokens=20; set it to {needed}"):
        fitting([LONG], chatml_encoder, 20, "drop", "val")


def test_repeated_questions_are_counted_per_database_and_history(chatml_encoder: PromptEncoder) -> None:
    asked = [
        SHORT,
        Example("names?  ", "SELECT 1", "pets"),
        Example("NAMES?", "SELECT 2", "pets"),
        Example("Names?", "SELECT city FROM stores", "shop"),
        Example("Names?", "SELECT 3", "pets", (Turn("Ages?", "SELECT age FROM pets"),)),
    ]
    fit = fitting(asked, chatml_encoder, 10_000, "refuse", "train")
    assert survey({"train": fit}, {"train": 5}, chatml_encoder).splits["train"].duplicates == 2


def test_leaks_are_counted_by_question_query_and_shape() -> None:
    train = [Example("Old pets?", "SELECT name FROM pets WHERE age > 9", "pets")]
    examples = [
        Example("old  PETS?", "SELECT name FROM pets WHERE age > 8", "pets"),
        Example("Pets over nine?", "SELECT name FROM pets WHERE age > 9", "pets"),
        Example("Very old pets?", "select Name from pets where age > 20", "pets"),
        Example("How many?", "SELECT COUNT(*) FROM pets", "pets"),
    ]
    assert leakage(examples, train) == Leakage(questions=1, queries=1, skeletons=3)
    assert leakage(examples, []) == Leakage(0, 0, 0)


def test_the_survey_counts_tags_and_tokens_and_can_be_written_as_json(chatml_encoder: PromptEncoder) -> None:
    count = Example("How many?", "SELECT COUNT(*) FROM pets WHERE name = 'Mia'", "pets")
    fit = fitting([SHORT, count, count], chatml_encoder, 10_000, "refuse", "train")
    report = survey({"train": fit, "val": (fit[0][:1], fit[1][:1])}, {"train": 3, "val": 1}, chatml_encoder)
    train = report.splits["train"]
    assert train.tags == {"aggregate": 2, "filter": 2, "simple": 1}
    assert train.prefix_tokens == len(chatml_encoder.prompt(SHORT).prefix)
    assert train.branch_tokens[0] == tokens(chatml_encoder, SHORT) - train.prefix_tokens
    assert report.leakage == {"val": Leakage(1, 1, 1)}
    assert json.loads(json.dumps(report.to_json()))["splits"]["train"]["tags"]["filter"] == 2


def test_the_shown_mask_is_what_is_learnt(encoder: PromptEncoder, end_token: str) -> None:
    text = decoded_mask(encoder.encode(SHORT), encoder)
    assert text.endswith(f"«SELECT name FROM pets{end_token}»")
    assert text.count("«") == text.count("»") == 1
