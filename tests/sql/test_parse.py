"""Queries taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2s.errors import DataError
from t2s.sql.lexer import tokens
from t2s.sql.parse import answer_is_complete, skeleton, split_answer, tables, tags


@pytest.mark.parametrize(
    "variant",
    [
        "SELECT name FROM pets WHERE id IN (1, 2) AND age > 3 LIMIT 5",
        "select NAME from Pets where ID in (-7) and AGE > -0.5 limit 10 -- done",
        "SELECT \"name\"\nFROM [pets] WHERE id IN ('a', x'00', 3) AND age > 'x' LIMIT 1;",
    ],
)
def test_queries_of_one_shape_share_a_skeleton(variant: str) -> None:
    assert skeleton(variant) == "SELECT name FROM pets WHERE id IN (?) AND age > ? LIMIT ?"


def test_names_and_clauses_tell_skeletons_apart() -> None:
    queries = [
        "SELECT a FROM t",
        "SELECT b FROM t",
        "SELECT a FROM u",
        "SELECT a FROM t LIMIT 1",
        "SELECT max(a) FROM t",
    ]
    assert len({skeleton(query) for query in queries}) == len(queries)


def test_a_name_that_needs_its_quotes_keeps_them() -> None:
    assert skeleton("SELECT [unit price] FROM t") == 'SELECT "unit price" FROM t'


@pytest.mark.parametrize("sql", ["", "SELECT", "SELECT 1; SELECT 2", "DROP TABLE t", "hello", "SELECT (", "(" * 5000])
@pytest.mark.parametrize("function", [skeleton, tags, tables])
def test_what_is_not_one_query_is_refused(function: object, sql: str) -> None:
    assert callable(function)
    with pytest.raises(DataError):
        function(sql)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a FROM t", "simple"),
        ("SELECT a FROM t WHERE a = 1", "filter"),
        ("SELECT 1 FROM a JOIN b USING (x)", "join"),
        ("SELECT 1 FROM a, b, c", "join multi_join"),
        ("SELECT 1 FROM a x LEFT JOIN a y ON x.i = y.j", "join self_join"),
        ("SELECT a, count(*) FROM t GROUP BY a HAVING count(*) > 1", "aggregate group having"),
        ("SELECT total(a) FROM t", "aggregate"),
        ("SELECT min(a, b) FROM t", "simple"),
        ("SELECT DISTINCT a FROM t ORDER BY a LIMIT 3", "distinct limit order"),
        ("SELECT count(DISTINCT a) FROM t", "aggregate distinct"),
        ("SELECT a FROM t WHERE b IN (SELECT b FROM u)", "filter subquery"),
        ("SELECT a FROM (SELECT a FROM t)", "subquery"),
        ("SELECT a FROM t UNION SELECT a FROM u ORDER BY a", "order set"),
        ("WITH c AS (SELECT a FROM t) SELECT a FROM c", "cte"),
        ("SELECT row_number() OVER (ORDER BY a) FROM t", "window"),
        ("SELECT sum(a) FILTER (WHERE a > 1) OVER () FROM t", "filter window"),
        ("SELECT CASE WHEN a THEN 1 END, iif(a, 1, 2) FROM t", "case"),
        ("SELECT a FROM t WHERE a IS NOT NULL", "filter null"),
        ("SELECT ifnull(a, 0) FROM t", "null"),
        ("SELECT strftime('%Y', a) FROM t", "date"),
        ("SELECT current_date", "date"),
        ("SELECT date FROM t", "simple"),
        ("SELECT a FROM t WHERE a LIKE 'x%' OR a GLOB 'y*'", "filter like"),
    ],
)
def test_tags_name_what_a_query_is_made_of(sql: str, expected: str) -> None:
    assert tags(sql) == tuple(expected.split())


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", ""),
        ("SELECT * FROM Orders o JOIN main.customers c", "orders customers"),
        ("WITH c AS (SELECT * FROM t) SELECT * FROM c JOIN (SELECT * FROM u) WHERE x IN (SELECT x FROM C)", "t u"),
        ("SELECT * FROM (WITH c AS (SELECT * FROM t) SELECT * FROM c), d", "t d"),
        ("SELECT value FROM json_each('[1]')", ""),
    ],
)
def test_tables_are_the_real_ones(sql: str, expected: str) -> None:
    assert tables(sql) == frozenset(expected.split())


@pytest.mark.parametrize(
    ("answer", "sql"),
    [
        ("SELECT 1", "SELECT 1"),
        ("  SELECT 1 ;\n", "SELECT 1"),
        ("SQL: SELECT 1; This counts one.", "SELECT 1"),
        ("```sql\nSELECT 1;\n```", "SELECT 1"),
        ("Here it is:\n```\nSELECT a\nFROM t\n```\nIt's simple; enjoy.", "SELECT a\nFROM t"),
        ("```sqlite\nSELECT 1", "SELECT 1"),
        ("SELECT ';', \"a;b\", [c;d] FROM t; SELECT 2", "SELECT ';', \"a;b\", [c;d] FROM t"),
        ("SELECT 1 -- it's; one\nFROM t;", "SELECT 1 -- it's; one\nFROM t"),
        ("SELECT 'it''s;' ; x", "SELECT 'it''s;'"),
        ("", ""),
        (";", ""),
    ],
)
def test_the_sql_is_found_in_an_answer(answer: str, sql: str) -> None:
    assert split_answer(answer) == sql


@given(st.text())
def test_splitting_an_answer_twice_changes_nothing_for_plain_sql(text: str) -> None:
    statement = "SELECT '" + text.replace("'", "''").replace("`", "") + "'"
    assert split_answer(statement) == statement


@given(st.text(alphabet="'\"`[]-/*;(), \n\ufeffaé1"))
def test_tokens_joined_give_the_text_back(text: str) -> None:
    assert "".join(token.text for token in tokens(text)) == text


@pytest.mark.parametrize(
    ("answer", "complete"),
    [
        ("SELECT 1;", True),
        ("SELECT ';", False),
        ("SELECT ';';", True),
        ("SELECT 1 -- ;", False),
        ("SQL: with t as (select 1) select * from t ;", True),
        ("Sure; here it is:", False),
        ("Sure; here it is:\n```sql\nSELECT 1", False),
        ("Sure; here it is:\n```sql\nSELECT 1;", True),
        ("", False),
    ],
)
def test_an_answer_is_complete_when_a_semicolon_has_ended_its_query(answer: str, complete: bool) -> None:
    assert answer_is_complete(answer) == complete


ANSWER_PARTS = st.sampled_from(["SELECT 1", "with ", ";", "'", "--", "\n", "```", "```sql\n", "SQL:", " ", "so", "/*", "*/"])


@given(st.lists(ANSWER_PARTS, max_size=12).map("".join), st.lists(ANSWER_PARTS, max_size=6).map("".join))
def test_nothing_that_follows_a_complete_answer_changes_its_sql(answer: str, more: str) -> None:
    if answer_is_complete(answer):
        assert split_answer(answer + more) == split_answer(answer)
