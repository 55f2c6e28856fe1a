"""What people may tell the bot to do: new, forget, sources, help. The same on every platform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bots.inbox import Inbox
from bots.messages import IncomingMessage
from bots.outbox import ForgetEntry, OutboxEntry
from bots.replies import ReplyLedger
from bots.texts import say
from rag.memory import ConversationMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class Obeyed:
    """What the person is told, and what the log must do."""

    text: str
    entries: Sequence[OutboxEntry] = ()


class Commands:
    """Runs the commands of one deployment."""

    def __init__(
        self, *, memory: ConversationMemory, ledger: ReplyLedger, forgetting: Forgetting, contact: str = ""
    ) -> None:
        self._memory = memory
        self._ledger = ledger
        self._forgetting = forgetting
        self._contact = contact

    async def run(self, message: IncomingMessage) -> Obeyed:
        """Raises ``StoreUnavailable`` or ``MemoryUnavailable``."""
        match message.command:
            case "new":
                await self._memory.forget(message.conversation)
                return Obeyed(text=say(message.language, "new"))
            case "forget":
                return await self._forget(message)
            case "sources":
                return Obeyed(text=await self._sources(message))
            case "start":
                return Obeyed(text=self._with_contact(say(message.language, "start")))
            case "help":
                return Obeyed(text=self._with_contact(say(message.language, "help")))
            case _:
                return Obeyed(text=say(message.language, "unknown_command"))

    def _with_contact(self, text: str) -> str:
        return f"{text}\n\n{self._contact}" if self._contact else text

    async def _forget(self, message: IncomingMessage) -> Obeyed:
        alone = message.channel in ("direct", "ephemeral")
        everybody = message.text.strip().lower() in ("all", "todo", "todos")
        if everybody and not alone and not message.sender.admin:
            return Obeyed(text=say(message.language, "forget_all_refused"))
        speaker = None if alone or everybody else message.sender.id
        await self._forgetting.from_stores(message.conversation, speaker, keep=message)
        entry = self._forgetting.from_log(message.conversation, speaker, message.received_at)
        return Obeyed(text=say(message.language, "forgotten_own" if speaker else "forgotten"), entries=(entry,))

    async def _sources(self, message: IncomingMessage) -> str:
        history = await self._memory.load(message.conversation)
        for exchange in reversed(history):
            record = await self._ledger.find(message.conversation, exchange.turn_id)
            if record is not None and record.final is not None and record.final.sources:
                lines = [_source_line(s.number, s.title, s.passage.url) for s in record.final.sources]
                return "\n".join((say(message.language, "sources"), "", *lines))
        return say(message.language, "no_sources")


def _source_line(number: int, title: str, url: str) -> str:
    return f"{number}. [{title}]({url})" if url.startswith(("http://", "https://")) else f"{number}. {title}"


class Forgetting:
    """Deletes a conversation, or one person's part of it, from every store."""

    def __init__(self, *, memory: ConversationMemory, inbox: Inbox, ledger: ReplyLedger) -> None:
        self._memory = memory
        self._inbox = inbox
        self._ledger = ledger

    async def from_stores(
        self, conversation: str, speaker: str | None, *, keep: IncomingMessage | None = None
    ) -> dict[str, int]:
        """Counts by store: memory, inbox (queued and set aside, with their seen keys), replies. ``keep`` is being handled."""
        remembered = await self._memory.forget(conversation, speaker)
        waiting = await self._inbox.forget(conversation, speaker, command=keep)
        replies = await self._ledger.forget(conversation, speaker, keep=keep.turn_id if keep else "")
        return {"memory": remembered, "inbox": waiting, "replies": replies}

    def from_log(self, conversation: str, speaker: str | None, at: datetime) -> ForgetEntry:
        """What the log has to do: forget what was asked up to ``at``, also what it learns of only later."""
        return ForgetEntry(conversation=conversation, speaker=speaker, at=at)
