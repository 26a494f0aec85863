"""A chat endpoint on this machine that answers, fails and stalls as it is told: real sockets, no model."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Act:
    """What the server does with one request.

    Attributes:
        body: Of the reply.
        status: Of the reply.
        headers: Beside the usual ones.
        wait_s: Before anything is sent.
        drip_s: Between two bytes of the body; 0 sends it at once.
        cut: Close the connection after half of the body.
    """

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    drip_s: float = 0.0
    cut: bool = False


def saying(text: object, usage: tuple[int, int] | None = (100, 20), **more: Any) -> Act:
    """A chat completion with that content."""
    record: dict[str, Any] = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    if usage is not None:
        record["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return Act(json.dumps(record).encode(), **more)


def refusing(status: int, message: str = "no", **headers: str) -> Act:
    """An error as OpenAI words it."""
    return Act(json.dumps({"error": {"message": message}}).encode(), status, {name.replace("_", "-"): v for name, v in headers.items()})


Script = Callable[[int, dict[str, Any]], Act]


class ChatServer:
    """Serves `/v1/chat/completions`; `script` gets the number of the request, from 0, and its body.

    Attributes:
        bodies: All requests so far, in the order of their arrival.
        headers: Their headers.
        arrivals_s: When they came, by the monotonic clock.
        most_at_once: The most requests that were under way at one time.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.arrivals_s: list[float] = []
        self.most_at_once = self._now = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def questions(self) -> list[str]:
        """The last message of each request."""
        return [body["messages"][-1]["content"] for body in self.bodies]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _arrived(self, body: dict[str, Any], headers: dict[str, str]) -> Act:
        with self._lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.headers.append(headers)
            self.arrivals_s.append(time.monotonic())
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        return self.script(number, body)

    def _left(self) -> None:
        with self._lock:
            self._now -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                act = refusing(404, f"no {self.path}") if self.path != "/v1/chat/completions" else None
                act = act or server._arrived(body, dict(self.headers))
                try:
                    self._play(act)
                except OSError:
                    self.close_connection = True  # the client has gone
                finally:
                    server._left()

            def _play(self, act: Act) -> None:
                time.sleep(act.wait_s)
                self.send_response(act.status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(act.body)), **act.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if act.cut:
                    self.wfile.write(act.body[: len(act.body) // 2])
                    self.close_connection = True
                elif act.drip_s:
                    for byte in act.body:
                        self.wfile.write(bytes([byte]))
                        time.sleep(act.drip_s)
                else:
                    self.wfile.write(act.body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
