"""A stage is done again exactly when something it depends on, or what it left, has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2s.errors import DataError
from t2s.stages import Stage, StageRecord


class Bakery:
    """Stages that count how often they ran."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.ran = directory, []
        self.record = StageRecord(directory / "record.json")

    def bake(self, flour: int, name: str = "bread", force: bool = False, leave: bool = True):
        output = self.directory / f"{name}.txt"

        def run():
            self.ran.append(name)
            if leave:
                output.write_text(f"{name} of {flour}", encoding="utf-8")
            return {"flour": flour}

        return self.record.do(Stage(name, {"flour": flour}, (output,), run), force)


@pytest.fixture
def bakery(tmp_path: Path) -> Bakery:
    return Bakery(tmp_path)


def test_the_same_stage_is_remembered_with_its_facts(bakery):
    first, again = bakery.bake(1), bakery.bake(1)
    assert (first.skipped, again.skipped) == (False, True)
    assert first.facts == again.facts == {"flour": 1}
    assert bakery.ran == ["bread"]


def test_another_dependency_a_touched_output_a_missing_one_and_force_do_it_again(bakery):
    bakery.bake(1)
    bakery.bake(2)
    (bakery.directory / "bread.txt").write_text("mould", encoding="utf-8")
    bakery.bake(2)
    (bakery.directory / "bread.txt").unlink()
    bakery.bake(2)
    bakery.bake(2, force=True)
    assert bakery.ran == ["bread"] * 5
    assert (bakery.directory / "bread.txt").read_text(encoding="utf-8") == "bread of 2"


def test_stages_do_not_forget_each_other(bakery):
    bakery.bake(1)
    bakery.bake(1, name="cake")
    assert bakery.bake(1).skipped
    assert bakery.bake(1, name="cake").skipped


def test_a_stage_that_fails_or_leaves_nothing_is_not_on_record(bakery):
    with pytest.raises(DataError, match=r"bread ended without .*bread\.txt"):
        bakery.bake(1, leave=False)
    assert bakery.record.entries() == {}


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_spoilt_record_is_named_with_the_way_out(bakery, text):
    (bakery.directory / "record.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"record\.json.*delete it"):
        bakery.bake(1)
