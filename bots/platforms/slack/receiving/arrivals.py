"""Turns utterances and slash commands into inbox messages: whether they are meant for the bot, and their conversation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bots.messages import IncomingMessage, Sender
from bots.platforms.slack.receiving.events import Utterance, command, team_of, visible_text
from bots.platforms.slack.settings import SlackSettings
from bots.platforms.slack.threads import Threads


class Arrivals:
    """Decides what becomes a message. At most two look-ups in Redis and no call to Slack: the acknowledgement waits for it."""

    def __init__(self, settings: SlackSettings, threads: Threads) -> None:
        self._settings = settings
        self._threads = threads

    async def message(self, utterance: Utterance) -> IncomingMessage | None:
        """The message to accept, or None for an utterance that is not meant for the bot. Raises ``StoreUnavailable``."""
        if not await self._is_for_bot(utterance):
            return None
        root = utterance.root
        if utterance.direct:
            root = await self._threads.assign_root(utterance.team, utterance.channel, utterance.ts, utterance.thread)
        elif utterance.mentioned and utterance.kind == "question":
            await self._threads.join(utterance.team, utterance.channel, utterance.root)
        return _message(utterance, root)

    async def slash(self, body: Mapping[str, Any]) -> IncomingMessage | None:
        """The message that a slash command stands for, or None for one without a trigger. Raises ``StoreUnavailable``."""
        field = {name: str(body.get(name) or "") for name in _SLASH_FIELDS}
        if not all(field[name] for name in ("trigger_id", "channel_id", "user_id")):
            return None
        text = visible_text(field["text"])
        asks = field["command"] == "/ask" and bool(text)
        name, argument = ("", text) if asks else (command(text) or ("help", ""))
        return IncomingMessage(
            id=f"slack:command:{field['trigger_id']}",
            seen=(f"slack:command:{field['trigger_id']}",),
            platform="slack",
            conversation=await self._slash_conversation(
                team_of(body), field["channel_id"], field["user_id"], asks=asks
            ),
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

    async def end_direct_conversation(self, message: IncomingMessage) -> None:
        """After the command ``new`` in a direct channel, the next unthreaded message begins a conversation."""
        # Only channels of direct messages have ids that begin with D.
        channel = message.address.get("channel", "")
        if message.command == "new" and channel.startswith("D"):
            await self._threads.forget_latest(message.address.get("team", ""), channel)

    async def _is_for_bot(self, utterance: Utterance) -> bool:
        # An edit or a deletion concerns us only where we accepted the message itself.
        if utterance.kind != "question":
            return await self._threads.is_accepted(utterance.message_id)
        if utterance.direct or utterance.mentioned:
            return True
        follows = self._settings.follow_threads and utterance.channel not in self._settings.quiet_channels
        if not follows or not utterance.thread or utterance.others:
            return False
        return await self._threads.is_joined(utterance.team, utterance.channel, utterance.thread)

    async def _slash_conversation(self, team: str, channel: str, user: str, *, asks: bool) -> str:
        """The conversation of a slash command: the latest one in the bot's own channel, elsewhere one a person and channel."""
        latest = await self._threads.latest(team, channel) if channel.startswith("D") and not asks else ""
        return f"slack:{team}:{channel}:{latest or user}"


_SLASH_FIELDS = ("trigger_id", "channel_id", "user_id", "text", "command", "response_url")


def _message(utterance: Utterance, root: str) -> IncomingMessage:
    """Sender and channel get the narrowest rights until ``Directory.resolve`` looks them up."""
    command_words = command(utterance.text) if utterance.kind == "question" else None
    if utterance.kind == "question" and not utterance.text and not utterance.attachments:
        command_words = ("help", "")
    identity = _identity(utterance)
    return IncomingMessage(
        id=identity,
        seen=(identity, f"slack:event:{utterance.event}") if utterance.event else (identity,),
        platform="slack",
        conversation=f"slack:{utterance.team}:{utterance.channel}:{root}",
        kind="command" if command_words else utterance.kind,
        command=command_words[0] if command_words else "",
        text=command_words[1] if command_words else utterance.text,
        sender=Sender(id=utterance.user, guest=True),
        channel="direct" if utterance.direct else "shared",
        received_at=datetime.now(UTC),
        address={
            "team": utterance.team,
            "channel": utterance.channel,
            "thread_ts": utterance.root,
            "ts": utterance.ts,
            "user": utterance.user,
            "user_team": utterance.user_team,
        },
        original="" if utterance.kind == "question" else utterance.message_id,
        attachments=utterance.attachments,
    )


def _identity(utterance: Utterance) -> str:
    if utterance.kind == "question":
        return utterance.message_id
    # Each edit is a message of its own, so its identity holds the time of the change.
    return f"slack:{utterance.kind}:{utterance.team}:{utterance.channel}:{utterance.ts}:{utterance.changed_at}"
