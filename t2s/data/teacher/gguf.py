"""A teacher in this process: a GGUF model that llama.cpp runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from t2s.data.teacher.cache import Reply, ReplyCache
from t2s.data.teacher.protocol import Answer, Failure, Request, Teacher, request_key
from t2s.data.teacher.wire import Sampling
from t2s.errors import ModelUnavailableError


class GgufTeacher(Teacher):
    """Answers one request after the other; JSON answers are held to their schema by a grammar.

    Nothing leaves the machine. Answers are kept on disk, too: a night's work survives a crash. Use it as a context manager.

    Args:
        model: The .gguf file of a chat model.
        sampling: How answers are drawn.
        context_tokens: Room for prompt and answer.
        threads: Of the processor.
        cache: Where answers are kept; it stays the caller's to close.

    Raises:
        ModelUnavailableError: llama-cpp-python is not installed, or the file is missing or no model.
    """

    def __init__(self, model: Path, sampling: Sampling, context_tokens: int, threads: int, cache: ReplyCache) -> None:
        self._llama = _load(model, context_tokens, threads)
        self._sampling, self._cache = sampling, cache
        # The name and size tell models apart as well as reading gigabytes would, for files that nobody writes over.
        self._asked_of = {
            "gguf": model.name,
            "bytes": model.stat().st_size,
            "context_tokens": context_tokens,
            "temperature": sampling.temperature,
            "max_completion_tokens": sampling.max_completion_tokens,
            "seed": sampling.seed,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Frees the model. The teacher cannot be used any more."""
        self._llama.close()

    def complete_all(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Answers in the order of the requests."""
        for index, request in enumerate(requests):
            key = request_key(self._asked_of, request)
            kept = self._cache.get(key)
            yield index, kept.text if kept is not None else self._answer(key, request)

    def _answer(self, key: str, request: Request) -> Answer:
        form: dict[str, Any] | None = None
        if request.schema is not None:
            form = {"type": "json_object", "schema": dict(request.schema)}
        try:
            record = self._llama.create_chat_completion(
                messages=[{"role": message.role, "content": message.content} for message in request.messages],
                response_format=form,
                temperature=self._sampling.temperature,
                max_tokens=self._sampling.max_completion_tokens,
                seed=self._sampling.seed + request.attempt,
            )
        except (ValueError, RuntimeError) as error:  # the prompt exceeds the context; the template refuses the messages
            return Failure("refused", f"the model cannot take this request: {error}")
        text = record["choices"][0]["message"]["content"] or ""
        if not text.strip():
            return Failure("no_answer", "the model wrote nothing")
        usage = record["usage"]
        return self._cache.put(key, Reply(text, usage["prompt_tokens"], usage["completion_tokens"])).text


def _load(model: Path, context_tokens: int, threads: int) -> Any:
    if not model.is_file():
        raise ModelUnavailableError(f"{model} does not exist; give the .gguf file of a chat model as the teacher")
    try:
        from llama_cpp import Llama
    except ImportError as error:
        raise ModelUnavailableError(f"teacher=model needs llama-cpp-python ({error}); pip install llama-cpp-python") from None
    # llama.cpp complains on stderr about what it then raises.
    with contextlib.suppress(ValueError):
        return Llama(str(model), n_ctx=context_tokens, n_threads=threads, n_threads_batch=threads, verbose=False)
    raise ModelUnavailableError(f"llama.cpp cannot load {model}; give the .gguf file of a chat model")
