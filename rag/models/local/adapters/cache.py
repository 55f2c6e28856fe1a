"""Reference-counted LRU cache of the LoRA adapters that are loaded beside the model.

An adapter is identified by its digest. Only the engine's thread loads and removes adapters, between two steps, so no forward
pass sees half an adapter. An adapter with users is never removed, so a reply is written by one adapter from start to end.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rag.errors import ModelError
from rag.models.local.adapters.files import AdapterFiles, read_adapter
from rag.models.local.adapters.network import BASE, Network
from rag.types import AdapterRef


@dataclass(slots=True, kw_only=True)
class _Entry:
    holders: int = 0
    used: int = 0
    retired: bool = False


class AdapterCache:
    """Holds at most ``limit`` adapters. ``wake`` is called to make the engine's thread call ``apply_changes``."""

    def __init__(self, network: Network, base: str, limit: int, wake: Callable[[], None]) -> None:
        self._network, self._base, self._limit, self._wake = network, base, limit, wake
        self._entries: dict[str, _Entry] = {}
        self._pending: list[tuple[str, AdapterFiles, Future[None]]] = []
        self._clock = itertools.count(1)
        self._closing_error: ModelError | None = None
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        with self._lock:
            return sorted(self._entries)

    @asynccontextmanager
    async def use(self, adapter: AdapterRef | None) -> AsyncIterator[str]:
        """Loads an adapter if need be and protects it while the context is open; gives its name. Raises ``ModelError``."""
        if adapter is None:
            yield BASE
            return
        await self._acquire(adapter)
        try:
            yield adapter.digest
        finally:
            self._release(adapter.digest)

    def retire(self, adapter: AdapterRef) -> None:
        """Marks an adapter for removal as soon as it has no users."""
        with self._lock:
            if entry := self._entries.get(adapter.digest):
                entry.retired = True
        self._wake()

    async def _acquire(self, adapter: AdapterRef) -> None:
        with self._lock:
            if self._acquire_loaded(adapter.digest):
                return
        # Without the lock: reading and hashing the files takes long, and the engine needs the lock at every step.
        files = await asyncio.to_thread(read_adapter, adapter, self._base)
        future: Future[None] = Future()
        with self._lock:
            if self._closing_error is not None:
                raise self._closing_error
            self._pending.append((adapter.digest, files, future))
        self._wake()
        try:
            await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            # The engine's thread may be loading it at this moment; a user that nobody releases would block its slot for ever.
            future.add_done_callback(lambda ended: self._release_unused(adapter.digest, ended))
            raise

    def _acquire_loaded(self, name: str) -> bool:
        entry = self._entries.get(name)
        if entry is None:
            return False
        entry.holders, entry.used, entry.retired = entry.holders + 1, next(self._clock), False
        return True

    def _release_unused(self, name: str, ended: Future[None]) -> None:
        """Releases an adapter that was loaded after the task that waited for it was cancelled."""
        if not ended.cancelled() and ended.exception() is None:
            self._release(name)

    def _release(self, name: str) -> None:
        with self._lock:
            if entry := self._entries.get(name):
                entry.holders -= 1
        self._wake()

    @property
    def has_changes(self) -> bool:
        """Whether ``apply_changes`` has work: an adapter to load for which there is room, or one to remove."""
        with self._lock:
            free = any(not entry.holders for entry in self._entries.values())
            room = free or len(self._entries) < self._limit
            loaded = any(name in self._entries for name, _, _ in self._pending)
            retired = any(entry.retired and not entry.holders for entry in self._entries.values())
            return bool(self._pending and (room or loaded)) or retired

    def apply_changes(self) -> list[str]:
        """Removes and loads the adapters that are due; returns the digests of those removed.

        Must run in the engine's thread, between two steps.
        """
        removed = [name for name in self.names if self._is_due(name) and self._remove(name)]
        with self._lock:
            pending, self._pending = self._pending, []
        postponed: list[tuple[str, AdapterFiles, Future[None]]] = []
        try:
            while pending:
                name, files, future = pending.pop(0)
                if not self._is_loaded(name) and not self._make_room(removed):
                    postponed.append((name, files, future))
                elif future.set_running_or_notify_cancel():
                    self._place(name, files, future)
        finally:  # an exception while one adapter is loaded must not lose the requests behind it
            with self._lock:
                self._pending = [*postponed, *pending, *self._pending]
        return removed

    def fail(self, error: ModelError) -> None:
        """Ends all waiting and later requests with ``error``: the engine has stopped."""
        with self._lock:
            self._closing_error = error
            pending, self._pending = self._pending, []
        for _, _, future in pending:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _place(self, name: str, files: AdapterFiles, future: Future[None]) -> None:
        try:
            self._network.place(name, files)
        except Exception as exc:  # noqa: BLE001 - an adapter's file can make peft raise anything; the engine's thread goes on
            future.set_exception(exc if isinstance(exc, ModelError) else _load_error(files, exc))
            return
        with self._lock:
            self._entries.setdefault(name, _Entry())
            self._acquire_loaded(name)
        future.set_result(None)

    def _make_room(self, removed: list[str]) -> bool:
        with self._lock:
            if len(self._entries) < self._limit:
                return True
            free = [name for name, entry in self._entries.items() if not entry.holders]
            oldest = min(free, key=lambda name: self._entries[name].used, default=None)
        if oldest is None or not self._remove(oldest):
            return False
        removed.append(oldest)
        return True

    def _is_loaded(self, name: str) -> bool:
        with self._lock:
            return name in self._entries

    def _is_due(self, name: str) -> bool:
        with self._lock:
            entry = self._entries[name]
            return entry.retired and not entry.holders

    def _remove(self, name: str) -> bool:
        """Removes an adapter; False if it has got a user meanwhile."""
        with self._lock:  # checked again: the lock was free since the caller chose this adapter
            if self._entries[name].holders:
                return False
            del self._entries[name]
        self._network.remove(name)
        return True


def _load_error(files: AdapterFiles, exc: Exception) -> ModelError:
    error = ModelError(f"the adapter {files.name} could not be loaded ({type(exc).__name__}); check its files")
    error.__cause__ = exc
    return error
