"""Judged predictions for tests of totals and reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from t2s.metrics.assessment import Assessment, Case, Head

_CASE = Case(0, "How many pets?", "pets", Path("pets.sqlite"), "SELECT count(*) FROM pets", "SELECT count(*) FROM pets")
_HEAD = Head(("count(*)",), ((3,),), 1)
_RIGHT = Assessment(_CASE, "ok", "", True, True, True, "easy", (), _HEAD, _HEAD)
_CASE_FIELDS = {"index", "question", "database", "gold", "predicted", "tags", "conversation", "asked"}


def right(**fields: Any) -> Assessment:
    """A prediction that is right by every comparison, but for the given fields of the case or the assessment."""
    case = replace(_CASE, **{name: value for name, value in fields.items() if name in _CASE_FIELDS})
    return replace(_RIGHT, case=case, **{name: value for name, value in fields.items() if name not in _CASE_FIELDS})


def wrong(**fields: Any) -> Assessment:
    """A prediction that runs and is wrong by every comparison, but for the given fields."""
    return right(
        **{
            "spider": False,
            "bird": False,
            "strict": False,
            "predicted": "SELECT max(id) FROM pets",
            "diagnosis": ("wrong_aggregate",),
            "detail": "1 row with another value",
            "predicted_head": Head(("max(id)",), ((7,),), 1),
            **fields,
        }
    )


def broken(**fields: Any) -> Assessment:
    """A prediction that does not run."""
    return wrong(**{"predicted": "SELEC 1", "execution": "syntax_error", "diagnosis": (), "predicted_head": None, **fields})
