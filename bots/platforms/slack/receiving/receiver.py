"""The bolt app and its listeners, one for each kind of payload.

A listener returns after the message or the press is stored, and only then does bolt acknowledge
(``process_before_response``; without it bolt 1.30 acknowledges first). Optional interface calls (titles, suggested prompts,
modals) run in the background.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import structlog
from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.middleware.async_middleware import AsyncMiddleware
from slack_bolt.request.async_request import AsyncBoltRequest

from bots.errors import DeliveryRetry
from bots.platforms.base import Accept
from bots.platforms.slack import words
from bots.platforms.slack.calls import CallError, SlackCalls
from bots.platforms.slack.directory import Directory
from bots.platforms.slack.handover.blocks import RESUME
from bots.platforms.slack.handover.channel import SlackHandover
from bots.platforms.slack.identity import Identity
from bots.platforms.slack.receiving.arrivals import Arrivals
from bots.platforms.slack.receiving.events import Utterance, parse_event, team_of, well_formed
from bots.platforms.slack.receiving.feedback import (
    REASONS,
    Store,
    modal,
    read_press,
    store_press,
    store_reason,
    user_of,
)
from bots.platforms.slack.receiving.sharing import Sharing
from bots.platforms.slack.replying.blocks import FEEDBACK, SHARE
from bots.platforms.slack.threads import Threads
from rag.errors import StoreUnavailable

Body = Mapping[str, Any]
log = structlog.get_logger()
_bolt_log = logging.getLogger("cotorra.slack.bolt")
_bolt_log.setLevel(logging.ERROR)  # below that, bolt (1.30) writes payloads into its warnings
_ANY = re.compile(".*")
_TITLE_CHARACTERS = 60
_DRAIN_SECONDS = 5.0


class Receiver:
    """Receives payloads over HTTP or Socket Mode; both use the same listeners."""

    def __init__(
        self,
        *,
        calls: SlackCalls,
        identity: Identity,
        arrivals: Arrivals,
        threads: Threads,
        directory: Directory,
        sharing: Sharing,
        feedback: Store,
        busy: Callable[[], bool],
        handover: SlackHandover | None = None,
    ) -> None:
        self._calls = calls
        self._identity = identity
        self._arrivals = arrivals
        self._threads = threads
        self._directory = directory
        self._sharing = sharing
        self._feedback = feedback
        self._busy = busy
        self._handover = handover
        self._accept: Accept | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._titles_supported = True
        self._last_payload_at = time.monotonic()

    def listen(self, accept: Accept) -> None:
        """From now on payloads are accepted; before, they are answered with 503, and Slack sends them again."""
        self._accept = accept

    def app(self, signing_secret: str) -> AsyncApp:
        """The bolt app. It makes no call of its own before it acknowledges."""

        # Bolt (1.30) takes no bound method here.
        async def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
            return await self._authorize(enterprise_id, team_id)

        app = AsyncApp(
            name="cotorra",
            logger=_bolt_log,
            client=self._calls.client,
            authorize=authorize,
            before_authorize=_Admission(self._admit),
            signing_secret=signing_secret,
            process_before_response=True,
            # Not needed: parse_event leaves out the bot's own messages, and no listener uses what the others attach.
            ignoring_self_events_enabled=False,
            attaching_function_token_enabled=False,
            attaching_conversation_kwargs_enabled=False,
        )
        app.error(_on_error)
        # Bolt runs the first listener that matches, so each catch-all comes last; without one it answers 404.
        for event in ("message", "app_mention"):
            app.event(event)(self._on_message)
        app.event("assistant_thread_started")(self._on_pane)
        app.event("app_home_opened")(self._on_home)
        app.event(_ANY)(_ignore)
        app.command(_ANY)(self._on_command)
        app.action(re.compile(f"^{FEEDBACK}"))(self._on_press)
        app.action(SHARE)(self._on_share)
        app.action(RESUME)(self._on_resume)
        app.action(_ANY)(_ignore)
        app.view(REASONS)(self._on_reason)
        app.view(_ANY)(_ignore)
        return app

    def seconds_since_last_event(self) -> float:
        """Seconds since the last payload from Slack, or since this object was built."""
        return time.monotonic() - self._last_payload_at

    async def stop(self) -> None:
        """Accepts nothing more; background calls have five seconds to end."""
        self._accept = None
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_DRAIN_SECONDS)
        # Their calls need the connection pool, which the platform closes next.
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _authorize(self, enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
        bot = await self._identity.bot()
        return AuthorizeResult(
            enterprise_id=enterprise_id,
            team_id=team_id,
            bot_user_id=bot.user,
            bot_id=bot.bot_id,
            bot_token=self._calls.client.token,
        )

    async def _on_message(self, body: Body) -> None:
        bot = await self._identity.bot()
        utterance = parse_event(body, bot.user)
        message = await self._arrivals.message(utterance) if utterance is not None else None
        if utterance is None or message is None:
            return
        new = await self._require_accept()(message)
        await self._arrivals.end_direct_conversation(message)
        if new and utterance.direct and message.kind == "question" and self._titles_supported and not self._busy():
            self._run_in_background(self._title(utterance))

    async def _on_command(self, ack: AsyncAck, body: Body) -> None:
        message = await self._arrivals.slash(body)
        if message is not None:
            await self._require_accept()(message)
            await self._arrivals.end_direct_conversation(message)
        await ack()

    async def _on_press(self, ack: AsyncAck, body: Body) -> None:
        press = await store_press(body, self._feedback)
        # Slack opens a modal within three seconds of the press only; the rating does not wait for that.
        trigger = body.get("trigger_id")
        if press is not None and press.rating == "down" and trigger:
            self._run_in_background(self._call("views.open", trigger_id=trigger, view=modal(press)))
        await ack()

    async def _on_reason(self, ack: AsyncAck, body: Body) -> None:
        await store_reason(body, self._feedback)
        await ack()

    async def _on_share(self, ack: AsyncAck, body: Body) -> None:
        press = read_press(body)
        if press is not None:
            self._run_in_background(self._sharing.share(body, press, team_of(body), user_of(body)))
        await ack()

    async def _on_resume(self, ack: AsyncAck, body: Body) -> None:
        message = await self._handover.message_for_press(body) if self._handover is not None else None
        if message is not None:
            await self._require_accept()(message)
        await ack()

    async def _on_pane(self, body: Body) -> None:
        thread = body["event"].get("assistant_thread")
        if isinstance(thread, dict) and thread.get("channel_id"):
            user, channel = str(thread.get("user_id") or ""), str(thread["channel_id"])
            self._run_in_background(self._suggest(team_of(body), user, channel, thread.get("thread_ts")))

    async def _on_home(self, body: Body) -> None:
        event = body["event"]
        if event.get("tab") == "messages" and event.get("channel"):
            self._run_in_background(
                self._suggest(team_of(body), str(event.get("user") or ""), str(event["channel"]), None)
            )

    def _admit(self, body: Any) -> int:
        """The HTTP status that ends a payload here (200: ignored), or 0 to process it. Its signature is already verified."""
        self._last_payload_at = time.monotonic()
        if not well_formed(body):
            return 200
        return 503 if self._accept is None else 0

    def _require_accept(self) -> Accept:
        if self._accept is None:
            raise StoreUnavailable("the service is stopping; nothing was accepted")
        return self._accept

    async def _suggest(self, team: str, user: str, channel: str, thread: str | None) -> None:
        language = await self._directory.language(team, user)
        await self._call(
            "assistant.threads.setSuggestedPrompts",
            channel_id=channel,
            thread_ts=thread,
            title=words.word("prompts", language),
            prompts=words.prompts(language),
        )

    async def _title(self, question: Utterance) -> None:
        """Names a thread after its first question; after a refusal the workspace is not asked again."""
        title = " ".join(question.text.split())[:_TITLE_CHARACTERS]
        if not title or not await self._threads.first_time("title", question.channel, question.root):
            return
        try:
            await self._calls(
                "assistant.threads.setTitle", channel_id=question.channel, thread_ts=question.root, title=title
            )
        except CallError as error:
            self._titles_supported = error.rate_limited or not error.no_effect

    async def _call(self, method: str, **arguments: Any) -> None:
        await self._calls(method, patience=1.0, **arguments)

    def _run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_run_optional(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Admission(AsyncMiddleware):
    """Runs between verification and authorization. A class, because bolt (1.30) fails on odd payloads before a function runs."""

    def __init__(self, admit: Callable[[Any], int]) -> None:
        self._admit = admit

    async def async_process(
        self,
        *,
        req: AsyncBoltRequest,
        resp: BoltResponse,  # noqa: ARG002
        next: Callable[[], Awaitable[BoltResponse]],
    ) -> BoltResponse | None:
        status = self._admit(req.body)
        return BoltResponse(status=status, body="") if status else await next()


async def _run_optional(work: Coroutine[Any, Any, None]) -> None:
    """Runs an optional interface call, which may fail; the failed call is counted where it was made."""
    with suppress(CallError, StoreUnavailable):
        await work


async def _ignore(ack: AsyncAck) -> None:
    await ack()


async def _on_error(error: Exception) -> BoltResponse:
    """Slack sends again what was answered with a 5xx; in Socket Mode, what was not acknowledged."""
    if isinstance(error, StoreUnavailable | DeliveryRetry):
        return BoltResponse(status=503, body="")
    place = traceback.extract_tb(error.__traceback__)[-1]
    log.error("slack_payload_failed", error=type(error).__name__, at=f"{place.filename}:{place.lineno}")
    return BoltResponse(status=500, body="")
