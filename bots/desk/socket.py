"""The owner's socket: a desk served over HTTP on a Unix socket in ``COTORRA_HOME``, and the client that looks the same."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from bots.desk.seam import (
    Asked,
    AskEvent,
    Desk,
    FoundPassage,
    Inquiry,
    Retrieved,
    SetAside,
    SyncedSource,
    SyncEvent,
    SyncProgress,
)
from bots.errors import BotsError
from rag.errors import RagError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _SyncLine:
    """One line of a sync: which of the two it is stands in its name, their fields would not tell."""

    progress: SyncProgress | None = None
    synced: SyncedSource | None = None


_ASKED: TypeAdapter[Asked] = TypeAdapter(Asked)
_EVENT: TypeAdapter[AskEvent] = TypeAdapter(AskEvent)
_FOUND: TypeAdapter[tuple[FoundPassage, ...]] = TypeAdapter(tuple[FoundPassage, ...])
_INQUIRY: TypeAdapter[Inquiry] = TypeAdapter(Inquiry)
_RETRIEVED: TypeAdapter[Retrieved] = TypeAdapter(Retrieved)
_SYNCING: TypeAdapter[_SyncLine] = TypeAdapter(_SyncLine)
_ASIDE: TypeAdapter[tuple[SetAside, ...]] = TypeAdapter(tuple[SetAside, ...])

_NO_LIMIT = httpx.Timeout(10, read=None)
"""A first sync may take minutes; connecting to a socket on this machine may not."""


def control_app(desk: Desk) -> Starlette:
    """The ASGI app of the socket; only the folder's owner can reach it."""

    async def ask(request: Request) -> Response:
        asked = _ASKED.validate_json(await request.body())
        return StreamingResponse(_lines(desk.ask(asked), _EVENT), media_type="application/x-ndjson")

    async def new(request: Request) -> Response:
        await desk.new((await request.json())["conversation"])
        return Response(status_code=204)

    async def search(request: Request) -> Response:
        body = await request.json()
        found = await desk.search(body["query"], limit=body["limit"], audiences=frozenset(body["audiences"]))
        return _json(_FOUND, tuple(found))

    async def retrieve(request: Request) -> Response:
        return _json(_RETRIEVED, await desk.retrieve(_INQUIRY.validate_json(await request.body())))

    async def sync(request: Request) -> Response:
        body = await request.json()
        events = desk.sync(_name_or_none(body["source"]), allow_shrink=bool(body["allow_shrink"]))
        return StreamingResponse(_lines(_as_lines(events), _SYNCING), media_type="application/x-ndjson")

    async def set_aside(_: Request) -> Response:
        return _json(_ASIDE, tuple(await desk.set_aside()))

    async def retry(request: Request) -> Response:
        return JSONResponse({"retried": await desk.retry((await request.json())["turn_id"])})

    async def forget(request: Request) -> Response:
        body = await request.json()
        return JSONResponse(dict(await desk.forget(body["conversation"], body["speaker"])))

    calls = (ask, new, search, retrieve, sync, set_aside, retry, forget)
    return Starlette(
        routes=[Route(f"/{call.__name__}", _reporting(call), methods=["POST"]) for call in calls],
    )


def _json(adapter: TypeAdapter[Any], value: object) -> Response:
    return Response(adapter.dump_json(value), media_type="application/json")


def _reporting(call: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await call(request)
        except (BotsError, RagError) as error:
            return JSONResponse({"error": str(error)}, status_code=503)
        except (ValueError, KeyError, TypeError) as error:  # ValueError: no JSON, no UTF-8, no valid values
            return JSONResponse({"error": f"malformed request: {type(error).__name__}"}, status_code=400)

    return endpoint


async def _lines(events: AsyncIterator[T], adapter: TypeAdapter[T]) -> AsyncIterator[bytes]:
    """Events as lines. The status line is already out when an error comes, so an error is a line too."""
    try:
        async for event in events:
            yield adapter.dump_json(event) + b"\n"
    except (BotsError, RagError) as error:
        yield json.dumps({"error": str(error)}).encode() + b"\n"


async def _as_lines(events: AsyncIterator[SyncEvent]) -> AsyncIterator[_SyncLine]:
    async for event in events:
        yield _SyncLine(progress=event) if isinstance(event, SyncProgress) else _SyncLine(synced=event)


def _name_or_none(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("a source is named by a string")
    return value


class RemoteDesk:
    """The desk of the service that listens on ``socket``. Raises ``BotsError`` with the service's own words."""

    def __init__(self, socket: Path) -> None:
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://cotorra", timeout=_NO_LIMIT)

    async def ask(self, asked: Asked) -> AsyncIterator[AskEvent]:
        async for line in self._stream("ask", _ASKED.dump_json(asked)):
            yield _EVENT.validate_json(line)

    async def new(self, conversation: str) -> None:
        await self._call("new", conversation=conversation)

    async def search(self, query: str, *, limit: int, audiences: frozenset[str]) -> Sequence[FoundPassage]:
        return _FOUND.validate_json(await self._call("search", query=query, limit=limit, audiences=sorted(audiences)))

    async def retrieve(self, inquiry: Inquiry) -> Retrieved:
        return _RETRIEVED.validate_json(await self._post("retrieve", _INQUIRY.dump_json(inquiry)))

    async def sync(self, source: str | None, *, allow_shrink: bool) -> AsyncIterator[SyncEvent]:
        body = json.dumps({"source": source, "allow_shrink": allow_shrink}).encode()
        async for text in self._stream("sync", body):
            line = _SYNCING.validate_json(text)
            event = line.progress or line.synced
            if event is not None:
                yield event

    async def set_aside(self) -> Sequence[SetAside]:
        return _ASIDE.validate_json(await self._call("set_aside"))

    async def retry(self, turn_id: str | None) -> int:
        return int(json.loads(await self._call("retry", turn_id=turn_id))["retried"])

    async def forget(self, conversation: str, speaker: str | None) -> Mapping[str, int]:
        counts: dict[str, int] = json.loads(await self._call("forget", conversation=conversation, speaker=speaker))
        return counts

    async def __aenter__(self) -> RemoteDesk:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def _stream(self, name: str, body: bytes) -> AsyncIterator[str]:
        try:
            async with self._client.stream("POST", f"/{name}", content=body) as response:
                if response.status_code != 200:
                    raise BotsError(_message(await response.aread()))
                async for line in response.aiter_lines():
                    if line.startswith('{"error"'):
                        raise BotsError(_message(line.encode()))
                    yield line
        except httpx.TransportError as error:
            raise BotsError("the running service stopped answering; try again") from error

    async def _call(self, name: str, **values: object) -> bytes:
        return await self._post(name, json.dumps(values).encode())

    async def _post(self, name: str, body: bytes) -> bytes:
        try:
            response = await self._client.post(f"/{name}", content=body)
        except httpx.TransportError as error:
            raise BotsError("the running service stopped answering; try again") from error
        if response.status_code >= 400:
            raise BotsError(_message(response.content))
        return response.content


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return "the running service gave an answer that is not understood; are both of the same version?"
