"""Entry point of the local model that imports torch and transformers only with the first ``load_local``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from rag.settings import ModelSettings

if TYPE_CHECKING:
    from rag.models.local.model import LocalModel


async def load_local(settings: ModelSettings, progress: Callable[[str], None]) -> LocalModel:
    """See ``rag.models.local.model.load_local``."""
    # In a thread: the import takes seconds, and they would block the event loop.
    model = await asyncio.to_thread(import_module, "rag.models.local.model")
    loaded: LocalModel = await model.load_local(settings, progress)
    return loaded
