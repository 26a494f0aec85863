"""Run directories, whole files, seeds and the record of a run."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from t2s.errors import ConfigError, DataError
from t2s.runtime import environment, fail, find_run, seed_everything, sha256, short, write_json, write_text


def run_directory(outputs: Path, moment: str, *, finished: bool, age_s: int) -> Path:
    run = outputs / "2026-01-31" / moment
    checkpoint = run / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"")
    os.utime(checkpoint, (1_700_000_000 - age_s,) * 2)
    if finished:
        (run / "result.json").write_text("{}")
    return run


def test_last_is_the_run_that_was_saved_last_and_is_not_finished(tmp_path: Path) -> None:
    run_directory(tmp_path, "13-00-00", finished=False, age_s=60)
    newest = run_directory(tmp_path, "12-00-00", finished=False, age_s=30)
    run_directory(tmp_path, "14-00-00", finished=True, age_s=0)
    assert find_run("last", tmp_path) == newest


def test_a_run_may_be_named_by_its_directory_or_by_a_checkpoint_in_it(tmp_path: Path) -> None:
    run = run_directory(tmp_path, "12-00-00", finished=True, age_s=0)
    assert find_run(str(run), Path("elsewhere")) == run
    assert find_run(str(run / "checkpoints" / "last.ckpt"), Path("elsewhere")) == run


@pytest.mark.parametrize("name", ["last", "nowhere", "nowhere/checkpoints/last.ckpt"])
def test_what_cannot_be_resumed_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"ckpt_path={name}"):
        find_run(name, tmp_path)


def test_a_run_that_is_finished_is_not_last(tmp_path: Path) -> None:
    run_directory(tmp_path, "12-00-00", finished=True, age_s=0)
    with pytest.raises(ConfigError, match="no unfinished run"):
        find_run("last", tmp_path)


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "new" / "note.txt"
    write_text(file, "Tromsø\n")
    assert file.read_bytes() == "Tromsø\n".encode()
    with pytest.raises(UnicodeEncodeError):
        write_text(file, "x" * 100_000 + "\ud800")
    assert file.read_bytes() == "Tromsø\n".encode()
    assert [entry.name for entry in file.parent.iterdir()] == ["note.txt"]


def test_json_keeps_letters_and_ends_with_a_line_break(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"city": "Tromsø"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "city": "Tromsø"\n}\n'


def test_hashes_are_those_of_the_standard(tmp_path: Path) -> None:
    file = tmp_path / "abc"
    file.write_bytes(b"abc")
    assert sha256(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def test_a_path_is_shown_as_one_would_type_it_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert short(tmp_path / "outputs" / "a") == Path("outputs/a")
    assert short(Path("outputs/a")) == Path("outputs/a")
    assert short(tmp_path.parent / "b") == tmp_path.parent / "b"


def test_the_same_seed_draws_the_same_numbers() -> None:
    drawn = []
    for seed in (0, 0, 1):
        seed_everything(seed)
        drawn.append((random.random(), torch.rand(3).tolist()))
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_record_of_a_run_names_versions_data_and_command(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(b"abc")
    record = environment({"train": file})
    assert record["packages"]["torch"] == torch.__version__.partition("+")[0] or record["packages"]["torch"] == torch.__version__
    assert record["data"] == {"train": {"path": str(file), "sha256": sha256(file)}}
    assert record["command"] == sys.argv
    root = Path(__file__).resolve().parents[1]
    if (root / ".git").exists():
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
        assert record["git"]["commit"] == head


def test_failing_says_one_line_and_exits_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        fail(DataError("pairs.jsonl:3: no sql; add it"))
    assert stopped.value.code == 1
    assert capsys.readouterr() == ("", "error: pairs.jsonl:3: no sql; add it\n")
