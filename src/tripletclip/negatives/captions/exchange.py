"""One HTTP request to a language-model server, by either of two clients.

``openai`` is the official client: TLS, proxies and redirects, but it costs 4 to 8 ms of Python a request (measured on
one slow core: 120 to 240 requests/s; 450 to 800 with its network taken out altogether; httpx alone 180 to 310).
``plain`` is HTTP/1.1 by h11 over kept-alive asyncio streams (2,500 to 3,300 requests/s on the same core), for servers
on the own machine or network. ``benchmarks/captions.py`` measures both.
"""

import asyncio
import json
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import h11

MAX_BODY = 16 * 2**20
"""Bytes of an answer; a server that says more is broken."""


class BrokenAnswerError(ConnectionError):
    """The server's bytes are not HTTP, or too many."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An HTTP answer of any status; header names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Exchange(Protocol):
    """Sends requests from one event loop. Raises ``ConnectionError`` or ``TimeoutError``, never for a status."""

    async def post(self, path: str, payload: Mapping[str, Any]) -> Reply:
        """POST as JSON; ``path`` follows the base URL, such as ``/chat/completions``."""
        ...

    async def get(self, path: str) -> Reply:
        """GET."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


def open_exchange(client: str, base_url: str, key: str | None) -> Exchange:
    """``openai``, ``plain``, or ``auto``: plain for ``http://`` that no proxy stands before, else openai."""
    if client == "auto":
        host = urlsplit(base_url).netloc
        proxied = "http" in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)
        client = "plain" if base_url.startswith("http://") and not proxied else "openai"
    return PlainExchange(base_url, key) if client == "plain" else OpenAiExchange(base_url, key)


class OpenAiExchange:
    """Through ``openai.AsyncOpenAI``; its own retries are off, because ours also count and honour the run."""

    def __init__(self, base_url: str, key: str | None) -> None:
        import httpx
        import openai

        self._openai, self._raw = openai, httpx.Response
        # The client insists on a key; servers that want none do not look at it.
        self._client = openai.AsyncOpenAI(base_url=base_url, api_key=key or "none", max_retries=0, timeout=None)

    async def post(self, path: str, payload: Mapping[str, Any]) -> Reply:
        """See :class:`Exchange`."""
        return await self._send(self._client.post(path, body=dict(payload), cast_to=self._raw))

    async def get(self, path: str) -> Reply:
        """See :class:`Exchange`."""
        return await self._send(self._client.get(path, cast_to=self._raw))

    async def _send(self, call: Any) -> Reply:
        try:
            answer = await call
        except self._openai.APIStatusError as error:
            answer = error.response
        except self._openai.APITimeoutError as error:
            raise TimeoutError(str(error)) from error
        except self._openai.APIConnectionError as error:
            raise ConnectionError(str(error.__cause__ or error)) from error
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(status=answer.status_code, headers=headers, body=answer.content)

    async def close(self) -> None:
        """See :class:`Exchange`."""
        await self._client.close()


@dataclass(eq=False)
class _Line:
    """One kept-alive connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    state: "h11.Connection"
    used: bool = False


class PlainExchange:
    """HTTP/1.1 without proxies, redirects and compression; TLS by the system's certificates."""

    def __init__(self, base_url: str, key: str | None) -> None:
        parts = urlsplit(base_url)
        self._secure = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._port = parts.hostname or "", parts.port or (443 if self._secure else 80)
        self._folder = parts.path.rstrip("/")
        self._headers = [("Host", parts.netloc), ("Accept", "application/json")]
        self._headers += [("Authorization", f"Bearer {key}")] if key else []
        self._idle: list[_Line] = []

    async def post(self, path: str, payload: Mapping[str, Any]) -> Reply:
        """See :class:`Exchange`."""
        return await self._request("POST", path, json.dumps(payload).encode())

    async def get(self, path: str) -> Reply:
        """See :class:`Exchange`."""
        return await self._request("GET", path, b"")

    async def close(self) -> None:
        """See :class:`Exchange`."""
        while self._idle:
            self._idle.pop().writer.close()

    async def _request(self, method: str, path: str, body: bytes) -> Reply:
        while True:
            line = self._idle.pop() if self._idle else await self._connect()
            try:
                return await self._on(line, method, path, body)
            except ConnectionError:
                # A server may hang up a waiting connection at any time; only a fresh one tells that it is gone.
                if not line.used:
                    raise

    async def _connect(self) -> _Line:
        import h11

        try:
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._secure)
        except ConnectionError:
            raise
        except OSError as error:
            raise ConnectionError(str(error)) from error
        return _Line(reader, writer, h11.Connection(h11.CLIENT))

    async def _on(self, line: _Line, method: str, path: str, body: bytes) -> Reply:
        import h11

        headers = [*self._headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        keep = False
        try:
            head = line.state.send(h11.Request(method=method, target=self._folder + path, headers=headers)) or b""
            rest = line.state.send(h11.Data(data=body)) or b""
            line.writer.write(head + rest + (line.state.send(h11.EndOfMessage()) or b""))
            await line.writer.drain()
            reply = await self._answer(line)
            if line.state.our_state is h11.DONE and line.state.their_state is h11.DONE:
                line.state.start_next_cycle()
                keep = line.used = True
            return reply
        except h11.RemoteProtocolError as error:
            raise BrokenAnswerError(str(error)) from error
        finally:
            # Also on cancellation: a connection with half an answer in it serves nobody.
            if keep:
                self._idle.append(line)
            else:
                line.writer.close()

    async def _answer(self, line: _Line) -> Reply:
        import h11

        status, headers, body, size = 0, {}, [], 0
        while True:
            event = line.state.next_event()
            if event is h11.NEED_DATA:
                line.state.receive_data(await line.reader.read(65536))
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
                size += len(event.data)
                if size > MAX_BODY:
                    raise BrokenAnswerError(f"an answer of more than {MAX_BODY} bytes")
            elif isinstance(event, h11.EndOfMessage):
                return Reply(status=status, headers=headers, body=b"".join(body))
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionError("the server closed the connection")
