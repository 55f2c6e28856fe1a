"""A language model behind the real seams that writes what a test scripts, and fails where the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, Field

from rag.types import AdapterRef

Step = str | Exception | asyncio.Event


class ScriptedChat(BaseChatModel):
    """Each call takes the next script: texts are streamed, an exception is raised, an event is waited for.

    ``calls`` remembers messages and options; ``closed`` counts streams that ended, however they did.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    scripts: list[list[Any]]
    finish_reason: str = "stop"
    calls: list[tuple[list[BaseMessage], dict[str, Any]]] = Field(default_factory=list)
    closed: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.calls.append((messages, kwargs))
        text = "".join(step for step in self.scripts.pop(0) if isinstance(step, str))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        raise NotImplementedError("the chain is asynchronous")

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        self.calls.append((messages, kwargs))
        try:
            for step in self.scripts.pop(0):
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                    continue
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=step))
                if run_manager is not None:
                    await run_manager.on_llm_new_token(step, chunk=chunk)
                yield chunk
            usage = UsageMetadata(input_tokens=7, output_tokens=3, total_tokens=10)
            reason = {"finish_reason": self.finish_reason}
            last = AIMessageChunk(content="", response_metadata=reason, usage_metadata=usage)
            yield ChatGenerationChunk(message=last)
        finally:
            self.closed += 1


class ScriptedModel:
    """A ``LanguageModel`` whose tokens are words. ``refuse`` are adapters that cannot be loaded."""

    name = "scripted-1"

    def __init__(self, *scripts: Sequence[Step], window: int = 4096, refuse: Sequence[str] = ()) -> None:
        self.chat = ScriptedChat(scripts=[list(script) for script in scripts])
        self.window = window
        self.refuse = refuse
        self.events: list[tuple[str, str]] = []

    def count(self, messages: Sequence[BaseMessage]) -> int:
        return sum(len(message.text.split()) + 4 for message in messages)

    async def prepare(self, adapter: AdapterRef) -> None:
        from rag.errors import ModelError

        if adapter.name in self.refuse:
            raise ModelError(f"adapter {adapter.name} does not fit")
        self.events.append(("prepare", adapter.name))

    async def retire(self, adapter: AdapterRef) -> None:
        self.events.append(("retire", adapter.name))

    async def check(self) -> Mapping[str, str]:
        return {"model": self.name}

    async def close(self) -> None: ...
