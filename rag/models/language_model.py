"""The seam of language models: a LangChain chat model, plus adapters, window, token count and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from rag.types import AdapterRef


class LanguageModel(Protocol):
    """One back end that writes replies.

    ``chat.astream(messages, config, adapter=AdapterRef | None, max_tokens=int, temperature=float)`` streams one reply. One
    adapter (the base model for None) writes all of it, also when another adapter is promoted meanwhile. It raises
    ``ModelUnavailable``, ``ModelBusy`` or another ``ModelError``. Closing the stream, or cancelling the task that reads it,
    frees the reply's place at once.
    """

    @property
    def name(self) -> str:
        """The model's name in the log and in ``--json``."""

    @property
    def window(self) -> int:
        """The most tokens that prompt and answer may have together."""

    @property
    def chat(self) -> BaseChatModel: ...

    def count(self, messages: Sequence[BaseMessage]) -> int:
        """Tokens of a prompt with those that the chat template adds: exact, or an estimate that is rather too high."""

    async def prepare(self, adapter: AdapterRef) -> None:
        """Loads an adapter ahead of its first reply, so that no reply waits for it. Raises ``ModelError``."""

    async def retire(self, adapter: AdapterRef) -> None:
        """Unloads an adapter that no new reply will use, as soon as the running replies with it have ended."""

    async def check(self) -> Mapping[str, str]:
        """Facts for ``doctor``, by name. Raises ``ModelError`` with what to do."""

    async def close(self) -> None: ...
