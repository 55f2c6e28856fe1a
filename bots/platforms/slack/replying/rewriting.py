"""Bringing the screen to a known text, whatever stands there: after a crash, a broken connection, an edited question.

Every step may be repeated: an update writes the same text again, a new message is first intended in the ledger and looked
for in the thread before it is sent a second time.
"""

from __future__ import annotations

from dataclasses import replace

from bots.messages import OutgoingReply
from bots.platforms.slack.calls import LOCKED_OUT, REFUSALS, CallError
from bots.platforms.slack.replying.formatting import pieces, standalone
from bots.platforms.slack.replying.posting import PATIENCE, Poster
from bots.queue.replies import Post, ReplyEntry

_STOPS = 2


class Rewriting:
    """One pass over the messages of a reply. ``bot`` is the bot's user id, by which its own messages are told."""

    def __init__(self, entry: ReplyEntry, poster: Poster, bot: str) -> None:
        self._entry = entry
        self._poster = poster
        self._bot = bot

    async def run(self, text: str, reply: OutgoingReply) -> None:
        """Ends with ``text`` and its furniture on the screen, once. Raises ``CallError`` and what the ledger raises."""
        await self._find_lost()
        kept = self._kept(text)
        start = kept[-1].shown if kept else 0
        written, old = list(kept), list(self._posts[len(kept) :])
        wanted = pieces(text, start) or [(start, start)]
        for begin, end in wanted:
            below = reply if end == len(text) else None
            if old:
                written += await self._replace(old.pop(0), text, (begin, end), below)
            else:
                written.append(await self._send(text, (begin, end), below))
            await self._save((*written, *old), text[:end])
        for surplus in old:
            await self._poster.delete(surplus.id)
        await self._save(tuple(written), text)

    @property
    def _posts(self) -> tuple[Post, ...]:
        return self._entry.record.posts

    def _kept(self, text: str) -> list[Post]:
        """The leading messages that are complete and stay as they are. The last one never: it carries the furniture."""
        kept: list[Post] = []
        for post in self._posts[:-1]:
            same = text.startswith(self._entry.record.text[: post.shown]) and post.shown < len(text)
            if not (post.done and same and post.start == (kept[-1].shown if kept else 0)):
                break
            kept.append(post)
        return kept

    async def _replace(
        self, post: Post, text: str, span: tuple[int, int], below: OutgoingReply | None
    ) -> tuple[Post, ...]:
        """Writes ``span`` over ``post``; what a message that cannot be changed does not hold goes into a new one."""
        if post.kind == "stream" and not post.done:
            await self._stop(post)
        try:
            await self._poster.update(post.id, standalone(text, *span), below, patience=PATIENCE)
        except CallError as failed:
            if not failed.certain or failed.limited or failed.code in REFUSALS | LOCKED_OUT:
                raise
            gone = failed.code == "message_not_found" or not text.startswith(self._entry.record.text[: post.shown])
            begin = span[0] if gone else max(span[0], min(post.shown, span[1]))
            rest = await self._send(text, (begin, span[1]), below)
            return (rest,) if gone else (replace(post, done=True), rest)
        return (Post(id=post.id, kind=post.kind, start=span[0], shown=span[1], done=True),)

    async def _stop(self, post: Post) -> None:
        """A message cannot be updated while it streams. Where it cannot be stopped either, the rest is posted."""
        for _ in range(_STOPS):
            try:
                await self._poster.stop(post.id)
            except CallError as failed:
                if failed.certain:
                    return
            else:
                return

    async def _send(self, text: str, span: tuple[int, int], below: OutgoingReply | None) -> Post:
        if self._posts:
            intended = Post(id="", kind="message", start=span[0], shown=span[0])
            await self._save((*self._posts, intended), self._entry.record.text)
        ts = await self._poster.post(standalone(text, *span), below, patience=PATIENCE)
        return Post(id=ts, kind="message", start=span[0], shown=span[1], done=True)

    async def _find_lost(self) -> None:
        """A message that was sent while its id was not stored yet is found again in the thread, or was never sent."""
        lost = next((post for post in self._posts if not post.id), None)
        if lost is None and self._posts:
            return
        known = frozenset(post.id for post in self._posts)
        ts = await self._poster.find(self._bot, self._entry.record.intended_at, known)
        others = tuple(post for post in self._posts if post.id)
        if ts:
            start = lost.start if lost is not None else 0
            others = (*others, Post(id=ts, kind="stream", start=start, shown=start))
        if others != self._posts:
            await self._save(others, self._entry.record.text)

    async def _save(self, posts: tuple[Post, ...], text: str) -> None:
        await self._entry.save(replace(self._entry.record, posts=posts, text=text))
