"""Shares an ephemeral answer with the whole channel, if everyone in the channel may read its sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bots.errors import DeliveryRetry
from bots.messages import ChannelKind, OutgoingReply
from bots.platforms.slack.calls import CallError, SlackCalls
from bots.platforms.slack.directory import Directory
from bots.platforms.slack.replying.blocks import Press, body, footer, metadata
from bots.platforms.slack.replying.formatting import escape, harmless, pieces, standalone
from bots.platforms.slack.replying.posting import PATIENCE
from bots.platforms.slack.threads import Threads
from bots.platforms.slack.words import Word, word
from bots.queue.replies import ReplyLedger
from rag.errors import StoreUnavailable


class Sharing:
    """Handles the share button. ``public_channels``: ids of internal channels that guests read."""

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
        """Posts the answer, or tells the person who pressed why not. A second press does nothing. Raises ``CallError``."""
        channel = str(_table(payload.get("channel")).get("id") or "")
        problem = await self._share_problem(press, team, channel, user)
        url = payload.get("response_url")
        if problem is not None and isinstance(url, str) and url:
            text = word(problem, press.language)
            await self._calls.respond(url, {"response_type": "ephemeral", "replace_original": False, "text": text})

    async def _share_problem(self, press: Press, team: str, channel: str, user: str) -> Word | None:
        try:
            record = await self._ledger.find(press.conversation, press.turn)
            if record is None or record.final is None or not channel:
                return "too_old"
            if not self._may_be_shared(record.final, channel, await self._directory.channel(team, channel)):
                return "too_private"
            # Marked before the post: of two presses at once, one posts.
            if await self._threads.first_time("share", press.turn, channel):
                await self._post_once(record.final, channel, user, record.conversation)
        except (CallError, DeliveryRetry, StoreUnavailable):
            return "not_shared"
        return None

    async def _post_once(self, reply: OutgoingReply, channel: str, user: str, conversation: str) -> None:
        """Posts; a post that Slack refused may be tried again, once the person has invited the bot to the channel."""
        try:
            await self._post(reply, channel, user, conversation)
        except CallError as error:
            if error.no_effect:
                await self._threads.reset_first_time("share", reply.turn_id, channel)
            raise

    def _may_be_shared(self, reply: OutgoingReply, channel: str, kind: ChannelKind) -> bool:
        """Whether everyone in the channel may read every source; documents of a group audience are never shared.

        An answer without sources is not shared: "I don't know" names the closest page, which not everybody may read.
        """
        outsiders = kind == "shared" or channel in self._public_channels
        allowed = {"public"} if outsiders else {"public", "employees"}
        return bool(reply.sources) and all(source.passage.audience in allowed for source in reply.sources)

    async def _post(self, reply: OutgoingReply, channel: str, user: str, conversation: str) -> None:
        text = harmless(reply.text)
        by = {"type": "mrkdwn", "text": f"{escape(word('shared_by', reply.language))} <@{user}>"}
        for start, end in pieces(text):
            head = [] if start else [{"type": "context", "elements": [by]}]
            tail = footer(reply, conversation) if end == len(text) else []
            await self._calls(
                "chat.postMessage",
                channel=channel,
                patience=PATIENCE,
                # Notifications show this text; the channel shows the blocks.
                text=escape(text[start:end])[:300],
                blocks=[*head, *body(standalone(text, start, end)), *tail],
                metadata=metadata(reply.turn_id),
                unfurl_links=False,
                unfurl_media=False,
            )


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
