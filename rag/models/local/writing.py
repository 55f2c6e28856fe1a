"""Writes one reply with the engine: renders the prompt, holds the adapter, decodes tokens and keeps the deadlines."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from rag.errors import ModelBusy, ModelError, ModelUnavailable
from rag.models.local.adapters.cache import AdapterCache
from rag.models.local.engine.requests import Item, ReplyEnd, Request
from rag.models.local.engine.sampling import Sampler, seeded
from rag.models.local.engine.thread import Engine
from rag.models.local.prompts import PromptTemplate
from rag.models.local.spelling import Detokenizer
from rag.types import AdapterRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of a reply: its finish reason, and the tokens of prompt and answer."""

    reason: str
    prompt: int
    written: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``window`` and ``answer`` are tokens; ``first`` and ``whole`` are seconds from the request to the first and last piece."""

    window: int
    answer: int
    temperature: float
    first: float
    whole: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """Sampling parameters of a model's generation_config.json, and the tokens that end an answer."""

    stops: frozenset[int]
    top_k: int = 0
    top_p: float = 1.0


class Writer:
    """Writes replies with an engine. The event loop is not blocked: the template runs in a thread, the model in the engine's."""

    def __init__(
        self,
        engine: Engine,
        adapters: AdapterCache,
        template: PromptTemplate,
        tokenizer: Any,
        limits: Limits,
        recommended: Recommended,
    ) -> None:
        self._engine, self._adapters = engine, adapters
        self._template, self._tokenizer = template, tokenizer
        self._limits, self._recommended = limits, recommended

    async def write(
        self,
        messages: Sequence[BaseMessage],
        *,
        adapter: AdapterRef | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> AsyncIterator[str | Finished]:
        """Yields the pieces of a reply, then ``Finished``. Raises ``ModelBusy``, ``ModelUnavailable`` or ``ModelError``."""
        clock = asyncio.get_running_loop().time
        start = clock()
        prompt = await asyncio.to_thread(self._template.tokens, messages)
        allowed = self._allowed(len(prompt), max_tokens)
        self._engine.check_queue()  # first: a request that will be refused must not push an adapter out of the cache
        async with AsyncExitStack() as stack:
            name = await self._acquire_adapter(stack, adapter, start + self._limits.first)
            request = self._request(prompt, allowed, name, self._sampler(prompt, temperature, seed))
            self._engine.submit(request)
            # Runs before the adapter is released (last in, first out): a row must leave the batch before its adapter can.
            stack.callback(self._engine.cancel, request)
            async for piece in self._read(request, start):
                yield piece

    def _allowed(self, prompt: int, max_tokens: int | None) -> int:
        allowed = max_tokens or self._limits.answer
        if prompt + allowed > self._limits.window:
            raise ModelError(
                f"a prompt of {prompt} tokens and an answer of up to {allowed} do not fit the window of "
                f"{self._limits.window} tokens; raise model.window or lower model.answer_tokens"
            )
        return allowed

    async def _acquire_adapter(self, stack: AsyncExitStack, adapter: AdapterRef | None, deadline: float) -> str:
        try:
            async with asyncio.timeout_at(deadline):
                return await stack.enter_async_context(self._adapters.use(adapter))
        except TimeoutError as exc:
            raise ModelBusy(
                f"there was no room for the adapter {adapter.name if adapter else ''} in {self._limits.first:g} s; "
                "raise model.adapters",
                seconds=self._engine.seconds() or self._limits.first,
            ) from exc

    def _sampler(self, prompt: Sequence[int], temperature: float | None, seed: int | None) -> Sampler:
        temperature = self._limits.temperature if temperature is None else temperature
        if not temperature:
            return Sampler()
        # Derived from the prompt, so that the same prompt gives the same answer in every process.
        seed = zlib.crc32(repr(prompt).encode()) if seed is None else seed
        return Sampler(
            temperature=temperature,
            top_k=self._recommended.top_k,
            top_p=self._recommended.top_p,
            generator=seeded(seed),
        )

    def _request(self, prompt: Sequence[int], allowed: int, name: str, sampler: Sampler) -> Request:
        return Request(
            prompt=prompt,
            max_tokens=allowed,
            adapter=name,
            sampler=sampler,
            stops=self._recommended.stops,
            loop=asyncio.get_running_loop(),
        )

    async def _read(self, request: Request, start: float) -> AsyncIterator[str | Finished]:
        detokenizer, written = Detokenizer(self._tokenizer), 0
        while True:
            item = await self._next(request, start, started=written > 0)
            if isinstance(item, Exception):
                raise item
            if isinstance(item, ReplyEnd):
                break
            written += 1
            if text := detokenizer.feed(item):
                yield text
        if text := detokenizer.finish():
            yield text
        yield Finished(reason=item.reason, prompt=len(request.prompt), written=written)

    async def _next(self, request: Request, start: float, *, started: bool) -> Item:
        # Items that have arrived need no timer.
        if not request.items.empty():
            return request.items.get_nowait()
        seconds = self._limits.whole if started else min(self._limits.first, self._limits.whole)
        try:
            async with asyncio.timeout_at(start + seconds):
                return await request.items.get()
        except TimeoutError as exc:
            raise self._timeout_error(request, seconds, started=started) from exc

    def _timeout_error(self, request: Request, seconds: float, *, started: bool) -> ModelError:
        if started:
            return ModelUnavailable(f"the answer was not complete after {seconds:g} s (model.deadline_seconds)")
        if request.admitted:
            return ModelUnavailable(f"the model gave no word in {seconds:g} s (model.first_token_seconds)")
        text = f"the answer's turn did not come in {seconds:g} s (model.first_token_seconds)"
        return ModelBusy(text, seconds=self._engine.seconds() or seconds)
