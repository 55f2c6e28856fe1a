"""A reply on its way to a Telegram chat.

The state of the screen is declared, not appended to: the whole text is rendered and split into pieces, and each piece is
brought to its message by one send or one edit. So a crash, a missed state or a changed split all mend themselves with the
next state. Messages can be edited, therefore the offsets of ``Post`` are of no use here and stay 0. Its id is
``{chat}:{message}``: message ids start again in a supergroup, and an old one must not hit another message there.
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
    """How replies are shown. ``draft`` is the draft's id, 0 for edits; ``allowed`` are @names that may become links."""

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
        self._standing: dict[str, tuple[Piece, InlineKeyboardMarkup | None]] = {}

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
            # A lost state is no failure, but after a lost answer or a refusal another try would only do harm.
            self._streaming = isinstance(error, DeliveryRetry) and not isinstance(error, Uncertain)

    async def _stream(self, pieces: Sequence[Piece]) -> bool:
        settled = pieces[:-1] if self._draft else pieces
        for position, piece in enumerate(settled):
            if not self._stands(position, piece, None) and not self._screen.free():
                return False
            await self._put(position, piece, None, patient=False)
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
        pieces = split(render(reply, self._manner.allowed)) or [Piece(html="…", plain="…")]
        keyboard = thumbs(reply.turn_id) if reply.kind == "answer" else None
        await self._settle()
        for position, piece in enumerate(pieces):
            await self._put(position, piece, keyboard if piece is pieces[-1] else None, patient=True)
        for post in self._posts[len(pieces) :]:
            await self._screen.delete(_message(post))
        posts = tuple(replace(post, done=True) for post in self._posts[: len(pieces)])
        await self._entry.save(replace(self._entry.record, posts=posts, text=reply.text, finished=True))

    @property
    def _posts(self) -> tuple[Post, ...]:
        """The messages that are known to exist in the chat as it is now."""
        here = f"{self._screen.target.chat}:"
        return tuple(post for post in self._entry.record.posts if post.id.startswith(here))

    async def _settle(self) -> None:
        """Gives up a send whose answer was lost, by a crash or on the wire: Telegram has no history to look it up in.

        Saving also finds out whether the lease still holds, before anything is sent.
        """
        if any(not post.id for post in self._entry.record.posts):
            log.warning("telegram.possible_duplicate", turn=self._entry.record.turn_id)
            self._manner.metrics.error("telegram", "sendMessage", "possible_duplicate")
        await self._entry.save(replace(self._entry.record, posts=self._posts))

    def _stands(self, position: int, piece: Piece, keyboard: InlineKeyboardMarkup | None) -> bool:
        posts = self._posts
        return position < len(posts) and self._standing.get(posts[position].id) == (piece, keyboard)

    async def _put(self, position: int, piece: Piece, keyboard: InlineKeyboardMarkup | None, *, patient: bool) -> None:
        """Brings ``piece`` to the message at ``position``: nothing to do, an edit, or a new message."""
        if self._stands(position, piece, keyboard):
            return
        if position < len(self._posts):
            post = self._posts[position]
            if await self._screen.edit(_message(post), piece, keyboard, patient=patient):
                self._standing[post.id] = (piece, keyboard)
                return
            await self._abandon(position)
        await self._send(piece, keyboard, patient=patient)

    async def _abandon(self, position: int) -> None:
        """A message that cannot be edited is replaced, and so are those below it: the pieces must stand in their order."""
        lost = self._posts[position:]
        await self._entry.save(replace(self._entry.record, posts=self._posts[:position]))
        for post in lost:
            await self._screen.delete(_message(post))

    async def _send(self, piece: Piece, keyboard: InlineKeyboardMarkup | None, *, patient: bool) -> None:
        """The intent is stored before and the id after, so a crash between the two is known for what it is."""
        known = self._posts
        await self._entry.save(replace(self._entry.record, posts=(*known, Post(id="", kind="message"))))
        try:
            message = await self._screen.send(piece, keyboard, patient=patient)
        except (DeliveryRetry, DeliveryRefused) as error:
            if not isinstance(error, Uncertain):
                await self._entry.save(replace(self._entry.record, posts=known))
            raise
        post = Post(id=f"{self._screen.target.chat}:{message}", kind="message")
        self._standing[post.id] = (piece, keyboard)
        await self._entry.save(replace(self._entry.record, posts=(*known, post)))


def _message(post: Post) -> int:
    return int(post.id.partition(":")[2])
