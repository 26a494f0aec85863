"""A server may answer, stall, refuse or talk rubbish: each request gets an answer or a reason, and nothing is paid twice."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from chat_server import Act, ChatServer, Script, refusing, saying
from ponds import ROOT, clean_env

from t2s.data.teacher.budget import Limits
from t2s.data.teacher.cache import ReplyCache
from t2s.data.teacher.client import HttpTeacher, Patience
from t2s.data.teacher.protocol import Answer, Failure, Message, Request, complete
from t2s.data.teacher.wire import Endpoint, Sampling
from t2s.errors import ConfigError, DataError

KEY = "sk-kept-to-ourselves-0123456789"
PATIENT = Patience(timeout_s=5, tries=3, first_wait_s=0.01, longest_wait_s=0.5)
FREE = Limits(max_tokens=None, max_cost=None, prompt_price=0, completion_price=0)
SCHEMA = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"], "additionalProperties": False}


def asking(text: str, **more: Any) -> Request:
    return Request((Message("system", "Be brief."), Message("user", text)), **more)


class Desk:
    """Makes servers and teachers that share one cache, and closes them all."""

    def __init__(self, folder: Path) -> None:
        self.cache_file = folder / "replies.db"
        self._open: list[Any] = []

    def server(self, script: Script) -> ChatServer:
        server = ChatServer(script)
        server.__enter__()
        self._open.append(server)
        return server

    def teacher(self, url: str, key: str = KEY, model: str = "wise", cache: Path | None = None, **changes: Any) -> HttpTeacher:
        kept = ReplyCache(cache or self.cache_file)
        settings: dict[str, Any] = {"sampling": Sampling(0.7, 50, 1), "patience": PATIENT, "limits": FREE, "concurrency": 4, **changes}
        teacher = HttpTeacher(Endpoint(url, model, key), cache=kept, **settings)
        self._open += [kept, teacher]
        return teacher

    def close(self) -> None:
        for thing in reversed(self._open):
            thing.__exit__(None, None, None)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def answers(teacher: HttpTeacher, requests: list[Request]) -> list[Answer]:
    found = dict(teacher.complete_all(requests))
    assert sorted(found) == list(range(len(requests)))
    return [found[index] for index in range(len(requests))]


def echo(number: int, body: dict[str, Any]) -> Act:
    return saying(f"re: {body['messages'][-1]['content']}")


def in_turn(*acts: Act) -> Script:
    """Plays the acts one after the other, and the last of them ever after."""
    return lambda number, body: acts[min(number, len(acts) - 1)]


def test_each_request_gets_its_own_answer_and_the_server_what_it_needs(desk: Desk) -> None:
    server = desk.server(echo)
    teacher = desk.teacher(server.url + "/")
    assert answers(teacher, [asking(f"q{i}") for i in range(9)]) == [f"re: q{i}" for i in range(9)]
    body = server.bodies[0]
    assert {"model": "wise", "temperature": 0.7, "max_tokens": 50, "seed": 1, "stream": False}.items() <= body.items()
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in server.headers)
    assert (teacher.spent.requests, teacher.spent.answered, teacher.spent.prompt_tokens, teacher.spent.completion_tokens) == (
        9,
        9,
        900,
        180,
    )


def test_without_a_key_none_is_sent(desk: Desk) -> None:
    server = desk.server(echo)
    assert complete(desk.teacher(server.url, key=""), [Message("user", "hi")]) == "re: hi"
    assert "Authorization" not in server.headers[0]


def test_no_more_requests_are_under_way_than_allowed(desk: Desk) -> None:
    server = desk.server(lambda number, body: replace(echo(number, body), wait_s=0.03))
    answers(desk.teacher(server.url, concurrency=3), [asking(f"q{i}") for i in range(12)])
    assert server.most_at_once == 3


def test_answers_come_as_they_are_ready(desk: Desk) -> None:
    server = desk.server(lambda number, body: replace(echo(number, body), wait_s=0.4 if "slow" in str(body["messages"]) else 0))
    order = [index for index, _ in desk.teacher(server.url).complete_all([asking("slow"), asking("a"), asking("b")])]
    assert order[-1] == 0


def test_who_stops_reading_stops_paying(desk: Desk) -> None:
    server = desk.server(echo)
    teacher = desk.teacher(server.url, concurrency=2)
    drawn = itertools.count()
    coming = teacher.complete_all(asking(f"q{i}") for i in drawn)
    for _ in range(3):
        next(coming)
    coming.close()  # type: ignore[attr-defined]
    time.sleep(0.1)
    assert len(server.bodies) <= 5
    assert next(drawn) <= 5


PASSING: dict[str, Act] = {
    "busy": refusing(429),
    "broken": refusing(500),
    "overloaded": refusing(503),
    "cut in the middle": saying("half", cut=True),
    "garbage": Act(b"\x00\xff\xfe garbage"),
    "a proxy's page": Act(b"<html><body>Bad gateway</body></html>"),
    "no object": Act(b"[1, 2]"),
    "wrong keys": Act(b'{"answer": "x"}'),
    "no choices": Act(b'{"choices": []}'),
    "nothing in it": saying(None),
    "white space": saying("  \n"),
    "odd choices": Act(b'{"choices": {"0": 1}}'),
}


@pytest.mark.parametrize("act", PASSING.values(), ids=PASSING)
def test_what_may_pass_is_tried_again(desk: Desk, act: Act) -> None:
    server = desk.server(in_turn(act, saying("well")))
    assert complete(desk.teacher(server.url), [Message("user", "hi")]) == "well"
    assert len(server.bodies) == 2


@pytest.mark.parametrize("act", PASSING.values(), ids=PASSING)
def test_what_does_not_pass_ends_that_request_and_no_other(desk: Desk, act: Act) -> None:
    server = desk.server(lambda number, body: act if "bad" in str(body["messages"]) else echo(number, body))
    bad, good = answers(desk.teacher(server.url), [asking("bad"), asking("good")])
    assert isinstance(bad, Failure)
    assert bad.kind in ("busy", "no_answer", "unreachable")
    assert "gave up after 3 tries" in bad.detail
    assert "\n" not in bad.detail
    assert good == "re: good"
    assert sum(question == "bad" for question in server.questions) == 3


def test_waits_between_tries_grow(desk: Desk) -> None:
    server = desk.server(in_turn(refusing(500), refusing(500), refusing(500), saying("well")))
    patience = Patience(timeout_s=5, tries=4, first_wait_s=0.1, longest_wait_s=60)
    assert complete(desk.teacher(server.url, patience=patience), [Message("user", "hi")]) == "well"
    waits_s = [later - earlier for earlier, later in itertools.pairwise(server.arrivals_s)]
    assert [wait_s >= least for wait_s, least in zip(waits_s, (0.05, 0.1, 0.2), strict=True)] == [True] * 3


def test_no_wait_is_longer_than_the_longest(desk: Desk) -> None:
    server = desk.server(in_turn(refusing(500), saying("well")))
    patience = Patience(timeout_s=5, tries=2, first_wait_s=300, longest_wait_s=0.05)
    started_s = time.monotonic()
    assert complete(desk.teacher(server.url, patience=patience), [Message("user", "hi")]) == "well"
    assert time.monotonic() - started_s < 60


@pytest.mark.parametrize("value", [lambda: "0.3", lambda: formatdate(time.time() + 1.5, usegmt=True)], ids=["seconds", "date"])
def test_retry_after_is_kept_by_all_requests(desk: Desk, value: Callable[[], str]) -> None:
    server = desk.server(lambda number, body: refusing(429, retry_after=value()) if number == 0 else echo(number, body))
    patience = Patience(timeout_s=5, tries=3, first_wait_s=0.001, longest_wait_s=5)
    answers(desk.teacher(server.url, patience=patience, concurrency=2), [asking(f"q{i}") for i in range(6)])
    # The one beside it was on its way already, and perhaps the next.
    late = [at - server.arrivals_s[0] for at in server.arrivals_s[3:]]
    assert min(late) >= 0.29


def test_a_server_that_asks_for_more_time_than_we_have_is_given_up(desk: Desk) -> None:
    server = desk.server(in_turn(refusing(429, "slow down", retry_after="3600")))
    started_s = time.monotonic()
    answer = complete(desk.teacher(server.url), [Message("user", "hi")])
    assert isinstance(answer, Failure)
    assert (answer.kind, len(server.bodies)) == ("busy", 1)
    assert "slow down" in answer.detail
    assert time.monotonic() - started_s < 60


@pytest.mark.parametrize("act", [saying("late", wait_s=60), saying("late", drip_s=0.2)], ids=["stalls", "drips"])
def test_a_deadline_holds_for_the_whole_request(desk: Desk, act: Act) -> None:
    server = desk.server(in_turn(act))
    teacher = desk.teacher(server.url, patience=Patience(timeout_s=0.3, tries=2, first_wait_s=0.01, longest_wait_s=0.01))
    started_s = time.monotonic()
    answer = complete(teacher, [Message("user", "hi")])
    assert time.monotonic() - started_s < 20
    assert isinstance(answer, Failure)
    assert (answer.kind, len(server.bodies)) == ("timeout", 2)
    assert "timeout_s=0.3" in answer.detail
    assert teacher.spent.estimated_tokens >= 2 * 50  # the server may have written, and billed, both


HOPELESS = [
    (refusing(401, f"Incorrect API key provided: {KEY}"), "OPENAI_API_KEY"),
    (refusing(403), "OPENAI_API_KEY"),
    (refusing(404, "model 'wise' not found"), "T2S_TEACHER_MODEL=wise"),
    (refusing(301), "OPENAI_BASE_URL"),
    (refusing(402), "credit"),
    (Act(b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}', 429), "credit"),
]


@pytest.mark.parametrize(("act", "named"), HOPELESS, ids=[f"{act.status} {named}" for act, named in HOPELESS])
def test_what_no_request_can_get_past_stops_the_run_and_names_the_setting(desk: Desk, act: Act, named: str) -> None:
    server = desk.server(in_turn(act))
    with pytest.raises(ConfigError, match=named) as refused:
        answers(desk.teacher(server.url), [asking(f"q{i}") for i in range(50)])
    assert KEY not in str(refused.value)
    assert len(server.bodies) <= 8


def test_a_server_that_was_never_there_stops_the_run(desk: Desk) -> None:
    with ChatServer(echo) as gone:
        url = gone.url
    with pytest.raises(ConfigError, match=r"nothing answers at .*OPENAI_BASE_URL"):
        answers(desk.teacher(url), [asking("q")])


def test_a_wrong_path_says_how_addresses_end(desk: Desk) -> None:
    server = desk.server(echo)
    with pytest.raises(ConfigError, match="usually ends in /v1"):
        answers(desk.teacher(server.url.removesuffix("/v1")), [asking("q")])


def test_a_request_that_the_server_will_not_take_is_not_tried_again(desk: Desk) -> None:
    server = desk.server(in_turn(refusing(400, "maximum context length is 8192 tokens")))
    answer = complete(desk.teacher(server.url), [Message("user", "hi")])
    assert answer == Failure("refused", "status 400: maximum context length is 8192 tokens")
    assert len(server.bodies) == 1


def objecting(key: str, message: str) -> Script:
    return lambda number, body: refusing(400, message) if key in json.dumps(body) else echo(number, body)


@pytest.mark.parametrize(
    ("key", "message", "gone"),
    [
        ("json_schema", "response_format.type: must be text or json_object", "json_schema"),
        ("response_format", "Unknown field: response_format", "response_format"),
        ('"temperature"', "Unsupported value: 'temperature'", "temperature"),
        ('"seed"', "Extra inputs are not permitted: seed", "seed"),
        ('"max_tokens"', "'max_tokens' is not supported. Use 'max_completion_tokens' instead.", '"max_tokens"'),
    ],
)
def test_a_server_is_asked_without_the_extras_that_it_does_not_take(desk: Desk, key: str, message: str, gone: str) -> None:
    server = desk.server(objecting(key, message))
    teacher = desk.teacher(server.url, concurrency=1)
    assert answers(teacher, [asking("a", schema=SCHEMA), asking("b", schema=SCHEMA)]) == ["re: a", "re: b"]
    assert gone in json.dumps(server.bodies[0])
    assert gone not in json.dumps(server.bodies[-1])
    assert server.questions.count("b") == 1  # what it has found out it remembers
    assert server.bodies[-1].get("max_completion_tokens", server.bodies[-1].get("max_tokens")) == 50


def test_one_request_that_is_too_long_costs_the_others_no_extras(desk: Desk) -> None:
    server = desk.server(lambda number, body: refusing(400, "too long") if "long" in str(body["messages"]) else echo(number, body))
    answers(desk.teacher(server.url, concurrency=1), [asking("long", schema=SCHEMA), asking("b", schema=SCHEMA)])
    assert server.bodies[-1]["response_format"]["json_schema"]["schema"] == SCHEMA


def test_a_kept_answer_is_not_asked_for_again(desk: Desk) -> None:
    server = desk.server(lambda number, body: saying(f"answer {number}"))
    first = complete(desk.teacher(server.url), [Message("user", "hi")])
    again = desk.teacher(server.url)
    assert complete(again, [Message("user", "hi")]) == first == "answer 0"
    assert (len(server.bodies), again.spent.cached, again.spent.prompt_tokens) == (1, 1, 0)


@pytest.mark.parametrize("change", ["model", "sampling", "messages", "schema", "attempt", "role"])
def test_whatever_decides_an_answer_decides_whether_it_is_known(desk: Desk, change: str) -> None:
    server = desk.server(echo)
    request = Request((Message("user", "hi"),))
    complete_one = lambda teacher, r: dict(teacher.complete_all([r]))  # noqa: E731
    complete_one(desk.teacher(server.url), request)
    settings: dict[str, Any] = {"model": {"model": "other"}, "sampling": {"sampling": Sampling(0.7, 50, 2)}}
    changed = {
        "messages": Request((Message("user", "ho"),)),
        "schema": replace(request, schema=SCHEMA),
        "attempt": replace(request, attempt=1),
        "role": Request((Message("system", "hi"),)),
    }
    complete_one(desk.teacher(server.url, **settings.get(change, {})), changed.get(change, request))
    assert len(server.bodies) == 2
    assert server.bodies[0] != server.bodies[1]


def test_the_same_request_twice_at_a_time_is_sent_once(desk: Desk) -> None:
    server = desk.server(lambda number, body: replace(echo(number, body), wait_s=0.1))
    assert answers(desk.teacher(server.url), [asking("same")] * 4) == ["re: same"] * 4
    assert len(server.bodies) == 1


def test_failures_are_not_kept(desk: Desk) -> None:
    server = desk.server(in_turn(*[refusing(500)] * 3, saying("well")))
    assert isinstance(complete(desk.teacher(server.url), [Message("user", "hi")]), Failure)
    assert complete(desk.teacher(server.url), [Message("user", "hi")]) == "well"


@pytest.mark.parametrize("usage", [(200, 30), None], ids=["told", "not told"])
def test_no_limit_on_tokens_is_exceeded(desk: Desk, usage: tuple[int, int] | None) -> None:
    server = desk.server(lambda number, body: replace(saying("x" * 30, usage=usage), wait_s=0.01))
    limits = Limits(max_tokens=2_000, max_cost=None, prompt_price=0, completion_price=0)
    teacher = desk.teacher(server.url, limits=limits)
    found = answers(teacher, [asking(f"{i} " + "word " * 50) for i in range(40)])
    spent = teacher.spent.prompt_tokens + teacher.spent.completion_tokens
    answered = [answer for answer in found if isinstance(answer, str)]
    assert spent <= 2_000
    # One more might not have fitted: no request takes more than its bytes, its marks and its longest answer.
    assert spent > 2_000 - (260 + 40 + 50)
    assert len(server.bodies) == len(answered)
    assert {answer.kind for answer in found if isinstance(answer, Failure)} == {"budget"}
    assert (teacher.spent.estimated_tokens == 0) is (usage is not None)


def test_the_first_requests_keep_within_the_limit_too_before_anything_is_known_of_tokens(desk: Desk) -> None:
    def token_a_byte(number: int, body: dict[str, Any]) -> Act:
        return saying("x", usage=(sum(len(message["content"].encode()) for message in body["messages"]), 1), wait_s=0.02)

    server = desk.server(token_a_byte)
    teacher = desk.teacher(server.url, limits=Limits(max_tokens=1_000, max_cost=None, prompt_price=0, completion_price=0))
    answers(teacher, [asking(f"{i}" + "ø" * 200) for i in range(4)])
    assert 0 < teacher.spent.prompt_tokens + teacher.spent.completion_tokens <= 1_000


def test_a_request_waits_for_what_others_do_not_use(desk: Desk) -> None:
    server = desk.server(lambda number, body: saying("x", usage=(5, 1), wait_s=0.02))
    limits = Limits(max_tokens=200, max_cost=None, prompt_price=0, completion_price=0)  # two at their longest
    found = answers(desk.teacher(server.url, limits=limits), [asking(f"q{i}") for i in range(12)])
    assert found == ["x"] * 12


def test_no_limit_on_cost_is_exceeded_and_what_was_spent_is_said(desk: Desk) -> None:
    server = desk.server(lambda number, body: saying("x", usage=(100, 50)))
    limits = Limits(max_tokens=None, max_cost=0.01, prompt_price=2.0, completion_price=8.0)
    teacher = desk.teacher(server.url, limits=limits)
    found = answers(teacher, [asking(f"{i} " + "word " * 20) for i in range(40)])
    exact = len(server.bodies) * (100 * 2.0 + 50 * 8.0) / 1e6
    assert teacher.spent.cost == pytest.approx(exact)
    assert 0.009 < exact <= 0.01
    assert isinstance(found[-1], Failure)
    assert f"cost {exact:.4f}" in found[-1].detail


def test_kept_answers_cost_nothing_when_the_limit_is_reached(desk: Desk) -> None:
    server = desk.server(echo)
    requests = [asking(f"q{i}") for i in range(5)]
    answers(desk.teacher(server.url), requests)
    broke = desk.teacher(server.url, limits=Limits(max_tokens=0, max_cost=None, prompt_price=0, completion_price=0))
    assert answers(broke, [*requests, asking("new")])[:5] == [f"re: q{i}" for i in range(5)]
    assert len(server.bodies) == 5


def test_progress_is_told_after_each_answer(desk: Desk) -> None:
    told: list[tuple[int, int]] = []
    server = desk.server(echo)
    teacher = desk.teacher(server.url, progress=lambda done, spent: told.append((done, spent.answered)))
    answers(teacher, [asking(f"q{i}") for i in range(5)])
    assert [done for done, _ in told] == [1, 2, 3, 4, 5]
    assert told[-1] == (5, 5)


def test_the_key_is_written_nowhere(desk: Desk, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    acts = [saying(f"your key is {KEY}"), refusing(400, "x" * 180 + KEY), refusing(400, KEY)]
    server = desk.server(in_turn(*acts))
    teacher = desk.teacher(server.url)
    found = [complete(teacher, [Message("user", f"q{i}")]) for i in range(3)]
    said = [*map(str, found), caplog.text, *capfd.readouterr(), repr(Endpoint(server.url, "wise", KEY))]
    files = b"".join(file.read_bytes() for file in desk.cache_file.parent.iterdir())
    assert found[0] == "your key is ***"
    assert not any("sk-kept" in text for text in said)
    assert b"sk-kept" not in files


def test_a_short_key_is_a_word_that_answers_may_use(desk: Desk) -> None:
    server = desk.server(in_turn(saying("SELECT name FROM ollama")))
    assert complete(desk.teacher(server.url, key="ollama"), [Message("user", "hi")]) == "SELECT name FROM ollama"


@pytest.mark.parametrize(
    ("url", "model", "key", "named"),
    [
        ("localhost:8000/v1", "m", "", "OPENAI_BASE_URL"),
        ("ftp://host/v1", "m", "", "OPENAI_BASE_URL"),
        ("https://ida:secret@host/v1", "m", "", "OPENAI_BASE_URL"),
        ("https://host/v1?key=secret", "m", "", "OPENAI_BASE_URL"),
        ("https://host/v1", " ", "", "T2S_TEACHER_MODEL"),
        ("https://host/v1", "m", "secret\n", "OPENAI_API_KEY"),
        ("https://host/v1", "m", "secrét", "OPENAI_API_KEY"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused_at_once_without_its_secrets(url: str, model: str, key: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as refused:
        Endpoint(url, model, key)
    assert "secr" not in str(refused.value)


def test_half_characters_in_prompts_and_answers_do_no_harm(desk: Desk) -> None:
    server = desk.server(lambda number, body: Act(b'{"choices": [{"message": {"content": "half \\ud800 and Troms\\u00f8"}}]}'))
    requests = [asking("half \ud800")]
    [first] = answers(desk.teacher(server.url), requests)
    assert first == "half ? and Tromsø"
    assert answers(desk.teacher(server.url), requests) == [first]


def test_a_file_that_is_no_cache_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but a long enough text to be read as one " * 20)
    with pytest.raises(DataError, match=r"notes\.txt"):
        ReplyCache(file)
    assert file.read_text().startswith("not a database")


def test_a_cache_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "replies.db"):
        assert {file.stat().st_mode & 0o077 for file in tmp_path.iterdir()} == {0}


WRITER = """
import sys
from pathlib import Path
from t2s.data.teacher.cache import Reply, ReplyCache
with ReplyCache(Path(sys.argv[1])) as cache:
    print(*(cache.put(str(i), Reply(sys.argv[2], i, None)).text for i in range(150)), sep="")
"""


def test_processes_that_share_a_cache_agree_on_every_answer(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "replies.db")]
    env = clean_env()
    running = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True, env=env) for name in "ABC"]
    said = [process.communicate(timeout=60)[0].strip() for process in running]
    assert said[0] == said[1] == said[2]
    assert set(said[0]) <= set("ABC")
    assert len(said[0]) == 150


PAYER = """
import sys
from pathlib import Path
from t2s.data.teacher.budget import Limits
from t2s.data.teacher.cache import ReplyCache
from t2s.data.teacher.client import HttpTeacher, Patience
from t2s.data.teacher.protocol import Message, Request
from t2s.data.teacher.wire import Endpoint, Sampling
with ReplyCache(Path(sys.argv[2])) as cache:
    free = Limits(max_tokens=None, max_cost=None, prompt_price=0, completion_price=0)
    endpoint, patience = Endpoint(sys.argv[1], "wise", ""), Patience(5, 2, 0.01, 0.1)
    with HttpTeacher(endpoint, Sampling(0, 50, 1), patience, free, 3, cache) as teacher:
        for index, answer in teacher.complete_all([Request((Message("user", f"q{i}"),)) for i in range(40)]):
            print(index, answer, flush=True)
"""


def test_a_killed_run_goes_on_without_paying_twice(desk: Desk) -> None:
    server = desk.server(lambda number, body: replace(echo(number, body), wait_s=0.02))
    command = [sys.executable, "-c", PAYER, server.url, str(desk.cache_file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_env(), cwd=ROOT)
    assert process.stdout is not None
    seen = [process.stdout.readline().split(maxsplit=1)[0] for _ in range(12)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    asked = len(server.bodies)
    done = subprocess.run(command, capture_output=True, text=True, env=clean_env(), cwd=ROOT, timeout=60, check=True)
    assert sorted(int(line.split()[0]) for line in done.stdout.splitlines()) == list(range(40))
    assert all(line.split()[1:] == ["re:", f"q{line.split()[0]}"] for line in done.stdout.splitlines())
    again = server.questions[asked:]
    assert not {f"q{index}" for index in seen} & set(again)
    # Three were under way when it died; nothing else is asked for twice.
    assert len(server.bodies) <= 40 + 3
    assert len(again) == len(set(again)) < 40


def test_threads_may_share_a_teacher(desk: Desk) -> None:
    server = desk.server(echo)
    teacher = desk.teacher(server.url, concurrency=2)
    found: dict[int, list[Answer]] = {}

    def ask(name: int) -> None:
        found[name] = answers(teacher, [asking(f"{name}.{i}") for i in range(10)])

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: [f"re: {name}.{i}" for i in range(10)] for name in range(3)}
    assert server.most_at_once <= 2
