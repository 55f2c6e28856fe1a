"""Cancels a task reliably."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

log = structlog.get_logger()


async def end(task: asyncio.Task[Any]) -> None:
    """Cancels ``task`` repeatedly until it has ended. If it failed, its exception's class is logged.

    One cancellation is not enough: redis-py sends within ``asyncio.wait_for``, which can swallow a cancellation on Python 3.11
    (cpython gh-86296; seen with redis 8.1 in nearly half of the cancellations during a command).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("task_failed", task=task.get_name(), error=type(error).__name__)
