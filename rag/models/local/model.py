"""The language model in this process: connects engine, adapter cache and LangChain chat model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from rag.errors import ModelUnavailable
from rag.models.local.adapters.cache import AdapterCache
from rag.models.local.chat import LocalChat
from rag.models.local.engine.thread import Engine
from rag.models.local.loading import LoadedModel, load
from rag.models.local.prompts import PromptTemplate
from rag.models.local.writing import Limits, Writer
from rag.settings import ModelSettings
from rag.types import AdapterRef


class LocalModel:
    """Implements ``rag.models.language_model.LanguageModel``. Created by ``load_local``."""

    def __init__(self, settings: ModelSettings, loaded: LoadedModel) -> None:
        self._name, self._loaded = settings.name, loaded
        self.engine = Engine(loaded.batch, rows=settings.batch, queue=settings.queue)
        self._adapters = AdapterCache(loaded.network, settings.name, settings.adapters, self.engine.wake)
        self.engine.adapters = self._adapters
        limits = Limits(
            window=loaded.window,
            answer=settings.answer_tokens,
            temperature=settings.temperature,
            first=settings.first_token_seconds,
            whole=settings.deadline_seconds,
        )
        writer = Writer(self.engine, self._adapters, loaded.template, loaded.tokenizer, limits, loaded.recommended)
        self._chat = LocalChat(writer.write, settings.name)
        self.engine.start()

    @property
    def template(self) -> PromptTemplate:
        """Renders messages to tokens; training must use the same template as serving."""
        return self._loaded.template

    @property
    def name(self) -> str:
        return self._name

    @property
    def window(self) -> int:
        return self._loaded.window

    @property
    def chat(self) -> BaseChatModel:
        return self._chat

    def count(self, messages: Sequence[BaseMessage]) -> int:
        """The exact number of tokens of a prompt."""
        return len(self._loaded.template.tokens(messages))

    async def prepare(self, adapter: AdapterRef) -> None:
        """Loads an adapter. Running replies pause only while it is put into the model, not while its files are read."""
        async with self._adapters.use(adapter):
            pass

    async def retire(self, adapter: AdapterRef) -> None:
        self._adapters.retire(adapter)

    async def check(self) -> Mapping[str, str]:
        """Device, dtype, window and loaded adapters. Raises ``ModelUnavailable`` after ``close``."""
        if not self.engine.alive:
            raise ModelUnavailable(f"the model {self._name} has been shut down")
        loaded = self._loaded
        return {
            "model": self._name,
            "device": str(loaded.device),
            "dtype": str(loaded.dtype).removeprefix("torch."),
            "window": f"{loaded.window} tokens",
            "adapters": ", ".join(name[:12] for name in self._adapters.names) or "none",
        }

    async def close(self) -> None:
        """Ends running replies with ``ModelUnavailable``, then the engine's thread."""
        await asyncio.to_thread(self.engine.close)


async def load_local(settings: ModelSettings, progress: Callable[[str], None]) -> LocalModel:
    """Loads the model that the settings name. ``progress`` is called with status lines, from another thread.

    Raises ``ModelError`` with what was tried and what to do.
    """
    loaded = await asyncio.to_thread(load, settings, progress)
    return LocalModel(settings, loaded)
