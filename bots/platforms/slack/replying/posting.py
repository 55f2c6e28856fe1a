"""The calls of one reply in one thread: stream, post, update, delete, and search after a crash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bots.messages import IncomingMessage, OutgoingReply
from bots.platforms.slack.calls import CallError, SlackCalls
from bots.platforms.slack.replying.blocks import METADATA, RICHNESS_LEVELS, Block, Richness, body, footer, metadata
from bots.platforms.slack.replying.formatting import escape

PATIENCE = 5.0
"""Seconds that the last step of a reply waits for Slack's limits; afterwards the inbox delivers it again later."""

_BLOCK_ERRORS = frozenset({"invalid_blocks", "invalid_blocks_format", "invalid_arguments", "unsupported_block_type"})
_NOTICE_CHARACTERS = 300
CLOCK_SKEW_SECONDS = 5.0
"""Seconds by which Slack's clock may be behind ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a reply goes. ``question_ts`` is the timestamp of the question, by Slack's clock."""

    team: str
    channel: str
    thread: str
    user: str
    user_team: str
    question_ts: str

    @classmethod
    def of(cls, message: IncomingMessage) -> Place:
        """The place that the receiver wrote into the message's address."""
        address = message.address
        return cls(
            team=address["team"],
            channel=address["channel"],
            thread=address["thread_ts"],
            user=message.sender.id,
            user_team=address.get("user_team") or address["team"],
            question_ts=address["ts"],
        )


class Poster:
    """Writes the messages of one turn. Everything raises ``CallError``."""

    def __init__(self, calls: SlackCalls, place: Place, turn: str, conversation: str) -> None:
        self._calls = calls
        self._place = place
        self._turn = turn
        self._conversation = conversation

    def footer_blocks(self, reply: OutgoingReply | None, richness: Richness = "native") -> list[Block]:
        """The blocks under the last message of ``reply``; none under the others, for which ``reply`` is None."""
        return footer(reply, self._conversation, richness) if reply is not None else []

    async def start_stream(self, text: str) -> str:
        """The timestamp of a new stream that shows ``text``. Does not wait for limits: the caller posts instead."""
        place = self._place
        answer = await self._calls(
            "chat.startStream",
            channel=place.channel,
            thread_ts=place.thread,
            markdown_text=text,
            # Slack requires the recipient where it streams to a channel.
            recipient_user_id=place.user,
            recipient_team_id=place.user_team,
        )
        return _ts(answer, "chat.startStream")

    async def append(self, ts: str, text: str) -> None:
        await self._calls("chat.appendStream", channel=self._place.channel, ts=ts, markdown_text=text)

    async def stop(self, ts: str, text: str = "", blocks: list[Block] | None = None) -> None:
        """Ends a stream with its last text and the blocks below it."""
        await self._calls(
            "chat.stopStream",
            channel=self._place.channel,
            # A stop that shows nothing new is not worth waiting for.
            patience=PATIENCE if text or blocks else 0.0,
            ts=ts,
            markdown_text=text or None,
            blocks=blocks or None,
            metadata=metadata(self._turn),
        )

    async def post(self, text: str, reply: OutgoingReply | None, *, patience: float) -> str:
        """The timestamp of a new message; with ``reply``, its footer is below the text."""
        # Slack would otherwise put a preview of every linked page under the answer.
        extra = {"thread_ts": self._place.thread, "unfurl_links": False, "unfurl_media": False}
        return await self._send_with_fallback("chat.postMessage", text, reply, patience=patience, extra=extra)

    async def update(self, ts: str, text: str, reply: OutgoingReply | None, *, patience: float) -> None:
        await self._send_with_fallback("chat.update", text, reply, patience=patience, extra={"ts": ts})

    async def delete(self, ts: str) -> None:
        """Deletes a message; no error if it does not exist."""
        try:
            await self._calls("chat.delete", channel=self._place.channel, patience=PATIENCE, ts=ts)
        except CallError as error:
            if not error.no_effect or error.rate_limited:
                raise

    async def find(self, bot: str, since: datetime, known: frozenset[str]) -> str:
        """The timestamp of a message of this turn whose id was lost in a crash; empty for none.

        A message that is complete carries the turn in its metadata (reading needs the scope metadata.message:read), so the
        reply of another turn is never taken. A stream carries no metadata before it ends: one of the bot's that is newer than
        the stored intent to reply is taken as this turn's.
        """
        try:
            answer = await self._calls(
                "conversations.replies",
                channel=self._place.channel,
                patience=PATIENCE,
                ts=self._place.thread,
                oldest=self._place.question_ts,
                include_all_metadata="true",
                limit=200,
            )
        except CallError as error:
            if error.no_effect and not error.rate_limited:
                return ""
            raise
        earliest = since.timestamp() - CLOCK_SKEW_SECONDS
        own = [m for m in answer.get("messages") or () if m.get("user") == bot and m.get("ts") not in known]
        return next((str(m["ts"]) for m in own if self._belongs_to_turn(m, earliest)), "")

    def _belongs_to_turn(self, message: Mapping[str, Any], earliest: float) -> bool:
        stored = message.get("metadata") or {}
        if stored.get("event_type") == METADATA:
            return bool((stored.get("event_payload") or {}).get("turn_id") == self._turn)
        return float(message["ts"]) >= earliest

    async def _send_with_fallback(
        self, method: str, text: str, reply: OutgoingReply | None, *, patience: float, extra: Mapping[str, Any]
    ) -> str:
        """Tries native buttons, then ordinary ones, then text alone, while Slack refuses the blocks."""
        # Without a text there is nothing to fall back to: the message consists of blocks.
        levels = RICHNESS_LEVELS if text else RICHNESS_LEVELS[:-1]
        for richness in levels:
            content = self._content(text, reply, richness)
            try:
                answer = await self._calls(
                    method,
                    channel=self._place.channel,
                    patience=patience,
                    metadata=metadata(self._turn),
                    **content,
                    **extra,
                )
            except CallError as error:
                if richness == levels[-1] or error.code not in _BLOCK_ERRORS:
                    raise
            else:
                return _ts(answer, method)
        raise AssertionError("unreachable: the last level returns or raises")

    def _content(self, text: str, reply: OutgoingReply | None, richness: Richness) -> dict[str, Any]:
        if richness == "text":
            return {"markdown_text": text}
        return {"blocks": [*body(text), *self.footer_blocks(reply, richness)], "text": _summary(text)}


def _summary(text: str) -> str:
    """The text for notifications and screen readers, in ``mrkdwn``."""
    return escape(text)[:_NOTICE_CHARACTERS] or "…"


def _ts(answer: Mapping[str, Any], method: str) -> str:
    ts = answer.get("ts")
    if not isinstance(ts, str) or not ts:
        # The message may well stand there: without its id only a rewriting can find it.
        raise CallError(method, "answer_without_ts", no_effect=False)
    return ts
