"""The local model as a LangChain chat model. Every reply is streamed and can be cancelled at any time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, PrivateAttr

from rag.models.local.writing import Finished

Writing = Callable[..., AsyncIterator[str | Finished]]


class LocalChat(BaseChatModel):
    """``astream(messages, config, adapter=…, max_tokens=…, temperature=…, seed=…)``; see ``LanguageModel``."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str | None = None
    _write: Writing = PrivateAttr()

    def __init__(self, write: Writing, name: str) -> None:
        super().__init__(name=name)
        self._write = write

    @property
    def _llm_type(self) -> str:
        return "cotorra-local"

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        if stop:
            raise ValueError("the local model stops at its own tokens; it takes no stop words")
        writing = self._write(messages, **kwargs)
        try:
            async for piece in writing:
                chunk = _chunk(piece)
                if run_manager and chunk.text:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        finally:
            # At once, not when the garbage collector comes: closing cancels the request and frees its row in the batch.
            await writing.aclose()  # type: ignore[attr-defined]

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        whole = AIMessageChunk(content="")
        async for chunk in self._astream(messages, stop, run_manager, **kwargs):
            whole = whole + chunk.message  # type: ignore[assignment]
        message = AIMessage(
            content=whole.content, response_metadata=whole.response_metadata, usage_metadata=whole.usage_metadata
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - only the asynchronous path reports tokens
        **kwargs: Any,
    ) -> ChatResult:
        """For synchronous callers. The new thread also serves those that already run inside an event loop."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: asyncio.run(self._agenerate(messages, stop, **kwargs))).result()


def _chunk(piece: str | Finished) -> ChatGenerationChunk:
    if isinstance(piece, str):
        return ChatGenerationChunk(message=AIMessageChunk(content=piece))
    usage = UsageMetadata(
        input_tokens=piece.prompt, output_tokens=piece.written, total_tokens=piece.prompt + piece.written
    )
    metadata = {"finish_reason": piece.reason}
    return ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata=metadata, usage_metadata=usage))
