"""A loopback Slack: the Web API with state, response URLs, Socket Mode, trouble on demand, and a record of everything.

In a test it runs in the event loop; ``python -m tests.loopback.slack --port N`` runs it as a process of its own, driven and
read through ``/_control/…``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import time
import uuid
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from aiohttp import web

from tests.loopback.slack_delivery import SocketDelivery
from tests.loopback.slack_faults import Fault, Faults
from tests.loopback.slack_methods import Methods
from tests.loopback.slack_state import ApiError, Call, Json, Message, Workspace

BOT_TOKEN = "xoxb-loopback"
APP_TOKEN = "xapp-loopback"


class LoopbackSlack:
    """``async with LoopbackSlack() as slack``: then ``slack.api_url`` is what SLACK_API_URL takes."""

    def __init__(self, port: int = 0) -> None:
        self.workspace = Workspace()
        self.faults = Faults()
        self.socket = SocketDelivery()
        self.methods = Methods(self.workspace, lambda: f"ws://127.0.0.1:{self.port}/socket?ticket={uuid.uuid4().hex}")
        self.port = port
        self.scopes: set[str] = set()
        self.tokens = {BOT_TOKEN, APP_TOKEN}
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> LoopbackSlack:
        application = web.Application(client_max_size=8_000_000)
        application.add_routes(
            [
                web.route("*", "/api/{method}", self._call),
                web.post("/response/{id}", self._respond),
                web.get("/socket", self.socket.serve),
                web.get("/_control/{what}", self._tell),
                web.post("/_control/{what}", self._obey),
            ]
        )
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.break_off()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/"

    def response_url(self, name: str = "1") -> str:
        return f"http://127.0.0.1:{self.port}/response/{name}"

    async def _call(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        given = await _arguments(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.workspace.calls.append(Call(method=method, arguments=given, at=time.time(), token=token))
        await asyncio.sleep(self.faults.delays.get(method, 0))
        fault = self.faults.next(method)
        if fault is not None and fault.kind != "lost_answer":
            return _strike(request, fault)
        answer = self._answer(method, given, token)
        if fault is not None:
            return _strike(request, fault)
        headers = {"X-OAuth-Scopes": ",".join(sorted(self.scopes))} if method == "auth.test" else None
        return web.json_response(answer, headers=headers)

    def _answer(self, method: str, given: Json, token: str) -> Json:
        if token not in self.tokens:
            return {"ok": False, "error": "invalid_auth"}
        try:
            answer = {"ok": True, **self.methods.answer(method, given)}
        except ApiError as error:
            answer = {"ok": False, "error": error.code}
        if self.faults.after is not None:
            self.faults.after(method)
        return answer

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        self.workspace.calls.append(Call(method="response_url", arguments={}, at=time.time(), token=""))
        fault = self.faults.next("response_url")
        if fault is not None:
            return _strike(request, fault)
        self.workspace.responses.append((request.match_info["id"], await request.json()))
        return web.Response(text="ok")

    async def _tell(self, request: web.Request) -> web.Response:
        match request.match_info["what"]:
            case "messages":
                return web.json_response([_shown(message) for message in list(self.workspace.messages.values())])
            case "calls":
                return web.json_response([asdict(call) for call in self.workspace.calls])
            case "responses":
                return web.json_response(self.workspace.responses)
            case _:
                raise web.HTTPNotFound

    async def _obey(self, request: web.Request) -> web.Response:
        given = await request.json() if request.can_read_body else {}
        match request.match_info["what"]:
            case "fault":
                self.faults.waiting.append(Fault(**given))
            case "delay":
                self.faults.delays.update(given)
            case "user":
                self.workspace.users[given["id"]] = given
            case "channel":
                self.workspace.channels[given["id"]] = given
            case "reset":
                self.workspace.calls.clear()
                self.workspace.messages.clear()
                self.faults.waiting.clear()
            case _:
                raise web.HTTPNotFound
        return web.json_response({"ok": True})


def _strike(request: web.Request, fault: Fault) -> web.StreamResponse:
    match fault.kind:
        case "limit":
            return web.json_response(
                {"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": f"{fault.retry_after:g}"}
            )
        case "server_error":
            return web.Response(status=500, text="trouble")
        case "reset" | "lost_answer":
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        case _:
            return web.json_response({"ok": False, "error": fault.code})


async def _arguments(request: web.Request) -> Json:
    given: Json = dict(request.query)
    if request.content_type == "application/json":
        with suppress(json.JSONDecodeError):
            given.update(await request.json())
    elif request.can_read_body:
        given.update({key: _unpacked(value) for key, value in (await request.post()).items()})
    return given


def _unpacked(value: Any) -> Any:
    """Form fields carry lists and tables as JSON."""
    if isinstance(value, str) and value.startswith(("[", "{")):
        with suppress(json.JSONDecodeError):
            return json.loads(value)
    return value


def _shown(message: Message) -> Json:
    return {**asdict(message), "states": [[at, body, list(kinds)] for at, body, kinds in message.states]}


async def _serve(port: int) -> None:
    async with LoopbackSlack(port) as slack:
        print(f"listening on {slack.port}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="a loopback Slack")
    parser.add_argument("--port", type=int, default=0)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
