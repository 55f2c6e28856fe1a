"""What tests of remote models share: quick settings, a prompt, and what came of a reply."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessageChunk, HumanMessage

from rag.errors import ModelError
from rag.models.remote.model import RemoteModel
from rag.settings import ModelSettings
from rag.types import AdapterRef
from tests.loopback.openai import Asked, LoopbackOpenAI

USER_TEXT = "What my customer told me about sk-user-secret"
PROMPT = [HumanMessage(USER_TEXT)]
LONG_ANSWER = "One two three four five six seven."


def speaking(text: str = LONG_ANSWER, **more: Any) -> LoopbackOpenAI:
    """A server that always says this."""
    return LoopbackOpenAI(answer=lambda _: text, **more)


def named(asked: Asked) -> str:
    """An answer that names the model that was asked."""
    return f"written by {asked.body['model']}"


class Clock:
    """Goes on when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def remote(*servers: LoopbackOpenAI | str, clock: Clock | None = None, **more: Any) -> RemoteModel:
    """A model behind these servers, with limits short enough to wait for."""
    places = tuple(server if isinstance(server, str) else server.url for server in servers)
    quick = {"first_token_seconds": 2.0, "token_seconds": 0.5, "deadline_seconds": 4.0, "retries": 1}
    settings = {"kind": "openai", "name": "test-model", "servers": places} | quick | more
    return RemoteModel(ModelSettings.model_validate(settings), clock or Clock())


def adapter(name: str = "support", digest: str = "a" * 64, path: str = "/models/support") -> AdapterRef:
    return AdapterRef(name=name, path=path, digest=digest)


@dataclass(slots=True)
class Outcome:
    """What was read of a reply, and how it ended."""

    chunks: list[AIMessageChunk] = field(default_factory=list)
    error: ModelError | None = None
    seconds: float = 0.0

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def reason(self) -> str:
        return str(self.error)


async def reply(model: RemoteModel, **options: Any) -> Outcome:
    """One reply, whatever comes of it."""
    outcome = Outcome()
    began = time.monotonic()
    try:
        async for chunk in model.chat.astream(PROMPT, **{"max_tokens": 64, "temperature": 0.0, **options}):
            assert isinstance(chunk, AIMessageChunk)
            outcome.chunks.append(chunk)
    except ModelError as error:
        outcome.error = error
    outcome.seconds = time.monotonic() - began
    return outcome


async def replies(model: RemoteModel, count: int, **options: Any) -> Sequence[Outcome]:
    """So many at once."""
    return await asyncio.gather(*(reply(model, **options) for _ in range(count)))
