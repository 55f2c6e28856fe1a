"""A Bot API on the loopback: real HTTP, long polling with confirmation by offset, webhook deliveries, scripted failures.

``python -m tests.loopback.telegram --port 8081`` serves it as a process; ``POST /control/push`` takes an update without its
number, ``GET /control/messages`` and ``GET /control/calls`` show what happened.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import aiohttp
from aiohttp import web

from tests.loopback.telegram_html import Parsed
from tests.loopback.telegram_values import (
    BLOCKED,
    BOT,
    RIGHTS,
    TOKEN,
    Call,
    Failure,
    RefusalError,
    Shown,
    answer,
    as_message,
    bad_request,
    decoded,
    migrated_to,
    parsed,
    reset,
)

_PATIENCE = 10.0


class LoopbackTelegram:
    """The Bot API of one bot."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.messages: dict[tuple[int, int], Shown] = {}
        self.admins: set[tuple[int, int]] = set()
        self.blocked: set[int] = set()
        self.migrated: dict[int, int] = {}
        self.drafts: list[str] = []
        self.callbacks: list[tuple[str, str]] = []
        self.menus: list[Mapping[str, Any]] = []
        self.webhook: dict[str, str] = {}
        self.deliveries: list[tuple[int, int]] = []
        self.changed = asyncio.Condition()
        self._updates: dict[int, dict[str, Any]] = {}
        self._numbers = iter(range(1000, 10**9))
        self._ids: dict[int, int] = defaultdict(int)
        self._script: dict[str, dict[int, Failure]] = defaultdict(dict)
        self._counts: dict[str, int] = defaultdict(int)
        self._poll = 0
        self._runner: web.AppRunner | None = None
        self._delivery: asyncio.Task[None] | None = None
        self.port = 0

    @property
    def api_url(self) -> str:
        """TELEGRAM_API_URL."""
        return f"http://127.0.0.1:{self.port}/bot"

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self._serve)
        app.router.add_post("/control/push", self._control_push)
        app.router.add_get("/control/messages", self._control_messages)
        app.router.add_get("/control/calls", self._control_calls)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._delivery = asyncio.create_task(self._deliver())

    async def stop(self) -> None:
        if self._delivery is not None:
            self._delivery.cancel()
            await asyncio.gather(self._delivery, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def fail(self, method: str, *failures: Failure, after: int = 0) -> None:
        """The next calls of ``method`` fail in turn, the first one after ``after`` more that succeed."""
        for position, failure in enumerate(failures, start=self._counts[method] + after + 1):
            self._script[method][position] = failure

    def count(self, method: str) -> int:
        return sum(call.method == method for call in self.calls)

    def visible(self, chat: int) -> list[Shown]:
        """What stands in a chat, oldest first."""
        return [shown for (place, _), shown in sorted(self.messages.items()) if place == chat and not shown.deleted]

    def pending(self) -> list[int]:
        """Updates that were not confirmed."""
        return sorted(self._updates)

    async def until(self, condition: Callable[[], object], seconds: float = _PATIENCE) -> None:
        """Waits for something to have happened here. Raises ``TimeoutError``."""
        async with asyncio.timeout(seconds), self.changed:
            await self.changed.wait_for(lambda: bool(condition()))

    async def push(self, **update: Any) -> int:
        """A new update; its number."""
        number = next(self._numbers)
        self._updates[number] = {"update_id": number, **update}
        await self._notify()
        return number

    def next_id(self, chat: int) -> int:
        self._ids[chat] += 1
        return self._ids[chat]

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != TOKEN:
            return answer(Failure(status=401, description="Unauthorized"))
        method = request.match_info["method"]
        params = {name: decoded(str(value)) for name, value in (await request.post()).items()}
        self.calls.append(Call(method=method, params=params, at=time.monotonic()))
        self._counts[method] += 1
        failure = self._script[method].pop(self._counts[method], None)
        try:
            return await self._carry_out(request, method, params, failure)
        except RefusalError as refusal:
            return answer(refusal.failure)
        finally:
            await self._notify()

    async def _carry_out(
        self, request: web.Request, method: str, params: dict[str, Any], failure: Failure | None
    ) -> web.StreamResponse:
        if failure is not None and failure.how == "answer":
            return answer(failure)
        if failure is not None and failure.how == "reset":
            return reset(request)
        handler = getattr(self, "_do_" + re.sub("([A-Z])", r"_\1", method).lower(), None)
        if handler is None:
            return answer(Failure(status=404, description="Not Found"))
        result = await handler(params)
        return reset(request) if failure is not None else web.json_response({"ok": True, "result": result})

    async def _do_get_me(self, params: dict[str, Any]) -> Any:
        return {**BOT, "can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False}

    async def _do_get_updates(self, params: dict[str, Any]) -> Any:
        if self.webhook:
            raise RefusalError(
                Failure(status=409, description="Conflict: can't use getUpdates method while webhook is active")
            )
        for number in [number for number in self._updates if number < int(params.get("offset", 0))]:
            del self._updates[number]
        self._poll += 1
        mine = self._poll
        await self._notify()
        try:
            await self.until(lambda: self._updates or self._poll != mine, float(params.get("timeout", 0)))
        except TimeoutError:
            return []
        if self._poll != mine:
            raise RefusalError(Failure(status=409, description="Conflict: terminated by other getUpdates request"))
        return [self._updates[number] for number in self.pending()[:100]]

    async def _do_set_webhook(self, params: dict[str, Any]) -> Any:
        self.webhook = {"url": params["url"], "secret": params.get("secret_token", "")}
        return True

    async def _do_delete_webhook(self, params: dict[str, Any]) -> Any:
        self.webhook = {}
        return True

    async def _do_get_webhook_info(self, params: dict[str, Any]) -> Any:
        url = self.webhook.get("url", "")
        return {"url": url, "has_custom_certificate": False, "pending_update_count": len(self._updates)}

    async def _do_send_message(self, params: dict[str, Any]) -> Any:
        chat = self._chat(params)
        text = parsed(params)
        reply = params.get("reply_parameters") or {}
        shown = Shown(
            chat=chat,
            id=self.next_id(chat),
            topic=int(params.get("message_thread_id", 0)),
            reply_to=int(reply.get("message_id", 0)),
        )
        self.messages[chat, shown.id] = shown
        return self._put(shown, text, params)

    async def _do_edit_message_text(self, params: dict[str, Any]) -> Any:
        shown, text = self._message(params), parsed(params)
        keyboard = (params.get("reply_markup") or {}).get("inline_keyboard", [])
        if (shown.text, shown.entities, shown.keyboard) == (text.text, text.entities, keyboard):
            raise RefusalError(
                bad_request("Bad Request: message is not modified: specified new message content is the same")
            )
        return self._put(shown, text, params)

    async def _do_edit_message_reply_markup(self, params: dict[str, Any]) -> Any:
        shown = self._message(params)
        shown.keyboard = (params.get("reply_markup") or {}).get("inline_keyboard", [])
        return as_message(shown)

    async def _do_delete_message(self, params: dict[str, Any]) -> Any:
        self._message(params).deleted = True
        return True

    async def _do_send_chat_action(self, params: dict[str, Any]) -> Any:
        self._chat(params)
        return True

    async def _do_send_message_draft(self, params: dict[str, Any]) -> Any:
        if self._chat(params) < 0 or not int(params["draft_id"]):
            raise RefusalError(bad_request())
        self.drafts.append(parsed(params).text)
        return True

    async def _do_answer_callback_query(self, params: dict[str, Any]) -> Any:
        self.callbacks.append((params["callback_query_id"], params.get("text", "")))
        return True

    async def _do_set_my_commands(self, params: dict[str, Any]) -> Any:
        self.menus.append(params)
        return True

    async def _do_set_my_description(self, params: dict[str, Any]) -> Any:
        return True

    async def _do_set_my_short_description(self, params: dict[str, Any]) -> Any:
        return True

    async def _do_get_chat(self, params: dict[str, Any]) -> Any:
        return {"id": self._chat(params), "type": "supergroup", "accent_color_id": 0, "max_reaction_count": 1}

    async def _do_get_chat_member(self, params: dict[str, Any]) -> Any:
        user = int(params["user_id"])
        admin = (self._chat(params), user) in self.admins
        rights = dict.fromkeys(RIGHTS, False) if admin else {}
        status = "administrator" if admin else "member"
        return {"status": status, "user": {"id": user, "is_bot": False, "first_name": "Ana"}, **rights}

    def _chat(self, params: Mapping[str, Any]) -> int:
        chat = int(params["chat_id"])
        if chat in self.blocked:
            raise RefusalError(BLOCKED)
        if chat in self.migrated:
            raise RefusalError(migrated_to(self.migrated[chat]))
        return chat

    def _message(self, params: Mapping[str, Any]) -> Shown:
        shown = self.messages.get((self._chat(params), int(params["message_id"])))
        if shown is None or shown.deleted:
            raise RefusalError(bad_request("Bad Request: message to edit not found"))
        return shown

    def _put(self, shown: Shown, text: Parsed, params: Mapping[str, Any]) -> Any:
        markup = params.get("reply_markup") or {}
        shown.text, shown.entities = text.text, text.entities
        shown.keyboard, shown.forced_reply = markup.get("inline_keyboard", []), bool(markup.get("force_reply"))
        shown.states.append(text.text)
        return as_message(shown)

    async def _deliver(self) -> None:
        """Posts updates to the webhook in order, each until it is taken."""
        async with aiohttp.ClientSession() as session:
            while True:
                await self._await_work()
                number = self.pending()[0]
                status = await self._post(session, self._updates[number])
                self.deliveries.append((number, status))
                if 200 <= status < 300:
                    self._updates.pop(number, None)
                else:
                    await asyncio.sleep(0.02)
                await self._notify()

    async def _await_work(self) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: bool(self.webhook and self._updates))

    async def _post(self, session: aiohttp.ClientSession, update: dict[str, Any]) -> int:
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.webhook["secret"]}
        try:
            async with session.post(self.webhook["url"], json=update, headers=headers) as response:
                return response.status
        except aiohttp.ClientError:
            return 0

    async def _control_push(self, request: web.Request) -> web.Response:
        return web.json_response({"update_id": await self.push(**await request.json())})

    async def _control_messages(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(shown) for shown in self.messages.values()])

    async def _control_calls(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(call) for call in self.calls])


async def _main(port: int) -> None:
    telegram = LoopbackTelegram()
    await telegram.start(port)
    print(telegram.api_url, TOKEN, flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        await telegram.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_main(parser.parse_args().port))
