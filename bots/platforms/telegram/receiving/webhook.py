"""The webhook. It answers 200 only after the update was stored; after any other status Telegram sends the update again."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from rag.errors import StoreUnavailable

log = structlog.get_logger()
PATH = "/telegram/webhook"
_HEADER = "X-Telegram-Bot-Api-Secret-Token"

Take = Callable[[object], Awaitable[None]]


def webhook_route(secret: str, body_bytes: int, receiver: Callable[[], Take | None]) -> Route:
    """``receiver`` returns None while the service does not receive (before it is ready, and while it stops)."""

    async def receive(request: Request) -> Response:
        token = request.headers.get(_HEADER, "")
        # Before the body is read: whoever lacks the secret makes us read nothing. Constant time, as for any secret.
        if not hmac.compare_digest(token.encode(), secret.encode()):
            return Response("the secret token is missing or wrong", 401)
        body = await _body(request, body_bytes)
        if body is None:
            return Response("the body is too large", 413)
        update = _parse(body)
        if update is None:
            return Response("the body is no update", 400)
        take = receiver()
        return Response("not ready", 503) if take is None else await _accept_update(take, update)

    return Route(PATH, receive, methods=["POST"])


async def _accept_update(take: Take, update: dict[str, object]) -> Response:
    try:
        await take(update)
    except StoreUnavailable as error:
        log.warning("telegram.not_accepted", error=str(error))
        return Response("try again later", 503)
    return Response(status_code=200)


async def _body(request: Request, limit: int) -> bytes | None:
    """The body, or None when it is longer than ``limit`` bytes; the rest is not read."""
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                return None
            parts.append(part)
    except ClientDisconnect:  # nobody reads the response; Telegram sends the update again
        return b""
    return b"".join(parts)


def _parse(body: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):  # the second for JSON that is nested too deeply
        return None
    return value if isinstance(value, dict) else None
