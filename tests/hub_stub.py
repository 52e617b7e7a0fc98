"""A Hugging Face Hub of one process on the loopback: it keeps what it is sent, and refuses as it is told."""

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Stub:
    """``refuse`` is the status that every request gets; 0: it is served. ``tokens``: path to what it was asked with."""

    refuse: int = 0
    created: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    tokens: dict[str, str | None] = field(default_factory=dict)
    message: str = ""
    address: str = ""

    def asked_for_the_repository(self) -> list[str | None]:
        """The tokens of the requests that make or change it; the client asks for other things too, without one."""
        return [token for path, token in self.tokens.items() if path.startswith(("/api/repos", "/api/models"))]


@contextlib.contextmanager
def stub_hub(refuse: int = 0) -> Iterator[Stub]:
    """The stub while it listens; its thread ends with the block."""
    stub = Stub(refuse=refuse)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            stub.paths.append(self.path)
            stub.tokens[self.path] = self.headers.get("Authorization")
            if stub.refuse:
                self.answer(stub.refuse, {"error": "refused"})
            elif self.path == "/api/repos/create":
                stub.created.append(json.loads(body))
                self.answer(200, {"url": f"{stub.address}/org/mine"})
            elif self.path == "/api/validate-yaml":
                self.answer(200, {"errors": [], "warnings": []})
            elif "/preupload/" in self.path:
                names = [entry["path"] for entry in json.loads(body)["files"]]
                kept = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
                self.answer(200, {"files": kept})
            elif "/commit/" in self.path:
                self.commit(body)
            else:
                self.answer(404, {"error": self.path})

        do_GET = do_POST

        def commit(self, body: bytes) -> None:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "header":
                    stub.message = line["value"]["summary"]
                elif line["key"] == "file":
                    stub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            url = f"{stub.address}/org/mine/commit/{'0' * 40}"
            self.answer(200, {"commitUrl": url, "commitOid": "0" * 40, "success": True})

        def answer(self, status: int, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
