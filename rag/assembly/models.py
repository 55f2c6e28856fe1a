"""From settings to the language model, if there is to be one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module

from rag.errors import ModelUnavailable
from rag.models.language_model import LanguageModel
from rag.settings import ModelSettings

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_language_model(
    settings: ModelSettings, progress: Callable[[str], None] = log.info
) -> AsyncIterator[LanguageModel | None]:
    """None where answers are quotes: as configured, or because the model cannot be had now, which is logged in one line.

    ``progress`` is told in lines what takes long. Raises ``ModelError`` for a model that cannot work.
    """
    model = await _loaded(settings, progress)
    try:
        yield model
    finally:
        if model is not None:
            await model.close()


async def _loaded(settings: ModelSettings, progress: Callable[[str], None]) -> LanguageModel | None:
    match settings.kind:
        case "extractive":
            return None
        case "openai":
            return await _remote(settings)
        case "transformers":
            from rag.models.local.deferred import load_local

            try:
                return await load_local(settings, progress)
            except ModelUnavailable as error:
                log.warning("answers are quotes: %s", error)
                return None


async def _remote(settings: ModelSettings) -> LanguageModel:
    """Its client takes seconds to import: not on the event loop. A server that is away is no reason not to start."""
    await asyncio.to_thread(import_module, "rag.models.remote.model")
    from rag.models.remote.model import RemoteModel

    model = RemoteModel(settings)
    await model.open()
    return model
