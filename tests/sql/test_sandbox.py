"""Whatever a model writes, the sandbox answers in time, writes nothing and goes on."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t2s.errors import DatabaseError
from t2s.sql.execute import Sandbox

CASES = Path(__file__).parents[1] / "fixtures" / "sql" / "hostile.sql"
STAND_INS = {"{NUL}": "\0", "{SURROGATE}": "\ud800", "{DEEP}": "(" * 3000, "{LONG}": "x" * 200_000}


def hostile_cases() -> list[tuple[str, set[str]]]:
    cases = []
    for block in CASES.read_text(encoding="utf-8").split("\n\n")[1:]:
        _title, _, body = block.strip().partition("\n")
        statement, kinds = body.removesuffix(";").rsplit(";\n", 1)
        for name, text in STAND_INS.items():
            statement = statement.replace(name, text)
        cases.append((statement, set(kinds.split())))
    return cases


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize(("statement", "kinds"), hostile_cases(), ids=lambda value: str(value)[:40] if value else "")
def test_hostile_sql_gets_a_verdict_in_time_and_changes_nothing(sandbox: Sandbox, pets: Path, statement: str, kinds: set[str]) -> None:
    before = contents(pets.parent)
    start = time.monotonic()
    outcome = sandbox.execute(statement, pets)
    # The deadline, one second of grace, and what a busy machine needs to end a process.
    assert time.monotonic() - start < 0.5 + 1.0 + 0.5
    assert outcome.kind in kinds, outcome
    assert bool(outcome.detail) == (outcome.kind != "ok")
    assert contents(pets.parent) == before
    assert sandbox.execute("SELECT count(*) FROM pets", pets).rows == ((3,),)


def test_a_query_gives_its_columns_and_rows(sandbox: Sandbox, pets: Path) -> None:
    outcome = sandbox.execute("SELECT name AS who, age FROM pets ORDER BY id -- all\n;;", pets)
    assert (outcome.kind, outcome.columns) == ("ok", ("who", "age"))
    assert outcome.rows == (("Mia", 3), ("Tom", 5), ("Zoe", None))


def test_values_keep_their_types(sandbox: Sandbox, pets: Path) -> None:
    assert sandbox.execute("SELECT 1, 1.5, 'x', x'00ff', NULL", pets).rows == ((1, 1.5, "x", b"\x00\xff", None),)


def test_different_invalid_texts_stay_different(sandbox: Sandbox, pets: Path) -> None:
    first, second = sandbox.execute_many(["SELECT CAST(x'ff' AS TEXT)", "SELECT CAST(x'fe' AS TEXT)"], pets)
    assert first.rows != second.rows
    str(first.rows).encode()  # and can be written to any file


def test_a_result_at_the_row_cap_passes_and_one_row_more_does_not(sandbox: Sandbox, pets: Path) -> None:
    count = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t LIMIT {}) SELECT x FROM t"
    assert len(sandbox.execute(count.format(1000), pets).rows) == 1000
    assert sandbox.execute(count.format(1001), pets).detail == "more than 1000 rows"


@pytest.mark.parametrize("name", ["a?b.sqlite", "a#b.sqlite", "100%41.sqlite", "with space.sqlite", "é.sqlite"])
def test_any_path_can_be_opened(sandbox: Sandbox, pets: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pets.read_bytes())
    assert sandbox.execute("SELECT max(id) FROM pets", tmp_path / name).rows == ((3,),)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_missing_database_is_an_error_that_names_it(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"nowhere\.sqlite"):
        sandbox.execute("SELECT 1", tmp_path / "nowhere.sqlite")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_an_error_that_names_it(sandbox: Sandbox, pets: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    with pytest.raises(DatabaseError, match=r"notes\.txt"):
        sandbox.execute("SELECT 1", tmp_path / "notes.txt")
    assert sandbox.execute("SELECT 1", pets).kind == "ok"


def test_a_database_replaced_on_disk_is_read_anew(sandbox: Sandbox, pets: Path, tmp_path: Path) -> None:
    path, new = tmp_path / "live.sqlite", tmp_path / "new.sqlite"
    path.write_bytes(pets.read_bytes())
    assert sandbox.execute("SELECT count(*) FROM pets", path).rows == ((3,),)
    new.write_bytes(pets.read_bytes())
    with sqlite3.connect(new) as connection:
        connection.execute("DELETE FROM pets WHERE id = 1")
    connection.close()
    os.replace(new, path)
    assert sandbox.execute("SELECT count(*) FROM pets", path).rows == ((2,),)


def test_more_databases_than_stay_open_can_be_asked_in_turn(sandbox: Sandbox, pets: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.sqlite" for index in range(20)]
    for path in paths:
        path.write_bytes(pets.read_bytes())
    assert {sandbox.execute("SELECT count(*) FROM pets", path).rows for path in paths * 2} == {((3,),)}


@pytest.mark.parametrize("module", ["fts5(a)", "fts4(a)"])
def test_full_text_tables_can_be_searched(sandbox: Sandbox, tmp_path: Path, module: str) -> None:
    path = tmp_path / "text.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE VIRTUAL TABLE notes USING {module}")
        connection.execute("INSERT INTO notes VALUES ('hello there')")
    connection.close()
    assert sandbox.execute("SELECT a FROM notes WHERE notes MATCH 'hello'", path).rows == (("hello there",),)
    assert sandbox.execute("SELECT value FROM json_each('[7]')", path).rows == ((7,),)


def test_threads_share_a_sandbox(sandbox: Sandbox, pets: Path) -> None:
    answers: dict[int, object] = {}

    def ask(number: int) -> None:
        answers[number] = [sandbox.execute(f"SELECT {number}", pets).rows for _ in range(20)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: [((number,),)] * 20 for number in range(8)}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(), max_size=40))
def test_any_text_gets_a_verdict(sandbox: Sandbox, pets: Path, text: str) -> None:
    assert sandbox.execute(text, pets).kind not in ("crashed", "timeout")


def test_a_worker_that_dies_costs_one_statement(pets: Path) -> None:
    with Sandbox(timeout_s=5, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20) as sandbox:
        assert sandbox.execute("SELECT 1", pets).kind == "ok"
        process = sandbox._process
        assert process is not None
        threading.Timer(0.3, process.send_signal, [signal.SIGSEGV]).start()
        endless = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) SELECT count(*) FROM t"
        kinds = [outcome.kind for outcome in sandbox.execute_many([endless, "SELECT 2"], pets)]
    assert kinds == ["crashed", "ok"]


def test_a_closed_sandbox_leaves_no_process_and_says_so(pets: Path) -> None:
    with Sandbox(timeout_s=1, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20) as sandbox:
        sandbox.execute("SELECT 1", pets)
        process = sandbox._process
    assert process is not None
    assert process.poll() is not None
    with pytest.raises(RuntimeError, match="closed"):
        sandbox.execute("SELECT 1", pets)


PARENT = """
import sys
from pathlib import Path
from t2s.sql.execute import Sandbox

with Sandbox(timeout_s=1, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20) as sandbox:
    sandbox.execute("SELECT 1", Path(sys.argv[1]))
    print(sandbox._process.pid, flush=True)
    while True:
        sandbox.execute(sys.argv[2], Path(sys.argv[1]))
"""


def wait_until(condition: Callable[[], bool], patience_s: float) -> bool:
    give_up = time.monotonic() + patience_s
    while not condition() and time.monotonic() < give_up:
        time.sleep(0.05)
    return condition()


def is_gone(pid: int) -> bool:
    """No such process, or one that is dead and only waits for its parent (here nobody) to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("last_signal", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("sql", ["SELECT 1", "SELECT printf('%.*c', 2000000000, 'x')"])
def test_no_process_outlives_its_parent(pets: Path, last_signal: signal.Signals, sql: str) -> None:
    command = [sys.executable, "-c", PARENT, str(pets), sql]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        time.sleep(0.2)
        parent.send_signal(last_signal)
    # In the middle of one long call the worker ends by its own alarm, a little after the deadline.
    assert wait_until(lambda: is_gone(worker), patience_s=6)
