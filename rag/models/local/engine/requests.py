"""One reply, as it travels between who reads it and the engine's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rag.models.local.engine.sampling import Sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The last item of a reply: at a stop token, or at its limit."""

    reason: Literal["stop", "length"]


Item = int | Ended | Exception
"""A token, the end, or why there is none."""


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """What is asked for, and where its tokens go. ``items`` belongs to ``loop``; ``cancelled`` may be set from any thread."""

    prompt: Sequence[int]
    max_tokens: int
    adapter: str
    sampler: Sampler
    stops: frozenset[int]
    loop: asyncio.AbstractEventLoop
    items: asyncio.Queue[Item] = field(default_factory=asyncio.Queue)
    cancelled: bool = False
    admitted: bool = False
    filled: int = 0
    written: int = 0
    last: int = 0

    @property
    def size(self) -> int:
        """Tokens of the prompt and of the longest answer."""
        return len(self.prompt) + self.max_tokens

    @property
    def left(self) -> int:
        return self.max_tokens - self.written


class Outbox:
    """What a step of the engine has to say, handed to each event loop in one call."""

    def __init__(self) -> None:
        self._items: dict[asyncio.AbstractEventLoop, list[tuple[Request, Item]]] = {}

    def put(self, request: Request, item: Item) -> None:
        self._items.setdefault(request.loop, []).append((request, item))

    def flush(self) -> None:
        batches, self._items = self._items, {}
        for loop, items in batches.items():
            try:
                loop.call_soon_threadsafe(_deliver, items)
            except RuntimeError:  # the loop is closed: nobody reads these replies any more
                for request, _ in items:
                    request.cancelled = True


def _deliver(items: list[tuple[Request, Item]]) -> None:
    for request, item in items:
        request.items.put_nowait(item)
