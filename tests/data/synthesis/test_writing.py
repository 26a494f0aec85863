"""One tree gives the SQL and the words; both are compared with what a person wrote for it."""

from __future__ import annotations

import random

import pytest

from t2s.data.synthesis import needs, tree
from t2s.data.synthesis.facts import Facts
from t2s.data.synthesis.graph import Graph, Link, Links
from t2s.data.synthesis.phrase.registers import REGISTERS, ask
from t2s.data.synthesis.queries import QueryWriter


@pytest.fixture
def writer(facts: Facts) -> QueryWriter:
    return QueryWriter(facts)


def link(graph: Graph, child: str, column: str) -> Link:
    return next(link for link in graph.links if link.child == child and link.pairs[0][0] == column)


def ref(facts: Facts, table: str, column: str, links: Links = ()) -> tree.Ref:
    return tree.Ref(links, facts.table(table).column(column))


def listing(table: str, *shown: tree.Ref | tree.ByRow, tests: tuple[tree.Test, ...] = ()) -> needs.Listing:
    return needs.Listing(table, tuple(needs.Shown(what) for what in shown), tests, None, 0, False)


def questions(query: needs.Query, graph: Graph, register: str, times: int = 40) -> set[str]:
    """Many ways to ask, by the schema's own words."""
    return {ask(query, graph, random.Random(seed), register, free=0.0) for seed in range(times)}


# SQL ----------------------------------------------------------------------------------------------------------------


def test_one_table_needs_no_alias(writer: QueryWriter, facts: Facts) -> None:
    query = listing("shops", tree.ByRow(()), tests=(tree.Compare(ref(facts, "shops", "city"), "=", "Oslo"),))
    assert writer.sql(query) == "SELECT name FROM shops WHERE city = 'Oslo'"


def test_a_path_joins_its_tables_once(writer: QueryWriter, facts: Facts, graph: Graph) -> None:
    sale, shop = link(graph, "sale_lines", "sale_id"), link(graph, "sales", "shop_id")
    goods = tree.Product(ref(facts, "sale_lines", "quantity"), ref(facts, "sale_lines", "unit_price"), None)
    tests = (tree.Period(ref(facts, "sales", "sold_at", (sale,)), "year", "2024", ""),)
    query = needs.Grouped(
        "sale_lines",
        (tree.ByRow((sale, shop)),),
        (tree.Figure("SUM", goods),),
        tests,
        (),
        tree.By(tree.Figure("SUM", goods), True),
        2,
        True,
        False,
    )
    assert writer.sql(query) == (
        "SELECT s.name, ROUND(SUM(sl.quantity * sl.unit_price), 2) FROM sale_lines sl JOIN sales sa ON sl.sale_id = sa.sale_id "
        "JOIN shops s ON sa.shop_id = s.shop_id WHERE strftime('%Y', sa.sold_at) = '2024' "
        "GROUP BY s.name ORDER BY SUM(sl.quantity * sl.unit_price) DESC, s.name LIMIT 2"
    )


def test_a_table_joined_to_itself_has_two_aliases(writer: QueryWriter, graph: Graph, facts: Facts) -> None:
    boss = link(graph, "bakers", "manager_id")
    named = tree.Named((boss,), facts.table("bakers").label, ("Ida", "Moe"))
    assert writer.sql(listing("bakers", tree.ByRow(()), tests=(named,))) == (
        "SELECT b.first_name, b.last_name FROM bakers b JOIN bakers manager ON b.manager_id = manager.baker_id "
        "WHERE manager.first_name = 'Ida' AND manager.last_name = 'Moe'"
    )


def test_none_of_a_nullable_key_is_asked_by_not_exists(writer: QueryWriter, graph: Graph) -> None:
    has = tree.Has("sales", (link(graph, "sales", "seller_id"),), (), "<>", 0)
    assert writer.sql(listing("bakers", tree.ByRow(()), tests=(has,))) == (
        "SELECT b.first_name, b.last_name FROM bakers b WHERE NOT EXISTS (SELECT 1 FROM sales sa WHERE sa.seller_id = b.baker_id)"
    )


def test_none_of_a_key_that_is_always_there_is_asked_by_not_in(writer: QueryWriter, graph: Graph) -> None:
    has = tree.Has("sale_lines", (link(graph, "sale_lines", "cake_id"),), (), "<>", 0)
    assert writer.sql(listing("cakes", tree.ByRow(()), tests=(has,))) == (
        "SELECT c.name FROM cakes c WHERE c.cake_id NOT IN (SELECT sl.cake_id FROM sale_lines sl)"
    )


def test_groups_without_a_partner_are_no_group(writer: QueryWriter, graph: Graph) -> None:
    seller = tree.ByRow((link(graph, "sales", "seller_id"),))
    having = (tree.Having(tree.Count(), ">", 30),)
    query = needs.CountGroups(needs.Grouped("sales", (seller,), (tree.Count(),), (), having, None, 0, False, False))
    assert writer.sql(query) == (
        "SELECT COUNT(*) FROM (SELECT seller_id FROM sales WHERE seller_id IS NOT NULL GROUP BY seller_id HAVING COUNT(*) > 30)"
    )


def test_a_quote_in_a_value_is_doubled(writer: QueryWriter, facts: Facts) -> None:
    query = listing("shops", tree.ByRow(()), tests=(tree.Compare(ref(facts, "shops", "city"), "=", "L'Aquila"),))
    assert writer.sql(query) == "SELECT name FROM shops WHERE city = 'L''Aquila'"


# Words --------------------------------------------------------------------------------------------------------------


def test_a_state_stands_before_its_noun(graph: Graph, facts: Facts) -> None:
    query = needs.Total("sales", (tree.Count(),), (tree.Compare(ref(facts, "sales", "status"), "=", "cancelled"),))
    assert "How many cancelled sales are there?" in questions(query, graph, "plain")


def test_what_null_means_is_taken_from_the_comment(graph: Graph, facts: Facts) -> None:
    query = listing("shops", tree.ByRow(()), tests=(tree.Missing(ref(facts, "shops", "closed_on"), False),))
    assert "Which shops are still open?" in questions(query, graph, "plain")


def test_people_who_did_a_thing_and_things_that_have_something(graph: Graph) -> None:
    has = tree.Has("sales", (link(graph, "sales", "shop_id"),), (), "<>", 0)
    assert "Which shops have no sales?" in questions(listing("shops", tree.ByRow(()), tests=(has,)), graph, "plain")
    boss = tree.Linked((), link_column(graph), False)
    asked = questions(listing("bakers", tree.ByRow(()), tests=(boss,)), graph, "plain")
    assert {"Which bakers have no manager?", "Which bakers do not have a manager?"} & asked


def link_column(graph: Graph) -> tree.ColumnFacts:
    return graph.facts.table("bakers").column("manager_id")


def test_goods_sold_are_revenue_of_the_time_and_place_asked_for(graph: Graph, facts: Facts) -> None:
    sale, shop = link(graph, "sale_lines", "sale_id"), link(graph, "sales", "shop_id")
    goods = tree.Product(ref(facts, "sale_lines", "quantity"), ref(facts, "sale_lines", "unit_price"), None)
    tests = (
        tree.Named((sale, shop), facts.table("shops").label, ("Old Mill",)),
        tree.Period(ref(facts, "sales", "sold_at", (sale,)), "month", "2024-03", ""),
    )
    asked = questions(needs.Total("sale_lines", (tree.Figure("SUM", goods),), tests), graph, "curt", times=150)
    assert any(text.lower().startswith("revenue ") and "old mill" in text.lower() and "march 2024" in text.lower() for text in asked)


def test_the_best_group_has_the_most(graph: Graph) -> None:
    key = tree.ByRow((link(graph, "sales", "shop_id"),))
    query = needs.Grouped("sales", (key,), (tree.Count(),), (), (), tree.By(tree.Count(), True), 1, False, False)
    assert "Which shop has the most sales?" in questions(query, graph, "plain")


def test_a_verb_agrees_with_one_and_with_several(graph: Graph, facts: Facts) -> None:
    seller = link(graph, "sales", "seller_id")
    no_seller = tree.Linked((), facts.table("sales").column("seller_id"), False)
    has = tree.Has("sales", (link(graph, "sales", "shop_id"),), (no_seller,), "=", 0)
    texts = questions(listing("shops", tree.ByRow(()), tests=(has,)), graph, "plain", times=150)
    assert seller.role == "seller"
    assert not any("sale that have" in text or "sales that has" in text for text in texts)


@pytest.mark.parametrize("register", sorted(REGISTERS))
def test_every_register_says_the_values_and_ends_as_it_should(graph: Graph, facts: Facts, register: str) -> None:
    tests = (tree.Compare(ref(facts, "shops", "city"), "=", "Bergen"), tree.Missing(ref(facts, "shops", "closed_on"), True))
    for text in questions(listing("shops", tree.ByRow(()), tests=tests), graph, register):
        assert "Bergen" in text
        assert "  " not in text
        assert "\x02" not in text
        assert text.endswith(("?", ".")) == (register not in ("curt", "sloppy"))


def test_a_sloppy_writer_keeps_values_as_stored(graph: Graph, facts: Facts) -> None:
    query = listing("shops", tree.ByRow(()), tests=(tree.Compare(ref(facts, "shops", "country"), "=", "Norway"),))
    for text in questions(query, graph, "sloppy"):
        assert text.replace("Norway", "").replace("Norwegian", "").islower()
