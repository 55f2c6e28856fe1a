"""The answer to a slash command: only the asker sees it, at once and whole.

Slack keeps no history of such messages, so there is nothing to look in after a crash: one piece may be seen twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bots.messages import OutgoingReply
from bots.platforms.slack.calls import CallError, SlackCalls
from bots.platforms.slack.replying.blocks import body, furniture, share
from bots.platforms.slack.replying.formatting import escape, harmless, pieces, standalone
from bots.platforms.slack.replying.posting import PATIENCE
from bots.queue.replies import Post, ReplyEntry
from rag.types import Stage

_NOTICE_CHARACTERS = 300


class EphemeralReply:
    """Goes by the command's ``response_url`` while that is valid, by ``chat.postEphemeral`` afterwards."""

    def __init__(self, *, entry: ReplyEntry, calls: SlackCalls, address: Mapping[str, str]) -> None:
        self._entry = entry
        self._calls = calls
        self._address = address

    async def status(self, stage: Stage) -> None:
        """An ephemeral answer has no line for it."""

    async def show(self, text: str) -> None:
        """An ephemeral answer does not grow: ``response_url`` takes five posts in all."""

    async def finish(self, reply: OutgoingReply) -> None:
        """Sends the pieces that were not sent yet. Raises ``DeliveryRetry`` or ``DeliveryRefused``."""
        if self._entry.record.finished:
            return
        text = harmless(reply.text)
        try:
            for start, end in pieces(text, len(self._entry.record.text)):
                await self._send(self._payload(text, start, end, reply))
                await self._sent(text, start, end)
        except CallError as failed:
            raise failed.delivery(repeatable=False) from failed
        await self._entry.save(replace(self._entry.record, finished=True))

    def _payload(self, text: str, start: int, end: int, reply: OutgoingReply) -> dict[str, Any]:
        piece = standalone(text, start, end)
        blocks = body(piece)
        if end == len(text) and reply.kind == "answer":
            conversation = self._entry.record.conversation
            # Without a source there is nothing to show, and nothing to tell who may read it.
            blocks += [*furniture(reply, conversation), *([share(reply, conversation)] if reply.sources else [])]
        return {"text": escape(piece)[:_NOTICE_CHARACTERS], "blocks": blocks}

    async def _send(self, payload: Mapping[str, Any]) -> None:
        url = self._address.get("response_url", "")
        if url:
            try:
                await self._calls.respond(url, {"response_type": "ephemeral", "replace_original": False, **payload})
            except CallError as failed:
                if not failed.certain:
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

    async def _sent(self, text: str, start: int, end: int) -> None:
        post = Post(id=f"ephemeral:{start}", kind="ephemeral", start=start, shown=end, done=True)
        await self._entry.save(replace(self._entry.record.with_post(post), text=text[:end]))
