"""Showing an answer that only the asker saw to the whole channel, if the whole channel may read its sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bots.errors import DeliveryRetry
from bots.messages import ChannelKind, OutgoingReply
from bots.platforms.slack.calls import CallError, SlackCalls
from bots.platforms.slack.directory import Directory
from bots.platforms.slack.replying.blocks import Press, body, furniture, metadata
from bots.platforms.slack.replying.formatting import escape, harmless, pieces, standalone
from bots.platforms.slack.replying.posting import PATIENCE
from bots.platforms.slack.threads import Threads
from bots.platforms.slack.words import Word, word
from bots.queue.replies import ReplyLedger
from rag.errors import StoreUnavailable


class Sharing:
    """The share button under an ephemeral answer. ``public_channels`` are read by guests."""

    def __init__(
        self,
        calls: SlackCalls,
        ledger: ReplyLedger,
        directory: Directory,
        threads: Threads,
        public_channels: tuple[str, ...],
    ) -> None:
        self._calls = calls
        self._ledger = ledger
        self._directory = directory
        self._threads = threads
        self._public_channels = public_channels

    async def share(self, payload: Mapping[str, Any], press: Press, team: str, user: str) -> None:
        """Posts the answer, or tells the presser why not. A second press does nothing. Raises ``CallError``."""
        channel = str(_table(payload.get("channel")).get("id") or "")
        problem = await self._try(press, team, channel, user)
        url = payload.get("response_url")
        if problem is not None and isinstance(url, str) and url:
            text = word(problem, press.language)
            await self._calls.respond(url, {"response_type": "ephemeral", "replace_original": False, "text": text})

    async def _try(self, press: Press, team: str, channel: str, user: str) -> Word | None:
        try:
            record = await self._ledger.find(press.conversation, press.turn)
            if record is None or record.final is None or not channel:
                return "gone"
            if not self._readable(record.final, channel, await self._directory.channel(team, channel)):
                return "too_private"
            if await self._threads.once("share", press.turn, channel):
                await self._post_once(record.final, channel, user, record.conversation)
        except (CallError, DeliveryRetry, StoreUnavailable):
            return "not_shared"
        return None

    async def _post_once(self, reply: OutgoingReply, channel: str, user: str, conversation: str) -> None:
        """What was refused for certain may be tried again: the presser is told to invite the bot first."""
        try:
            await self._post(reply, channel, user, conversation)
        except CallError as failed:
            if failed.certain:
                await self._threads.undo("share", reply.turn_id, channel)
            raise

    def _readable(self, reply: OutgoingReply, channel: str, kind: ChannelKind) -> bool:
        """Whether everyone in the channel may read every source; group audiences never reach a channel.

        Words without a source stay where they are: "I don't know" names the closest page, whoever may read that.
        """
        outsiders = kind == "shared" or channel in self._public_channels
        allowed = {"public"} if outsiders else {"public", "employees"}
        return bool(reply.sources) and all(source.passage.audience in allowed for source in reply.sources)

    async def _post(self, reply: OutgoingReply, channel: str, user: str, conversation: str) -> None:
        text = harmless(reply.text)
        by = {"type": "mrkdwn", "text": f"{escape(word('shared_by', reply.language))} <@{user}>"}
        for start, end in pieces(text):
            head = [] if start else [{"type": "context", "elements": [by]}]
            tail = furniture(reply, conversation) if end == len(text) else []
            await self._calls(
                "chat.postMessage",
                channel=channel,
                patience=PATIENCE,
                text=escape(text[start:end])[:300],
                blocks=[*head, *body(standalone(text, start, end)), *tail],
                metadata=metadata(reply.turn_id),
                unfurl_links=False,
                unfurl_media=False,
            )


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
