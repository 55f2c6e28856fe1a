"""Requests to the engine's thread, and the way of their tokens back to the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rag.models.local.engine.sampling import Sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyEnd:
    """The last item of a reply: it ended at a stop token, or at its limit of tokens."""

    reason: Literal["stop", "length"]


Item = int | ReplyEnd | Exception
"""A token, the end of the reply, or the error that ended it."""


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """One reply. ``items`` receives its tokens and belongs to ``loop``; ``cancelled`` may be set from any thread."""

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
    """Collects the items of one engine step and delivers them with one call to each event loop."""

    def __init__(self) -> None:
        self._items: dict[asyncio.AbstractEventLoop, list[tuple[Request, Item]]] = {}

    def put(self, request: Request, item: Item) -> None:
        self._items.setdefault(request.loop, []).append((request, item))

    def flush(self) -> None:
        batches, self._items = self._items, {}
        for loop, items in batches.items():
            try:
                loop.call_soon_threadsafe(_deliver, items)
            except RuntimeError:  # the event loop is closed, so these replies have no reader
                for request, _ in items:
                    request.cancelled = True


def _deliver(items: list[tuple[Request, Item]]) -> None:
    for request, item in items:
        request.items.put_nowait(item)
