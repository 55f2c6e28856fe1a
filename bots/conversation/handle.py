"""From a message to its reply: guard, handover, audience, memory, chain, platform, and what the log learns of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bots.conversation.answers import Answers, Rules, since
from bots.conversation.commands import Commands
from bots.conversation.forgetting import Forgetting
from bots.conversation.guard import Guard, Verdict
from bots.conversation.handover.handovers import Handovers
from bots.conversation.handover.reply import TakenOver
from bots.conversation.handover.switchboard import Switchboard
from bots.messages import IncomingMessage, OutgoingReply, turn_id
from bots.metrics import Metrics
from bots.platforms.base import Platform, Reply
from bots.queue.inbox import Inbox
from bots.queue.outbox import ForgetTurnEntry, OutboxEntry
from bots.queue.replies import Lease, ReplyEntry, ReplyLedger
from bots.texts import say
from rag.language import adetect
from rag.memory.conversation import ConversationMemory
from rag.turn import Turns


class Conversations:
    """Handles one message at a time of a conversation; the worker sees to the order and to trying again."""

    def __init__(
        self,
        *,
        platforms: Mapping[str, Platform],
        ledger: ReplyLedger,
        memory: ConversationMemory,
        turns: Turns,
        guard: Guard,
        commands: Commands,
        forgetting: Forgetting,
        inbox: Inbox,
        handovers: Handovers,
        metrics: Metrics,
        rules: Rules,
    ) -> None:
        self._platforms = platforms
        self._ledger = ledger
        self._memory = memory
        self._guard = guard
        self._commands = commands
        self._forgetting = forgetting
        self._handovers = handovers
        self._switchboard = Switchboard(handovers, platforms, memory, rules.contact)
        self._metrics = metrics
        self._rules = rules
        self._answers = Answers(
            platforms=platforms,
            turns=turns,
            inbox=inbox,
            handovers=handovers,
            switchboard=self._switchboard,
            metrics=metrics,
            rules=rules,
        )

    async def handle(self, message: IncomingMessage, lease: Lease) -> Sequence[OutboxEntry]:
        """Replies, and returns what goes into the log together with the message's removal from the inbox.

        Raises ``DeliveryRetry``, ``DeliveryRefused``, ``LeaseLost`` or an error of ``rag``.
        """
        entries = await self._handle(message, lease)
        return () if await self._overtaken(message) else entries

    async def _handle(self, message: IncomingMessage, lease: Lease) -> Sequence[OutboxEntry]:
        match message.kind:
            case "deletion":
                return await self._forget_deleted(message)
            case "handover":
                return await self._hand_over(message, lease)
        message = await _in_its_language(message)
        if message.kind == "edit" and not await self._is_last(message):
            return ()
        entry, verdict, taken = await asyncio.gather(
            self._ledger.open(message.turn_id, lease),
            self._guard.check(message),
            self._handovers.taken(message.conversation, message.turn_id),
        )
        if taken and message.kind != "command" and not entry.record.stands:
            return await self._keep_quiet(message, entry, None)
        if verdict.refused:
            return await self._refuse(message, entry, verdict)
        return await (self._obey if message.kind == "command" else self._reply)(message, entry, lease)

    async def _reply(self, message: IncomingMessage, entry: ReplyEntry, lease: Lease) -> Sequence[OutboxEntry]:
        """Answers, unless a person takes over meanwhile."""
        try:
            if message.kind == "edit":
                return await self._answer_again(message, entry, lease)
            return await self._answers.give(message, entry, lease, message.turn_id)
        except TakenOver as taken:
            return await self._keep_quiet(message, entry, taken.reply)

    async def _keep_quiet(
        self, message: IncomingMessage, entry: ReplyEntry, reply: Reply | None
    ) -> Sequence[OutboxEntry]:
        """A person answers here: what stands on the screen is ended as it is, and nothing is said.

        The message stays where the person reads it. It is not remembered: without their words it would mislead the bot later.
        """
        if message.channel == "ephemeral":  # where nobody but the bot can write, silence would look like a fault
            await self._notify(message, entry, say(message.language, "person_waiting"), outcome="handed_over")
            return ()
        begun = bool(entry.record.posts and entry.record.text)
        if not begun:
            await entry.save(replace(entry.record, finished=True))
        if begun or reply is not None:
            ended = reply or await self._platforms[message.platform].reply(message, entry)
            language = message.language or "en"
            await ended.finish(
                OutgoingReply(turn_id=message.turn_id, kind="notice", text=entry.record.text, language=language)
            )
        self._metrics.answered(message.platform, "handed_over", since(message.received_at))
        return ()

    async def _hand_over(self, message: IncomingMessage, lease: Lease) -> Sequence[OutboxEntry]:
        """Lets the bot resume, sends what a person wrote elsewhere, or brings the post about a handover up to date."""
        if message.command == "redraw":
            await self._handovers.redraw(message)
        elif message.command == "post":
            entry = await self._ledger.open(message.turn_id, lease)
            await self._notify(message, entry, message.text, outcome="posted")
        elif await self._handovers.resume(message):
            entry = await self._ledger.open(message.turn_id, lease)
            await self._notify(message, entry, say(message.language, "resumed"), outcome="resumed")
        return ()

    async def _forget_deleted(self, message: IncomingMessage) -> Sequence[OutboxEntry]:
        gone = turn_id(message.original)
        await self._forgetting.turn(message.conversation, gone)
        return (ForgetTurnEntry(turn_id=gone),)

    async def apologise(self, message: IncomingMessage, lease: Lease) -> None:
        """Tells of a message that is set aside: one honest sentence with its reference; a retry answers in its place."""
        if message.kind == "handover" or await self._handovers.taken(message.conversation, message.turn_id):
            return
        message = await _in_its_language(message)
        entry = await self._ledger.open(message.turn_id, lease)
        if entry.record.finished and entry.record.final is not None:
            return
        await self._notify(message, entry, say(message.language, "failed", reference=message.turn_id), outcome="failed")
        await entry.save(replace(entry.record, finished=False))
        await self._overtaken(message)

    async def _overtaken(self, message: IncomingMessage) -> bool:
        """Whether somebody wished this forgotten while it was being answered; then nothing of it stays."""
        if message.kind not in ("question", "edit") or not await self._forgetting.covers(message):
            return False
        await self._forgetting.turn(message.conversation, turn_id(message.original or message.id))
        return True

    async def _refuse(self, message: IncomingMessage, entry: ReplyEntry, verdict: Verdict) -> Sequence[OutboxEntry]:
        self._metrics.limited()
        if verdict.sentence is not None:
            await self._notify(message, entry, verdict.sentence, outcome="limited")
        return ()

    async def _obey(self, message: IncomingMessage, entry: ReplyEntry, lease: Lease) -> Sequence[OutboxEntry]:
        """Also while a person answers: a command is for the bot alone, and ``new`` is how the asker goes on with it."""
        message = await self._platforms[message.platform].resolve(message)
        if message.command == "person":
            await self._notify(message, entry, await self._switchboard.command(message, lease), outcome="command")
            return ()
        if message.command == "new":
            await self._handovers.end(message.conversation)
        outcome = await self._commands.run(message, self._rules.audiences(message), self._rules.tenant(message))
        await self._notify(message, entry, outcome.text, outcome="command")
        return outcome.entries

    async def _notify(self, message: IncomingMessage, entry: ReplyEntry, text: str, *, outcome: str) -> None:
        notice = OutgoingReply(turn_id=message.turn_id, kind="notice", text=text, language=message.language or "en")
        reply = await self._platforms[message.platform].reply(message, entry)
        await reply.finish(notice)
        self._metrics.answered(message.platform, outcome, since(message.received_at))

    async def _is_last(self, edit: IncomingMessage) -> bool:
        """Whether the last question is the one that was edited; older ones stand as they are."""
        history = await self._memory.load(edit.conversation)
        return bool(history) and history[-1].turn_id == turn_id(edit.original)

    async def _answer_again(self, message: IncomingMessage, entry: ReplyEntry, lease: Lease) -> Sequence[OutboxEntry]:
        """An edit is answered in the place of the old answer."""
        original = turn_id(message.original)
        history, before = await asyncio.gather(
            self._memory.load(message.conversation), self._ledger.find(message.conversation, original)
        )
        if not entry.record.posts and before is not None:
            await entry.save(replace(entry.record, posts=before.posts, text=before.text))
        entries = await self._answers.give(message, entry, lease, original, history[:-1])
        await self._ledger.save(replace(entry.record, turn_id=original), lease)
        return entries


async def _in_its_language(message: IncomingMessage) -> IncomingMessage:
    """The platform tells the reader's language, if any; what is written tells more, but for a command's bare argument."""
    if message.kind == "command":
        return message
    return replace(message, language=await adetect(message.text, message.language or "en"))
