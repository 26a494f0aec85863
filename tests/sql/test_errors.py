"""One error can carry every bad line."""

import pickle

import pytest

from t2s.errors import DataError, ModelUnavailableError, PromptTooLongError, T2SError


def test_many_problems_make_one_message_that_ends_with_the_fix() -> None:
    error = DataError.from_problems(["line 1: no SQL", "line 7: no question"], hint="Repair pairs.jsonl.")
    assert str(error) == "2 problems:\n  line 1: no SQL\n  line 7: no question\nRepair pairs.jsonl."
    assert error.problems == ("line 1: no SQL", "line 7: no question")


def test_an_error_crosses_a_process_border_whole() -> None:
    error = PromptTooLongError.from_problems(["line 1"], hint="Shorten it.")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.problems) == (PromptTooLongError, str(error), ("line 1",))


@pytest.mark.parametrize(("error", "builtin"), [(DataError("x"), ValueError), (ModelUnavailableError("x"), OSError)])
def test_errors_are_caught_by_their_builtin_kind_too(error: T2SError, builtin: type[Exception]) -> None:
    assert isinstance(error, builtin)
    assert str(error) == "x"
