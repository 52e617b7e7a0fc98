"""Texts in, answers out, through any OpenAI-compatible server: bounded, patient, not stopped by one bad answer."""

import asyncio
import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from tripletclip.errors import UserError
from tripletclip.extras import require
from tripletclip.negatives.captions.exchange import Exchange, Reply, open_exchange
from tripletclip.negatives.contract import Cost, Failed

GONE, TIME_OUT, RATE_LIMITED, BROKEN = "server gone", "time-out", "rate limited", "server error"
MALFORMED, DENIED, NO_MODEL, BAD_REQUEST = "malformed answer", "not authorised", "no such model", "request refused"
NO_KEY = "OPENAI_API_KEY"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class LlmConfig:
    """Which server, which model, how to ask."""

    base_url: str = "http://127.0.0.1:8000/v1"
    model: str = "mistralai/Mistral-7B-Instruct-v0.2"
    """The model's name as the server knows it."""
    prompt: str = "paper"
    """paper, few-shot, rewrite, or a prompt file: text with {} for the caption, or JSON with examples."""
    api_key_env: str = NO_KEY
    """Name of the environment variable that holds the API key; the key itself is never kept."""
    endpoint: Literal["chat", "completions"] = "chat"
    client: Literal["auto", "openai", "plain"] = "auto"
    """auto: plain HTTP/1.1 for http://, the openai client for https:// and behind proxies."""
    n: int = 1
    """Candidates a caption: so many requests, each with a seed of its own; the first that passes the checks is used."""
    temperature: float = 0.7
    top_p: float = 0.95
    max_new_tokens: int = 96
    concurrency: int = 32
    """Requests under way at once."""
    timeout_seconds: float = 120.0
    max_retries: int = 5
    """Further tries of a request after the first."""
    backoff_seconds: float = 0.5
    """Wait before the first further try; doubles with each."""
    longest_wait_seconds: float = 30.0
    """Longest wait, also of those that a server asks for by Retry-After."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"base_url '{self.base_url}' is no address; write it like http://127.0.0.1:8000/v1")
        if parts.username or parts.password:
            raise UserError(
                "base_url holds a password; put the key into an environment variable and name it by api_key_env"
            )
        for field in ("n", "max_new_tokens", "concurrency"):
            if getattr(self, field) < 1:
                raise UserError(f"{field} is {getattr(self, field)}; use at least 1")
        for field in ("timeout_seconds", "backoff_seconds", "longest_wait_seconds"):
            if not getattr(self, field) > 0:
                raise UserError(f"{field} is {getattr(self, field)}; use more than 0")
        if self.max_retries < 0 or self.temperature < 0 or not 0 < self.top_p <= 1:
            raise UserError("use max_retries >= 0, temperature >= 0 and 0 < top_p <= 1")
        if self.n > 1 and self.temperature == 0:
            raise UserError(
                f"at temperature 0 all {self.n} candidates would be the same; use n 1 or a temperature above 0"
            )


@dataclass(frozen=True, kw_only=True)
class Said:
    """A model's answer as it came. ``finish`` is the server's reason to stop, such as ``stop`` or ``length``."""

    text: str
    finish: str = "stop"


class LlmServer:
    """A client with one event loop in one thread for its whole life, so that no batch pays for connecting.

    Picklable: the copy connects anew, and starts with no cost. Several threads may ask at once.
    """

    def __init__(self, config: LlmConfig) -> None:
        require("llm", "the 'llm' writer", "openai", "h11")
        self.config = config
        self._lock = threading.Lock()
        self._cost, self._process = Cost(), 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._exchange: Exchange | None = None
        self._free: asyncio.Semaphore | None = None
        self._gone = False

    def __reduce__(self) -> tuple[type["LlmServer"], tuple[LlmConfig]]:
        return type(self), (self.config,)

    def cost(self) -> Cost:
        """Calls count every request that was sent, retries too."""
        return self._cost

    def ask(
        self,
        texts: Sequence[str],
        seeds: Sequence[int],
        *,
        stop: tuple[str, ...] = (),
        temperature: float | None = None,
        max_new_tokens: int | None = None,
    ) -> list[Said | Failed]:
        """An answer to each text, in order; at most ``concurrency`` are under way.

        Temperature and length are the configured ones unless given.
        """
        start = time.perf_counter()
        payloads = [
            self._payload(text, seed, stop, temperature, max_new_tokens)
            for text, seed in zip(texts, seeds, strict=True)
        ]
        try:
            return self._run(lambda: self._ask_all(payloads))
        finally:
            self._spend(Cost(seconds=time.perf_counter() - start))

    def check_ready(self) -> None:
        """:class:`UserError` in one line unless the server answers and has the model."""
        self._run(self._check_ready)

    def close(self) -> None:
        """Hang up and end the thread; asking again would start a new one."""
        with self._lock:
            loop, exchange = self._loop, self._exchange
            self._loop = self._exchange = self._free = None
        if loop is not None and exchange is not None:
            asyncio.run_coroutine_threadsafe(exchange.close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)

    def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        with self._lock:
            if self._loop is None or self._process != os.getpid():  # a fork has no threads
                self._connect()
            assert self._loop is not None
            future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C in the waiting thread also ends what is under way
            raise

    def _connect(self) -> None:
        config = self.config
        self._exchange = open_exchange(config.client, config.base_url.rstrip("/"), api_key(config.api_key_env))
        self._free, self._gone = asyncio.Semaphore(config.concurrency), False
        self._loop, self._process = asyncio.new_event_loop(), os.getpid()
        threading.Thread(target=_serve, args=(self._loop,), name="llm-client", daemon=True).start()

    def _payload(
        self, text: str, seed: int, stop: tuple[str, ...], temperature: float | None, max_new_tokens: int | None
    ) -> dict[str, Any]:
        config = self.config
        asked: dict[str, Any] = {"model": config.model}
        if config.endpoint == "chat":
            asked["messages"] = [{"role": "user", "content": text}]
        else:
            asked["prompt"] = text
        asked["temperature"] = config.temperature if temperature is None else temperature
        asked["top_p"] = config.top_p
        asked["max_tokens"] = max_new_tokens or config.max_new_tokens
        asked["seed"] = seed % 2**31  # some servers keep seeds in 32 bits
        return asked | ({"stop": list(stop)} if stop else {})

    async def _ask_all(self, payloads: Sequence[dict[str, Any]]) -> list[Said | Failed]:
        return list(await asyncio.gather(*map(self._ask_one, payloads)))

    async def _ask_one(self, payload: dict[str, Any]) -> Said | Failed:
        """With back-off. Once one row has waited in vain for a server that is gone, the others try once each."""
        assert self._free is not None
        async with self._free:
            tries = 0
            while True:
                answer, wait = await self._try(payload)
                if not isinstance(answer, Failed) or wait is None:
                    self._gone = False
                    return answer
                lost = answer.reason in (GONE, TIME_OUT)
                if tries >= self.config.max_retries or (lost and self._gone):
                    self._gone = lost
                    return answer
                longest = self.config.longest_wait_seconds
                backoff = self.config.backoff_seconds * 2**tries * Random(payload["seed"] + tries).uniform(0.75, 1.25)
                await asyncio.sleep(min(max(backoff, wait), longest))
                tries += 1

    async def _try(self, payload: dict[str, Any]) -> tuple[Said | Failed, float | None]:
        """One request: the answer, and the least wait before another try (``None``: another try is useless)."""
        assert self._exchange is not None
        self._spend(Cost(calls=1))
        path = "/chat/completions" if self.config.endpoint == "chat" else "/completions"
        try:
            async with asyncio.timeout(self.config.timeout_seconds):
                reply = await self._exchange.post(path, payload)
        except TimeoutError:
            return Failed(reason=TIME_OUT), 0.0
        except ConnectionError:
            return Failed(reason=GONE), 0.0
        if reply.status == 200:
            said, cost = read_answer(reply.body)
            self._spend(cost)
            return said, 0.0 if isinstance(said, Failed) else None
        if reply.status == 429:
            return Failed(reason=RATE_LIMITED), retry_after(reply)
        if reply.status >= 500 or reply.status == 408:
            return Failed(reason=BROKEN), retry_after(reply)
        reasons = {401: DENIED, 403: DENIED, 404: NO_MODEL}
        return Failed(reason=reasons.get(reply.status, f"{BAD_REQUEST} ({reply.status})")), None

    async def _check_ready(self) -> None:
        config = self.config
        assert self._exchange is not None
        try:
            async with asyncio.timeout(config.timeout_seconds):
                reply = await self._exchange.get("/models")
                listed = model_names(reply)
                if config.model in listed:
                    return
                # Some servers list nothing, or load whatever they are asked for: one token tells.
                probe = self._payload("Hello", 0, (), 0.0, 1)
                path = "/chat/completions" if config.endpoint == "chat" else "/completions"
                reply = await self._exchange.post(path, probe)
        except TimeoutError as error:
            raise UserError(f"{config.base_url} did not answer within {config.timeout_seconds:g} s") from error
        except ConnectionError as error:
            raise UserError(f"no server answers at {config.base_url}; start it or mend base_url ({error})") from error
        if reply.status in (401, 403):
            raise UserError(
                f"{config.base_url} wants a valid key; put it into the environment variable {config.api_key_env}"
            )
        if reply.status != 200:
            known = f"; it has: {', '.join(sorted(listed)[:10])}" if listed else ""
            raise UserError(f"{config.base_url} does not serve the model '{config.model}' (HTTP {reply.status}){known}")

    def _spend(self, cost: Cost) -> None:
        with self._lock:
            self._cost += cost


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    with contextlib.suppress(RuntimeError):
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def api_key(name: str) -> str | None:
    """The key in the environment; ``None`` if unset under the default name, for servers that want none."""
    key = os.environ.get(name, "").strip()
    if not key and name != NO_KEY:
        raise UserError(f"the environment variable {name} (api_key_env) is not set")
    if not (key.isascii() and key.isprintable()):
        raise UserError(f"the key in the environment variable {name} has characters that no key has")
    return key or None


def read_answer(body: bytes) -> tuple[Said | Failed, Cost]:
    """What the first choice says (chat or completion), and the tokens. Anything else is a malformed answer."""
    try:
        answer = json.loads(body)
        choice = answer["choices"][0]
        message = choice["message"] if "message" in choice else {"content": choice["text"]}
        text = message.get("content") or ""
        finish = "content_filter" if message.get("refusal") else choice.get("finish_reason") or "stop"
        usage = answer.get("usage") or {}
        spent = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return Failed(reason=MALFORMED), Cost()
    if not isinstance(text, str) or not isinstance(finish, str):
        return Failed(reason=MALFORMED), Cost()
    return Said(text=text, finish=finish), Cost(prompt_tokens=spent[0], new_tokens=spent[1])


def model_names(reply: Reply) -> set[str]:
    """The ids that ``/models`` lists; empty where it lists none."""
    try:
        listed = json.loads(reply.body)["data"] if reply.status == 200 else []
        return {str(entry["id"]) for entry in listed}
    except (ValueError, KeyError, TypeError, RecursionError):
        return set()


def retry_after(reply: Reply) -> float:
    """Seconds that the server asks to wait: a number or a date (RFC 9110, 10.2.3); 0 where it asks for none."""
    asked = reply.headers.get("retry-after", "").strip()
    with contextlib.suppress(ValueError):
        return min(max(float(asked), 0.0), 1e6)
    with contextlib.suppress(ValueError, TypeError):
        until = parsedate_to_datetime(asked)
        return max((until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
    return 0.0
