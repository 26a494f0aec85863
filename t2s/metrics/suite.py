"""Judge on several databases: right is what is right on all of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from t2s.metrics.assess import Assessor, Judgement
from t2s.metrics.assessment import Assessment
from t2s.metrics.cache import key
from t2s.metrics.execution_accuracy import by_luck
from t2s.runtime import sha256
from t2s.sql.execute import Sandbox
from t2s.sql.testsuite import FILE, VERSION, Progress, Suite, build_suite, load_suite

# Of a query while a suite is built: a mutant that takes longer is no use.
BUILD_LIMITS = (2.0, 200_000, 50_000_000, 1_000_000_000)


def cached_suite(database: Path, golds: Iterable[str], directory: Path, progress: Progress | None = None) -> Suite:
    """The suite for these gold queries: read from `directory` where it was built before, else built there.

    It is known by the content of the database, the set of queries and the version of the code that builds it.

    Args:
        database: The original SQLite file.
        golds: Right queries on it, in any order.
        directory: Where suites are kept, each in a directory of its own.
        progress: See `build_suite`.

    Raises:
        DataError: no query runs on the database.
        DatabaseError: the database is missing, or cannot be read or copied.
    """
    queries = sorted(set(golds))
    place = directory / key(str(VERSION), sha256(database), *queries)[:32]
    if not (place / FILE).is_file():
        directory.mkdir(parents=True, exist_ok=True)
        # Under another name until it is whole: what is interrupted leaves no half of a suite.
        with TemporaryDirectory(dir=directory, prefix=".building-") as folder, Sandbox(*BUILD_LIMITS) as sandbox:
            build_suite(database, queries, Path(folder) / place.name, sandbox, progress=progress)
            with contextlib.suppress(OSError):  # somebody else was faster
                os.rename(Path(folder) / place.name, place)
    return load_suite(place)


def judge_on_suite(found: Sequence[Assessment], suites: Mapping[str, Suite], assessor: Assessor) -> tuple[list[Assessment], int]:
    """What is left of the verdicts when the databases of suites judge too.

    Args:
        found: Verdicts on the original databases.
        suites: By database name.
        assessor: Runs and compares.

    Returns:
        The assessments, a comparison true only where it is on every database, and for how many of them there were variants.
    """
    asked = [
        (i, replace(a.case, file=file))
        for i, a in enumerate(found)
        if a.case.database in suites
        for file in suites[a.case.database].files(a.case.gold)
    ]
    judged: dict[int, list[tuple[str, Judgement]]] = {}
    for (i, case), judgement in zip(asked, assessor.judge(case for _, case in asked), strict=True):
        judged.setdefault(i, []).append((case.file.name, judgement))
    return [_combined(a, judged.get(i, [])) for i, a in enumerate(found)], len(judged)


def _combined(first: Assessment, others: Sequence[tuple[str, Judgement]]) -> Assessment:
    wrong_on = next((name for name, judgement in others if not judgement.strict), None)
    return replace(
        first,
        spider=first.spider and all(judgement.spider for _, judgement in others),
        bird=first.bird and all(judgement.bird for _, judgement in others),
        strict=first.strict and wrong_on is None,
        detail=by_luck(wrong_on) if wrong_on is not None and first.strict else first.detail,
    )
