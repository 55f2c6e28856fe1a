"""Work that nobody waits for: it may fail without consequence, and a defect in it is not hidden."""

from __future__ import annotations

import asyncio

import pytest

from bots.errors import DeliveryRefused
from bots.platforms.telegram.background import Background
from rag.errors import StoreUnavailable


@pytest.mark.parametrize(
    ("error", "reported"),
    [(DeliveryRefused("blocked"), []), (StoreUnavailable("away"), []), (ValueError("a defect"), [ValueError])],
)
async def test_only_a_defect_reaches_the_event_loop(error: Exception, reported: list[type[Exception]]) -> None:
    background, begun = Background(), asyncio.Event()
    seen: list[type[Exception]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(type(context["exception"])))

    async def fail() -> None:
        begun.set()
        raise error

    background.start(fail())
    await begun.wait()
    await background.drain(1)  # nothing refers to the task after this, so what it failed with is reported
    assert seen == reported
