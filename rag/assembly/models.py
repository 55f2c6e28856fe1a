"""Opens the configured language model, if any."""

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
    """The language model; None if answers are quotes, by configuration or because the model is unavailable (logged in one line).

    ``progress`` is called with a line for each step that takes long. Raises ``ModelError`` for a model that can never work.
    """
    model = await _load(settings, progress)
    try:
        yield model
    finally:
        if model is not None:
            await model.close()


async def _load(settings: ModelSettings, progress: Callable[[str], None]) -> LanguageModel | None:
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
    """A client of the configured server. An unreachable server does not stop the start: it may come back at any time."""
    # the client library takes seconds to import, which would block the event loop
    await asyncio.to_thread(import_module, "rag.models.remote.model")
    from rag.models.remote.model import RemoteModel

    model = RemoteModel(settings)
    await model.open()
    return model
