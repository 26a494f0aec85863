"""A teacher behind any OpenAI-compatible chat endpoint: vLLM, Ollama, LM Studio, OpenAI."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

import httpx2

from t2s.data.teacher.budget import Budget, Limits, Reserve, Spent
from t2s.data.teacher.cache import Reply, ReplyCache
from t2s.data.teacher.protocol import Answer, Failure, Request, Teacher, request_key
from t2s.data.teacher.replies import Trouble, read_reply
from t2s.data.teacher.wire import Endpoint, Extras, Sampling, body_of
from t2s.errors import ConfigError

_MAX_REPLY_BYTES = 16_000_000
_STOP_S = 5.0

Progress = Callable[[int, Spent], None]


@dataclass(frozen=True)
class Patience:
    """How long and how often a server is asked.

    Attributes:
        timeout_s: For one request, from connecting to the last byte of its reply.
        tries: How often one request is sent before it is given up.
        first_wait_s: Before the second try; doubles with each further one.
        longest_wait_s: Between two tries. A server that wants more time is given up.
    """

    timeout_s: float
    tries: int
    first_wait_s: float
    longest_wait_s: float


class HttpTeacher(Teacher):
    """Asks a server, several requests at a time, and keeps each reply on disk before it is used.

    What fails is tried again with growing waits; what fails to the end is that request's answer, a `Failure`. A request that might
    exceed the limits is not sent. Use it as a context manager. Threads may share it.

    Args:
        endpoint: Server, model and key.
        sampling: How answers are drawn.
        patience: Timeouts and tries.
        limits: The most this run may take; answers from the cache are free.
        concurrency: Requests under way at once.
        cache: Where replies are kept; it stays the caller's to close.
        progress: Called with the number of answers so far, and what was spent, each time `complete_all` yields.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sampling: Sampling,
        patience: Patience,
        limits: Limits,
        concurrency: int,
        cache: ReplyCache,
        progress: Progress | None = None,
    ) -> None:
        if patience.tries < 1 or concurrency < 1:
            raise ConfigError(f"teacher: tries={patience.tries} and concurrency={concurrency} must be at least 1")
        self._endpoint, self._sampling, self._patience = endpoint, sampling, patience
        self._concurrency, self._cache, self._progress = concurrency, cache, progress
        self._budget = Budget(limits, sampling.max_completion_tokens)
        self._asked_of = {
            "url": endpoint.url,
            "model": endpoint.model,
            "temperature": sampling.temperature,
            "max_completion_tokens": sampling.max_completion_tokens,
            "seed": sampling.seed,
        }
        self._extras = Extras()  # what the server has been found to take
        self._reached = False  # whether it has ever answered, in whatever way
        self._quiet_until = 0.0  # by the loop's clock
        self._random = random.Random(sampling.seed)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._loop = asyncio.new_event_loop()
        self._free = asyncio.Semaphore(concurrency)
        self._changed = asyncio.Condition()  # something set aside has become free
        headers = {"Content-Type": "application/json", **endpoint.headers}
        limits_of_pool = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        # The deadline of a whole request stands around it: a timeout of httpx begins anew with every byte.
        self._http = httpx2.AsyncClient(headers=headers, timeout=None, limits=limits_of_pool, follow_redirects=False)
        # A loop of its own, so that requests go on while the caller works, and callers may have a loop, too.
        self._thread = threading.Thread(target=self._loop.run_forever, name="teacher", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections. The teacher cannot be used any more."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result(_STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_S)
        self._loop.close()

    @property
    def spent(self) -> Spent:
        """What this run has taken so far."""
        return self._budget.spent

    def complete_all(self, requests: Iterable[Request]) -> Iterator[tuple[int, Answer]]:
        """Answers as they come, each with the index of its request.

        Requests are taken as they can be sent: whoever stops reading stops paying. Those under way are dropped then.

        Raises:
            ConfigError: the server refuses the key, does not know the model, is out of credit, or was never there.
            DataError: the cache cannot be used.
        """
        coming = iter(enumerate(requests))
        under_way: dict[Future[Answer], int] = {}
        done = 0
        try:
            while True:
                while len(under_way) < self._concurrency and (item := next(coming, None)) is not None:
                    under_way[asyncio.run_coroutine_threadsafe(self._answer(item[1]), self._loop)] = item[0]
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    done += 1
                    index, answer = under_way.pop(future), future.result()
                    if self._progress is not None:
                        self._progress(done, self.spent)
                    yield index, answer
        finally:
            for future in under_way:
                future.cancel()

    async def _answer(self, request: Request) -> Answer:
        """From the cache, or from the server; the same is never asked twice at a time."""
        key = request_key(self._asked_of, request)
        async with self._locks.setdefault(key, asyncio.Lock()), self._free:
            kept = self._cache.get(key)
            if kept is not None:
                self._budget.from_cache()
                return kept.text
            return await self._ask(key, request)

    async def _ask(self, key: str, request: Request) -> Answer:
        trouble = Trouble("no_answer", "never asked")
        for attempt in range(self._patience.tries):
            if attempt and not await self._wait(attempt, trouble):
                break
            await self._keep_quiet()
            result = await self._send(key, request)
            if not isinstance(result, Trouble):
                return result.text
            trouble = result
            if trouble.hopeless:
                raise self._hopeless(trouble)
            if not trouble.again:
                return Failure(trouble.kind, trouble.detail)
        if trouble.kind == "unreachable" and not self._reached:
            raise ConfigError(f"nothing answers at {self._endpoint.url} ({trouble.detail}); start the server, or correct OPENAI_BASE_URL")
        return Failure(trouble.kind, f"{trouble.detail}; gave up after {attempt + 1} tries" if attempt else trouble.detail)

    async def _wait(self, attempt: int, trouble: Trouble) -> bool:
        """Waits before another try; False where the server asks for more time than we have."""
        longest_s = self._patience.longest_wait_s
        wait_s = min(longest_s, self._patience.first_wait_s * 2.0 ** (attempt - 1)) * self._random.uniform(0.5, 1.0)
        if trouble.wait_s is not None:
            if trouble.wait_s > longest_s:
                return False
            # It means all of us: the others wait, too.
            self._quiet_until = max(self._quiet_until, self._loop.time() + trouble.wait_s)
            wait_s = trouble.wait_s + self._random.uniform(0.0, self._patience.first_wait_s)
        await asyncio.sleep(wait_s)
        return True

    async def _keep_quiet(self) -> None:
        while (wait_s := self._quiet_until - self._loop.time()) > 0:
            await asyncio.sleep(wait_s)

    async def _send(self, key: str, request: Request) -> Reply | Trouble:
        """One try, with as many extras as the server takes; what it costs is counted, a reply kept."""
        extras = self._extras
        while True:
            reserve = await self._reserve(request)
            if reserve is None:
                return Trouble("budget", f"not asked, to stay within the limits; so far: {self.spent}")
            result = await self._settle(reserve, key, request, extras)
            if isinstance(result, Trouble) and result.rejected and (fewer := extras.without(result.detail, request)) is not None:
                extras = fewer
                continue
            if isinstance(result, Reply):
                self._extras = extras  # learnt only from success: a server may have rejected something else
            return result

    async def _reserve(self, request: Request) -> Reserve | None:
        async with self._changed:
            while True:
                reserve = self._budget.reserve(request)
                if reserve is not None or self._budget.idle:
                    return reserve
                await self._changed.wait()

    async def _settle(self, reserve: Reserve, key: str, request: Request, extras: Extras) -> Reply | Trouble:
        try:
            result = await self._post(request, extras)
        except BaseException:  # dropped on its way
            self._budget.charge_lost(reserve)
            raise
        if isinstance(result, Reply):
            result = self._cache.put(key, result)
            self._budget.charge(reserve, request, result)
        elif result.reply is not None:
            self._budget.charge(reserve, request, result.reply)
        elif result.lost:
            self._budget.charge_lost(reserve)
        else:
            self._budget.release(reserve)
        async with self._changed:
            self._changed.notify_all()
        return result

    async def _post(self, request: Request, extras: Extras) -> Reply | Trouble:
        self._budget.sent()
        try:
            async with asyncio.timeout(self._patience.timeout_s):
                result = await self._exchange(request, extras)
        except TimeoutError:
            return Trouble("timeout", f"no whole reply within timeout_s={self._patience.timeout_s:g}", again=True, lost=True)
        except (httpx2.ConnectError, httpx2.ProxyError) as error:
            return Trouble("unreachable", self._endpoint.hide(f"cannot connect: {error}"), again=True)
        except httpx2.HTTPError as error:
            reason = str(error) or type(error).__name__
            return Trouble("unreachable", self._endpoint.hide(f"the connection broke: {reason}"), again=True, lost=True)
        self._reached = True
        return result

    async def _exchange(self, request: Request, extras: Extras) -> Reply | Trouble:
        # Escapes hold half characters (lone surrogates), too, which UTF-8 would not.
        body = json.dumps(body_of(request, self._endpoint.model, self._sampling, extras)).encode()
        async with self._http.stream("POST", self._endpoint.url, content=body) as response:
            received = bytearray()
            async for part in response.aiter_bytes():
                received += part
                if len(received) > _MAX_REPLY_BYTES:
                    return Trouble("no_answer", f"the reply is longer than {_MAX_REPLY_BYTES:,} bytes", lost=True)
        result = read_reply(response.status_code, response.headers, bytes(received))
        if isinstance(result, Reply):
            return result._replace(text=self._endpoint.hide_in_answer(result.text))
        # Read again without the key, and not the other way round: a message cut short may end in half of it.
        return read_reply(response.status_code, response.headers, self._endpoint.hide(received.decode("utf-8", "replace")).encode())

    def _hopeless(self, trouble: Trouble) -> ConfigError:
        url, model = self._endpoint.url, self._endpoint.model
        given = "it is not the right one" if self._endpoint.api_key else "it is empty"
        fix = {
            "key": f"set OPENAI_API_KEY: {given}",
            "address": f"check OPENAI_BASE_URL, which usually ends in /v1, and T2S_TEACHER_MODEL={model}",
            "credit": "the account behind OPENAI_API_KEY has no credit left",
        }[trouble.hopeless]
        return ConfigError(f"{url} answers {trouble.detail}; {fix}. Answers so far are in the cache")

    async def _shut_down(self) -> None:
        others = asyncio.all_tasks() - {task for task in [asyncio.current_task()] if task is not None}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._http.aclose()
