"""Rewrites the messages of a reply to a known text: after a crash, a broken connection, or an edited question.

Every step may be repeated: an update writes the same text again; for a new message the ledger stores the intent first, and
the thread is searched before the message is sent a second time.
"""

from __future__ import annotations

from dataclasses import replace

from bots.messages import OutgoingReply
from bots.platforms.slack.calls import LOCKED_OUT, REFUSALS, CallError
from bots.platforms.slack.replying.formatting import pieces, standalone
from bots.platforms.slack.replying.posting import PATIENCE, Poster
from bots.queue.replies import Post, ReplyEntry

_STOP_ATTEMPTS = 2


class Rewriting:
    """One pass over the messages of a reply. ``bot`` is the bot's user id, by which its messages are recognised."""

    def __init__(self, entry: ReplyEntry, poster: Poster, bot: str) -> None:
        self._entry = entry
        self._poster = poster
        self._bot = bot

    async def run(self, text: str, reply: OutgoingReply) -> None:
        """Afterwards ``text`` and its footer are on the screen once. Raises ``CallError`` and what the ledger raises."""
        await self._recover_lost_post()
        unchanged = self._unchanged_posts(text)
        start = unchanged[-1].shown if unchanged else 0
        posts, remaining = list(unchanged), list(self._posts[len(unchanged) :])
        spans = pieces(text, start) or [(start, start)]
        for begin, end in spans:
            footer_of = reply if end == len(text) else None
            if remaining:
                posts += await self._replace(remaining.pop(0), text, (begin, end), footer_of)
            else:
                posts.append(await self._send(text, (begin, end), footer_of))
            await self._save((*posts, *remaining), text[:end])
        for surplus in remaining:
            await self._poster.delete(surplus.id)
        await self._save(tuple(posts), text)

    @property
    def _posts(self) -> tuple[Post, ...]:
        return self._entry.record.posts

    def _unchanged_posts(self, text: str) -> list[Post]:
        """The leading messages that are complete and need no update. Never the last one, because it carries the footer."""
        unchanged: list[Post] = []
        for post in self._posts[:-1]:
            same = text.startswith(self._entry.record.text[: post.shown]) and post.shown < len(text)
            if not (post.done and same and post.start == (unchanged[-1].shown if unchanged else 0)):
                break
            unchanged.append(post)
        return unchanged

    async def _replace(
        self, post: Post, text: str, span: tuple[int, int], footer_of: OutgoingReply | None
    ) -> tuple[Post, ...]:
        """Writes ``span`` over ``post``. Where that cannot be changed, text that it does not show goes into a new message."""
        if post.kind == "stream" and not post.done:
            await self._stop(post)
        try:
            await self._poster.update(post.id, standalone(text, *span), footer_of, patience=PATIENCE)
        except CallError as error:
            if not error.no_effect or error.rate_limited or error.code in REFUSALS | LOCKED_OUT:
                raise
            vanished = error.code == "message_not_found" or not text.startswith(self._entry.record.text[: post.shown])
            begin = span[0] if vanished else max(span[0], min(post.shown, span[1]))
            # A message that shows a beginning of the new text stays; any other text must be written in full.
            rest = await self._send(text, (begin, span[1]), footer_of)
            return (rest,) if vanished else (replace(post, done=True), rest)
        return (Post(id=post.id, kind=post.kind, start=span[0], shown=span[1], done=True),)

    async def _stop(self, post: Post) -> None:
        """Ends a stream, because Slack updates no message that streams. Where that fails too, the rest is posted."""
        for _ in range(_STOP_ATTEMPTS):
            try:
                await self._poster.stop(post.id)
            except CallError as error:
                if error.no_effect:
                    return
            else:
                return

    async def _send(self, text: str, span: tuple[int, int], footer_of: OutgoingReply | None) -> Post:
        # An empty record already means that a first message may be under way.
        if self._posts:
            intended = Post(id="", kind="message", start=span[0], shown=span[0])
            await self._save((*self._posts, intended), self._entry.record.text)
        ts = await self._poster.post(standalone(text, *span), footer_of, patience=PATIENCE)
        return Post(id=ts, kind="message", start=span[0], shown=span[1], done=True)

    async def _recover_lost_post(self) -> None:
        """Searches the thread for a message that was sent before a crash kept its id from being stored."""
        lost = next((post for post in self._posts if not post.id), None)
        if lost is None and self._posts:
            return
        known_ids = frozenset(post.id for post in self._posts)
        ts = await self._poster.find(self._bot, self._entry.record.intended_at, known_ids)
        others = tuple(post for post in self._posts if post.id)
        if ts:
            start = lost.start if lost is not None else 0
            others = (*others, Post(id=ts, kind="stream", start=start, shown=start))
        if others != self._posts:
            await self._save(others, self._entry.record.text)

    async def _save(self, posts: tuple[Post, ...], text: str) -> None:
        await self._entry.save(replace(self._entry.record, posts=posts, text=text))
