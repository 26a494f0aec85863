"""Whatever a model writes, the sandbox answers in time, writes nothing and goes on."""

import gc
import hashlib
import marshal
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hostile import Attack, attacks, build

from t2s.errors import DatabaseError
from t2s.sql import worker as worker_file
from t2s.sql.database import readable
from t2s.sql.execute import Sandbox
from t2s.sql.process import WorkerProcess

ROOT = Path(__file__).parents[2]
ENDLESS = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) SELECT count(*) FROM t"
COUNT = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t LIMIT {}) SELECT count(*) FROM t"
ONE_LONG_CALL = "SELECT printf('%.*c', 2000000000, 'x')"
posix = pytest.mark.skipif(os.name != "posix", reason="signals and clocks of POSIX")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database that hostile.sql attacks."""
    path = tmp_path_factory.mktemp("target") / "target.sqlite"
    build(path)
    return path


@pytest.fixture
def small() -> Iterator[Sandbox]:
    """A sandbox of one worker for a test that breaks it."""
    with Sandbox(timeout_s=5, max_rows=1000, max_bytes=100_000, max_memory_bytes=64 << 20) as sandbox:
        yield sandbox


def pids(sandbox: Sandbox) -> set[int]:
    return {process.pid for process in sandbox._workers if process.pid is not None}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def write(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


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


# Hostile statements


@pytest.mark.parametrize("attack", attacks(), ids=lambda attack: f"{attack.group}: {attack.title}")
def test_hostile_sql_gets_its_verdict_in_time_and_changes_nothing(sandbox: Sandbox, target: Path, attack: Attack) -> None:
    before = contents(target.parent)
    start = time.monotonic()
    outcome = sandbox.execute(attack.sql, target)
    assert time.monotonic() - start < 0.5 + 1.0  # the deadline and a second, as promised
    assert outcome.kind in attack.kinds, outcome
    assert bool(outcome.detail) == (outcome.kind != "ok")
    assert contents(target.parent) == before
    assert sandbox.execute("SELECT count(*) FROM pets", target).rows == ((3,),)


def test_there_are_sixty_different_attacks_and_more() -> None:
    assert len({attack.sql for attack in attacks()}) == len(attacks()) >= 60


def test_all_attacks_at_once_get_the_verdicts_they_get_one_by_one(target: Path) -> None:
    with Sandbox(timeout_s=0.5, max_rows=1000, max_bytes=2_000_000, max_memory_bytes=128 << 20, workers=4) as sandbox:
        kinds = [outcome.kind for outcome in sandbox.execute_many((attack.sql, target) for attack in attacks())]
        assert sandbox.execute("SELECT 1", target).rows == ((1,),)
    # On a busy machine a statement that could end in time may not.
    wrong = [(attack.title, kind) for attack, kind in zip(attacks(), kinds, strict=True) if kind not in attack.kinds | {"timeout"}]
    assert wrong == []


def test_hostile_sql_does_not_spoil_memory_for_what_comes_after(target: Path) -> None:
    bombs = [attack.sql for attack in attacks() if attack.group in ("bombs", "deep") and "timeout" not in attack.kinds]
    modest = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t LIMIT 900) SELECT hex(zeroblob(500)) FROM t"
    with Sandbox(timeout_s=5, max_rows=1000, max_bytes=2_000_000, max_memory_bytes=64 << 20) as sandbox:
        outcomes = [sandbox.execute(sql, target).kind for bomb in bombs * 2 for sql in (bomb, modest)]
    assert set(outcomes[1::2]) == {"ok"}


# Results


def test_a_query_gives_its_columns_and_rows(sandbox: Sandbox, pets: Path) -> None:
    outcome = sandbox.execute("SELECT name AS who, age FROM pets ORDER BY id -- all\n;;", pets)
    assert (outcome.kind, outcome.columns) == ("ok", ("who", "age"))
    assert outcome.rows == (("Mia", 3), ("Tom", 5), ("Zoe", None))


def test_a_result_without_rows_has_its_columns(sandbox: Sandbox, pets: Path) -> None:
    outcome = sandbox.execute("SELECT name FROM pets WHERE 0", pets)
    assert (outcome.kind, outcome.columns, outcome.rows) == ("ok", ("name",), ())


def test_values_keep_their_types(sandbox: Sandbox, pets: Path) -> None:
    assert sandbox.execute("SELECT 1, 1.5, 'x', x'00ff', NULL", pets).rows == ((1, 1.5, "x", b"\x00\xff", None),)


def test_odd_values_arrive_as_they_are(sandbox: Sandbox, target: Path) -> None:
    values = [value for (value,) in sandbox.execute("SELECT value FROM odd ORDER BY rowid", target).rows]
    assert values[:6] == [None, "", b"", b"\x00\xff", "\\xffA\\xfe", "a\0b"]
    assert values[7:13] == [2**63 - 1, -(2**63), float("inf"), float("-inf"), 0.0, 5e-324]
    assert len(str(values[13])) == 300_000


def test_different_invalid_texts_stay_different(sandbox: Sandbox, pets: Path) -> None:
    first, second = sandbox.execute_many([("SELECT CAST(x'ff' AS TEXT)", pets), ("SELECT CAST(x'fe' AS TEXT)", pets)])
    assert first.rows != second.rows
    str(first.rows).encode()  # and can be written to any file


def test_a_result_at_the_row_cap_passes_and_one_row_more_does_not(sandbox: Sandbox, pets: Path) -> None:
    count = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t LIMIT {}) SELECT x FROM t"
    assert len(sandbox.execute(count.format(1000), pets).rows) == 1000
    assert sandbox.execute(count.format(1001), pets).detail == "more than 1000 rows"


@pytest.mark.parametrize("value", ["hex(zeroblob(x / 2))", "zeroblob(x)"])
def test_bytes_are_counted_over_the_whole_result(small: Sandbox, pets: Path, value: str) -> None:
    query = "WITH t(x) AS (VALUES ({}), ({}), ({})) SELECT {} FROM t"
    assert small.execute(query.format(30_000, 30_000, 30_000, value), pets).kind == "ok"
    assert small.execute(query.format(30_000, 30_000, 50_000, value), pets).detail == "more than 100000 bytes"


def test_text_counts_by_its_bytes(small: Sandbox, pets: Path) -> None:
    assert small.execute("SELECT replace(hex(zeroblob(20000)), '0', 'x')", pets).kind == "ok"
    assert small.execute("SELECT replace(hex(zeroblob(20000)), '0', '日')", pets).kind == "too_large"


def test_a_result_of_many_batches_arrives_whole_and_in_order(pets: Path) -> None:
    query = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t LIMIT 100000) SELECT x, 'row ' || x FROM t"
    with Sandbox(timeout_s=30, max_rows=100_000, max_bytes=10_000_000, max_memory_bytes=64 << 20) as sandbox:
        assert sandbox.execute(query, pets).rows == tuple((x, f"row {x}") for x in range(1, 100_001))


# Files


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
    write(new, "DELETE FROM pets WHERE id = 1")
    os.replace(new, path)
    assert sandbox.execute("SELECT count(*) FROM pets", path).rows == ((2,),)


@pytest.mark.parametrize("journal", ["DELETE", "TRUNCATE", "PERSIST", "WAL"])
def test_every_change_is_seen_at_once(sandbox: Sandbox, tmp_path: Path, journal: str) -> None:
    path = tmp_path / "live.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("CREATE TABLE counts (n)")
        connection.execute("INSERT INTO counts VALUES (0)")
        for n in range(1, 50):
            connection.execute("UPDATE counts SET n = ?", [n])
            assert sandbox.execute("SELECT n FROM counts", path).rows == ((n,),)


def test_a_change_under_the_old_times_is_seen(sandbox: Sandbox, pets: Path, tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    path.write_bytes(pets.read_bytes())
    assert sandbox.execute("SELECT name FROM pets WHERE id = 1", path).rows == (("Mia",),)
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_bytes(pets.read_bytes().replace(b"Mia", b"Ada"))
    os.utime(path, ns=times)
    assert sandbox.execute("SELECT name FROM pets WHERE id = 1", path).rows == (("Ada",),)


@posix
def test_a_result_read_while_somebody_wrote_is_read_again(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    write(path, "CREATE TABLE counts (n)", "INSERT INTO counts VALUES (0)")
    slow = f"SELECT (SELECT n FROM counts), ({COUNT.format(300_000)})"
    writer = threading.Timer(0.02, write, [path, "UPDATE counts SET n = 1"])
    sandbox.execute("SELECT n FROM counts", path)
    writer.start()
    first = sandbox.execute(slow, path)
    writer.join()
    assert first.rows in (((0, 300_000),), ((1, 300_000),))
    assert sandbox.execute(slow, path).rows == ((1, 300_000),)


@posix
def test_a_database_with_a_write_ahead_log_is_read_without_leaving_files(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "wal.sqlite"
    write(path, "PRAGMA journal_mode = WAL", "CREATE TABLE counts (n)", "INSERT INTO counts VALUES (7)")
    assert sandbox.execute("SELECT n FROM counts", path).rows == ((7,),)
    assert [file.name for file in tmp_path.iterdir()] == ["wal.sqlite"]


def test_a_database_that_somebody_else_keeps_locked_is_an_error_and_no_verdict(sandbox: Sandbox, pets: Path, tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    path.write_bytes(pets.read_bytes())
    sandbox.execute("SELECT 1", path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("DELETE FROM pets")
        with pytest.raises(DatabaseError, match="locked"):
            sandbox.execute("SELECT count(*) FROM pets", path)
        connection.execute("COMMIT")
    assert sandbox.execute("SELECT count(*) FROM pets", path).rows == ((0,),)


@posix
def test_a_link_to_a_database_is_read_with_the_log_beside_the_file(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path, link = tmp_path / "real" / "live.sqlite", tmp_path / "link.sqlite"
    link.symlink_to(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE counts (n)")
        connection.execute("INSERT INTO counts VALUES (7)")
        assert sandbox.execute("SELECT n FROM counts", link).rows == ((7,),)


def test_more_databases_than_stay_open_can_be_asked_in_turn(sandbox: Sandbox, pets: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.sqlite" for index in range(40)]
    for path in paths:
        path.write_bytes(pets.read_bytes())
    assert {sandbox.execute("SELECT count(*) FROM pets", path).rows for path in paths * 2} == {((3,),)}


@pytest.mark.parametrize("module", ["fts5(a)", "fts4(a)"])
def test_full_text_tables_can_be_searched(sandbox: Sandbox, tmp_path: Path, module: str) -> None:
    path = tmp_path / "text.sqlite"
    write(path, f"CREATE VIRTUAL TABLE notes USING {module}", "INSERT INTO notes VALUES ('hello there')")
    assert sandbox.execute("SELECT a FROM notes WHERE notes MATCH 'hello'", path).rows == (("hello there",),)
    assert sandbox.execute("SELECT value FROM json_each('[7]')", path).rows == ((7,),)


def test_every_plain_function_of_this_sqlite_may_be_called(sandbox: Sandbox, pets: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        known = {name for (name,) in connection.execute("SELECT name FROM pragma_function_list")}
    refused = {name for name in known if sandbox.execute(f'SELECT "{name}"() FROM pets', pets).kind == "refused"}
    taken = {name for name in known if "not allowed" in sandbox.execute(f'SELECT "{name}"(name, id) FROM pets', pets).detail}
    forbidden = {"load_extension", "fts3_tokenizer", "optimize", "rtreecheck", "sqlite_log", "fts5", "fts5_source_id", "fts5_locale"}
    assert refused | taken <= forbidden


# Several at once


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


def test_outcomes_come_in_the_order_of_the_statements(pets: Path) -> None:
    slow = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t LIMIT {}) SELECT {}, count(*) FROM t"
    cases = [(slow.format(100_000 if number % 7 == 0 else 1, number), pets) for number in range(100)]
    with Sandbox(timeout_s=30, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20, workers=3) as sandbox:
        assert [outcome.rows[0][0] for outcome in sandbox.execute_many(cases)] == list(range(100))
        assert len(pids(sandbox)) == 3


def test_workers_wait_at_the_same_time(pets: Path) -> None:
    with Sandbox(timeout_s=1, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20, workers=4) as sandbox:
        start = time.monotonic()
        kinds = [outcome.kind for outcome in sandbox.execute_many([(ENDLESS, pets)] * 4)]
        assert kinds == ["timeout"] * 4
        assert time.monotonic() - start < 3.5  # one after the other would take four seconds at least


def test_statements_are_taken_only_a_little_ahead(small: Sandbox, pets: Path) -> None:
    taken = []

    def endless() -> Iterator[tuple[str, Path]]:
        while True:
            taken.append("one more")
            yield "SELECT 1", pets

    outcomes = small.execute_many(endless())
    assert [next(outcomes).kind for _ in range(3)] == ["ok"] * 3
    assert len(taken) < 50


def test_a_missing_database_among_many_is_an_error(small: Sandbox, pets: Path, tmp_path: Path) -> None:
    outcomes = small.execute_many([("SELECT 1", pets), ("SELECT 1", tmp_path / "nowhere.sqlite"), ("SELECT 2", pets)])
    assert next(outcomes).kind == "ok"
    with pytest.raises(DatabaseError, match="nowhere"):
        next(outcomes)
    assert small.execute("SELECT 2", pets).kind == "ok"


def test_no_workers_are_too_few() -> None:
    with pytest.raises(ValueError, match="workers=0"):
        Sandbox(timeout_s=1, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20, workers=0)


# Several in one message


def message_of(*statements: str, database: Path) -> list[tuple[str, Path]]:
    """Cases of which a sandbox with one worker sends `statements` together: its messages hold 1, 2, 4, 8 and then 16."""
    before = 2 ** (len(statements) - 1).bit_length() - 1
    return [("SELECT 'fill'", database)] * before + [(sql, database) for sql in statements]


def test_a_statement_that_hangs_costs_one_verdict_and_its_neighbours_none(pets: Path) -> None:
    cases = message_of("SELECT 1", "SELECT 2", ONE_LONG_CALL, "SELECT 4", ONE_LONG_CALL, "SELECT 6", database=pets)
    with Sandbox(timeout_s=0.5, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20) as sandbox:
        start = time.monotonic()
        outcomes = list(sandbox.execute_many(cases))[-6:]
        assert time.monotonic() - start < 2 * 1.5 + 1  # each hangs once, and nothing is run again that had its answer
    assert [outcome.kind for outcome in outcomes] == ["ok", "ok", "timeout", "ok", "timeout", "ok"]
    assert [outcome.rows[0][0] for outcome in outcomes if outcome.rows] == [1, 2, 4, 6]


@posix
def test_a_worker_that_dies_in_the_middle_of_a_message_costs_one_verdict(small: Sandbox, pets: Path) -> None:
    small.execute("SELECT 1", pets)
    threading.Timer(0.5, os.kill, [*pids(small), signal.SIGSEGV]).start()
    outcomes = list(small.execute_many(message_of("SELECT 1", "SELECT 2", ENDLESS, "SELECT 4", database=pets)))[-4:]
    assert [outcome.kind for outcome in outcomes] == ["ok", "ok", "crashed", "ok"]
    assert [outcome.rows[0][0] for outcome in outcomes if outcome.rows] == [1, 2, 4]


def test_every_statement_of_a_message_has_the_whole_deadline(pets: Path) -> None:
    with Sandbox(timeout_s=1.0, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20) as sandbox:
        sandbox.execute("SELECT 1", pets)
        started = pids(sandbox)
        cases = message_of(*[ENDLESS] * 3, "SELECT 4", database=pets)
        assert [outcome.kind for outcome in sandbox.execute_many(cases)][-4:] == ["timeout"] * 3 + ["ok"]
        assert pids(sandbox) == started, "each ended by itself at its own deadline, and nobody had to be killed"


@posix
def test_an_answer_that_came_just_before_a_late_kill_is_kept_and_those_behind_it_are_not_blamed(pets: Path) -> None:
    process = WorkerProcess(timeout_s=5, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20)
    process.start()
    uri, stamp = readable(pets).uri, readable(pets).stamp
    answers = process.ask([(f"SELECT {n}", uri, stamp) for n in range(3)], patience_s=1.0)
    assert next(answers)[0] == [(0,)]
    time.sleep(1.1)  # the next answers lie in the pipe, but nobody looked
    process.kill_if_overdue()
    assert [rows for rows, _ in answers] == [[(1,)]]
    assert process.pid is None


@posix
def test_statements_of_a_message_are_run_again_when_somebody_wrote_meanwhile(small: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    write(path, "CREATE TABLE counts (n)", "INSERT INTO counts VALUES (0)")
    time.sleep(0.1)
    writer = threading.Timer(0.3, write, [path, "UPDATE counts SET n = 1"])
    cases = message_of("SELECT n FROM counts", COUNT.format(2_000_000), database=path)
    small.execute("SELECT n FROM counts", path)
    writer.start()
    assert [outcome.rows for outcome in small.execute_many(cases)][-2] == ((1,),)
    writer.join()


def test_what_is_left_of_an_abandoned_message_answers_nobody_else(small: Sandbox, pets: Path) -> None:
    outcomes = small.execute_many((f"SELECT {number}", pets) for number in range(100))
    assert next(outcomes).rows == ((0,),)
    outcomes.close()
    assert [small.execute(f"SELECT {number}", pets).rows for number in (500, 501)] == [((500,),), ((501,),)]


# Deaths


@posix
def test_a_worker_that_dies_costs_one_statement(small: Sandbox, pets: Path) -> None:
    small.execute("SELECT 1", pets)
    threading.Timer(0.3, os.kill, [*pids(small), signal.SIGSEGV]).start()
    assert [outcome.kind for outcome in small.execute_many([(ENDLESS, pets), ("SELECT 2", pets)])] == ["crashed", "ok"]


@posix
def test_a_worker_that_died_between_two_statements_costs_none(small: Sandbox, pets: Path) -> None:
    small.execute("SELECT 1", pets)
    (pid,) = pids(small)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert small.execute("SELECT 2", pets).rows == ((2,),)


@posix
def test_a_worker_that_hangs_is_replaced(pets: Path) -> None:
    with Sandbox(timeout_s=0.5, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20) as sandbox:
        sandbox.execute("SELECT 1", pets)
        (pid,) = pids(sandbox)
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED)  # a signal takes its time to reach every thread
        start = time.monotonic()
        assert sandbox.execute("SELECT 1", pets).kind == "timeout"
        assert time.monotonic() - start < 1.5
        assert sandbox.execute("SELECT 2", pets).rows == ((2,),)


def fake(message: bytes) -> str:
    """A worker that answers `message` to everything, once it has said that it is ready."""
    ready = marshal.dumps("ready", 2)
    return (
        "import sys, time\n"
        f"sys.stdout.buffer.write({struct.pack('<Q', len(ready)) + ready!r})\nsys.stdout.flush()\nsys.stdin.buffer.read(8)\n"
        f"sys.stdout.buffer.write({message!r} * 3)\nsys.stdout.flush()\ntime.sleep(9)\n"
    )


def framed(value: object) -> bytes:
    body = marshal.dumps(value, 2)
    return struct.pack("<Q", len(body)) + body


@pytest.mark.parametrize(
    "message",
    [
        b"\xff" * 8,
        struct.pack("<Q", 10**6) + b"x" * 500_000,
        struct.pack("<Q", 3) + b"???",
        framed("ok"),
        framed(7),
        framed([(b"x" * 9**6,)]),
    ],
    ids=["endless", "half", "noise", "no reply", "a number", "more than any cap"],
)
def test_a_worker_that_was_taken_over_costs_one_statement(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: bytes
) -> None:
    (tmp_path / "taken_over.py").write_text(fake(message))
    real = worker_file.__file__
    with Sandbox(timeout_s=0.5, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20) as sandbox:
        monkeypatch.setattr(worker_file, "__file__", str(tmp_path / "taken_over.py"))
        assert sandbox.execute("SELECT 1", pets).kind in ("crashed", "timeout")
        monkeypatch.setattr(worker_file, "__file__", real)
        assert sandbox.execute("SELECT 2", pets).rows == ((2,),)


def test_a_worker_that_does_not_start_is_an_error_that_shows_the_command(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(worker_file, "__file__", str(tmp_path / "broken.py"))
    with (
        Sandbox(timeout_s=0.5, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20) as sandbox,
        pytest.raises(RuntimeError, match=r"broken\.py"),
    ):
        sandbox.execute("SELECT 1", pets)


def test_a_closed_sandbox_leaves_no_process_and_says_so(pets: Path) -> None:
    with Sandbox(timeout_s=1, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20, workers=2) as sandbox:
        list(sandbox.execute_many([("SELECT 1", pets)] * 20))
        started = pids(sandbox)
    assert started
    assert all(is_gone(pid) for pid in started)
    with pytest.raises(RuntimeError, match="closed"):
        sandbox.execute("SELECT 1", pets)


def test_closing_does_not_wait_for_a_statement(pets: Path) -> None:
    raised = []

    def ask() -> None:
        try:
            sandbox.execute(ENDLESS, pets)
        except RuntimeError as error:
            raised.append(str(error))

    with Sandbox(timeout_s=60, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20) as sandbox:
        thread = threading.Thread(target=ask)
        thread.start()
        assert wait_until(lambda: bool(pids(sandbox)), patience_s=10)
        time.sleep(0.3)
    thread.join(timeout=10)
    assert raised == ["the sandbox was closed while it ran SQL"]


def test_a_sandbox_that_nobody_closes_leaves_no_process(pets: Path) -> None:
    sandbox = Sandbox(timeout_s=1, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20)
    sandbox.execute("SELECT 1", pets)
    started = pids(sandbox)
    del sandbox
    gc.collect()
    assert wait_until(lambda: all(is_gone(pid) for pid in started), patience_s=5)


PARENT = """
import sys
from pathlib import Path
from t2s.sql.database import readable
from t2s.sql.execute import Sandbox
from t2s.sql.process import WorkerProcess

database, sql = Path(sys.argv[1]), sys.argv[2]
with Sandbox(timeout_s=1, max_rows=10, max_bytes=1000, max_memory_bytes=64 << 20, workers=2) as sandbox:
    for process in sandbox._workers:
        process.start()
    print(*(process.pid for process in sandbox._workers), flush=True)
    while True:
        list(sandbox.execute_many([(sql, database)] * 12))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("last_signal", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["killed", "ended", "Ctrl-C"])
@pytest.mark.parametrize("sql", ["SELECT 1", ENDLESS, ONE_LONG_CALL], ids=["quick", "endless", "one long call"])
def test_no_process_outlives_its_parent(pets: Path, last_signal: signal.Signals, sql: str) -> None:
    command = [sys.executable, "-c", PARENT, str(pets), sql]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        started = [int(pid) for pid in parent.stdout.readline().split()]
        time.sleep(0.3)
        if last_signal == signal.SIGINT:
            os.killpg(parent.pid, last_signal)  # as a terminal does: to everyone in the group
        else:
            parent.send_signal(last_signal)
    assert len(started) == 2
    # In the middle of one long call a worker ends by its own alarm, a little after the deadline.
    assert wait_until(lambda: all(is_gone(pid) for pid in started), patience_s=6)
    assert wait_until(lambda: not group(parent.pid), patience_s=6)


def group(leader: int) -> list[str]:
    """The living processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[2] == str(leader) and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def test_a_sandbox_backwards_shows_what_hangs_on_the_order_of_rows(pets: Path) -> None:
    with Sandbox(timeout_s=5, max_rows=10, max_bytes=10_000, max_memory_bytes=128 << 20) as usual, usual.backwards() as backwards:
        for sql, differs in [
            ("SELECT name FROM pets", True),
            ("SELECT name FROM pets LIMIT 1", True),
            ("SELECT name FROM pets ORDER BY id LIMIT 1", False),
            ("SELECT COUNT(*) FROM pets", False),
        ]:
            first, second = usual.execute(sql, pets), backwards.execute(sql, pets)
            assert (first.kind, second.kind) == ("ok", "ok")
            assert (first.rows != second.rows) is differs
        assert backwards.execute("DELETE FROM pets", pets).kind == "refused"
        assert backwards.execute("SELECT a.id FROM pets a, pets b, pets c", pets).kind == "too_large"
