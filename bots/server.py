"""The ASGI app (webhooks of platforms, health, readiness, metrics), and uvicorn as a part of our event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bots.errors import BotsError
from bots.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    import uvicorn

Readiness = Callable[[], Awaitable[Mapping[str, str]]]
"""Parts that are not ready, by name, each with the reason; empty when all are."""


RETRY_AFTER_SECONDS = 5


class LateApp:
    """A mount for an app that is built later. Until ``bind`` it answers 503 and one sentence that says what is missing.

    So HTTP can start at once: a message of a platform is accepted while the models still load.
    """

    def __init__(self, missing: Callable[[], str]) -> None:
        self._missing = missing
        self._app: ASGIApp | None = None

    def bind(self, app: ASGIApp) -> None:
        """From now on ``app`` answers."""
        self._app = app

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """The routes of the bound app, which may set their own limits on bodies."""
        routes: Sequence[BaseRoute] = getattr(self._app, "routes", ())
        return routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"retry-after": str(RETRY_AFTER_SECONDS)}
        waiting = PlainTextResponse(f"Not ready yet: {self._missing()}.\n", status_code=503, headers=headers)
        await (self._app or waiting)(scope, receive, send)


def service_app(
    routes: Sequence[BaseRoute],
    metrics: Metrics,
    readiness: Readiness,
    *,
    body_bytes: int,
    mounts: Mapping[str, LateApp] | None = None,
    trusted_proxies: Sequence[str] = (),
) -> Starlette:
    """The public app. ``/healthz``: the process runs; ``/readyz``: it can answer messages.

    ``mounts`` are apps by path, which may be bound later. ``body_bytes`` holds for routes that bring no limit of their own.
    ``trusted_proxies`` are networks, for example ``10.0.0.0/8``.
    """

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        missing = dict(await readiness())
        return JSONResponse({"ready": not missing, "waiting_for": missing}, status_code=503 if missing else 200)

    async def prometheus(_: Request) -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    # Ours first: a platform cannot take a path such as /healthz.
    own_routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", prometheus)]
    all_routes = [*own_routes, *routes, *(Mount(path, app=app) for path, app in (mounts or {}).items())]
    limits = Middleware(BodyLimit, limit=body_bytes, routes=all_routes)
    return Starlette(routes=all_routes, middleware=[*_forwarding(trusted_proxies), limits])


def _forwarding(trusted: Sequence[str]) -> list[Middleware]:
    """Middleware for proxies. uvicorn 0.54 takes the last untrusted address of X-Forwarded-For and the last X-Forwarded-Proto."""
    if not trusted:
        return []
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

    return [Middleware(ProxyHeadersMiddleware, trusted_hosts=list(trusted))]


def own_limit(routes: Sequence[BaseRoute], scope: Scope) -> int | None:
    """The attribute ``body_bytes`` of the innermost route that takes the request, if one has it."""
    for route in routes:
        match, inside = route.matches(scope)
        if match is not Match.NONE:
            inner = own_limit(getattr(route, "routes", None) or (), {**scope, **inside})
            return inner if inner is not None else getattr(route, "body_bytes", None)
    return None


class BodyLimit:
    """Answers 413 to a body that is too large, by its content-length or by its actual length.

    The attribute ``body_bytes`` of a route overrides ``limit``: an upload needs more than a webhook.
    """

    def __init__(self, app: ASGIApp, limit: int, routes: Sequence[BaseRoute] = ()) -> None:
        self._app = app
        self._limit = limit
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        own = own_limit(self._routes, scope)
        body = await _read(scope, receive, self._limit if own is None else own)
        if body is None:
            refusal = PlainTextResponse("the body is too large\n", status_code=413, headers={"connection": "close"})
            await refusal(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)


_READ_FACTOR = 10


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """The body, or None when it is longer than ``limit``.

    A body that is too large is still read to its end, up to ``_READ_FACTOR`` times the limit: a client whose connection is
    closed while it sends sees a reset connection and never our 413.
    """
    announced = dict(scope["headers"]).get(b"content-length", b"0")
    # The header is the client's claim: it can only shorten the work, so the body is counted as well.
    if announced.isdigit() and int(announced) > limit * _READ_FACTOR:
        return None
    body = bytearray()
    received = 0
    while received <= limit * _READ_FACTOR:
        message = await receive()
        more = message.get("body", b"")
        received += len(more)
        if received <= limit:
            body += more
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            break
    return bytes(body) if received <= limit else None


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again


class HttpServer:
    """uvicorn in this event loop, on a TCP address or a Unix socket. It does not handle signals: the service does."""

    def __init__(self, app: ASGIApp, *, host: str = "", port: int = 0, socket: Path | None = None) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._socket = socket
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once the server listens. Raises ``BotsError`` when it cannot use the address."""
        # Left by a killed process; the lock on the home says that no other process listens on it.
        if self._socket:
            self._socket.unlink(missing_ok=True)
        self._server = self._configured()
        self._task = asyncio.create_task(self._serve(self._server), name=f"http:{self._socket or self._port}")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise BotsError(self._address_error())
            await asyncio.sleep(0.005)  # uvicorn 0.54 has no event for it
        if self._socket:
            self._socket.chmod(0o600)

    def _configured(self) -> uvicorn.Server:
        import uvicorn

        return _without_signals(
            uvicorn.Config(
                self._app,
                host=self._host or "127.0.0.1",
                port=self._port,
                uds=str(self._socket) if self._socket else None,
                log_config=None,
                access_log=False,
                # The service opens and closes everything itself, in its own order.
                lifespan="off",
                proxy_headers=False,
                timeout_graceful_shutdown=10,
                http="httptools",
            )
        )

    async def _serve(self, server: uvicorn.Server) -> None:
        try:
            await server.serve()
        except SystemExit as error:  # uvicorn leaves this way when it cannot bind
            raise BotsError(self._address_error()) from error

    def _address_error(self) -> str:
        return (
            f"cannot listen on {self._socket or f'{self._host}:{self._port}'}: taken or not allowed; set COTORRA_PORT"
        )

    @property
    def port(self) -> int:
        """The port in use, also where 0 was asked for; only after ``start``."""
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Finishes running requests, then closes; does nothing before ``start``."""
        if self._task is None:
            return
        self._server.should_exit = True
        await self._task
        if self._socket:
            self._socket.unlink(missing_ok=True)


def _without_signals(config: uvicorn.Config) -> uvicorn.Server:
    import uvicorn

    class ServerWithoutSignals(uvicorn.Server):
        """uvicorn 0.54 takes SIGTERM for itself in ``capture_signals``; the service drains first."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return ServerWithoutSignals(config)
