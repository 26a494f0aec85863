"""A plan of synthesis that makes something of everything."""

from __future__ import annotations

from t2s.data.synthesis import Plan, Weights

_OFTEN = ("list_rows", "total_count", "total_figure", "group_figure", "group_top", "group_having")
_FORMS = (
    "list_top look_up list_partners total_share total_change two_totals group_zeros group_two group_step group_parts count_groups "
    "over_groups groups_against_mean top_of_each latest_of_each over_time shares_of_total ranked set_of"
)
WEIGHTS = Weights(
    forms={**dict.fromkeys(_OFTEN, 3.0), **dict.fromkeys(_FORMS.split(), 1.0)},
    tests={"category": 5, "name": 4, "number": 3, "date": 5, "flag": 2, "missing": 3, "like": 1, "either": 1, "versus": 1, "days": 1,
           "mean": 1,
           "group_mean": 1, "extreme": 1, "same_as": 1, "has": 4},
    hardness={"easy": 1.0, "medium": 2.0, "hard": 2.0, "extra": 2.0},
    registers=dict.fromkeys(["curt", "plain", "polite", "chatty", "imperative", "business", "sloppy"], 1.0),
)  # fmt: skip


def plan(count: int, seed: int = 1, questions_per_query: int = 1, most_per_skeleton: int = 3, empty_share: float = 0.0) -> Plan:
    return Plan(count, seed, questions_per_query, most_per_skeleton, empty_share, 0.3, WEIGHTS)
