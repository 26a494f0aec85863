"""Totals of judged predictions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged import broken, right, wrong

from t2s.errors import DataError
from t2s.metrics.assessment import Assessment
from t2s.metrics.summary import COMPARISONS, conversation_totals, summary

FOUR = [
    right(database="pets", tags=("count",), hardness="hard"),
    wrong(database="shop", tags=("count", "join"), hardness="easy", diagnosis=("wrong_column", "missing_join")),
    wrong(database="shop", hardness="easy", spider=True, bird=True, diagnosis=("wrong_column",)),
    broken(database="pets", hardness="easy"),
]

assessments = st.lists(
    st.builds(
        lambda spider, bird, strict, **fields: right(spider=spider, bird=bird, strict=strict, **fields),
        spider=st.booleans(),
        bird=st.booleans(),
        strict=st.booleans(),
        hardness=st.sampled_from(["easy", "medium", "hard", "extra"]),
        database=st.sampled_from(["a", "b", "c"]),
        execution=st.sampled_from(["ok", "syntax_error", "timeout"]),
        tags=st.lists(st.sampled_from(["join", "group"])).map(tuple),
        diagnosis=st.lists(st.sampled_from(["wrong_table", "distinct"])).map(tuple),
    ),
    min_size=1,
    max_size=30,
)


def test_totals_of_four_predictions_counted_by_hand() -> None:
    totals = summary(FOUR)
    assert totals["n"] == 4
    assert [totals[c]["matches"] for c in COMPARISONS] == [2, 2, 1]
    assert totals["spider"]["execution_accuracy"] == 0.5
    # Newcombe 1998 and every calculator: 1 of 4 gives 4.6 to 69.9 %.
    assert totals["strict"]["interval"] == pytest.approx([0.0456, 0.6994], abs=5e-5)
    assert (totals["valid_sql"], totals["syntax_error"]) == (0.75, 0.25)
    assert "Wilson" in totals["intervals"]


def test_groups_hold_their_own_totals() -> None:
    totals = summary(FOUR)
    assert totals["by_hardness"]["easy"]["n"] == 3
    assert totals["by_hardness"]["hard"]["strict"]["execution_accuracy"] == 1.0
    assert totals["by_database"]["shop"]["spider"]["matches"] == 1
    assert totals["by_execution"]["syntax_error"]["valid_sql"] == 0.0
    assert totals["by_diagnosis"]["wrong_column"]["share"] == 0.5
    assert totals["by_tag"]["join"]["n"] == 1


def test_groups_come_in_an_order_a_reader_expects() -> None:
    totals = summary([*FOUR, right(hardness="extra"), right(hardness="medium")])
    assert list(totals["by_hardness"]) == ["easy", "medium", "hard", "extra"]
    assert list(totals["by_database"]) == ["pets", "shop"]
    assert list(totals["by_execution"]) == ["ok", "syntax_error"]
    assert list(totals["by_diagnosis"]) == ["wrong_column", "missing_join"]


def test_a_label_given_twice_counts_once() -> None:
    assert summary([wrong(tags=("join", "join"))])["by_tag"]["join"]["n"] == 1


def test_of_no_predictions_there_are_no_totals() -> None:
    with pytest.raises(DataError, match="at least one"):
        summary([])


@given(assessments)
def test_every_group_counts_what_its_lines_say(predictions: list[Assessment]) -> None:
    totals = json.loads(json.dumps(summary(predictions)))
    lines = [assessment.line() for assessment in predictions]
    _check(totals, lines, len(lines))
    for group, key in (("hardness",) * 2, ("database",) * 2, ("execution",) * 2, ("tag", "tags"), ("diagnosis",) * 2):
        labels = {label for line in lines for label in _labels(line[key])}
        assert set(totals[f"by_{group}"]) == labels
        for label in labels:
            _check(totals[f"by_{group}"][label], [line for line in lines if label in _labels(line[key])], len(lines))


def _labels(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _check(totals: dict[str, Any], lines: list[dict[str, Any]], everything: int) -> None:
    n = len(lines)
    assert totals["n"] == n
    assert totals.get("share", 1.0) == pytest.approx(n / everything)
    assert totals["valid_sql"] == pytest.approx(len([line for line in lines if line["execution"] == "ok"]) / n)
    assert totals["syntax_error"] == pytest.approx(len([line for line in lines if line["execution"] == "syntax_error"]) / n)
    for comparison in ("spider", "bird", "strict"):
        matches = len([line for line in lines if line[comparison]])
        low, high = totals[comparison]["interval"]
        assert totals[comparison]["matches"] == matches
        assert totals[comparison]["execution_accuracy"] == pytest.approx(matches / n)
        assert 0 <= low <= totals[comparison]["execution_accuracy"] <= high <= 1


def talk(name: str, *verdicts: bool, **fields: Any) -> list[Assessment]:
    """A conversation's turns, right or wrong."""
    return [(right if verdict else wrong)(conversation=name, asked=tuple("asked"[:n]), **fields) for n, verdict in enumerate(verdicts)]


def test_a_conversation_matches_when_all_its_turns_do() -> None:
    """Counted by hand: 6 of 8 turns, 2 of 4 conversations."""
    judged = [*talk("a", True, True, True), *talk("b", True, False), *talk("c", False, True), *talk("d", True)]
    totals = summary(judged)
    assert totals["question_match"]["n"] == 8
    assert totals["question_match"]["strict"]["matches"] == 6
    assert totals["question_match"]["strict"]["share"] == 0.75
    assert (totals["interaction_match"]["n"], totals["interaction_match"]["spider"]["matches"]) == (4, 2)
    assert totals["interaction_match"]["bird"]["share"] == 0.5
    assert totals["interaction_match"]["strict"]["interval"] == pytest.approx([0.15, 0.85], abs=5e-3)
    assert list(totals["by_turn"]) == ["1", "2", "3"]
    assert [(row["n"], row["strict"]["matches"]) for row in totals["by_turn"].values()] == [(4, 3), (3, 2), (1, 1)]
    assert conversation_totals(judged[::-1]) == conversation_totals(judged)


def test_each_comparison_has_its_own_matches() -> None:
    totals = conversation_totals([*talk("a", True), *talk("b", False, bird=True), *talk("c", False, bird=True, spider=True)])
    assert [totals["interaction_match"][c]["matches"] for c in ("spider", "bird", "strict")] == [2, 3, 1]


def test_conversations_of_one_name_in_several_databases_or_sets_are_several() -> None:
    judged = [*talk("a", True, True), *talk("a", True, False, database="shop"), *talk("a", False)]
    totals = conversation_totals(judged)
    assert (totals["interaction_match"]["n"], totals["interaction_match"]["strict"]["matches"]) == (3, 1)
    halves = [talk("a", True)[0], talk("a", True, True, database="shop")[1]]
    assert conversation_totals(halves)["interaction_match"]["n"] == 2


def test_questions_asked_alone_are_no_turns() -> None:
    totals = conversation_totals([right(), wrong(), *talk("a", True, False)])
    assert (totals["question_match"]["n"], totals["question_match"]["strict"]["matches"]) == (2, 1)
    assert totals["interaction_match"]["n"] == 1
    assert totals["by_turn"]["1"]["share"] == 0.5


def test_turns_without_a_conversation_s_name_have_no_interaction_match() -> None:
    totals = conversation_totals([right(), right(asked=("Names?",)), wrong(asked=("Names?", "old ones"))])
    assert (totals["question_match"]["n"], totals["question_match"]["strict"]["matches"]) == (2, 1)
    assert "interaction_match" not in totals
    assert list(totals["by_turn"]) == ["2", "3"]


def test_ten_turns_stand_in_their_order() -> None:
    judged = [right(conversation="a", asked=tuple("x" * n)) for n in range(11)]
    assert list(conversation_totals(judged)["by_turn"]) == [str(n) for n in range(1, 12)]


def test_without_conversations_totals_and_lines_are_as_ever() -> None:
    totals = summary(FOUR)
    assert [key for key in totals if "turn" in key or "match" in key] == []
    assert not {"turn", "conversation"} & FOUR[0].line().keys()
    line = talk("a", True, True)[1].line()
    assert (line["conversation"], line["turn"]) == ("a", 2)
