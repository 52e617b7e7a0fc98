"""A language-model server on loopback: real HTTP, scripted answers."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tripletclip.negatives.captions.client import LlmConfig

MODEL = "tiny-writer"


@dataclass(kw_only=True)
class Act:
    """What the server does with one request."""

    said: str | None = "A dog to the right of the cat."
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hang_seconds: float = 0.0
    hang_up: bool = False
    finish: str = "stop"


Script = Callable[[int, dict[str, Any]], Act]
"""From the number of the request (from 0) and its body to what is done."""


class FakeLlm(ThreadingHTTPServer):
    """Counts and keeps what it was asked."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, script: Script, models: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script, self.models = script, models
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        self.connections: set[Any] = set()
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def config(self, **changes: Any) -> LlmConfig:
        """Quick to give up."""
        quick: dict[str, Any] = {"timeout_seconds": 5.0, "backoff_seconds": 0.01, "max_retries": 3}
        return LlmConfig(base_url=self.url, model=MODEL, **(quick | changes))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeLlm

    def do_GET(self) -> None:
        self.send(200, json.dumps({"data": [{"id": name} for name in self.server.models]}).encode(), {})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            number = len(server.asked)
            server.asked.append(asked)
            server.keys.append(self.headers["Authorization"])
            server.paths.append(self.path)
            server.connections.add(self.client_address)
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
        act = server.script(number, asked)
        time.sleep(act.hang_seconds)
        with server.lock:
            server.under_way -= 1
        if act.hang_up:
            self.close_connection = True
            return
        message: dict[str, Any] = (
            {"message": {"role": "assistant", "content": act.said}} if "messages" in asked else {"text": act.said}
        )
        choice = message | {"index": 0, "finish_reason": act.finish}
        usage = {"prompt_tokens": 100, "completion_tokens": 9}
        body = json.dumps({"choices": [choice], "usage": usage}).encode() if act.raw is None else act.raw
        self.send(act.status, body, act.headers)

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Type": "application/json", "Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(script: Script, models: tuple[str, ...] = (MODEL,)) -> Iterator[FakeLlm]:
    """A server in threads of this process, gone at the end."""
    server = FakeLlm(script, list(models))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
