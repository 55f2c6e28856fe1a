"""Which adapter answers the next message: the one that the configuration names, or the one that was promoted last."""

from __future__ import annotations

import asyncio

import structlog

from rag.errors import ModelBusy, ModelError, ModelUnavailable
from rag.models.language_model import LanguageModel
from rag.types import AdapterRef
from tuning.errors import AdapterMissing
from tuning.registry.folders import Registry

log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""How often a promotion is looked for: what it costs is one small file read."""


class ServingAdapter:
    """Replies under way keep the adapter that they began with; one that cannot be loaded never serves."""

    def __init__(self, model: LanguageModel, registry: Registry, pinned: str = "") -> None:
        self._model = model
        self._registry = registry
        self._pinned = pinned
        self._refused: AdapterRef | str | None = None
        self._told: AdapterRef | str | None = None
        self.current: AdapterRef | None = None

    async def open(self) -> None:
        """Loads what serves. Raises ``AdapterMissing`` or ``ModelError`` for an adapter that the configuration names."""
        if self._pinned:
            adapter = await asyncio.to_thread(self._registry.named, self._pinned)
            await self._model.prepare(adapter)
            self.current = adapter
        else:
            await self.look()

    async def watch(self) -> None:
        """Follows promotions until cancelled."""
        while not self._pinned:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - one look that fails in a way of its own must not be the last
                log.error("promotions_not_seen", error=type(error).__name__)  # noqa: TRY400 - no text of files

    async def look(self) -> None:
        """Takes over a promotion once its adapter is loaded; until then, and where it cannot be, the one before serves."""
        try:
            wanted = await asyncio.to_thread(self._registry.serving)
        except (AdapterMissing, OSError, UnicodeError) as error:  # the file that names it may be what cannot be read
            self._refuse(str(error), error)
            return
        if wanted == self.current or (wanted is not None and wanted == self._refused):
            return
        try:
            if wanted is not None:
                await self._model.prepare(wanted)
        except ModelError as error:
            self._refuse(wanted, error)
            return
        before, self.current, self._refused, self._told = self.current, wanted, None, None
        log.info("adapter_serves", adapter=wanted.name if wanted else None)
        if before is not None:
            await self._model.retire(before)

    def _refuse(self, wanted: AdapterRef | str | None, error: Exception) -> None:
        """Told once; what may come to be loadable without being changed is tried again."""
        if wanted != self._told:
            serving = self.current.name if self.current else "the base model"
            log.warning("adapter_refused", reason=str(error), still_serves=serving)
        self._told = wanted
        self._refused = None if isinstance(error, ModelUnavailable | ModelBusy) else wanted
