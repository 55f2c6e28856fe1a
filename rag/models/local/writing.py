"""One reply from its prompt to its last word, on the side of who reads it: deadlines, spelling, and letting go."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from rag.errors import ModelBusy, ModelError, ModelUnavailable
from rag.models.local.adapters.cache import Shelf
from rag.models.local.engine.requests import Ended, Item, Request
from rag.models.local.engine.sampling import Sampler, seeded
from rag.models.local.engine.thread import Engine
from rag.models.local.prompts import PromptTemplate
from rag.models.local.spelling import Speller
from rag.types import AdapterRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of a reply, and its tokens."""

    reason: str
    prompt: int
    written: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """``first`` and ``whole`` are seconds from the asking to the first word and to the last."""

    window: int
    answer: int
    temperature: float
    first: float
    whole: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommended:
    """What a model's generation_config.json says about sampling, and the tokens that end an answer."""

    stops: frozenset[int]
    top_k: int = 0
    top_p: float = 1.0


class Writer:
    """Writes replies with an engine. Nothing here blocks the event loop for longer than a prompt's template takes."""

    def __init__(
        self,
        engine: Engine,
        shelf: Shelf,
        template: PromptTemplate,
        tokenizer: Any,
        limits: Limits,
        recommended: Recommended,
    ) -> None:
        self._engine, self._shelf = engine, shelf
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
        """The pieces of a reply, then its end. Raises ``ModelBusy``, ``ModelUnavailable`` or another ``ModelError``."""
        clock = asyncio.get_running_loop().time
        began = clock()
        prompt = await asyncio.to_thread(self._template.tokens, messages)
        allowed = self._allowed(len(prompt), max_tokens)
        self._engine.check_queue()
        async with AsyncExitStack() as held:
            name = await self._hold(held, adapter, began + self._limits.first)
            request = self._request(prompt, allowed, name, self._sampler(prompt, temperature, seed))
            self._engine.submit(request)
            # Called before the adapter is let go: a row that is given up is dropped before its adapter can be.
            held.callback(self._engine.cancel, request)
            async for piece in self._read(request, began):
                yield piece

    def _allowed(self, prompt: int, asked: int | None) -> int:
        allowed = asked or self._limits.answer
        if prompt + allowed > self._limits.window:
            raise ModelError(
                f"a prompt of {prompt} tokens and an answer of up to {allowed} do not fit the window of "
                f"{self._limits.window} tokens; raise model.window or lower model.answer_tokens"
            )
        return allowed

    async def _hold(self, held: AsyncExitStack, adapter: AdapterRef | None, deadline: float) -> str:
        try:
            async with asyncio.timeout_at(deadline):
                return await held.enter_async_context(self._shelf.held(adapter))
        except TimeoutError as exc:
            raise ModelBusy(
                f"there was no room for the adapter {adapter.name if adapter else ''} in {self._limits.first:g} s; "
                "raise model.adapters",
                seconds=self._engine.seconds() or self._limits.first,
            ) from exc

    def _sampler(self, prompt: Sequence[int], temperature: float | None, seed: int | None) -> Sampler:
        warmth = self._limits.temperature if temperature is None else temperature
        if not warmth:
            return Sampler()
        sown = zlib.crc32(repr(prompt).encode()) if seed is None else seed
        return Sampler(
            temperature=warmth,
            top_k=self._recommended.top_k,
            top_p=self._recommended.top_p,
            generator=seeded(sown),
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

    async def _read(self, request: Request, began: float) -> AsyncIterator[str | Finished]:
        speller, written = Speller(self._tokenizer), 0
        while True:
            item = await self._next(request, began, started=written > 0)
            if isinstance(item, Exception):
                raise item
            if isinstance(item, Ended):
                break
            written += 1
            if text := speller.feed(item):
                yield text
        if text := speller.finish():
            yield text
        yield Finished(reason=item.reason, prompt=len(request.prompt), written=written)

    async def _next(self, request: Request, began: float, *, started: bool) -> Item:
        if not request.items.empty():
            return request.items.get_nowait()
        seconds = self._limits.whole if started else min(self._limits.first, self._limits.whole)
        try:
            async with asyncio.timeout_at(began + seconds):
                return await request.items.get()
        except TimeoutError as exc:
            raise self._too_late(request, seconds, started=started) from exc

    def _too_late(self, request: Request, seconds: float, *, started: bool) -> ModelError:
        if started:
            return ModelUnavailable(f"the answer was not complete after {seconds:g} s (model.deadline_seconds)")
        if request.admitted:
            return ModelUnavailable(f"the model gave no word in {seconds:g} s (model.first_token_seconds)")
        text = f"the answer's turn did not come in {seconds:g} s (model.first_token_seconds)"
        return ModelBusy(text, seconds=self._engine.seconds() or seconds)
