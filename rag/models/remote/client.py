"""HTTP client of one OpenAI-compatible server; its requests contain only what the settings name.

``ChatOpenAI`` and the ``openai`` package read OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID, OPENAI_PROJECT_ID,
OPENAI_CUSTOM_HEADERS, OPENAI_PROXY and others from the environment (seen in langchain-openai 1.7.3 on openai 3.54), and some
of these cannot be disabled by an argument. So an httpx event hook removes foreign headers from every request before it is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

import openai
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

CONNECT_SECONDS = 5.0
LINE_BYTES = 4_000_000
"""The longest line of an answer; the SDK collects a line without end until the memory is full."""
_PLACEHOLDER = "none"  # servers without keys accept any; some still require the header
_OURS = frozenset({"host", "content-type", "content-length", "transfer-encoding", "connection"})

for _name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # below it openai logs whole prompts, also for OPENAI_LOG=debug


class Client:
    """One ``ChatOpenAI`` for each event loop, because a connection can only be used in the loop that opened it."""

    def __init__(self, address: str, model: str, key: SecretStr | None) -> None:
        self._address = address
        self._model = model
        self._key = key
        self._open: WeakKeyDictionary[asyncio.AbstractEventLoop, ChatOpenAI] = WeakKeyDictionary()

    @property
    def chat(self) -> ChatOpenAI:
        loop = asyncio.get_running_loop()
        if loop not in self._open:
            self._open[loop] = _chat(self._address, self._model, self._key)
        return self._open[loop]

    async def get(self, path: str) -> object:
        """The JSON of the response, or its text if it is not JSON. Raises ``openai.OpenAIError`` or ``ValueError``."""
        return await self.chat.root_async_client.get(path, cast_to=object)

    async def post(self, path: str, body: dict[str, str]) -> object:
        """Sends JSON; returns and raises as ``get`` does."""
        return await self.chat.root_async_client.post(path, body=body, cast_to=object)

    async def close(self) -> None:
        """Closes the connections of this event loop only: those of another loop cannot be closed from here."""
        chat = self._open.pop(asyncio.get_running_loop(), None)
        if chat is not None:
            await chat.root_async_client.close()


def _chat(address: str, model: str, key: SecretStr | None) -> ChatOpenAI:
    secret = key.get_secret_value() if key else _PLACEHOLDER

    async def api_key() -> str:
        return secret

    return ChatOpenAI(
        model=model,
        base_url=address,
        api_key=api_key,  # a coroutine function: so no synchronous client is made, and no repr shows the key
        timeout=openai.Timeout(None, connect=CONNECT_SECONDS, write=30.0, pool=CONNECT_SECONDS),
        max_retries=0,  # Failover retries: it knows how much time is left and which server is next
        http_async_client=openai.DefaultAsyncHttpxClient(
            trust_env=False,  # neither proxies nor .netrc
            # Reading the certificates blocks the event loop for 60 ms, and plain http needs none.
            verify=address.startswith("https:"),
            follow_redirects=False,  # a redirect would send the conversation to a server that is not in the settings
            event_hooks={"request": [_only_ours(secret)], "response": [_bound_lines]},
        ),
        http_socket_options=(),
        openai_proxy=None,
        stream_usage=True,
        stream_chunk_timeout=None,  # ``Limits`` keeps the deadlines
        use_responses_api=False,
        output_version=None,
    )


def _only_ours(secret: str) -> Callable[[Any], Awaitable[None]]:
    """A request hook that removes all headers but those that HTTP needs, and sets the key."""

    async def strip(request: Any) -> None:
        # For an address with user and password httpx has already set the header; there it is used instead of the key.
        credentials = request.headers.get("authorization", "") if request.url.userinfo else f"Bearer {secret}"
        for name in [name for name in request.headers if name.lower() not in _OURS]:
            del request.headers[name]
        request.headers["authorization"] = credentials
        request.headers["accept"] = "application/json, text/event-stream"
        # Uncompressed: pieces arrive as they are written, and a small body cannot unpack into gigabytes.
        request.headers["accept-encoding"] = "identity"
        request.headers["user-agent"] = "cotorra"

    return strip


async def _bound_lines(response: Any) -> None:
    """A response hook that limits the length of lines. httpx and httpx2 each accept only streams of their own class."""
    kind = next(kind for kind in type(response.stream).__mro__ if kind.__name__ == "AsyncByteStream")
    bounded = type("BoundedStream", (_Bounded, kind), {})
    response.stream = bounded(response.stream)


class _Bounded:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        unbroken = 0
        async for part in self._stream:
            place = part.rfind(b"\n")
            unbroken = len(part) - place - 1 if place >= 0 else unbroken + len(part)
            if unbroken > LINE_BYTES:
                raise ValueError("a line without end")  # mapped to a fault by ``fault_of``
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
