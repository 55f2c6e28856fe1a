"""A language model behind one or more OpenAI-compatible servers: vLLM, Ollama, llama.cpp, LM Studio, a hosted API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from rag.errors import ConfigurationError, ModelError
from rag.models.remote.adapters import AdaptersInUse, served_name
from rag.models.remote.chat import RemoteChat
from rag.models.remote.counting import estimate
from rag.models.remote.failover import Failover
from rag.models.remote.faults import Fault, ServerFault, names_of, verdict
from rag.models.remote.server import LORA_CURE, Server
from rag.settings import ModelSettings
from rag.types import AdapterRef


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReport:
    """The state of one server for ``doctor``. ``advice`` is empty when the server can be used."""

    place: str
    fact: str
    advice: str = ""


class RemoteModel:
    """Implements ``LanguageModel``. It sends nothing before the first question, ``open``, ``prepare`` or ``check``.

    It may be used from several event loops. Raises ``ConfigurationError`` for an invalid address.
    """

    def __init__(self, settings: ModelSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._servers = tuple(Server(_address(one), settings, clock) for one in settings.servers)
        self._in_use = AdaptersInUse()
        self._chat = RemoteChat(settings.name, Failover(self._servers, settings), self._in_use)

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def window(self) -> int:
        """The smallest of the setting and the windows that the servers have reported, in tokens."""
        # The smallest: failover may send the same prompt to each of the servers.
        reported = [server.card.window for server in self._servers if server.card and server.card.window]
        return min([self._settings.window, *reported])

    @property
    def chat(self) -> BaseChatModel:
        return self._chat

    def count(self, messages: Sequence[BaseMessage]) -> int:
        """An estimate (see ``counting``), because the tokenizer is at the server."""
        return estimate(messages)

    async def open(self) -> None:
        """Asks the servers for their models and windows before the first prompt is made.

        Raises nothing: a server that is down now is asked again with the first reply.
        """
        await asyncio.gather(*(self._report_of(server) for server in self._servers))

    async def prepare(self, adapter: AdapterRef) -> None:
        """Loads an adapter at every server. One that is down loads it with its next reply. Raises ``ModelError``."""
        self._in_use.keep(served_name(adapter))
        results = await asyncio.gather(*(_adapter_fault(server, adapter) for server in self._servers))
        faults = [
            (server.place, fault) for server, fault in zip(self._servers, results, strict=True) if fault is not None
        ]
        # A temporary fault at some servers is no reason to refuse: those load the adapter with their next reply.
        if len(faults) == len(self._servers) or any(not fault.passes for _, fault in faults):
            raise verdict(faults)

    async def retire(self, adapter: AdapterRef) -> None:
        if self._settings.load_adapters:
            self._in_use.retire(served_name(adapter))
            self._chat.unload_idle()

    async def report(self) -> Sequence[ServerReport]:
        """Reports of all servers, in the settings' order; they are asked concurrently."""
        return await asyncio.gather(*(self._report_of(server) for server in self._servers))

    async def check(self) -> Mapping[str, str]:
        """Facts for ``doctor``, by name. Raises ``ModelError`` when no server can be used."""
        reports = await self.report()
        if all(report.advice for report in reports):
            raise ModelError("; ".join(f"{report.place} {report.fact}: {report.advice}" for report in reports))
        servers = {report.place: report.advice or report.fact for report in reports}
        return {"model": self.name, "window": str(self.window), **servers}

    async def close(self) -> None:
        await self._chat.close()

    async def _report_of(self, server: Server) -> ServerReport:
        try:
            card = await server.fetch_card()
        except ServerFault as error:
            fact, _, advice = error.fault.message.partition(": ")
            return ServerReport(
                place=server.place, fact=fact, advice=advice or "start it, or correct model.servers (OPENAI_BASE_URL)"
            )
        if self.name not in card.models:
            return ServerReport(
                place=server.place,
                fact=f"does not list the model {self.name}",
                advice=f"set model.name to one that it has: {names_of(card.models)}",
            )
        fact = f"{self.name}, window of {card.window} tokens" if card.window else self.name
        if not self._settings.load_adapters:
            return ServerReport(place=server.place, fact=fact)
        if await server.loads_adapters():
            return ServerReport(place=server.place, fact=f"{fact}, loads adapters")
        return ServerReport(
            place=server.place, fact=f"{fact}, does not load adapters", advice=f"{LORA_CURE}, or unset load_adapters"
        )


async def _adapter_fault(server: Server, adapter: AdapterRef) -> Fault | None:
    """The fault that keeps a server from serving an adapter, or None."""
    try:
        await server.ensure_adapter(adapter)
    except ServerFault as error:
        return error.fault
    return None


def _address(address: str) -> str:
    try:
        parts = urlsplit(address)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError("model.servers holds an address that is none; write it as http://127.0.0.1:8000/v1")
    return address.rstrip("/")
