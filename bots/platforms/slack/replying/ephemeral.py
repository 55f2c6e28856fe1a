"""The answer to a slash command: only the asker sees it, and it is sent when it is complete.

Slack keeps no history of ephemeral messages that could be searched after a crash: one piece may appear twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bots.messages import OutgoingReply
from bots.platforms.slack.calls import CallError, SlackCalls
from bots.platforms.slack.replying.blocks import body, footer, share
from bots.platforms.slack.replying.formatting import escape, harmless, pieces, standalone
from bots.platforms.slack.replying.posting import PATIENCE
from bots.queue.replies import Post, ReplyEntry
from rag.types import Stage

_NOTICE_CHARACTERS = 300


class EphemeralReply:
    """Uses the command's ``response_url`` while that is valid (30 minutes), ``chat.postEphemeral`` afterwards."""

    def __init__(self, *, entry: ReplyEntry, calls: SlackCalls, address: Mapping[str, str]) -> None:
        self._entry = entry
        self._calls = calls
        self._address = address

    async def status(self, stage: Stage) -> None:
        """Does nothing: an ephemeral answer has no status line."""

    async def show(self, text: str) -> None:
        """Does nothing: ``response_url`` accepts five posts in all, too few for an answer that grows."""

    async def finish(self, reply: OutgoingReply) -> None:
        """Sends the pieces that were not sent yet. Raises ``DeliveryRetry`` or ``DeliveryRefused``."""
        if self._entry.record.finished:
            return
        text = harmless(reply.text)
        try:
            for start, end in pieces(text, len(self._entry.record.text)):
                await self._send(self._payload(text, start, end, reply))
                await self._record_post(text, start, end)
        except CallError as error:
            # A piece that did arrive cannot be found again: repeating may show it twice, so an uncertain call uses up a try.
            raise error.delivery(repeatable=False) from error
        await self._entry.save(replace(self._entry.record, finished=True))

    def _payload(self, text: str, start: int, end: int, reply: OutgoingReply) -> dict[str, Any]:
        piece = standalone(text, start, end)
        blocks = body(piece)
        if end == len(text) and reply.kind == "answer":
            conversation = self._entry.record.conversation
            # Who may read an answer follows from its sources, so one without sources has no share button.
            blocks += [*footer(reply, conversation), *([share(reply, conversation)] if reply.sources else [])]
        return {"text": escape(piece)[:_NOTICE_CHARACTERS], "blocks": blocks}

    async def _send(self, payload: Mapping[str, Any]) -> None:
        url = self._address.get("response_url", "")
        if url:
            try:
                await self._calls.respond(url, {"response_type": "ephemeral", "replace_original": False, **payload})
            except CallError as error:
                if not error.no_effect:
                    raise
            else:
                return
        await self._calls(
            "chat.postEphemeral",
            patience=PATIENCE,
            channel=self._address["channel"],
            user=self._address["user"],
            **payload,
        )

    async def _record_post(self, text: str, start: int, end: int) -> None:
        post = Post(id=f"ephemeral:{start}", kind="ephemeral", start=start, shown=end, done=True)
        await self._entry.save(replace(self._entry.record.with_post(post), text=text[:end]))
