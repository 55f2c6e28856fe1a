"""LangChain's client of one server, with nothing in its requests but what the settings say.

``ChatOpenAI`` and the package below it read OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID, OPENAI_PROJECT_ID,
OPENAI_CUSTOM_HEADERS, OPENAI_PROXY and others by themselves (seen in langchain-openai 1.7.3 on openai 3.54), and some
cannot be switched off by an argument. So what leaves is decided at the last place that every request passes.
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
"""Of an answer without a line break at most; the SDK would gather an endless line until the memory is full."""
_PLACEHOLDER = "none"  # servers that want no key take any; some want the header
_OURS = frozenset({"host", "content-type", "content-length", "transfer-encoding", "connection"})

for _name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # below it openai logs whole prompts, also for OPENAI_LOG=debug


class Client:
    """One ``ChatOpenAI`` for each event loop that asks: connections belong to the loop that opened them."""

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
        """The JSON of an answer, or its text. Raises ``openai.OpenAIError`` or ``ValueError``."""
        return await self.chat.root_async_client.get(path, cast_to=object)

    async def post(self, path: str, body: dict[str, str]) -> object:
        """As ``get``."""
        return await self.chat.root_async_client.post(path, body=body, cast_to=object)

    async def close(self) -> None:
        """The connections of this loop; another loop's end with it."""
        chat = self._open.pop(asyncio.get_running_loop(), None)
        if chat is not None:
            await chat.root_async_client.close()


def _chat(address: str, model: str, key: SecretStr | None) -> ChatOpenAI:
    secret = key.get_secret_value() if key else _PLACEHOLDER

    async def given() -> str:
        return secret

    return ChatOpenAI(
        model=model,
        base_url=address,
        api_key=given,  # no synchronous client is made, and no repr shows it
        timeout=openai.Timeout(None, connect=CONNECT_SECONDS, write=30.0, pool=CONNECT_SECONDS),
        max_retries=0,  # retried here, where it is known how much time is left and which server is next
        http_async_client=openai.DefaultAsyncHttpxClient(
            trust_env=False,  # neither proxies nor .netrc
            verify=address.startswith(
                "https:"
            ),  # without it no certificates are read: 60 ms that the event loop stands still
            follow_redirects=False,  # a conversation goes where the settings say
            event_hooks={"request": [_only_ours(secret)], "response": [_bound_lines]},
        ),
        http_socket_options=(),
        openai_proxy=None,
        stream_usage=True,
        stream_chunk_timeout=None,
        use_responses_api=False,
        output_version=None,
    )


def _only_ours(secret: str) -> Callable[[Any], Awaitable[None]]:
    """Leaves no header but those that HTTP needs and the key."""

    async def strip(request: Any) -> None:
        given = request.headers.get("authorization", "") if request.url.userinfo else f"Bearer {secret}"
        for name in [name for name in request.headers if name.lower() not in _OURS]:
            del request.headers[name]
        request.headers["authorization"] = given  # where the address holds a password, it is that
        request.headers["accept"] = "application/json, text/event-stream"
        request.headers["accept-encoding"] = (
            "identity"  # pieces come as they are written, and nothing unpacks into gigabytes
        )
        request.headers["user-agent"] = "cotorra"

    return strip


async def _bound_lines(response: Any) -> None:
    """Wraps the answer's stream in one of its own kind: httpx and httpx2 each accept no other."""
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
                raise ValueError("a line without end")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
