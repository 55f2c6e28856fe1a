"""A reply in a thread: shown while the text grows, and always completed.

Text is streamed as it comes (``chat.startStream``, ``appendStream``); where Slack refuses a stream, a post is updated instead.
After a refusal the state of the screen is known. After a broken connection or a crash it is not: then nothing is appended
any more, and the end is written by ``chat.update``, which may be repeated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from bots.messages import OutgoingReply
from bots.platforms.slack import words
from bots.platforms.slack.calls import CallError, SlackCalls
from bots.platforms.slack.replying.formatting import closed, cut, harmless, pieces, reopened, standalone, whole_words
from bots.platforms.slack.replying.posting import PATIENCE, Place, Poster
from bots.platforms.slack.replying.rewriting import Rewriting
from bots.queue.replies import Post, ReplyEntry, ReplyRecord
from rag.types import Stage

FIRST_SHOWS = 3
BURST_SECONDS = 0.1
"""An answer that is ready at once arrives in pieces within milliseconds: one call shows it and one completes it."""
APPEND_SECONDS = 0.6
UPDATE_SECONDS = 1.2
STREAM_SECONDS = 240.0
"""A stream is ended after this time, because Slack ends it after about five minutes."""

_STATUS_SECONDS = 1.0


class SlackReply:
    """The reply to one message. ``bot`` is the bot's user id; ``busy`` says that work waits, so calls are saved."""

    def __init__(
        self,
        *,
        entry: ReplyEntry,
        place: Place,
        calls: SlackCalls,
        bot: str,
        busy: Callable[[], bool],
        language: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entry = entry
        self._place = place
        self._calls = calls
        self._poster = Poster(calls, place, entry.record.turn_id, entry.record.conversation)
        self._bot = bot
        self._busy = busy
        self._language = language
        self._clock = clock
        # A record with posts is of an earlier delivery: what it left on the screen has to be found out, so only finish writes.
        self._screen_known = not entry.resumed and not entry.record.posts
        self._streams = True
        self._silent = bool(entry.resumed or entry.record.posts)
        self._shows = 0
        self._last_show_at = 0.0
        self._started_at = 0.0
        self._status: asyncio.Task[None] | None = None

    async def status(self, stage: Stage) -> None:
        """Sets the line "… is searching the documents…" without waiting; Slack removes it when the reply appears."""
        running = self._status is not None and not self._status.done()
        if running or not self._screen_known or self._entry.record.posts or self._busy():
            return
        self._status = asyncio.create_task(self._set_status(words.status(stage, self._language)))

    async def show(self, text: str) -> None:
        """Shows whole words of ``text`` if pacing allows. Raises ``LeaseLost`` and ``StoreUnavailable`` only."""
        if self._silent or self._busy() or not self._is_due():
            return
        text = whole_words(harmless(text))
        if not text.startswith(self._record.text) or len(text) <= len(self._record.text):
            return
        await self._wait_for_status()
        try:
            await self._extend(text)
        except CallError as error:
            self._screen_known = self._screen_known and error.no_effect
            # A limit on an open message passes; after anything else only finish can bring the screen to a known state.
            self._silent = not (error.rate_limited and self._open is not None)
        self._shows += 1
        self._last_show_at = self._clock()

    async def finish(self, reply: OutgoingReply) -> None:
        """Completes the reply. Raises ``DeliveryRetry``, ``DeliveryRefused``, ``LeaseLost`` or ``StoreUnavailable``."""
        if self._record.finished:
            return
        text = harmless(reply.text)
        await self._wait_for_status()
        try:
            if not (self._screen_known and await self._complete(text, reply)):
                await Rewriting(self._entry, self._poster, self._bot).run(text, reply)
        except CallError as error:
            self._screen_known = False
            raise error.delivery() from error
        if not self._record.finished:
            await self._entry.save(replace(self._record, text=text, finished=True))

    @property
    def _record(self) -> ReplyRecord:
        return self._entry.record

    @property
    def _open(self) -> Post | None:
        """The message that still grows, if any."""
        last = self._record.posts[-1] if self._record.posts else None
        return None if last is None or last.done or not last.id else last

    def _is_due(self) -> bool:
        """Whether to show now: the first steps almost at once, so that people see the answer grow, then at Slack's pace."""
        post = self._open
        pause = UPDATE_SECONDS if post is not None and post.kind == "message" else APPEND_SECONDS
        if self._shows < FIRST_SHOWS:
            pause = BURST_SECONDS if self._shows else 0.0
        return self._clock() - self._last_show_at >= pause

    async def _extend(self, text: str) -> None:
        """Shows ``text`` to its end, in as many messages as it needs."""
        while len(self._record.text) < len(text):
            post = self._open
            if post is None:
                await self._begin(text, len(self._record.text))
            elif self._is_full(post, text):
                await self._end(post, text)
            else:
                await self._add(post, text)

    def _is_full(self, post: Post, text: str) -> bool:
        expired = post.kind == "stream" and self._clock() - self._started_at >= STREAM_SECONDS
        return expired or cut(text, post.start) <= post.shown

    async def _begin(self, text: str, start: int) -> None:
        end = cut(text, start)
        # The intent first: after a crash between the two an entry without an id says that a message may be in the thread.
        if self._record.posts:
            await self._save(Post(id="", kind="message", start=start, shown=start), text[:start])
        # A fence that an earlier message opened must be opened again here, or code would be read as text.
        kind, ts = await self._open_post(f"{reopened(text, start)}{text[start:end]}")
        self._started_at = self._clock()
        await self._save(Post(id=ts, kind=kind, start=start, shown=end), text[:end])

    async def _open_post(self, piece: str) -> tuple[str, str]:
        if self._streams:
            try:
                return "stream", await self._poster.start_stream(piece)
            except CallError as error:
                if not error.no_effect:
                    raise
                # Some workspaces and channels refuse streams altogether: not asked again for this reply.
                self._streams = False
        return "message", await self._poster.post(piece, None, patience=0.0)

    async def _add(self, post: Post, text: str) -> None:
        end = cut(text, post.start)
        if post.kind == "message":
            piece = standalone(text, post.start, end)
            await self._poster.update(post.id, piece, None, patience=0.0)
        else:
            try:
                await self._poster.append(post.id, text[post.shown : end])
            except CallError as error:
                if not error.no_effect:
                    raise
                await self._abandon(post, error)
                return
        await self._save(replace(post, shown=end), text[:end])

    async def _abandon(self, post: Post, error: CallError) -> None:
        """Gives a stream up that accepts no more text: the rest goes into ordinary messages."""
        self._streams = False
        if error.code != "message_not_in_streaming_state":
            with suppress(CallError):
                await self._poster.stop(post.id)
        await self._save(replace(post, done=True), self._record.text)

    async def _end(self, post: Post, text: str) -> None:
        """Closes a message that is full; all of its text is on the screen already."""
        fence = closed(text, post.shown)
        with suppress(CallError):
            if post.kind == "stream":
                await self._poster.stop(post.id, fence)
            elif fence:
                await self._poster.update(post.id, standalone(text, post.start, post.shown), None, patience=0.0)
        await self._save(replace(post, done=True), self._record.text)

    async def _complete(self, text: str, reply: OutgoingReply) -> bool:
        """Shows the rest and the footer; False where only rewriting can bring the screen to a known state."""
        # A stream can only be extended: another text than the one on the screen needs a rewriting.
        if not text.startswith(self._record.text):
            return False
        try:
            await self._close(text, reply)
        except CallError as error:
            self._screen_known = False
            if error.rate_limited or (error.no_effect and not self._record.posts):
                raise
            return False
        return True

    async def _close(self, text: str, reply: OutgoingReply) -> None:
        while (post := self._open) is not None:
            end = cut(text, post.start)
            if end == len(text):
                await self._finish_post(post, text, reply)
                return
            await (self._add(post, text) if post.shown < end else self._end(post, text))
        await self._post_rest(text, reply)

    async def _finish_post(self, post: Post, text: str, reply: OutgoingReply) -> None:
        """Writes the rest of the text and the footer in one call."""
        if post.kind == "stream":
            await self._poster.stop(post.id, text[post.shown :], self._poster.footer_blocks(reply))
        else:
            await self._poster.update(post.id, standalone(text, post.start, len(text)), reply, patience=PATIENCE)
        await self._save(replace(post, shown=len(text), done=True), text, finished=True)

    async def _post_rest(self, text: str, reply: OutgoingReply) -> None:
        """Posts the text that is not on the screen yet as complete messages: all of it when nothing was streamed."""
        first = len(self._record.text)
        for start, end in pieces(text, first) or [(first, first)]:
            if self._record.posts:
                await self._save(Post(id="", kind="message", start=start, shown=start), text[:start])
            footer_of = reply if end == len(text) else None
            ts = await self._poster.post(standalone(text, start, end), footer_of, patience=PATIENCE)
            post = Post(id=ts, kind="message", start=start, shown=end, done=True)
            await self._save(post, text[:end], finished=footer_of is not None)

    async def _save(self, post: Post, text: str, *, finished: bool = False) -> None:
        await self._entry.save(replace(self._record.with_post(post), text=text, finished=finished))

    async def _set_status(self, text: str) -> None:
        with suppress(CallError):
            await self._calls(
                "assistant.threads.setStatus",
                channel_id=self._place.channel,
                thread_ts=self._place.thread,
                status=text,
            )

    async def _wait_for_status(self) -> None:
        """Waits for a status on its way: one that arrived after the reply would stay on the screen for two minutes."""
        if self._status is not None and not self._status.done():
            await asyncio.wait((self._status,), timeout=_STATUS_SECONDS)
