"""Random and mutated SQL: a verdict each, and the sandbox goes on."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile import attacks, build
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t2s.sql.execute import Outcome, Sandbox

KINDS = {"ok", "syntax_error", "missing_table", "missing_column", "ambiguous_column", "wrong_function", "misuse_of_aggregate"}
KINDS |= {"timeout", "too_large", "refused", "empty_prediction", "error"}  # and not "crashed"
QUIET = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

QUERIES = (
    "SELECT p.name, count(*) FROM pets AS p LEFT JOIN odd ON odd.value = p.id WHERE p.age > 3 GROUP BY p.name HAVING count(*) > 1",
    "WITH t AS (SELECT id, row_number() OVER (PARTITION BY age ORDER BY name) AS n FROM pets) SELECT * FROM t WHERE n = 1",
    "SELECT name FROM pets WHERE id IN (SELECT max(id) FROM pets UNION SELECT 2) ORDER BY length(name) DESC LIMIT 3 OFFSET 1",
    "SELECT CASE WHEN age IS NULL THEN 'none' ELSE CAST(age AS TEXT) END, group_concat(name, ', ') FROM pets GROUP BY 1",
    "SELECT json_extract(value, '$.a'), typeof(value), hex(value) FROM odd WHERE value LIKE '%a_' OR value GLOB '[a-z]*'",
    "SELECT snippet(notes, 0, '[', ']', '', 8), date('now', '-1 day') FROM notes WHERE notes MATCH 'hello OR there'",
    "SELECT id FROM boxes, json_each('[1, 2]') AS j WHERE low BETWEEN 0 AND j.value EXCEPT VALUES (1), (2)",
)
WORDS = """
SELECT FROM WHERE GROUP BY HAVING ORDER LIMIT OFFSET UNION ALL EXCEPT INTERSECT WITH RECURSIVE AS JOIN LEFT ON USING DISTINCT CASE WHEN
THEN END NOT NULL IS IN EXISTS BETWEEN LIKE GLOB MATCH CAST OVER PARTITION FILTER VALUES COLLATE ESCAPE PRAGMA ATTACH DELETE UPDATE INSERT
CREATE DROP EXPLAIN INTO TEMP TABLE ; ;; -- /* */ ( ) , . * + - / % || = <> < >= << ~ & | ? :x @y pets odd notes letters boxes grown_ups
id name age value body sqlite_master pragma_table_info dbstat t x [x] `x` "x" 'x' '' x'00' count sum max abs length hex printf replace
zeroblob randomblob json_each json_object group_concat char substr total lag ntile 0 1 -1 1.5 1e308 9e999 9223372036854775808
0x7fffffffffffffff 1000000000 '%.*c' '%s%n' '$[#-1]' 'é' '🦊'
"""
PIECES = (*WORDS.split(), "\0", "\ud800", "\ufeff")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("target") / "target.sqlite"
    build(path)
    return path


def judge(sandbox: Sandbox, database: Path, sql: str) -> Outcome:
    outcome = sandbox.execute(sql, database)
    assert outcome.kind in KINDS, (sql, outcome)
    assert outcome.seconds < 0.5 + 1.0
    assert bool(outcome.detail) == (outcome.kind != "ok")
    assert outcome.kind == "ok" or not outcome.rows
    return outcome


@QUIET
@given(st.text(st.characters(), max_size=60))
def test_any_text_gets_a_verdict(sandbox: Sandbox, target: Path, text: str) -> None:
    assert judge(sandbox, target, text).kind != "timeout"


@QUIET
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_heap_of_sql_gets_a_verdict(sandbox: Sandbox, target: Path, pieces: list[str]) -> None:
    judge(sandbox, target, "SELECT " + " ".join(pieces))


@QUIET
@given(st.sampled_from(QUERIES), st.integers(1, 6), st.randoms(use_true_random=False))
def test_any_mutation_of_a_query_gets_a_verdict(sandbox: Sandbox, target: Path, sql: str, times: int, dice: random.Random) -> None:
    judge(sandbox, target, mutated(sql, times, dice))


@QUIET
@given(
    st.sampled_from([attack.sql for attack in attacks() if attack.group != "endless"]), st.integers(1, 3), st.randoms(use_true_random=False)
)
def test_any_mutation_of_an_attack_gets_a_verdict(sandbox: Sandbox, target: Path, sql: str, times: int, dice: random.Random) -> None:
    judge(sandbox, target, mutated(sql, times, dice))


def test_after_all_that_the_database_is_as_it_was(sandbox: Sandbox, target: Path) -> None:
    assert sandbox.execute("SELECT name, age FROM pets", target).rows == (("Mia", 3), ("Tom", 5), ("Zoe", None))
    assert [path.name for path in target.parent.iterdir()] == ["target.sqlite"]


def mutated(sql: str, times: int, dice: random.Random) -> str:
    for _ in range(times):
        sql = dice.choice(MUTATIONS)(sql, dice)
    return sql


def _dropped(sql: str, dice: random.Random) -> str:
    start = dice.randrange(len(sql) + 1)
    return sql[:start] + sql[start + dice.randrange(12) :]


def _repeated(sql: str, dice: random.Random) -> str:
    start = dice.randrange(len(sql) + 1)
    return sql[:start] + sql[start : start + dice.randrange(30)] * dice.choice((2, 3, 50)) + sql[start:]


def _replaced(sql: str, dice: random.Random) -> str:
    words = sql.split(" ")
    words[dice.randrange(len(words))] = dice.choice(PIECES)
    return " ".join(words)


def _swapped(sql: str, dice: random.Random) -> str:
    words = sql.split(" ")
    first, second = dice.randrange(len(words)), dice.randrange(len(words))
    words[first], words[second] = words[second], words[first]
    return " ".join(words)


def _flipped(sql: str, dice: random.Random) -> str:
    start = dice.randrange(len(sql) + 1)
    return sql[:start] + chr(dice.choice((0, 39, 34, 40, 41, 59, 0xD800, 0xFEFF, dice.randrange(0x110000)))) + sql[start + 1 :]


MUTATIONS: tuple[Callable[[str, random.Random], str], ...] = (_dropped, _repeated, _replaced, _swapped, _flipped)
