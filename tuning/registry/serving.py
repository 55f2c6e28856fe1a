"""Which adapter serves each task now: the one that the configuration names, or the one that was promoted last.

A task is followed where something is there to take its adapters over: a language model for ``chat``, the encoder of questions
for ``retrieve``, and so on. None of them depends on another, so quotes follow promotions without any language model.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Protocol

import structlog

from rag.cancellation import end
from rag.errors import ModelBusy, ModelError, ModelUnavailable
from rag.types import AdapterRef
from tuning.errors import TuningError
from tuning.registry.adapters import AdapterRegistry, Task

log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""How often a promotion is looked for: what it costs is one small file read."""


class AdapterHost(Protocol):
    """A model that can work with adapters; every ``LanguageModel`` is one."""

    async def prepare(self, adapter: AdapterRef) -> None:
        """Loads an adapter for the work that begins from its return on; what began before ends with what it began with.

        A language model is told with each turn which adapter to use; what is not told uses the one prepared last. Raises
        ``ModelError``, and nothing has changed then.
        """

    async def retire(self, adapter: AdapterRef) -> None:
        """No work that begins from now on uses the adapter; it goes when the work under way has ended.

        Where it was the one prepared last, the base model works on.
        """


class ServingAdapter:
    """The watcher of one task. An adapter that cannot be loaded never serves."""

    def __init__(
        self,
        task: Task,
        host: AdapterHost,
        registry: AdapterRegistry,
        pinned: str = "",
        *,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._task = task
        self._host = host
        self._registry = registry
        self._pinned = pinned
        self._look_seconds = look_seconds
        self._refused: AdapterRef | str | None = None
        self._told: AdapterRef | str | None = None
        self.current: AdapterRef | None = None

    async def open(self) -> None:
        """Loads what serves. Raises ``AdapterMissing`` or ``ModelError`` for an adapter that the configuration names."""
        if self._pinned:
            adapter = await asyncio.to_thread(self._registry.named, self._pinned)
            await self._host.prepare(adapter)
            self.current = adapter
        else:
            await self.look()

    async def watch(self) -> None:
        """Follows promotions until cancelled."""
        while not self._pinned:
            await asyncio.sleep(self._look_seconds)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - one look that fails in a way of its own must not be the last
                log.error("promotions_not_seen", task=self._task, error=type(error).__name__)  # noqa: TRY400 - no text of files

    async def look(self) -> None:
        """Takes over a promotion once its adapter is loaded; until then, and where it cannot be, the one before serves."""
        try:
            wanted = await asyncio.to_thread(self._registry.serving, self._task)
        except (TuningError, OSError, UnicodeError) as error:  # the file that names it may be what cannot be read
            self._refuse(str(error), error)
            return
        if wanted == self.current or (wanted is not None and wanted == self._refused):
            return
        try:
            if wanted is not None:
                await self._host.prepare(wanted)
        except ModelError as error:
            self._refuse(wanted, error)
            return
        before, self.current, self._refused, self._told = self.current, wanted, None, None
        log.info("adapter_serves", task=self._task, adapter=wanted.name if wanted else None)
        if before is not None:
            await self._host.retire(before)

    def _refuse(self, wanted: AdapterRef | str | None, error: Exception) -> None:
        """Logs it once; what may come to be loadable without being changed is tried again."""
        if wanted != self._told:
            serving = self.current.name if self.current else "the base model"
            log.warning("adapter_refused", task=self._task, reason=str(error), still_serves=serving)
        self._told = wanted
        self._refused = None if isinstance(error, ModelUnavailable | ModelBusy) else wanted


class ServingAdapters:
    """What serves each task that has a host; see ``following``."""

    def __init__(self, watchers: Mapping[Task, ServingAdapter]) -> None:
        self._watchers = watchers

    def current(self, task: Task) -> AdapterRef | None:
        """None for the base model, also of a task that nothing works at here."""
        watcher = self._watchers.get(task)
        return watcher.current if watcher else None


@asynccontextmanager
async def following(
    registry: AdapterRegistry,
    hosts: Mapping[Task, AdapterHost],
    pinned: Mapping[Task, str] = MappingProxyType({}),
    *,
    look_seconds: float = LOOK_SECONDS,
) -> AsyncIterator[ServingAdapters]:
    """Loads what serves each host's task, and follows promotions until left. ``pinned`` adapters are followed by no other.

    Raises ``AdapterMissing`` or ``ModelError`` for a pinned one that is not there or does not fit.
    """
    watchers = {
        task: ServingAdapter(task, host, registry, pinned.get(task, ""), look_seconds=look_seconds)
        for task, host in hosts.items()
    }
    for watcher in watchers.values():
        await watcher.open()
    watching = [asyncio.create_task(each.watch(), name=f"promotions of {task}") for task, each in watchers.items()]
    try:
        yield ServingAdapters(watchers)
    finally:
        for watch in watching:
            await end(watch)
