"""From a question to an answer that stands on the screen, in memory and on its way into the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from bots.conversation.handover.handovers import Handovers
from bots.conversation.handover.reply import AttendedReply
from bots.conversation.handover.switchboard import Switchboard
from bots.conversation.stopping import nobody_waits
from bots.conversation.turns import logged_turn
from bots.messages import IncomingMessage, OutgoingReply
from bots.metrics import Metrics
from bots.platforms.base import Platform, Reply
from bots.queue.inbox import Inbox
from bots.queue.outbox import OutboxEntry, TurnEntry
from bots.queue.replies import Lease, ReplyEntry, ReplyRecord
from bots.texts import say
from rag.turn import Turn, Turns
from rag.types import AdapterRef, Answer, Delta, Done, Exchange, Progress, Question
from tuning.conversations.records import LoggedTurn


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a resolved message decides: which documents its readers may read, and which adapter answers it.

    ``contacts`` tells, by platform, how to reach a person.
    """

    audiences: Callable[[IncomingMessage], frozenset[str]]
    tenant: Callable[[IncomingMessage], str] = lambda _: ""
    adapter: Callable[[IncomingMessage], AdapterRef | None] = lambda _: None
    contacts: Mapping[str, str] = field(default_factory=dict)

    @property
    def contact(self) -> str:
        """What is told where a platform has no contact of its own: the first that any platform has."""
        return next(filter(None, self.contacts.values()), "")


class Answers:
    """Gives one answer at a time; a crash between any two steps is continued where it happened."""

    def __init__(
        self,
        *,
        platforms: Mapping[str, Platform],
        turns: Turns,
        inbox: Inbox,
        handovers: Handovers,
        switchboard: Switchboard,
        metrics: Metrics,
        rules: Rules,
    ) -> None:
        self._platforms = platforms
        self._turns = turns
        self._inbox = inbox
        self._handovers = handovers
        self._switchboard = switchboard
        self._metrics = metrics
        self._rules = rules

    async def give(
        self,
        message: IncomingMessage,
        entry: ReplyEntry,
        lease: Lease,
        turn: str,
        history: Sequence[Exchange] | None = None,
    ) -> Sequence[OutboxEntry]:
        """Answers ``message`` as ``turn``; ``history`` is the memory's unless given.

        Raises ``TakenOver`` once a person answers, and what ``Conversations.handle`` does.
        """
        platform = self._platforms[message.platform]
        resolved = message if entry.record.stands else await platform.resolve(message)
        reply = AttendedReply(
            await platform.reply(resolved, entry),
            lambda: self._handovers.taken(message.conversation, message.turn_id),
        )
        question = self._question(resolved, turn)
        final = entry.record.answer_for(question.audiences, question.tenant)
        if final is None:
            taken = await self._turns.prepare(question, alone=_alone(message), history=history)
            answer = await self._answer(resolved, taken, reply, lease)
            final = self._outgoing(answer, turn, message)
            turned = logged_turn(question, answer, platform=message.platform, asked_at=message.received_at)
            read_by = tuple(sorted(question.audiences))
            computed = replace(
                entry.record,
                final=final,
                logged=turned,
                audiences=read_by,
                tenant=question.tenant,
                offer=answer.offer,
            )
            await entry.save(computed)
        if not entry.record.stands:
            await reply.finish(final)
        await self._remember(resolved, question, entry.record, final)
        logged = entry.record.logged
        outcome = logged.outcome if logged is not None else "answered"
        self._metrics.answered(message.platform, outcome, since(message.received_at))
        return () if logged is None else (TurnEntry(turn=_with_reply_id(logged, entry.record)),)

    async def _answer(self, message: IncomingMessage, turn: Turn, reply: Reply, lease: Lease) -> Answer:
        answer = await self._compute(message, turn, reply)
        if answer.outcome != "wants_person":
            return answer
        connection = await self._switchboard.connect(message, turn.history, lease, answer.language)
        return replace(answer, text=f"{answer.text}\n\n{connection}")

    async def _compute(self, message: IncomingMessage, turn: Turn, reply: Reply) -> Answer:
        """Shown as it grows; it ends early when nobody waits for it, because what came after it waits."""
        text = ""
        async with (
            nobody_waits(self._inbox, message) as abandoned,
            aclosing(self._turns.answer(turn, abandoned=abandoned)) as events,
        ):
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
            audiences=self._rules.audiences(message),
            tenant=self._rules.tenant(message),
            speaker=message.sender.id,
            speaker_name=message.sender.name,
            language=message.language,
            adapter=self._rules.adapter(message),
        )

    def _outgoing(self, answer: Answer, turn: str, message: IncomingMessage) -> OutgoingReply:
        """The answer with what the chain cannot know: unread attachments, and whom to turn to when it does not know."""
        parts = [answer.text]
        if message.attachments:
            parts.append(say(answer.language, "attachments", names=", ".join(message.attachments)))
        if answer.outcome == "abstained" and (contact := self._rules.contacts.get(message.platform)):
            parts.append(contact)
        text = "\n\n".join(parts)
        return OutgoingReply(turn_id=turn, kind="answer", text=text, language=answer.language, sources=answer.sources)

    async def _remember(
        self, message: IncomingMessage, question: Question, record: ReplyRecord, final: OutgoingReply
    ) -> None:
        logged = record.logged
        await self._turns.remember(
            replace(question, audiences=frozenset(record.audiences), tenant=record.tenant),
            # As it is logged, without what the service added: the same past makes the same prompt again.
            logged.answer if logged is not None else final.text,
            outcome=logged.outcome if logged is not None else "abstained",
            offer=record.offer,
            asked_at=message.received_at,
            replaces=message.kind == "edit",
        )


def since(moment: datetime) -> float:
    """Seconds since then."""
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())


def _alone(message: IncomingMessage) -> bool:
    """Whether nobody but the sender reads the answer."""
    return message.channel in ("direct", "ephemeral")


def _with_reply_id(turn: LoggedTurn, record: ReplyRecord) -> LoggedTurn:
    return replace(turn, reply_id=record.posts[-1].id if record.posts else "")
