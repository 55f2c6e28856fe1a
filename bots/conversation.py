"""From a message to its reply: guard, audience, memory, chain, platform, and what the log learns of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from bots.commands import Commands
from bots.errors import StoreUnavailable
from bots.forgetting import Forgetting
from bots.guard import Guard, Verdict
from bots.messages import IncomingMessage, OutgoingReply, turn_id
from bots.metrics import Metrics
from bots.outbox import ForgetTurnEntry, OutboxEntry, TurnEntry
from bots.platforms.base import Platform, Reply
from bots.replies import Lease, ReplyEntry, ReplyLedger, ReplyRecord
from bots.texts import say
from bots.turns import logged_turn
from rag.chain import ConversationalChain
from rag.errors import MemoryUnavailable
from rag.language import adetect
from rag.memory import ConversationMemory
from rag.types import Answer, Delta, Done, Exchange, Progress, Question
from tuning.conversations.records import LoggedTurn

log = structlog.get_logger()


class Conversations:
    """Handles one message at a time of a conversation; the worker sees to the order and to trying again.

    ``audiences`` and ``tenant`` map a resolved message to what its readers may read; ``contact`` tells customers how to reach
    a person.
    """

    def __init__(
        self,
        *,
        platforms: Mapping[str, Platform],
        ledger: ReplyLedger,
        memory: ConversationMemory,
        chain: ConversationalChain,
        guard: Guard,
        commands: Commands,
        forgetting: Forgetting,
        metrics: Metrics,
        audiences: Callable[[IncomingMessage], frozenset[str]],
        tenant: Callable[[IncomingMessage], str] = lambda _: "",
        contact: str = "",
    ) -> None:
        self._platforms = platforms
        self._ledger = ledger
        self._memory = memory
        self._chain = chain
        self._guard = guard
        self._commands = commands
        self._forgetting = forgetting
        self._metrics = metrics
        self._audiences = audiences
        self._tenant = tenant
        self._contact = contact

    async def handle(self, message: IncomingMessage, lease: Lease) -> Sequence[OutboxEntry]:
        """Replies, and returns what goes into the log together with the message's removal from the inbox.

        Raises ``DeliveryRetry``, ``DeliveryRefused``, ``LeaseLost``, ``StoreUnavailable`` or an error of ``rag``.
        """
        try:
            entries = await self._handle(message, lease)
            return () if await self._overtaken(message) else entries
        except MemoryUnavailable as error:  # Redis is away, as elsewhere: no failure of this message
            raise StoreUnavailable(str(error)) from error

    async def _handle(self, message: IncomingMessage, lease: Lease) -> Sequence[OutboxEntry]:
        if message.kind == "deletion":
            return await self._forget_deleted(message)
        message = await _in_its_language(message)
        if message.kind == "edit" and not await self._is_last(message):
            return ()
        entry, verdict = await asyncio.gather(self._ledger.open(message.turn_id, lease), self._guard.check(message))
        if verdict.refused:
            return await self._refuse(message, entry, verdict)
        match message.kind:
            case "command":
                return await self._obey(message, entry)
            case "edit":
                return await self._answer_again(message, entry, lease)
        return await self._answer(message, entry, message.turn_id)

    async def _forget_deleted(self, message: IncomingMessage) -> Sequence[OutboxEntry]:
        gone = turn_id(message.original)
        await self._forgetting.turn(message.conversation, gone)
        return (ForgetTurnEntry(turn_id=gone),)

    async def apologise(self, message: IncomingMessage, lease: Lease) -> None:
        """Tells of a message that is set aside: one honest sentence with its reference; a retry answers in its place."""
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

    async def _obey(self, message: IncomingMessage, entry: ReplyEntry) -> Sequence[OutboxEntry]:
        message = await self._platforms[message.platform].resolve(message)
        outcome = await self._commands.run(message, self._audiences(message), self._tenant(message))
        await self._notify(message, entry, outcome.text, outcome="command")
        return outcome.entries

    async def _notify(self, message: IncomingMessage, entry: ReplyEntry, text: str, *, outcome: str) -> None:
        notice = OutgoingReply(turn_id=message.turn_id, kind="notice", text=text, language=message.language or "en")
        reply = await self._platforms[message.platform].reply(message, entry)
        await reply.finish(notice)
        self._metrics.answered(message.platform, outcome, _since(message.received_at))

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
        entries = await self._answer(message, entry, original, history[:-1])
        await self._ledger.save(replace(entry.record, turn_id=original), lease)
        return entries

    async def _answer(
        self, message: IncomingMessage, entry: ReplyEntry, turn: str, history: Sequence[Exchange] | None = None
    ) -> Sequence[OutboxEntry]:
        platform = self._platforms[message.platform]
        resolved = message if entry.record.stands else await platform.resolve(message)
        reply = await platform.reply(resolved, entry)
        question = self._question(resolved, turn)
        final = entry.record.answer_for(question.audiences, question.tenant)
        if final is None:
            past = await self._memory.load(message.conversation) if history is None else history
            answer = await self._compute(question, past, reply)
            final = self._outgoing(answer, turn, message)
            turned = logged_turn(question, answer, platform=message.platform, asked_at=message.received_at)
            read_by = tuple(sorted(question.audiences))
            computed = replace(entry.record, final=final, logged=turned, audiences=read_by, tenant=question.tenant)
            await entry.save(computed)
        await reply.finish(final)
        await self._remember(message, turn, final)
        logged = entry.record.logged
        outcome = logged.outcome if logged is not None else "answered"
        self._metrics.answered(message.platform, outcome, _since(message.received_at))
        return () if logged is None else (TurnEntry(turn=_with_reply_id(logged, entry.record)),)

    async def _compute(self, question: Question, history: Sequence[Exchange], reply: Reply) -> Answer:
        text = ""
        async with aclosing(self._chain.astream(question, history)) as events:
            async for event in events:
                match event:
                    case Progress(stage=stage):
                        await reply.status(stage)
                    case Delta(text=more):
                        text += more
                        await reply.show(text)
                    case Done(answer=answer):
                        self._metrics.stages(answer.seconds)
                        return answer
        raise AssertionError("the chain ended without Done")

    def _question(self, message: IncomingMessage, turn: str) -> Question:
        return Question(
            turn_id=turn,
            conversation=message.conversation,
            text=message.text,
            audiences=self._audiences(message),
            tenant=self._tenant(message),
            speaker=message.sender.id,
            speaker_name=message.sender.name,
            language=message.language,
        )

    def _outgoing(self, answer: Answer, turn: str, message: IncomingMessage) -> OutgoingReply:
        """The answer with what the chain cannot know: unread attachments, and whom to turn to when it does not know."""
        parts = [answer.text]
        if message.attachments:
            parts.append(say(answer.language, "attachments", names=", ".join(message.attachments)))
        if answer.outcome == "abstained" and message.platform == "telegram" and self._contact:
            parts.append(self._contact)
        text = "\n\n".join(parts)
        return OutgoingReply(turn_id=turn, kind="answer", text=text, language=answer.language, sources=answer.sources)

    async def _remember(self, message: IncomingMessage, turn: str, final: OutgoingReply) -> None:
        exchange = Exchange(
            turn_id=turn,
            question=message.text,
            answer=final.text,
            asked_at=message.received_at,
            speaker=message.sender.id,
            speaker_name=message.sender.name,
            answered=bool(final.sources),
        )
        keep = self._memory.replace if message.kind == "edit" else self._memory.append
        await keep(message.conversation, exchange)


async def _in_its_language(message: IncomingMessage) -> IncomingMessage:
    """The platform tells the reader's language, if any; what is written tells more, but for a command's bare argument."""
    if message.kind == "command":
        return message
    return replace(message, language=await adetect(message.text, message.language or "en"))


def _with_reply_id(turn: LoggedTurn, record: ReplyRecord) -> LoggedTurn:
    return replace(turn, reply_id=record.posts[-1].id if record.posts else "")


def _since(moment: datetime) -> float:
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())
