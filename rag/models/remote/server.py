"""One OpenAI-compatible server: what it serves, its adapters, and one attempt at a reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import openai
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from rag.models.remote.adapters import served_name
from rag.models.remote.breaker import Breaker
from rag.models.remote.client import Client
from rag.models.remote.faults import MALFORMED, Fault, ServerFault, fault_of, names_of, place_of
from rag.models.remote.limits import Limits
from rag.models.remote.pieces import Pieces
from rag.settings import ModelSettings
from rag.types import AdapterRef

FACTS_SECONDS = 5.0
LOAD_SECONDS = 120.0
OPTIONAL = ("max_tokens", "max_completion_tokens", "temperature", "stream_options", "chat_template_kwargs")
"""Parameters that a request can do without: a server that refuses one by its name is not sent it again."""
FAILURES = (openai.OpenAIError, TimeoutError, *MALFORMED)
LORA_CURE = "start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"
_OWN_TEMPLATES = ("vllm", "sglang", "llamacpp")
"""Servers, as ``owned_by`` in /v1/models names them, that hand ``chat_template_kwargs`` to the model's chat template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRequest:
    """The parameters of one reply; the base model writes it where ``adapter`` is None."""

    messages: Sequence[BaseMessage]
    adapter: AdapterRef | None = None
    stop: Sequence[str] | None = None
    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The response of /v1/models; empty where a server has no such list. ``window`` is in tokens."""

    models: tuple[str, ...] = ()
    window: int | None = None
    engine: str = ""


class Server:
    """Every request raises ``ServerFault`` on failure. ``Failover`` updates ``breaker``."""

    def __init__(self, address: str, settings: ModelSettings, clock: Callable[[], float]) -> None:
        self.place = place_of(address)
        self.breaker = Breaker(clock)
        self.card: Card | None = None
        self._settings = settings
        self._client = Client(address, settings.name, settings.api_key)
        self._card_is_fresh = False
        self._adapters: set[str] = set()
        self._unsupported: set[str] = set()

    async def fetch_card(self) -> Card:
        """Requests /v1/models, without a cache. Raises ``ServerFault``."""
        try:
            async with asyncio.timeout(FACTS_SECONDS):
                self.card = _card(await self._client.get("/models"), self._settings.name)
        except FAILURES as error:
            raise ServerFault(fault_of(error)) from None  # the SDK's error may quote the key or the conversation
        self._card_is_fresh = True
        return self.card

    def forget(self) -> None:
        """Drops what was learnt about the server: after a failure it may restart with another model or without adapters."""
        self._card_is_fresh = False
        self._adapters.clear()

    async def ensure_adapter(self, adapter: AdapterRef) -> None:
        """Loads an adapter unless the server serves it already. Raises ``ServerFault``.

        A server may answer from its base model for a name that it does not know, so its list of models is asked first.
        """
        name = served_name(adapter)
        # vLLM answers 404 for an adapter that it has lost; with it the list need not be asked again for every reply.
        if name in self._adapters and self.card and self.card.engine == "vllm":
            return
        if name not in (await self.fetch_card()).models:
            await self._load(name, adapter)
        self._adapters.add(name)

    async def unload(self, name: str) -> None:
        """Unloads an adapter. Failures are ignored: a server that is down loses its adapters anyway."""
        self._adapters.discard(name)
        with suppress(*FAILURES):
            async with asyncio.timeout(FACTS_SECONDS):
                await self._client.post("/unload_lora_adapter", {"lora_name": name})

    async def loads_adapters(self) -> bool:
        """Whether the server can unload adapters: one that can refuses an empty name with 400 or 422."""
        try:
            async with asyncio.timeout(FACTS_SECONDS):
                await self._client.post("/unload_lora_adapter", {"lora_name": ""})
        except openai.APIStatusError as error:
            return error.status_code in (400, 422)
        except FAILURES:
            return False
        return True

    async def astream(self, request: ReplyRequest, limits: Limits) -> AsyncGenerator[ChatGenerationChunk]:
        """One attempt at a reply: pieces of text, then a piece with the token counts. Raises ``ServerFault``."""
        await self._prepare(request, limits)
        pieces = Pieces(longest=request.max_tokens)
        options = self._options(request)
        stop = list(request.stop) if request.stop else None
        # Not astream: callbacks would see a second run of a model inside the first one.
        stream = self._client.chat._astream(list(request.messages), stop=stop, **options)
        async with aclosing(cast(AsyncGenerator[ChatGenerationChunk], stream)) as chunks:
            while (chunk := await self._next(chunks, request, limits, has_text=pieces.has_text)) is not None:
                if (piece := pieces.feed(chunk)) is not None:
                    yield piece
        for last in pieces.finish():
            yield last

    async def close(self) -> None:
        await self._client.close()

    async def _prepare(self, request: ReplyRequest, limits: Limits) -> None:
        try:
            async with asyncio.timeout_at(limits.first):
                if not self._card_is_fresh:
                    await self._fetch_card_if_offered()
                if request.adapter is not None:
                    await self.ensure_adapter(request.adapter)
        except TimeoutError as error:
            raise ServerFault(fault_of(error)) from None

    async def _fetch_card_if_offered(self) -> None:
        try:
            await self.fetch_card()
        except ServerFault as error:
            if error.fault.passes:
                raise
            self.card, self._card_is_fresh = Card(), True  # a server without /v1/models may still complete chats

    async def _next(
        self, chunks: AsyncGenerator[ChatGenerationChunk], request: ReplyRequest, limits: Limits, *, has_text: bool
    ) -> ChatGenerationChunk | None:
        try:
            async with asyncio.timeout_at(limits.next_piece() if has_text else limits.first):
                return await anext(chunks, None)
        except FAILURES as error:
            fault = fault_of(error, [name for name in OPTIONAL if name not in self._unsupported])
        if fault.kind == "missing":
            fault = await self._missing(request)
        self._unsupported.update([fault.parameter] if fault.parameter else [])
        raise ServerFault(fault)

    async def _missing(self, request: ReplyRequest) -> Fault:
        """The fault behind a 404: the server restarted without the adapter, or has no such base model."""
        try:
            models = (await self.fetch_card()).models
        except ServerFault as error:
            return error.fault
        if request.adapter is not None:
            self._adapters.discard(served_name(request.adapter))  # forgotten, so that the next attempt loads it again
            return Fault(kind="missing", message=f"has lost the adapter {request.adapter.name}")
        if not models or self._settings.name in models:
            return Fault(
                kind="refused", message="has no chat completions there (404): model.servers usually end in /v1"
            )
        return Fault(
            kind="refused",
            message=f"has no model {self._settings.name}: set model.name to one that it has ({names_of(models)})",
        )

    async def _load(self, name: str, adapter: AdapterRef) -> None:
        if not self._settings.load_adapters:
            cure = f"start it with --lora-modules {name}=FOLDER, or set model.load_adapters where it is vLLM"
            raise ServerFault(Fault(kind="refused", message=f"does not serve the adapter {name}: {cure}"))
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                await self._client.post("/load_lora_adapter", {"lora_name": name, "lora_path": _absolute(adapter.path)})
        except FAILURES as error:
            fault = fault_of(error)
        else:
            return
        if name in (await self.fetch_card()).models:  # another process has loaded it meanwhile
            return
        if fault.passes:
            raise ServerFault(fault)
        message = f"does not load the adapter {name}: {LORA_CURE} where it can read the adapter's folder"
        raise ServerFault(Fault(kind="refused", message=message))

    def _options(self, request: ReplyRequest) -> dict[str, Any]:
        """Parameters of the request, without those that this server has refused."""
        body: dict[str, Any] = {}
        options: dict[str, Any] = {"extra_body": body}
        if request.adapter is not None:
            options["model"] = served_name(request.adapter)
        if request.temperature is not None and "temperature" not in self._unsupported:
            options["temperature"] = request.temperature
        if request.max_tokens is not None and "max_tokens" not in self._unsupported:
            body["max_tokens"] = request.max_tokens  # the old name: Ollama and others know only this one
        elif request.max_tokens is not None and "max_completion_tokens" not in self._unsupported:
            options["max_completion_tokens"] = (
                request.max_tokens
            )  # the new name: some models of OpenAI refuse the old one
        if self.card and self.card.engine in _OWN_TEMPLATES and "chat_template_kwargs" not in self._unsupported:
            body["chat_template_kwargs"] = {
                "enable_thinking": False
            }  # adapters are trained on prompts without thinking
        if "stream_options" in self._unsupported:
            options["stream_usage"] = False
        return options


def _absolute(path: str) -> str:
    """The absolute path: COTORRA_HOME may be relative, and the server has another working directory."""
    return str(Path(path).absolute())


def _card(response: object, name: str) -> Card:
    """Reads a response of any shape, and skips what is not a model; window and engine are those of the model ``name``."""
    entries = response.get("data") if isinstance(response, dict) else None
    models = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    # A server with adapters lists them beside the base model, with properties of their own.
    by_name = {str(one["id"]): one for one in models if one.get("id")}
    own = by_name.get(name, {})
    window = own.get("max_model_len")
    return Card(
        models=tuple(by_name),
        window=window if isinstance(window, int) and window > 0 else None,
        engine=str(own.get("owned_by", "")),
    )
