"""The language model in this process: its engine, its adapters, and LangChain's interface to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from rag.errors import ModelUnavailable
from rag.models.local.adapters.cache import Shelf
from rag.models.local.chat import LocalChat
from rag.models.local.engine.thread import Engine
from rag.models.local.loading import Loaded, load
from rag.models.local.prompts import PromptTemplate
from rag.models.local.writing import Limits, Writer
from rag.settings import ModelSettings
from rag.types import AdapterRef


class LocalModel:
    """See ``rag.models.language_model.LanguageModel``. Made by ``load_local``."""

    def __init__(self, settings: ModelSettings, loaded: Loaded) -> None:
        self._name, self._loaded = settings.name, loaded
        self.engine = Engine(loaded.batch, rows=settings.batch, queue=settings.queue)
        self._shelf = Shelf(loaded.network, settings.name, settings.adapters, self.engine.wake)
        self.engine.shelf = self._shelf
        limits = Limits(
            window=loaded.window,
            answer=settings.answer_tokens,
            temperature=settings.temperature,
            first=settings.first_token_seconds,
            whole=settings.deadline_seconds,
        )
        writer = Writer(self.engine, self._shelf, loaded.template, loaded.tokenizer, limits, loaded.recommended)
        self._chat = LocalChat(writer.write, settings.name)
        self.engine.start()

    @property
    def template(self) -> PromptTemplate:
        """How messages become tokens: what is trained on must be rendered by the same."""
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
        """Exactly the tokens that a prompt of these messages has."""
        return len(self._loaded.template.tokens(messages))

    async def prepare(self, adapter: AdapterRef) -> None:
        """Loads an adapter while replies are written; they stand still only for the moment in which it is put in."""
        async with self._shelf.held(adapter):
            pass

    async def retire(self, adapter: AdapterRef) -> None:
        self._shelf.retire(adapter)

    async def check(self) -> Mapping[str, str]:
        """Device, numbers, window, and the adapters that are loaded. Raises ``ModelUnavailable`` after ``close``."""
        if not self.engine.alive:
            raise ModelUnavailable(f"the model {self._name} has been shut down")
        loaded = self._loaded
        return {
            "model": self._name,
            "device": str(loaded.device),
            "dtype": str(loaded.dtype).removeprefix("torch."),
            "window": f"{loaded.window} tokens",
            "adapters": ", ".join(name[:12] for name in self._shelf.names) or "none",
        }

    async def close(self) -> None:
        """Ends replies under way with ``ModelUnavailable``, then the thread."""
        await asyncio.to_thread(self.engine.close)


async def load_local(settings: ModelSettings, progress: Callable[[str], None]) -> LocalModel:
    """The model that the settings name, ready to write. ``progress`` is told what takes long, from another thread.

    Raises ``ModelError`` with what was tried and what to do.
    """
    loaded = await asyncio.to_thread(load, settings, progress)
    return LocalModel(settings, loaded)
