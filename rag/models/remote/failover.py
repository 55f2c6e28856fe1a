"""Failover: requests one reply from several servers in order, with retries and breakers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from langchain_core.outputs import ChatGenerationChunk

from rag.errors import ModelUnavailable
from rag.models.remote.breaker import Trial
from rag.models.remote.faults import Fault, ServerFault, verdict
from rag.models.remote.limits import Limits
from rag.models.remote.server import OPTIONAL, ReplyRequest, Server
from rag.settings import ModelSettings

FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 8.0
IMMEDIATE_RETRIES = len(OPTIONAL) + 1
"""Retries without a pause: one for each parameter that a server may not know, and one to load a lost adapter again."""

Stream = AsyncGenerator[ChatGenerationChunk]


class Failover:
    """Before the first piece a failed reply is retried, then requested from the next server.

    After the first piece a failure ends the reply: text that was already yielded cannot be taken back.
    """

    def __init__(self, servers: Sequence[Server], settings: ModelSettings) -> None:
        self.servers = tuple(servers)
        self._settings = settings

    async def astream(self, request: ReplyRequest) -> Stream:
        """Yields the pieces of one reply. Raises a ``ModelError`` (busy, unavailable or other) with every server's fault."""
        limits = Limits.begin(self._settings)
        faults: list[tuple[str, Fault]] = []
        for number, server in enumerate(self.servers):
            if not server.breaker.lets_in:
                faults.append((server.place, _paused_fault(server)))
                continue
            # Only servers that may be asked now share the remaining time.
            remaining = sum(other.breaker.lets_in for other in self.servers[number:])
            with server.breaker.trial() as trial:
                first = await self._begin(server, request, limits.share(remaining), trial, faults)
                if first is None:
                    continue
                async with aclosing(first[1]) as rest:
                    yield first[0]
                    async for piece in _rest_of_reply(server, rest, trial):
                        yield piece
                return
        raise verdict(faults)

    async def _begin(
        self, server: Server, request: ReplyRequest, limits: Limits, trial: Trial, faults: list[tuple[str, Fault]]
    ) -> tuple[ChatGenerationChunk, Stream] | None:
        """The first piece and the stream of the rest; None after the server's fault was added to ``faults``."""
        attempt = immediate_retries = 0
        while True:
            stream = server.astream(request, limits)
            try:
                first = await anext(stream)
            except ServerFault as error:
                fault = error.fault
            else:
                trial.worked()
                return first, stream
            # The server object has noted the parameter or the lost adapter, so the same request differs now.
            if fault.kind in ("unwanted", "missing") and immediate_retries < IMMEDIATE_RETRIES:
                immediate_retries += 1
                continue
            pause = _pause(attempt, fault)
            if not fault.passes or attempt >= self._settings.retries or not limits.allows(pause):
                faults.append((server.place, fault))
                # Only ``down`` counts for the breaker: a busy server works, and a refusal is about this request.
                if fault.kind == "down":
                    server.forget()
                    trial.failed()
                return None
            attempt += 1
            await asyncio.sleep(pause)


async def _rest_of_reply(server: Server, rest: Stream, trial: Trial) -> Stream:
    """The pieces after the first. Raises ``ModelUnavailable`` where the stream breaks."""
    try:
        async for piece in rest:
            yield piece
    except ServerFault as error:
        server.forget()
        trial.failed()
        message = f"{server.place} {error.fault.message}"
    else:
        return
    raise ModelUnavailable(message)  # outside ``except``: the SDK's error in its context may quote the conversation


def _pause(attempt: int, fault: Fault) -> float:
    """Seconds to wait: exponential backoff with full jitter, so that replies that failed together do not retry together."""
    longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0**attempt)
    return (fault.after or 0.0) + random.uniform(0, longest)  # noqa: S311 (nothing secret)


def _paused_fault(server: Server) -> Fault:
    return Fault(kind="down", message=f"failed again and again; it is tried again in {server.breaker.pause:.0f} s")
