"""Which adapters stand beside the model, who uses them, and which one makes room for another.

An adapter is known by its digest. It is put into the model, and taken out of it, by the engine's thread between two steps, so
no forward ever sees half of one; and it stays while anybody holds it, so that a reply ends with the adapter that it began with.
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
class _Placed:
    holders: int = 0
    used: int = 0
    retired: bool = False


class Shelf:
    """At most ``limit`` adapters at once. ``wake`` tells the engine's thread that there is something to do."""

    def __init__(self, network: Network, base: str, limit: int, wake: Callable[[], None]) -> None:
        self._network, self._base, self._limit, self._wake = network, base, limit, wake
        self._placed: dict[str, _Placed] = {}
        self._wanted: list[tuple[str, AdapterFiles, Future[None]]] = []
        self._clock = itertools.count(1)
        self._over: ModelError | None = None
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        with self._lock:
            return sorted(self._placed)

    @asynccontextmanager
    async def held(self, adapter: AdapterRef | None) -> AsyncIterator[str]:
        """The name of an adapter in the model, for as long as it is needed. Raises ``ModelError``."""
        if adapter is None:
            yield BASE
            return
        await self._hold(adapter)
        try:
            yield adapter.digest
        finally:
            self._release(adapter.digest)

    def retire(self, adapter: AdapterRef) -> None:
        """It goes as soon as nobody holds it."""
        with self._lock:
            if placed := self._placed.get(adapter.digest):
                placed.retired = True
        self._wake()

    async def _hold(self, adapter: AdapterRef) -> None:
        with self._lock:
            if self._take(adapter.digest):
                return
        files = await asyncio.to_thread(read_adapter, adapter, self._base)
        future: Future[None] = Future()
        with self._lock:
            if self._over is not None:
                raise self._over
            self._wanted.append((adapter.digest, files, future))
        self._wake()
        try:
            await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.add_done_callback(lambda ended: self._let_go(adapter.digest, ended))
            raise

    def _take(self, name: str) -> bool:
        placed = self._placed.get(name)
        if placed is None:
            return False
        placed.holders, placed.used, placed.retired = placed.holders + 1, next(self._clock), False
        return True

    def _let_go(self, name: str, ended: Future[None]) -> None:
        """Nobody waits for it any more: an adapter that was placed all the same is released."""
        if not ended.cancelled() and ended.exception() is None:
            self._release(name)

    def _release(self, name: str) -> None:
        with self._lock:
            if placed := self._placed.get(name):
                placed.holders -= 1
        self._wake()

    @property
    def waits(self) -> bool:
        """There is something for ``settle`` to do: an adapter to place for which there is room, or one to take out."""
        with self._lock:
            free = any(not placed.holders for placed in self._placed.values())
            room = free or len(self._placed) < self._limit
            known = any(name in self._placed for name, _, _ in self._wanted)
            retired = any(placed.retired and not placed.holders for placed in self._placed.values())
            return bool(self._wanted and (room or known)) or retired

    def settle(self) -> list[str]:
        """Between two steps, in the engine's thread: takes out and puts in what is due; names those that went."""
        gone = [name for name in self.names if self._is_due(name) and self._remove(name)]
        with self._lock:
            wanted, self._wanted = self._wanted, []
        left: list[tuple[str, AdapterFiles, Future[None]]] = []
        try:
            while wanted:
                name, files, future = wanted.pop(0)
                if not self._has(name) and not self._make_room(gone):
                    left.append((name, files, future))
                elif future.set_running_or_notify_cancel():
                    self._place(name, files, future)
        finally:  # whatever becomes of this one, those that wait behind it are not forgotten
            with self._lock:
                self._wanted = [*left, *wanted, *self._wanted]
        return gone

    def fail(self, error: ModelError) -> None:
        """Nothing will be placed any more."""
        with self._lock:
            self._over = error
            wanted, self._wanted = self._wanted, []
        for _, _, future in wanted:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _place(self, name: str, files: AdapterFiles, future: Future[None]) -> None:
        try:
            self._network.place(name, files)
        except Exception as exc:  # noqa: BLE001 - whatever a foreign file makes peft raise must not end the engine's thread
            future.set_exception(exc if isinstance(exc, ModelError) else _unplaced(files, exc))
            return
        with self._lock:
            self._placed.setdefault(name, _Placed())
            self._take(name)
        future.set_result(None)

    def _make_room(self, gone: list[str]) -> bool:
        with self._lock:
            if len(self._placed) < self._limit:
                return True
            free = [name for name, placed in self._placed.items() if not placed.holders]
            oldest = min(free, key=lambda name: self._placed[name].used, default=None)
        if oldest is None or not self._remove(oldest):
            return False
        gone.append(oldest)
        return True

    def _has(self, name: str) -> bool:
        with self._lock:
            return name in self._placed

    def _is_due(self, name: str) -> bool:
        with self._lock:
            placed = self._placed[name]
            return placed.retired and not placed.holders

    def _remove(self, name: str) -> bool:
        """Takes an adapter out unless somebody holds it by now."""
        with self._lock:
            if self._placed[name].holders:
                return False
            del self._placed[name]
        self._network.remove(name)
        return True


def _unplaced(files: AdapterFiles, exc: Exception) -> ModelError:
    error = ModelError(f"the adapter {files.name} could not be loaded ({type(exc).__name__}); check its files")
    error.__cause__ = exc
    return error
