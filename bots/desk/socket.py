"""Operations over HTTP on a Unix socket in ``COTORRA_HOME``: the server in the service, and ``RemoteDesk``, the client.

``POST /{operation}`` takes the request as JSON. A single response is JSON; a stream is lines, each ``{class: event}``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from bots.desk.operation import Operation, Operations, Stream
from bots.errors import BotsError
from rag.errors import RagError
from tuning.errors import TuningError

S = TypeVar("S")
Q = TypeVar("Q")
R = TypeVar("R")

_NO_LIMIT = httpx.Timeout(10, read=None)
"""A first sync may take minutes; connecting to a socket on this machine may not."""

_ERRORS = (BotsError, RagError, TuningError)
_ERROR = "error"
"""The key of an error line; the keys of other lines are names of classes, which begin with a capital."""


def control_app(service: S, operations: Operations[S]) -> Starlette:
    """The ASGI app for the socket, which only the folder's owner can open."""
    single = [_route(one.name, _answer(service, one)) for one in operations.single.values()]
    streaming = [_route(one.name, _stream(service, one)) for one in operations.streaming.values()]
    return Starlette(routes=[*single, *streaming])


def _route(name: str, endpoint: Any) -> Route:
    return Route(f"/{name}", endpoint, methods=["POST"])


def _answer(service: S, operation: Operation[S, Q, R]) -> Any:
    async def endpoint(request: Request) -> Response:
        try:
            body = await _read(request, operation.request)
            response = await operation.run(service, body)
        except _Malformed as error:
            return JSONResponse({_ERROR: str(error)}, status_code=400)
        except _ERRORS as error:
            return JSONResponse({_ERROR: str(error)}, status_code=503)
        return Response(operation.response.dump_json(response), media_type="application/json")

    return endpoint


def _stream(service: S, operation: Stream[S, Q, R]) -> Any:
    async def endpoint(request: Request) -> Response:
        try:
            body = await _read(request, operation.request)
        except _Malformed as error:
            return JSONResponse({_ERROR: str(error)}, status_code=400)
        return StreamingResponse(_lines(operation, operation.run(service, body)), media_type="application/x-ndjson")

    return endpoint


class _Malformed(Exception):
    """A request whose body does not fit its operation."""


async def _read(request: Request, adapter: TypeAdapter[Q]) -> Q:
    try:
        return adapter.validate_json(await request.body())
    except ValidationError as error:
        raise _Malformed(f"malformed request: {error.errors()[0]['type']}") from error


async def _lines(operation: Stream[S, Q, R], events: AsyncIterator[R]) -> AsyncIterator[bytes]:
    """Events as lines. An error is a line too, because the HTTP status was sent before the first event."""
    try:
        async for event in events:
            kind = type(event).__name__
            yield b'{"%s":%s}\n' % (kind.encode(), operation.events[kind].dump_json(event))
    except _ERRORS as error:
        yield json.dumps({_ERROR: str(error)}).encode() + b"\n"


class RemoteDesk:
    """The desk of the service that listens on ``socket``. Raises ``BotsError`` with the service's message."""

    def __init__(self, socket: Path) -> None:
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://cotorra", timeout=_NO_LIMIT)

    async def call(self, operation: Operation[Any, Q, R], request: Q) -> R:
        try:
            response = await self._client.post(f"/{operation.name}", content=operation.request.dump_json(request))
        except httpx.TransportError as error:
            raise BotsError("the running service stopped answering; try again") from error
        if response.status_code >= 400:
            raise BotsError(_message(response.content))
        try:
            return operation.response.validate_json(response.content)
        except ValidationError as error:
            raise BotsError(_VERSION_MISMATCH) from error

    async def stream(self, operation: Stream[Any, Q, R], request: Q) -> AsyncIterator[R]:
        # A caller may stop early: an async generator that nobody closes would keep its request open until it is collected.
        async with aclosing(self._post(operation.name, operation.request.dump_json(request))) as lines:
            async for line in lines:
                yield _event(operation, line)

    async def __aenter__(self) -> RemoteDesk:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def _post(self, name: str, body: bytes) -> AsyncGenerator[str, None]:
        try:
            async with self._client.stream("POST", f"/{name}", content=body) as response:
                if response.status_code >= 400:
                    raise BotsError(_message(await response.aread()))
                async for line in response.aiter_lines():
                    yield line
        except httpx.TransportError as error:
            raise BotsError("the running service stopped answering; try again") from error


def _event(operation: Stream[Any, Q, R], line: str) -> R:
    try:
        [(kind, value)] = json.loads(line).items()
        if kind == _ERROR:
            raise BotsError(value)
        return operation.events[kind].validate_python(value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # a ValidationError is a ValueError
        raise BotsError(_VERSION_MISMATCH) from error


_VERSION_MISMATCH = "the running service gave an answer that is not understood; are both of the same version?"


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)[_ERROR])
    except (ValueError, KeyError, TypeError):
        return _VERSION_MISMATCH
