"""Switchboard: connects an asker who wants a person with people, and says whether that worked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bots.conversation.handover.handovers import Handovers, Wish
from bots.messages import IncomingMessage
from bots.platforms.base import Platform
from bots.queue.replies import Lease
from bots.texts import say
from rag.memory.conversation import ConversationMemory
from rag.types import Exchange


class Switchboard:
    """Asks people to come through ``handovers``. ``contact`` tells the asker how to reach a person if the bot cannot."""

    def __init__(
        self, handovers: Handovers, platforms: Mapping[str, Platform], memory: ConversationMemory, contact: str
    ) -> None:
        self._handovers = handovers
        self._platforms = platforms
        self._memory = memory
        self._contact = contact

    async def connect(
        self, message: IncomingMessage, history: Sequence[Exchange], lease: Lease, language: str | None
    ) -> str:
        """Asks people to come. Returns the reply to the asker.

        Raises ``DeliveryRetry`` while the channel accepts no post, ``LeaseLost`` or ``StoreUnavailable``.
        """
        where = await self._platforms[message.platform].whereabouts(message)
        wish = Wish(message=message, question=message.text, history=history, where=where)
        if await self._handovers.ask(wish, lease):
            return say(language, "person_asked")
        sentence = say(language, "nobody_reached" if self._handovers.possible else "nobody")
        return f"{sentence}\n\n{self._contact}" if self._contact else sentence

    async def command(self, message: IncomingMessage, lease: Lease) -> str:
        """The command ``person``: does the same as a question that asks for a person, with the latest exchanges."""
        # A second command must not ask people twice.
        if await self._handovers.taken(message.conversation, message.turn_id):
            return say(message.language, "person_waiting")
        return await self.connect(message, await self._memory.load(message.conversation), lease, message.language)
