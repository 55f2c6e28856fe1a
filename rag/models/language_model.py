"""The seam of a language model: a LangChain chat model, with what LangChain's interface cannot tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from rag.types import AdapterRef


class LanguageModel(Protocol):
    """One back end that writes.

    ``chat.astream(messages, config, adapter=AdapterRef | None, max_tokens=int, temperature=float)`` streams one reply; it is
    written from its first token to its last by the adapter asked for, or by the base model for None. It raises
    ``ModelUnavailable``, ``ModelBusy`` or another ``ModelError``; closing the stream, or cancelling who reads it, frees its
    place at once.
    """

    @property
    def name(self) -> str:
        """As the log and ``--json`` name it."""

    @property
    def window(self) -> int:
        """Tokens of prompt and answer together."""

    @property
    def chat(self) -> BaseChatModel: ...

    def count(self, messages: Sequence[BaseMessage]) -> int:
        """Tokens of a prompt, with all that the chat template adds: exact, or an estimate that is not too small."""

    async def prepare(self, adapter: AdapterRef) -> None:
        """Loads an adapter before it is asked for, so that no reply waits for it. Raises ``ModelError``."""

    async def retire(self, adapter: AdapterRef) -> None:
        """The adapter will not be asked for again: it goes when the replies under way have ended."""

    async def check(self) -> Mapping[str, str]:
        """Facts for ``doctor``, by name. Raises ``ModelError`` with what to do."""

    async def close(self) -> None: ...
