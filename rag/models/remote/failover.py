"""One reply from the first of several servers that writes it."""

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
from rag.models.remote.server import OPTIONAL, Asked, Server
from rag.settings import ModelSettings

FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 8.0
AT_ONCE = len(OPTIONAL) + 1
"""Attempts that follow without a pause: one for each parameter that a server may not know, one to load a lost adapter."""

Stream = AsyncGenerator[ChatGenerationChunk]


class Failover:
    """Before the first word it tries again, then elsewhere; after it, what was given on cannot be taken back."""

    def __init__(self, servers: Sequence[Server], settings: ModelSettings) -> None:
        self.servers = tuple(servers)
        self._settings = settings

    async def astream(self, asked: Asked) -> Stream:
        """Raises ``ModelUnavailable``, ``ModelBusy`` or ``ModelError``, with what every server said."""
        limits = Limits.begin(self._settings)
        faults: list[tuple[str, Fault]] = []
        for number, server in enumerate(self.servers):
            if not server.breaker.lets_in:
                faults.append((server.place, _left_alone(server)))
                continue
            waiting = sum(other.breaker.lets_in for other in self.servers[number:])
            with server.breaker.trial() as trial:
                first = await self._begin(server, asked, limits.share(waiting), trial, faults)
                if first is None:
                    continue
                async with aclosing(first[1]) as rest:
                    yield first[0]
                    async for piece in _to_its_end(server, rest, trial):
                        yield piece
                return
        raise verdict(faults)

    async def _begin(
        self, server: Server, asked: Asked, limits: Limits, trial: Trial, faults: list[tuple[str, Fault]]
    ) -> tuple[ChatGenerationChunk, Stream] | None:
        """The first piece and the stream of those after it, or what went wrong added to ``faults``."""
        attempt = at_once = 0
        while True:
            stream = server.astream(asked, limits)
            try:
                first = await anext(stream)
            except ServerFault as error:
                fault = error.fault
            else:
                trial.worked()
                return first, stream
            if fault.kind in ("unwanted", "missing") and at_once < AT_ONCE:
                at_once += 1
                continue
            pause = _pause(attempt, fault)
            if not fault.passes or attempt >= self._settings.retries or not limits.allows(pause):
                faults.append((server.place, fault))
                if fault.kind == "down":
                    server.forget()
                    trial.failed()
                return None
            attempt += 1
            await asyncio.sleep(pause)


async def _to_its_end(server: Server, rest: Stream, trial: Trial) -> Stream:
    try:
        async for piece in rest:
            yield piece
    except ServerFault as error:
        server.forget()
        trial.failed()
        told = f"{server.place} {error.fault.message}"
    else:
        return
    raise ModelUnavailable(told)


def _pause(attempt: int, fault: Fault) -> float:
    """Full jitter: replies that failed together do not come back together."""
    longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0**attempt)
    return (fault.after or 0.0) + random.uniform(0, longest)  # noqa: S311 (nothing secret)


def _left_alone(server: Server) -> Fault:
    return Fault(kind="down", message=f"failed again and again; it is tried again in {server.breaker.pause:.0f} s")
