"""The commands new, forget, sources, start and help, the same on every platform.

The command ``person`` belongs to the handover (``bots/conversation/handover/switchboard.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bots.conversation.forgetting import Forgetting
from bots.messages import IncomingMessage
from bots.queue.outbox import OutboxEntry
from bots.queue.replies import ReplyLedger
from bots.texts import say
from rag.memory.conversation import ConversationMemory
from rag.prompts.sentences import dated
from rag.types import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The reply to a command, and entries for the conversation log."""

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

    async def run(self, message: IncomingMessage, audiences: frozenset[str], tenant: str = "") -> CommandResult:
        """Runs a command whose reply is read by ``audiences`` of ``tenant``. Raises ``StoreUnavailable``."""
        match message.command:
            case "new":
                await self._memory.forget(message.conversation)
                return CommandResult(text=say(message.language, "new"))
            case "forget":
                return await self._forget(message)
            case "sources":
                return CommandResult(text=await self._sources(message, audiences, tenant))
            case "start":
                return CommandResult(text=self._with_contact(say(message.language, "start")))
            case "help":
                return CommandResult(text=self._with_contact(say(message.language, "help")))
            case _:
                return CommandResult(text=say(message.language, "unknown_command"))

    def _with_contact(self, text: str) -> str:
        return f"{text}\n\n{self._contact}" if self._contact else text

    async def _forget(self, message: IncomingMessage) -> CommandResult:
        alone = message.channel in ("direct", "ephemeral")
        # Where others take part, a person may only take back their own words, unless they administer the place.
        everybody = message.text.strip().lower() in ("all", "todo", "todos")
        if everybody and not alone and not message.sender.admin:
            return CommandResult(text=say(message.language, "forget_all_refused"))
        speaker = None if alone or everybody else message.sender.id
        await self._forgetting.from_stores(message.conversation, speaker, message.received_at, keep=message)
        entry = self._forgetting.from_log(message.conversation, speaker, message.received_at)
        return CommandResult(text=say(message.language, "forgotten_own" if speaker else "forgotten"), entries=(entry,))

    async def _sources(self, message: IncomingMessage, audiences: frozenset[str], tenant: str) -> str:
        """The sources of the last answer, as a numbered list."""
        sources = await self._last_sources(message.conversation)
        # Checked again: since the answer, a channel may have been shared with readers who may see less.
        allowed = [
            source
            for source in sources
            if source.passage.audience in audiences and source.passage.tenant in ("", tenant)
        ]
        if not allowed:
            return say(message.language, "no_sources")
        language = message.language or "en"
        lines = [_source_line(s.number, dated(s.title, s.passage, language), s.passage.url) for s in allowed]
        return "\n".join((say(message.language, "sources"), "", *lines))

    async def _last_sources(self, conversation: str) -> tuple[Source, ...]:
        for exchange in reversed(await self._memory.load(conversation)):
            # Memory keeps no sources, and a ledger entry expires after a week: an older answer simply has none.
            record = await self._ledger.find(conversation, exchange.turn_id)
            if record is not None and record.final is not None and record.final.sources:
                return record.final.sources
        return ()


def _source_line(number: int, title: str, url: str) -> str:
    return f"{number}. [{title}]({url})" if url.startswith(("http://", "https://")) else f"{number}. {title}"
