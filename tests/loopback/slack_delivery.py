"""How Slack hands payloads over: signed HTTP requests with retries, or envelopes over a WebSocket."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from aiohttp import ClientSession, WSMsgType, web

from tests.loopback.slack_state import BOT_USER, TEAM, Json

Headers = dict[str, str]


def signed(body: str, secret: str, *, at: float | None = None) -> Headers:
    """The headers by which a request proves that Slack sent it."""
    timestamp = str(int(at if at is not None else time.time()))
    digest = hmac.new(secret.encode(), f"v0:{timestamp}:{body}".encode(), hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": f"v0={digest}"}


def callback(event: Json, *, event_id: str = "", **more: object) -> Json:
    """An Events API payload around an event."""
    authorization = {"team_id": TEAM, "user_id": BOT_USER, "is_bot": True, "is_enterprise_install": False}
    return {
        "type": "event_callback",
        "team_id": TEAM,
        "api_app_id": "A1",
        "event_id": event_id or f"Ev{uuid.uuid4().hex[:10].upper()}",
        "event_time": int(time.time()),
        "authorizations": [authorization],
        "event": event,
        **more,
    }


class HttpDelivery:
    """Posts payloads to a request URL, as Slack does: three seconds to answer, then again with a retry number."""

    def __init__(self, session: ClientSession, url: str, secret: str) -> None:
        self._session = session
        self._url = url
        self._secret = secret

    async def post(self, body: str, headers: Headers, *, form: bool = False) -> tuple[int, str]:
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        all_headers = {"Content-Type": kind, **headers}
        async with self._session.post(self._url, data=body.encode(), headers=all_headers) as answer:
            return answer.status, await answer.text()

    async def event(self, payload: Json, *, tries: int = 1) -> int:
        """The status of the last try. The second try carries ``X-Slack-Retry-Num: 1``, and so on."""
        body, status = json.dumps(payload), 0
        for number in range(tries):
            again = {"X-Slack-Retry-Num": str(number), "X-Slack-Retry-Reason": "http_error"} if number else {}
            status, _ = await self.post(body, {**signed(body, self._secret), **again})
            if status == 200:
                break
        return status

    async def command(self, fields: Json) -> int:
        body = urlencode(fields)
        return (await self.post(body, signed(body, self._secret), form=True))[0]

    async def interaction(self, payload: Json) -> tuple[int, str]:
        body = urlencode({"payload": json.dumps(payload)})
        return await self.post(body, signed(body, self._secret), form=True)


@dataclass(slots=True)
class SocketDelivery:
    """The server's side of Socket Mode: envelopes wait for their acknowledgement."""

    connections: list[web.WebSocketResponse] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    answers: dict[str, Json] = field(default_factory=dict)
    opened: int = 0
    refusals: int = 0
    spent: set[str] = field(default_factory=set)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Each ticket is good for one attempt; the next ``refusals`` attempts fail."""
        ticket = request.query["ticket"]
        if self.refusals or ticket in self.spent:
            self.refusals = max(0, self.refusals - 1)
            self.spent.add(ticket)
            raise web.HTTPForbidden
        self.spent.add(ticket)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1})
        self.connections.append(socket)
        self.opened += 1
        await self._tell()
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                answer = json.loads(message.data)
                self.acknowledged.add(answer.get("envelope_id", ""))
                self.answers[answer.get("envelope_id", "")] = answer.get("payload", {})
                await self._tell()
        if socket in self.connections:
            self.connections.remove(socket)
        await self._tell()
        return socket

    async def send(self, payload: Json, *, kind: str = "events_api", envelope: str = "", retry: int = 0) -> str:
        """Sends an envelope over the newest connection; its id."""
        envelope = envelope or uuid.uuid4().hex
        await self.connections[-1].send_json(
            {
                "type": kind,
                "envelope_id": envelope,
                "payload": payload,
                "accepts_response_payload": kind != "events_api",
                "retry_attempt": retry,
                "retry_reason": "timeout" if retry else "",
            }
        )
        return envelope

    async def acknowledgement(self, envelope: str, timeout: float = 3.0) -> bool:
        """Whether the envelope was acknowledged within ``timeout`` seconds."""
        return await self._until(lambda: envelope in self.acknowledged, timeout)

    async def connection(self, number: int, timeout: float = 10.0) -> bool:
        """Whether the ``number``-th connection was opened, and is open, within ``timeout`` seconds."""
        return await self._until(lambda: self.opened >= number and bool(self.connections), timeout)

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        """Announces, as Slack does every few hours, that this connection ends."""
        await self.connections[-1].send_json({"type": "disconnect", "reason": reason})

    async def break_off(self) -> None:
        """Closes every connection without a word."""
        for socket in list(self.connections):
            await socket.close()

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def _until(self, true: Callable[[], bool], timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout), self.changed:
                await self.changed.wait_for(true)
        except TimeoutError:
            return False
        return True
