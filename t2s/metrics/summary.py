"""Totals over judged predictions: what `summary.json` holds and every report shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, get_args

from t2s.errors import DataError
from t2s.metrics.assessment import Assessment
from t2s.metrics.interactions import Matches, interaction_match, question_match, turns
from t2s.metrics.intervals import wilson
from t2s.sql.compare import Comparison
from t2s.sql.hardness import Hardness

COMPARISONS: tuple[Comparison, ...] = ("spider", "bird", "strict")
INTERVALS = "95 % Wilson score intervals"

_CLASSES: tuple[str, ...] = get_args(Hardness)


def summary(assessments: Sequence[Assessment]) -> dict[str, Any]:
    """Totals of all predictions and of each group of them, ready for JSON.

    Returns:
        `intervals` says of which kind the intervals are. Then, for all predictions:

        - `n`: how many there are;
        - `spider`, `bird`, `strict`: `matches` (how many), `execution_accuracy` (their share of `n`) and its `interval`;
        - `valid_sql`: share that gave a result, right or wrong; `syntax_error`: share that SQLite could not parse.

        `by_hardness`, `by_database`, `by_tag`, `by_execution` and `by_diagnosis` hold the same keys for each group, and
        its `share` of all predictions. A prediction belongs to each of its tags and diagnoses, and to none if it has
        none, so those shares need not add up to 1. A group without predictions is left out.

        Where there are conversations, what `conversation_totals` gives comes on top.

        Classes of hardness go from easy to extra, databases by name, all others from the most frequent down.

    Raises:
        DataError: there are no predictions, so there is no share to speak of.
    """
    if not assessments:
        raise DataError("no predictions to sum up; judge at least one")
    return {
        "intervals": INTERVALS,
        **_totals(assessments),
        "by_hardness": _groups(assessments, lambda a: [a.hardness], lambda name, _: _CLASSES.index(name)),
        "by_database": _groups(assessments, lambda a: [a.case.database], lambda name, _: name),
        "by_tag": _groups(assessments, lambda a: a.case.tags, _frequent_first),
        "by_execution": _groups(assessments, lambda a: [a.execution], _frequent_first),
        "by_diagnosis": _groups(assessments, lambda a: a.diagnosis, _frequent_first),
        **conversation_totals(assessments),
    }


def conversation_totals(assessments: Sequence[Assessment]) -> dict[str, Any]:
    """Totals of conversations, ready for JSON; empty where no prediction is a turn of one.

    Returns:
        `question_match` (of turns) and `interaction_match` (of conversations; left out where none has a name) hold `n` and,
        for each comparison, `matches`, their `share` and its `interval`. `by_turn` groups the turns by their number
        in the conversation, from 1, as `summary` groups predictions; `share` is of all turns.
    """
    asked = turns(assessments)
    if not asked:
        return {}
    found: dict[str, Any] = {}
    for name, count in (("question_match", question_match), ("interaction_match", interaction_match)):
        matches = {comparison: count(asked, partial(is_match, comparison=comparison)) for comparison in COMPARISONS}
        if matches["strict"].n:
            found[name] = {"n": matches["strict"].n, **{comparison: _share(one) for comparison, one in matches.items()}}
    return {**found, "by_turn": _groups(asked, lambda a: [str(a.case.turn)], lambda name, _: int(name))}


def is_match(assessment: Assessment, comparison: Comparison) -> bool:
    """Whether the prediction is right by one of the comparisons."""
    return {"spider": assessment.spider, "bird": assessment.bird, "strict": assessment.strict}[comparison]


def _totals(assessments: Sequence[Assessment]) -> dict[str, Any]:
    n = len(assessments)
    return {
        "n": n,
        **{comparison: _accuracy(sum(is_match(a, comparison) for a in assessments), n) for comparison in COMPARISONS},
        "valid_sql": sum(a.execution == "ok" for a in assessments) / n,
        "syntax_error": sum(a.execution == "syntax_error" for a in assessments) / n,
    }


def _share(matches: Matches) -> dict[str, Any]:
    return {"matches": matches.right, "share": matches.right / matches.n, "interval": list(wilson(matches.right, matches.n))}


def _accuracy(matches: int, n: int) -> dict[str, Any]:
    return {"matches": matches, "execution_accuracy": matches / n, "interval": list(wilson(matches, n))}


def _groups(
    assessments: Sequence[Assessment], names: Callable[[Assessment], Iterable[str]], order: Callable[[str, int], Any]
) -> dict[str, dict[str, Any]]:
    members: dict[str, list[Assessment]] = {}
    for assessment in assessments:
        for name in dict.fromkeys(names(assessment)):  # a label given twice counts once
            members.setdefault(name, []).append(assessment)
    ordered = sorted(members.items(), key=lambda item: order(item[0], len(item[1])))
    return {name: {"share": len(group) / len(assessments), **_totals(group)} for name, group in ordered}


def _frequent_first(name: str, count: int) -> tuple[int, str]:
    return -count, name
