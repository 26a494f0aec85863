"""A query is kept only if its answer is one, is certain, and needs all of the query."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from t2s.data.synthesis import needs, tree
from t2s.data.synthesis.checks import failed, fault, probes
from t2s.data.synthesis.facts import Facts
from t2s.data.synthesis.graph import Graph
from t2s.data.synthesis.queries import QueryWriter
from t2s.sql.execute import Sandbox


class Judge:
    """What the checks say of a query on the bakery."""

    def __init__(self, facts: Facts, database: Path, sandbox: Sandbox) -> None:
        self.facts, self.database, self.sandbox, self.writer = facts, database, sandbox, QueryWriter(facts)

    def __call__(self, query: needs.Query) -> set[str]:
        outcome = self.sandbox.execute(self.writer.sql(query), self.database)
        reason = fault(query, outcome, empty_is_fine=False)
        if reason:
            return {reason}
        found = {failed(query, outcome, probe, self.sandbox.execute(probe.sql, self.database)) for probe in probes(query, self.writer)}
        return found - {""}

    def ref(self, table: str, column: str) -> tree.Ref:
        return tree.Ref((), self.facts.table(table).column(column))


@pytest.fixture
def judge(facts: Facts, bakery: Path, sandbox: Sandbox) -> Judge:
    return Judge(facts, bakery, sandbox)


def shops(*tests: tree.Test) -> needs.Listing:
    return needs.Listing("shops", (needs.Shown(tree.ByRow(())),), tests, None, 0, False)


def test_a_query_with_an_answer_is_kept(judge: Judge) -> None:
    assert judge(shops(tree.Compare(judge.ref("shops", "city"), "=", "Oslo"))) == set()


def test_nothing_found_is_no_answer(judge: Judge) -> None:
    assert judge(shops(tree.Compare(judge.ref("shops", "city"), "=", "Paris"))) == {"no rows"}


def test_a_condition_that_follows_from_another_is_one_too_many(judge: Judge) -> None:
    both = (tree.Compare(judge.ref("shops", "city"), "=", "Oslo"), tree.Compare(judge.ref("shops", "country"), "=", "Norway"))
    assert judge(shops(*both)) == {"a part changes nothing"}


def test_a_limit_at_a_tie_leaves_the_answer_open(judge: Judge) -> None:
    lines = needs.Listing(
        "sale_lines", (needs.Shown(judge.ref("sale_lines", "cake_id")),), (), tree.By(judge.ref("sale_lines", "quantity"), True), 3, False
    )
    assert judge(lines) == {"a tie"}
    cakes = needs.Listing("cakes", (needs.Shown(tree.ByRow(())),), (), tree.By(judge.ref("cakes", "list_price"), True), 3, False)
    assert judge(cakes) == set()


def test_a_limit_that_all_rows_fit_into_is_none(judge: Judge) -> None:
    cakes = needs.Listing("cakes", (needs.Shown(tree.ByRow(())),), (), tree.By(judge.ref("cakes", "list_price"), True), 7, False)
    assert judge(cakes) == {"fewer rows than the limit"}


def test_a_limit_on_groups_that_all_pass_is_none(judge: Judge, graph: Graph) -> None:
    key = tree.ByRow((next(link for link in graph.links if link.pairs[0][0] == "shop_id" and link.child == "sales"),))
    query = needs.Grouped("sales", (key,), (tree.Count(),), (), (tree.Having(tree.Count(), ">", 1),), None, 0, False, False)
    assert judge(query) == {"a part changes nothing"}
    zeros = replace(query, having=(), zeros=True, shows=True)
    assert judge(zeros) == {"a part changes nothing"}


def test_a_second_key_that_follows_from_the_first_is_refused(judge: Judge) -> None:
    keys = (tree.ByValue(judge.ref("shops", "city")), tree.ByValue(judge.ref("shops", "country")))
    query = needs.Grouped("shops", keys, (tree.Count(),), (), (), None, 0, True, False)
    assert judge(query) == {"a key that follows from the other"}


def test_a_sum_over_nothing_is_no_answer(judge: Judge) -> None:
    tests = (tree.Compare(judge.ref("cakes", "name"), "=", "Opera"),)
    assert judge(needs.Total("cakes", (tree.Figure("SUM", judge.ref("cakes", "weight_g")),), tests)) == {"only NULL"}
