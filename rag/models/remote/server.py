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
"""Parameters without which a request is one too: a server that refuses one by its name is not sent it again."""
FAILURES = (openai.OpenAIError, TimeoutError, *MALFORMED)
LORA_CURE = "start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"
_OWN_TEMPLATES = ("vllm", "sglang", "llamacpp")
"""Servers, as ``owned_by`` in /v1/models names them, that hand ``chat_template_kwargs`` to the model's chat template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One reply as it is asked for: from ``adapter``, or from the base model for None."""

    messages: Sequence[BaseMessage]
    adapter: AdapterRef | None = None
    stop: Sequence[str] | None = None
    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What /v1/models says; nothing where a server has no such list."""

    models: tuple[str, ...] = ()
    window: int | None = None
    engine: str = ""


class Server:
    """Raises ``ServerFault`` wherever something goes wrong; ``breaker`` is kept by who asks."""

    def __init__(self, address: str, settings: ModelSettings, clock: Callable[[], float]) -> None:
        self.place = place_of(address)
        self.breaker = Breaker(clock)
        self.card: Card | None = None
        self._settings = settings
        self._client = Client(address, settings.name, settings.api_key)
        self._known = False
        self._adapters: set[str] = set()
        self._unwanted: set[str] = set()

    async def learn(self) -> Card:
        """Asks for its models, once more each time."""
        try:
            async with asyncio.timeout(FACTS_SECONDS):
                self.card = _card(await self._client.get("/models"), self._settings.name)
        except FAILURES as error:
            raise ServerFault(fault_of(error)) from None  # what an SDK error quotes may be a key or a conversation
        self._known = True
        return self.card

    def forget(self) -> None:
        """It failed, and may come back as another: with another model, or without its adapters."""
        self._known = False
        self._adapters.clear()

    async def have(self, adapter: AdapterRef) -> None:
        """Makes sure that it serves an adapter: a server may answer from its base model for a name that it does not know."""
        name = served_name(adapter)
        if (
            name in self._adapters and self.card and self.card.engine == "vllm"
        ):  # which answers 404 for a name it has lost
            return
        if name not in (await self.learn()).models:
            await self._load(name, adapter)
        self._adapters.add(name)

    async def unload(self, name: str) -> None:
        """As well as it can: a server that is away forgets its adapters by itself."""
        self._adapters.discard(name)
        with suppress(*FAILURES):
            async with asyncio.timeout(FACTS_SECONDS):
                await self._client.post("/unload_lora_adapter", {"lora_name": name})

    async def loads_adapters(self) -> bool:
        """Whether it has the request that unloads an adapter, told by how it takes one without a name."""
        try:
            async with asyncio.timeout(FACTS_SECONDS):
                await self._client.post("/unload_lora_adapter", {"lora_name": ""})
        except openai.APIStatusError as error:
            return error.status_code in (400, 422)
        except FAILURES:
            return False
        return True

    async def astream(self, asked: Asked, limits: Limits) -> AsyncGenerator[ChatGenerationChunk]:
        """One attempt. All that comes has text, but for the last piece, which has the token counts."""
        await self._be_ready(asked, limits)
        pieces = Pieces(longest=asked.max_tokens)
        options = self._options(asked)
        stop = list(asked.stop) if asked.stop else None
        # not astream: that would be a second run of a model in everybody's callbacks
        stream = self._client.chat._astream(list(asked.messages), stop=stop, **options)
        async with aclosing(cast(AsyncGenerator[ChatGenerationChunk], stream)) as chunks:
            while (chunk := await self._next(chunks, asked, limits, begun=pieces.begun)) is not None:
                if (shown := pieces.feed(chunk)) is not None:
                    yield shown
        for last in pieces.finish():
            yield last

    async def close(self) -> None:
        await self._client.close()

    async def _be_ready(self, asked: Asked, limits: Limits) -> None:
        try:
            async with asyncio.timeout_at(limits.first):
                if not self._known:
                    await self._learn_if_it_tells()
                if asked.adapter is not None:
                    await self.have(asked.adapter)
        except TimeoutError as error:
            raise ServerFault(fault_of(error)) from None

    async def _learn_if_it_tells(self) -> None:
        try:
            await self.learn()
        except ServerFault as error:
            if error.fault.passes:
                raise
            self.card, self._known = Card(), True  # it may write all the same

    async def _next(
        self, chunks: AsyncGenerator[ChatGenerationChunk], asked: Asked, limits: Limits, *, begun: bool
    ) -> ChatGenerationChunk | None:
        try:
            async with asyncio.timeout_at(limits.next_piece() if begun else limits.first):
                return await anext(chunks, None)
        except FAILURES as error:
            fault = fault_of(error, [name for name in OPTIONAL if name not in self._unwanted])
        if fault.kind == "missing":
            fault = await self._missing(asked)
        self._unwanted.update([fault.parameter] if fault.parameter else [])
        raise ServerFault(fault)

    async def _missing(self, asked: Asked) -> Fault:
        """Why it does not know the model: it was started again without the adapter, or never had that base model."""
        try:
            models = (await self.learn()).models
        except ServerFault as error:
            return error.fault
        if asked.adapter is not None:
            self._adapters.discard(served_name(asked.adapter))
            return Fault(kind="missing", message=f"has lost the adapter {asked.adapter.name}")
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
                await self._client.post("/load_lora_adapter", {"lora_name": name, "lora_path": _in_full(adapter.path)})
        except FAILURES as error:
            fault = fault_of(error)
        else:
            return
        if name in (await self.learn()).models:  # another process was faster
            return
        if fault.passes:
            raise ServerFault(fault)
        told = f"does not load the adapter {name}: {LORA_CURE} where it can read the adapter's folder"
        raise ServerFault(Fault(kind="refused", message=told))

    def _options(self, asked: Asked) -> dict[str, Any]:
        """Parameters of the request, but for those that this server was found not to know."""
        body: dict[str, Any] = {}
        options: dict[str, Any] = {"extra_body": body}
        if asked.adapter is not None:
            options["model"] = served_name(asked.adapter)
        if asked.temperature is not None and "temperature" not in self._unwanted:
            options["temperature"] = asked.temperature
        if asked.max_tokens is not None and "max_tokens" not in self._unwanted:
            body["max_tokens"] = asked.max_tokens  # the old name: Ollama and others know no other
        elif asked.max_tokens is not None and "max_completion_tokens" not in self._unwanted:
            options["max_completion_tokens"] = asked.max_tokens
        if self.card and self.card.engine in _OWN_TEMPLATES and "chat_template_kwargs" not in self._unwanted:
            body["chat_template_kwargs"] = {"enable_thinking": False}  # the prompt that adapters are trained on
        if "stream_options" in self._unwanted:
            options["stream_usage"] = False
        return options


def _in_full(path: str) -> str:
    """COTORRA_HOME may be relative, and the server runs somewhere else."""
    return str(Path(path).absolute())


def _card(listed: object, wanted: str) -> Card:
    """Of any shape: what a server lists is read as far as it makes sense."""
    entries = listed.get("data") if isinstance(listed, dict) else None
    models = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    named = {str(one["id"]): one for one in models if one.get("id")}
    own = named.get(wanted, {})
    window = own.get("max_model_len")
    return Card(
        models=tuple(named),
        window=window if isinstance(window, int) and window > 0 else None,
        engine=str(own.get("owned_by", "")),
    )
