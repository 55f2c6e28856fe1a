"""The verbs of one reply in one thread: stream, post, update, delete, find again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bots.messages import IncomingMessage, OutgoingReply
from bots.platforms.slack.calls import CallError, SlackCalls
from bots.platforms.slack.replying.blocks import DRESSES, METADATA, Block, Dress, body, furniture, metadata
from bots.platforms.slack.replying.formatting import escape

PATIENCE = 5.0
"""Seconds that the last step of a reply waits for Slack's limits before the inbox tries again later."""

_UNDRESSING = frozenset({"invalid_blocks", "invalid_blocks_format", "invalid_arguments", "unsupported_block_type"})
_NOTICE_CHARACTERS = 300
CLOCKS_APART = 5.0
"""Seconds that Slack's clock may be behind ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a reply goes. ``asked`` is the timestamp of the question, by Slack's clock."""

    team: str
    channel: str
    thread: str
    user: str
    user_team: str
    asked: str

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
            asked=address["ts"],
        )


class Poster:
    """Writes the messages of one turn. Everything raises ``CallError``."""

    def __init__(self, calls: SlackCalls, place: Place, turn: str, conversation: str) -> None:
        self._calls = calls
        self._place = place
        self._turn = turn
        self._conversation = conversation

    def below(self, reply: OutgoingReply | None, dress: Dress = "native") -> list[Block]:
        """What stands under the last message of ``reply``; nothing under the others."""
        return furniture(reply, self._conversation, dress) if reply is not None else []

    async def start_stream(self, text: str) -> str:
        """The timestamp of a new stream that shows ``text``. Never waits: a limited start falls back to a post."""
        place = self._place
        answer = await self._calls(
            "chat.startStream",
            channel=place.channel,
            thread_ts=place.thread,
            markdown_text=text,
            recipient_user_id=place.user,
            recipient_team_id=place.user_team,
        )
        return _ts(answer, "chat.startStream")

    async def append(self, ts: str, text: str) -> None:
        await self._calls("chat.appendStream", channel=self._place.channel, ts=ts, markdown_text=text)

    async def stop(self, ts: str, text: str = "", blocks: list[Block] | None = None) -> None:
        """Ends a stream with its last words and what stands below them."""
        await self._calls(
            "chat.stopStream",
            channel=self._place.channel,
            patience=PATIENCE if text or blocks else 0.0,
            ts=ts,
            markdown_text=text or None,
            blocks=blocks or None,
            metadata=metadata(self._turn),
        )

    async def post(self, text: str, reply: OutgoingReply | None, *, patience: float) -> str:
        """The timestamp of a new message; with ``reply``, its furniture stands below."""
        more = {"thread_ts": self._place.thread, "unfurl_links": False, "unfurl_media": False}
        return await self._dressed("chat.postMessage", text, reply, patience=patience, more=more)

    async def update(self, ts: str, text: str, reply: OutgoingReply | None, *, patience: float) -> None:
        await self._dressed("chat.update", text, reply, patience=patience, more={"ts": ts})

    async def delete(self, ts: str) -> None:
        """Removes a message; one that is gone already is no failure."""
        try:
            await self._calls("chat.delete", channel=self._place.channel, patience=PATIENCE, ts=ts)
        except CallError as failed:
            if not failed.certain or failed.limited:
                raise

    async def find(self, bot: str, since: datetime, known: frozenset[str]) -> str:
        """The timestamp of a message of this turn whose id was lost in a crash, or nothing.

        Streams carry no metadata before they end: of those, one of ours that is newer than the intent to reply. Whatever
        did end carries it (readable with the scope metadata.message:read), so another turn's reply is never taken.
        """
        try:
            answer = await self._calls(
                "conversations.replies",
                channel=self._place.channel,
                patience=PATIENCE,
                ts=self._place.thread,
                oldest=self._place.asked,
                include_all_metadata="true",
                limit=200,
            )
        except CallError as failed:
            if failed.certain and not failed.limited:
                return ""
            raise
        earliest = since.timestamp() - CLOCKS_APART
        own = [m for m in answer.get("messages") or () if m.get("user") == bot and m.get("ts") not in known]
        return next((str(m["ts"]) for m in own if self._is_ours(m, earliest)), "")

    def _is_ours(self, message: Mapping[str, Any], earliest: float) -> bool:
        marked = message.get("metadata") or {}
        if marked.get("event_type") == METADATA:
            return bool((marked.get("event_payload") or {}).get("turn_id") == self._turn)
        return float(message["ts"]) >= earliest

    async def _dressed(
        self, method: str, text: str, reply: OutgoingReply | None, *, patience: float, more: Mapping[str, Any]
    ) -> str:
        """Tries with native buttons, then ordinary ones, then text alone, as far as the workspace refuses blocks."""
        dresses = DRESSES if text else DRESSES[:-1]
        for dress in dresses:
            shape = self._shape(text, reply, dress)
            try:
                answer = await self._calls(
                    method,
                    channel=self._place.channel,
                    patience=patience,
                    metadata=metadata(self._turn),
                    **shape,
                    **more,
                )
            except CallError as failed:
                if dress == dresses[-1] or failed.code not in _UNDRESSING:
                    raise
            else:
                return _ts(answer, method)
        raise AssertionError("unreachable: the last dress returns or raises")

    def _shape(self, text: str, reply: OutgoingReply | None, dress: Dress) -> dict[str, Any]:
        if dress == "bare":
            return {"markdown_text": text}
        return {"blocks": [*body(text), *self.below(reply, dress)], "text": _summary(text)}


def _summary(text: str) -> str:
    """For notifications and screen readers, in ``mrkdwn``."""
    return escape(text)[:_NOTICE_CHARACTERS] or "…"


def _ts(answer: Mapping[str, Any], method: str) -> str:
    ts = answer.get("ts")
    if not isinstance(ts, str) or not ts:
        raise CallError(method, "answer_without_ts", certain=False)
    return ts
