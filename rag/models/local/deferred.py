"""A language model in this process: transformers and peft behind an engine that writes several replies at once.

Importing this package is cheap; torch and transformers come with the first ``load_local``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from rag.settings import ModelSettings

if TYPE_CHECKING:
    from rag.models.local.model import LocalModel


async def load_local(settings: ModelSettings, progress: Callable[[str], None]) -> LocalModel:
    """The model that the settings name, ready to write; see ``rag.models.local.model.load_local``."""
    model = await asyncio.to_thread(import_module, "rag.models.local.model")  # seconds: not on the event loop
    loaded: LocalModel = await model.load_local(settings, progress)
    return loaded
