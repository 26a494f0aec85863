"""Judge on several databases: right is what is right on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from t2s.metrics.assess import Assessor, Judgement
from t2s.metrics.assessment import Assessment
from t2s.sql.testsuite import Suite


def judge_on_suite(found: Sequence[Assessment], suite: Suite, assessor: Assessor) -> tuple[list[Assessment], int]:
    """What is left of the verdicts when the suite's databases judge too.

    Args:
        found: Verdicts on the original database.
        suite: Its variants.
        assessor: Runs and compares.

    Returns:
        The assessments, a comparison true only where it is on every database, and for how many of them there were variants.
    """
    asked = [(i, replace(a.case, file=file)) for i, a in enumerate(found) for file in suite.files(a.case.gold)]
    judged: dict[int, list[tuple[str, Judgement]]] = {}
    for (i, case), judgement in zip(asked, assessor.judge(case for _, case in asked), strict=True):
        judged.setdefault(i, []).append((case.file.name, judgement))
    return [_combined(a, judged.get(i, [])) for i, a in enumerate(found)], len(judged)


def _combined(first: Assessment, others: Sequence[tuple[str, Judgement]]) -> Assessment:
    wrong_on = next((name for name, judgement in others if not judgement.strict), None)
    lucky = first.strict and wrong_on is not None
    return replace(
        first,
        spider=first.spider and all(judgement.spider for _, judgement in others),
        bird=first.bird and all(judgement.bird for _, judgement in others),
        strict=first.strict and wrong_on is None,
        detail=f"right rows by luck: not those of the gold on {wrong_on}" if lucky else first.detail,
    )
