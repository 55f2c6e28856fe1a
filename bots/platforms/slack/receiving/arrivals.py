"""From what was heard to a message in the inbox: whether it is for us, and which conversation it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bots.messages import IncomingMessage, Sender
from bots.platforms.slack.receiving.events import Heard, command, readable, team_of
from bots.platforms.slack.settings import SlackSettings
from bots.platforms.slack.threads import Threads


class Arrivals:
    """The rules of hearing. One or two look-ups in Redis, no call to Slack: the acknowledgement waits for this."""

    def __init__(self, settings: SlackSettings, threads: Threads) -> None:
        self._settings = settings
        self._threads = threads

    async def message(self, heard: Heard) -> IncomingMessage | None:
        """The message to accept, or None for what is not meant for the bot. Raises ``StoreUnavailable``."""
        if not await self._for_us(heard):
            return None
        root = heard.root
        if heard.direct:
            root = await self._threads.place(heard.team, heard.channel, heard.ts, heard.thread)
        elif heard.mentioned and heard.kind == "question":
            await self._threads.join(heard.team, heard.channel, heard.root)
        return _message(heard, root)

    async def slash(self, body: Mapping[str, Any]) -> IncomingMessage | None:
        """The message that a slash command stands for, or None for one without a trigger. Raises ``StoreUnavailable``."""
        field = {name: str(body.get(name) or "") for name in _SLASH_FIELDS}
        if not all(field[name] for name in ("trigger_id", "channel_id", "user_id")):
            return None
        text = readable(field["text"])
        asks = field["command"] == "/ask" and bool(text)
        name, argument = ("", text) if asks else (command(text) or ("help", ""))
        return IncomingMessage(
            id=f"slack:command:{field['trigger_id']}",
            seen=(f"slack:command:{field['trigger_id']}",),
            platform="slack",
            conversation=await self._of_slash(team_of(body), field["channel_id"], field["user_id"], asks=asks),
            kind="question" if asks else "command",
            command=name,
            text=argument,
            sender=Sender(id=field["user_id"], guest=True),
            channel="ephemeral",
            received_at=datetime.now(UTC),
            address={
                "team": team_of(body),
                "channel": field["channel_id"],
                "user": field["user_id"],
                "response_url": field["response_url"],
            },
        )

    async def left(self, message: IncomingMessage) -> None:
        """After ``new`` in a direct channel the next unthreaded message begins a conversation."""
        channel = message.address.get("channel", "")
        if message.command == "new" and channel.startswith("D"):
            await self._threads.leave(message.address.get("team", ""), channel)

    async def _for_us(self, heard: Heard) -> bool:
        if heard.kind != "question":
            return await self._threads.accepted(heard.message_id)
        if heard.direct or heard.mentioned:
            return True
        follows = self._settings.follow_threads and heard.channel not in self._settings.quiet_channels
        if not follows or not heard.thread or heard.others:
            return False
        return await self._threads.joined(heard.team, heard.channel, heard.thread)

    async def _of_slash(self, team: str, channel: str, user: str, *, asks: bool) -> str:
        """A command typed in the bot's own channel is about the latest conversation there."""
        latest = await self._threads.latest(team, channel) if channel.startswith("D") and not asks else ""
        return f"slack:{team}:{channel}:{latest or user}"


_SLASH_FIELDS = ("trigger_id", "channel_id", "user_id", "text", "command", "response_url")


def _message(heard: Heard, root: str) -> IncomingMessage:
    """Sender and channel are the least trusted until somebody looks them up (``Directory.resolve``)."""
    given = command(heard.text) if heard.kind == "question" else None
    if heard.kind == "question" and not heard.text and not heard.attachments:
        given = ("help", "")
    identity = _identity(heard)
    return IncomingMessage(
        id=identity,
        seen=(identity, f"slack:event:{heard.event}") if heard.event else (identity,),
        platform="slack",
        conversation=f"slack:{heard.team}:{heard.channel}:{root}",
        kind="command" if given else heard.kind,
        command=given[0] if given else "",
        text=given[1] if given else heard.text,
        sender=Sender(id=heard.user, guest=True),
        channel="direct" if heard.direct else "shared",
        received_at=datetime.now(UTC),
        address={
            "team": heard.team,
            "channel": heard.channel,
            "thread_ts": heard.root,
            "ts": heard.ts,
            "user": heard.user,
            "user_team": heard.user_team,
        },
        original="" if heard.kind == "question" else heard.message_id,
        attachments=heard.attachments,
    )


def _identity(heard: Heard) -> str:
    if heard.kind == "question":
        return heard.message_id
    return f"slack:{heard.kind}:{heard.team}:{heard.channel}:{heard.ts}:{heard.changed_at}"
