"""A reply in a Telegram chat, shown while it grows.

Each state is written as a whole: the text is rendered and split into pieces, and each piece is sent, or written over its
message by an edit. So the next state repairs whatever a crash, a missed state or a changed split left behind. The offsets of
``Post`` are not needed for that and stay 0. Its id is ``{chat}:{message}``: message ids start again in a supergroup, and an
old id must not name another message there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog
from telegram import InlineKeyboardMarkup

from bots.errors import DeliveryError, DeliveryRefused, DeliveryRetry, LeaseLost
from bots.messages import OutgoingReply
from bots.platforms.base import PlatformMetrics
from bots.platforms.telegram.pacing import Clock, Timing
from bots.platforms.telegram.receiving.feedback import thumbs
from bots.platforms.telegram.replying.formatting import answer_spans, render
from bots.platforms.telegram.replying.screen import Screen, Uncertain
from bots.platforms.telegram.replying.splitting import Piece, split
from bots.platforms.telegram.replying.typing_mark import TypingMark
from bots.queue.replies import Post, ReplyEntry
from rag.types import Stage

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How replies are shown. ``draft``: id of the draft, 0 to edit messages; ``allowed``: @names that may become links."""

    draft: int
    allowed: frozenset[str]
    busy: Callable[[], bool]
    timing: Timing
    clock: Clock
    metrics: PlatformMetrics


class TelegramReply:
    """See ``bots.platforms.base.Reply``."""

    def __init__(self, screen: Screen, entry: ReplyEntry, manner: Manner) -> None:
        self._screen = screen
        self._entry = entry
        self._manner = manner
        self._typing = TypingMark(screen, manner.timing, manner.clock)
        self._draft = manner.draft
        self._streaming = True
        self._shown = False
        self._screen_state: dict[str, tuple[Piece, InlineKeyboardMarkup | None]] = {}

    async def status(self, stage: Stage) -> None:  # noqa: ARG002  (Telegram has one mark for every stage)
        self._typing.keep()

    async def show(self, text: str) -> None:
        """Raises ``LeaseLost`` or ``StoreUnavailable``."""
        try:
            await self._show(text)
        except LeaseLost:  # whoever took the reply over shows the mark
            self._typing.stop()
            raise
        self._typing.keep()  # after the write, which finds out whether the lease still holds

    async def _show(self, text: str) -> None:
        if not self._streaming or not self._screen.free() or (self._shown and self._manner.busy()):
            return
        pieces = split(answer_spans(text, self._manner.allowed))
        try:
            if pieces and await self._stream(pieces):
                self._shown = True
                await self._entry.save(replace(self._entry.record, text=text))
        except DeliveryError as error:
            # A state that is not shown does no harm; after a lost response or a refusal another try would.
            self._streaming = isinstance(error, DeliveryRetry) and not isinstance(error, Uncertain)

    async def _stream(self, pieces: Sequence[Piece]) -> bool:
        # A draft shows the last piece only: earlier pieces are complete and become messages.
        complete = pieces[:-1] if self._draft else pieces
        for position, piece in enumerate(complete):
            if not self._is_current(position, piece, None) and not self._screen.free():
                return False
            await self._write(position, piece, None, patient=False)
        if self._draft and self._screen.free() and not await self._screen.draft(self._draft, pieces[-1]):
            self._draft = 0
        return True

    async def finish(self, reply: OutgoingReply) -> None:
        """Raises ``DeliveryRetry``, ``DeliveryRefused``, ``LeaseLost`` or ``StoreUnavailable``."""
        try:
            if not self._entry.record.finished:
                await self._finish(reply)
        finally:
            self._typing.stop()

    async def _finish(self, reply: OutgoingReply) -> None:
        # Telegram refuses a message without text, and a reply must end on the screen all the same.
        pieces = split(render(reply, self._manner.allowed)) or [Piece(html="…", plain="…")]
        keyboard = thumbs(reply.turn_id) if reply.kind == "answer" else None
        await self._drop_unconfirmed_posts()
        for position, piece in enumerate(pieces):
            await self._write(position, piece, keyboard if piece is pieces[-1] else None, patient=True)
        for post in self._posts[len(pieces) :]:
            await self._screen.delete(_message(post))
        posts = tuple(replace(post, done=True) for post in self._posts[: len(pieces)])
        await self._entry.save(replace(self._entry.record, posts=posts, text=reply.text, finished=True))

    @property
    def _posts(self) -> tuple[Post, ...]:
        """The confirmed messages in the chat under its present id."""
        here = f"{self._screen.target.chat}:"
        return tuple(post for post in self._entry.record.posts if post.id.startswith(here))

    async def _drop_unconfirmed_posts(self) -> None:
        """Drops a send whose response was lost: the Bot API has no history in which it could be found.

        Saving also checks that the lease still holds, before anything is sent.
        """
        if any(not post.id for post in self._entry.record.posts):
            log.warning("telegram.possible_duplicate", turn=self._entry.record.turn_id)
            self._manner.metrics.error("telegram", "sendMessage", "possible_duplicate")
        await self._entry.save(replace(self._entry.record, posts=self._posts))

    def _is_current(self, position: int, piece: Piece, keyboard: InlineKeyboardMarkup | None) -> bool:
        posts = self._posts
        return position < len(posts) and self._screen_state.get(posts[position].id) == (piece, keyboard)

    async def _write(
        self, position: int, piece: Piece, keyboard: InlineKeyboardMarkup | None, *, patient: bool
    ) -> None:
        """Makes the message at ``position`` show ``piece``, by an edit or a new message where it does not already."""
        if self._is_current(position, piece, keyboard):
            return
        if position < len(self._posts):
            post = self._posts[position]
            if await self._screen.edit(_message(post), piece, keyboard, patient=patient):
                self._screen_state[post.id] = (piece, keyboard)
                return
            await self._abandon(position)
        await self._send(piece, keyboard, patient=patient)

    async def _abandon(self, position: int) -> None:
        """Deletes a message that cannot be edited, and all below it, so that the new ones are in order."""
        replaced = self._posts[position:]
        # Saved first: after a crash here a leftover message is better than a record of deleted ones.
        await self._entry.save(replace(self._entry.record, posts=self._posts[:position]))
        for post in replaced:
            await self._screen.delete(_message(post))

    async def _send(self, piece: Piece, keyboard: InlineKeyboardMarkup | None, *, patient: bool) -> None:
        """Stores the intent before the send and the id after it, so that a crash between the two is recognised."""
        confirmed = self._posts
        await self._entry.save(replace(self._entry.record, posts=(*confirmed, Post(id="", kind="message"))))
        try:
            message = await self._screen.send(piece, keyboard, patient=patient)
        except (DeliveryRetry, DeliveryRefused) as error:
            if not isinstance(error, Uncertain):
                await self._entry.save(replace(self._entry.record, posts=confirmed))
            raise
        post = Post(id=f"{self._screen.target.chat}:{message}", kind="message")
        self._screen_state[post.id] = (piece, keyboard)
        await self._entry.save(replace(self._entry.record, posts=(*confirmed, post)))


def _message(post: Post) -> int:
    return int(post.id.partition(":")[2])
