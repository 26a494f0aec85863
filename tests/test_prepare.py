"""`python -m t2s.prepare` from a database file to training data, on a database of odd names."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import awkward
import pytest
import yaml
from chat_server import ChatServer, saying
from ponds import ROOT, TINY, clean_env, only_run, run_t2s
from rich.console import Console

from t2s.config import compose
from t2s.data.readers import read_examples
from t2s.errors import ConfigError, DatabaseError, DataError
from t2s.preparation import check_drift, prepare
from t2s.runtime import sha256
from t2s.sql.parse import skeleton

NAMES = ["report.html", "report.json", "tables.json", "test.jsonl", "v1_raw/train.jsonl", "v2_cleaned/train.jsonl", "val.jsonl"]


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return awkward.build_clinic(tmp_path_factory.mktemp("clinic") / "clinic.sqlite")


def settings(directory: Path, database: Path | str, *more: str) -> list[str]:
    return [f"data.database={database}", f"output={directory}/out", f"conf={directory}/conf/data", "workers=1", *more]


def prepared(directory: Path, database: Path | str, *more: str) -> tuple[Path, str]:
    """The directory with everything, and what the terminal said."""
    told = io.StringIO()
    made = prepare(compose("prepare", settings(directory, database, *more)), Console(file=told, width=80))
    return made, told.getvalue()


@pytest.fixture(scope="module")
def made(clinic: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return prepared(tmp_path_factory.mktemp("made"), clinic, "pairs=120")


def test_a_database_alone_becomes_pairs_that_run_split_by_shape(made: tuple[Path, str], clinic: Path) -> None:
    directory, told = made
    assert all((directory / name).stat().st_size for name in NAMES)
    splits = {name: read_examples(directory / f"{name}.jsonl", ["clinic"]) for name in ("v2_cleaned/train", "val", "test")}
    assert sum(map(len, splits.values())) > 100
    with closing(sqlite3.connect(f"file:{clinic}?mode=ro", uri=True)) as connection:
        for example in (example for examples in splits.values() for example in examples):
            connection.execute(example.sql).fetchall()
    assert f"python -m t2s.train --config-dir {directory.parent.parent}/conf data=clinic" in " ".join(told.split())
    # Only what names a path may be longer than the terminal is wide.
    assert [line for line in told.splitlines() if len(line) > 80 and str(directory.parent.parent) not in line] == []


def test_a_second_start_does_nothing_again_and_a_changed_setting_only_what_follows_it(clinic: Path, tmp_path: Path) -> None:
    before = sha256(clinic)
    prepared(tmp_path, clinic, "pairs=40")
    _, again = prepared(tmp_path, clinic, "pairs=40")
    assert again.count("done before") == 4
    _, cleaned_otherwise = prepared(tmp_path, clinic, "pairs=40", "cleaning.max_question_chars=60")
    assert cleaned_otherwise.count("done before") == 2
    _, split_otherwise = prepared(tmp_path, clinic, "pairs=40", "cleaning.max_question_chars=60", "test=0.3")
    assert split_otherwise.count("done before") == 3
    assert sha256(clinic) == before, "the source is only read"


def test_a_stage_can_be_asked_for_alone(clinic: Path, tmp_path: Path) -> None:
    directory, _ = prepared(tmp_path, clinic, "pairs=40", "stage=generate")
    assert (directory / "v1_raw/pairs.jsonl").is_file()
    assert not (directory / "v2_cleaned").exists()


def test_killed_at_any_moment_it_ends_with_the_same_pairs(clinic: Path, tmp_path: Path) -> None:
    whole, _ = prepared(tmp_path / "whole", clinic, "pairs=150", "name=same")
    command = [sys.executable, "-m", "t2s.prepare", *settings(tmp_path / "killed", clinic, "pairs=150", "name=same")]
    broken = tmp_path / "killed/out/same"
    for pairs in (5, 60):
        process = subprocess.Popen(command, env=clean_env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 120
            while process.poll() is None and time.monotonic() < deadline:
                if sum(len(file.read_bytes().splitlines()) for file in broken.glob("work/synthesis-*.jsonl")) >= pairs:
                    break
                time.sleep(0.005)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert not (broken / "v1_raw").exists(), "killed too late: it had ended"
    with next(broken.glob("work/synthesis-*.jsonl")).open("a", encoding="utf-8") as file:
        file.write('{"question": "cut of')  # as a kill in the middle of a line leaves it
    prepared(tmp_path / "killed", clinic, "pairs=150", "name=same")
    for name in ("v1_raw/pairs.jsonl", "v2_cleaned/train.jsonl", "test.jsonl"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_pairs_and_logs_of_ones_own_come_along(clinic: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(clinic)) as connection:
        table = next(name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE '% %'"))
    ours = f"question,sql\nhow many rows are in {table}?,SELECT COUNT(*) FROM {table}\n"
    log = f"-- rows of {table}, counted\nSELECT COUNT(*) FROM {table} AS t;\nDELETE FROM x;\n"
    (tmp_path / "ours.csv").write_text(ours, encoding="utf-8")
    (tmp_path / "log.sql").write_text(log, encoding="utf-8")
    files = f"imports=[{tmp_path}/ours.csv,{tmp_path}/log.sql]"
    directory, told = prepared(tmp_path, clinic, "pairs=30", files, "stage=generate")
    questions = [example.question for example in read_examples(directory / "v1_raw/pairs.jsonl", ["clinic"])]
    assert f"how many rows are in {table}?" in questions
    assert f"rows of {table}, counted" in questions
    assert "1 statements of logs left out" in told


def test_a_teacher_writes_the_pairs_and_is_not_asked_twice(clinic: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(clinic)) as connection:
        table = next(name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE '% %'"))

    def script(number: int, body: dict[str, object]):
        pairs = [{"question": f"count number {number} of {table}", "sql": f'SELECT COUNT(*) + {number} FROM "{table}"'}]
        return saying(json.dumps({"pairs": pairs}))

    with ChatServer(script) as server:
        teacher = ["teacher=openai", f"teacher.base_url={server.url}", "teacher.model=m", "teacher.api_key=secret-key-1234", "pairs=16"]
        directory, told = prepared(tmp_path, clinic, *teacher, "stage=generate")
        asked = len(server.bodies)
        assert asked == 2
        prepared(tmp_path, clinic, *teacher, "stage=generate", "force=true")
        assert len(server.bodies) == asked, "the second time the answers are on disk"
    found = read_examples(directory / "v1_raw/pairs.jsonl", ["clinic"])
    assert [example.question for example in found] == [f"count number {i} of {table}" for i in range(2)]
    assert "spent: " in told
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"secret-key-1234" not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["data.dialect=klingon"], "data.dialect=klingon"),
        (["pairs=0"], "imports"),
        (["imports=[gone.csv]"], "gone.csv does not exist"),
        (["teacher=openai"], "teacher.model"),
        (["teacher=openai", "teacher.model=m"], "OPENAI_BASE_URL"),
        (["teacher.review=true", "pairs=5"], "teacher.review=true needs a teacher"),
        (["val=0.5", "test=0.5"], "too little to train on"),
        (["name=a/b"], "name=a/b"),
        (["data.database=gone.sqlite"], "data.database=gone.sqlite does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    clinic: Path, tmp_path: Path, more: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "T2S_TEACHER_MODEL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises((ConfigError, DataError), match=said):
        prepared(tmp_path, clinic, *more)


def test_a_file_that_is_no_database_and_one_without_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_text("hello", encoding="utf-8")
    with pytest.raises(DatabaseError, match=r"text\.sqlite"):
        prepared(tmp_path, tmp_path / "text.sqlite")
    with closing(sqlite3.connect(tmp_path / "empty.sqlite")) as connection:
        connection.execute("CREATE TABLE t (a TEXT)")
    with pytest.raises(DataError):
        prepared(tmp_path, tmp_path / "empty.sqlite")


def test_drift_names_what_changed_and_ends_with_its_own_exit_code(tmp_path: Path) -> None:
    database = awkward.build_clinic(tmp_path / "clinic.sqlite")
    prepared(tmp_path, database, "pairs=40")
    told = io.StringIO()
    assert check_drift(compose("prepare", settings(tmp_path, database, "check=true")), Console(file=told, width=200)) == 0
    assert "schema: unchanged" in told.getvalue()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE brand_new (a INTEGER)")
        connection.commit()
    told = io.StringIO()
    assert check_drift(compose("prepare", settings(tmp_path, database, "check=true")), Console(file=told, width=200)) == 2
    assert "brand_new" in told.getvalue()


def test_rows_that_changed_are_prepared_anew_though_the_schema_is_the_same(tmp_path: Path) -> None:
    database = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript("CREATE TABLE shops (shop_id INTEGER PRIMARY KEY, name TEXT, city TEXT, sales INTEGER)")
        rows = [(i, f"Shop {i}", ("Oslo", "Bergen", "Hamar")[i % 3], i * i % 37) for i in range(60)]
        connection.executemany("INSERT INTO shops VALUES (?, ?, ?, ?)", rows)
        connection.commit()
    directory, _ = prepared(tmp_path, database, "pairs=40")
    assert "Bergen" in (directory / "v1_raw/pairs.jsonl").read_text(encoding="utf-8")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE shops SET city = 'Molde' WHERE city = 'Bergen'")
        connection.commit()
    _, told = prepared(tmp_path, database, "pairs=40")
    assert "done before" not in told
    text = (directory / "v1_raw/pairs.jsonl").read_text(encoding="utf-8")
    assert "Molde" in text
    assert "Bergen" not in text


def test_raw_pairs_to_train_on_share_neither_shape_nor_question_with_what_is_held_out(made: tuple[Path, str]) -> None:
    directory, _ = made
    raw = read_examples(directory / "v1_raw/train.jsonl", ["clinic"])
    held = [e for name in ("val", "test") for e in read_examples(directory / f"{name}.jsonl", ["clinic"])]
    assert raw
    assert {skeleton(e.sql) for e in raw}.isdisjoint(skeleton(e.sql) for e in held)
    assert {e.question.casefold() for e in raw}.isdisjoint(e.question.casefold() for e in held)


def test_no_message_of_a_check_shows_the_password(tmp_path: Path) -> None:
    url = "postgresql://me:hunter2@localhost:1/shop"
    with pytest.raises(DataError) as told:
        check_drift(compose("prepare", settings(tmp_path, url, "check=true")), Console(file=io.StringIO()))
    assert "hunter2" not in str(told.value)


def test_the_settings_left_behind_are_ones_that_train_takes(made: tuple[Path, str]) -> None:
    directory, _ = made
    written = yaml.safe_load((directory.parent.parent / "conf/data/clinic.yaml").read_text(encoding="utf-8"))
    values = {key: value for key, value in written.items() if key not in ("defaults", "held_out", "name")}
    overrides = [f"data.{key}={value}" for key, value in values.items() if key != "train"]
    cfg = compose("train", ["data=jsonl", *overrides, f"data.train={directory}/v2_cleaned/train.jsonl"])
    assert Path(cfg.data.val).is_file()
    assert written["train"].replace("${data.version}", "v1_raw") == str(directory / "v1_raw/train.jsonl")


@pytest.mark.slow
def test_the_command_it_ends_with_trains_on_either_version(made: tuple[Path, str], tmp_path: Path) -> None:
    conf = tmp_path / "conf/data"
    conf.mkdir(parents=True)
    (conf / "clinic.yaml").write_text((made[0].parent.parent / "conf/data/clinic.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    tiny = [word for word in TINY if word != "data=jsonl"]
    for version in ("v1_raw", "v2_cleaned"):
        where = tmp_path / version
        where.mkdir()
        more = ["--config-dir", str(tmp_path / "conf"), "data=clinic", f"data.version={version}", "trainer.max_steps=2"]
        done = run_t2s("train", *more, *tiny, cwd=where)
        assert done.returncode == 0, done.stderr
        environment = json.loads((only_run(where) / "environment.json").read_text(encoding="utf-8"))
        assert environment["data"]["train"]["path"].endswith(f"{version}/train.jsonl")


@pytest.mark.slow
def test_dvc_repeats_the_stages_and_shows_what_a_setting_changes(clinic: Path, tmp_path: Path) -> None:
    pytest.importorskip("dvc")
    directory, _ = prepared(tmp_path, clinic, "pairs=40")
    remote, ours = tmp_path / "remote", sorted((ROOT / "conf/data").iterdir())
    (tmp_path / "conf/data/clinic.yaml").unlink()

    def run(*words: str) -> str:
        path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # the stages' python is this one
        done = subprocess.run(words, cwd=directory, env=clean_env(path), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    run("git", "init", "-q")
    run(sys.executable, "-m", "dvc", "init", "-q")
    run(sys.executable, "-m", "dvc", "repro")
    assert (tmp_path / "conf/data/clinic.yaml").is_file(), "where the first start put it"
    assert sorted((ROOT / "conf/data").iterdir()) == ours
    run("git", "add", "-A")
    run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "one")
    assert "didn't change, skipping" in run(sys.executable, "-m", "dvc", "repro")
    params = directory / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("max_question_chars: 600", "max_question_chars: 60"), encoding="utf-8")
    run(sys.executable, "-m", "dvc", "repro")
    assert "pairs_kept" in run(sys.executable, "-m", "dvc", "metrics", "diff")
    run(sys.executable, "-m", "dvc", "remote", "add", "-d", "here", str(remote))
    run(sys.executable, "-m", "dvc", "push", "-q")
    (directory / "val.jsonl").unlink()
    for cached in (directory / ".dvc/cache").rglob("*"):
        if cached.is_file():
            cached.unlink()
    run(sys.executable, "-m", "dvc", "pull", "-q")
    assert (directory / "val.jsonl").stat().st_size
