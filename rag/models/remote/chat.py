"""LangChain chat model that asks one or more OpenAI-compatible servers, with failover."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, nullcontext
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import agenerate_from_stream
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from rag.models.remote.adapters import AdaptersInUse, served_name
from rag.models.remote.failover import Failover
from rag.models.remote.server import ReplyRequest
from rag.types import AdapterRef


class RemoteChat(BaseChatModel):
    """``astream(messages, config, adapter=…, max_tokens=…, temperature=…)``; see ``rag.models.language_model``.

    Its repr shows only the model's name, because LangChain passes the repr to tracers.
    """

    model_name: str
    _failover: Failover = PrivateAttr()
    _in_use: AdaptersInUse = PrivateAttr()
    _unloading: set[asyncio.Task[None]] = PrivateAttr(default_factory=set)

    def __init__(self, model_name: str, failover: Failover, in_use: AdaptersInUse) -> None:
        # An explicit None: without it LangChain takes the value from the environment variable LC_OUTPUT_VERSION.
        super().__init__(model_name=model_name, output_version=None)
        self._failover = failover
        self._in_use = in_use

    @property
    def _llm_type(self) -> str:
        return "openai-compatible"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        adapter: AdapterRef | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        **_: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        request = ReplyRequest(
            messages=messages, adapter=adapter, stop=stop, max_tokens=max_tokens, temperature=temperature
        )
        async with aclosing(self._reply(request)) as pieces:
            async for piece in pieces:
                if run_manager:
                    await run_manager.on_llm_new_token(piece.text, chunk=piece)
                yield piece

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 (for synchronous callbacks)
        **kwargs: Any,
    ) -> ChatResult:
        """Runs a new event loop, for callers without one. Connections opened in it are closed with it."""
        return asyncio.run(self._alone(messages, stop, **kwargs))

    async def _alone(self, messages: list[BaseMessage], stop: Sequence[str] | None, **kwargs: Any) -> ChatResult:
        try:
            return await self._agenerate(messages, list(stop) if stop else None, **kwargs)
        finally:
            await self.close()

    async def _reply(self, request: ReplyRequest) -> AsyncGenerator[ChatGenerationChunk]:
        used = self._in_use.reply(served_name(request.adapter)) if request.adapter else nullcontext()
        try:
            with used:
                async with aclosing(self._failover.astream(request)) as pieces:
                    async for piece in pieces:
                        yield piece
        finally:
            self.unload_idle()  # in the background: the end of the reply must not wait for the servers

    def unload_idle(self) -> None:
        """Starts a background task that unloads the retired adapters without running replies."""
        if idle := self._in_use.take_idle():
            task = asyncio.get_running_loop().create_task(self._unload(idle), name="unload adapters")
            self._unloading.add(task)
            task.add_done_callback(self._unloading.discard)

    async def close(self) -> None:
        """Closes the connections of this event loop after its unloading tasks have ended."""
        loop = asyncio.get_running_loop()
        # A task of another loop cannot be awaited in this one.
        await asyncio.gather(*(task for task in self._unloading if task.get_loop() is loop))
        for server in self._failover.servers:
            await server.close()

    async def _unload(self, names: Sequence[str]) -> None:
        for name in names:
            for server in self._failover.servers:
                await server.unload(name)
