"""What people do in Telegram, as the updates that it makes."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from tests.loopback.telegram import LoopbackTelegram
from tests.loopback.telegram_html import utf16_length
from tests.loopback.telegram_values import BOT, Shown

_ENTITY = re.compile(r"(?P<bot_command>(?<!\S)/\w+(?:@\w+)?)|(?P<mention>(?<!\w)@\w+)")


def entities(text: str) -> list[dict[str, Any]]:
    """Commands and mentions, offsets in UTF-16 units as Telegram counts them."""
    return [
        {
            "type": found.lastgroup,
            "offset": utf16_length(text[: found.start()]),
            "length": utf16_length(found.group()),
        }
        for found in _ENTITY.finditer(text)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody in a chat. A positive ``chat`` is the private one, a negative one a group."""

    telegram: LoopbackTelegram
    chat: int = 77
    user: int = 77
    name: str = "Ana"
    language: str = "en"
    topic: int = 0
    kind: str = "supergroup"
    chat_name: str = ""

    def profile(self) -> dict[str, Any]:
        return {"id": self.user, "is_bot": False, "first_name": self.name, "language_code": self.language}

    def place(self) -> dict[str, Any]:
        if self.chat > 0:
            return {"id": self.chat, "type": "private", "first_name": self.name}
        named = {"username": self.chat_name} if self.chat_name else {}
        return {"id": self.chat, "type": self.kind, "title": "The group", **named}

    def message(self, text: str = "", **more: Any) -> dict[str, Any]:
        """A message of this person, not sent yet."""
        number = more.pop("message_id", None) or self.telegram.next_id(self.chat)
        message: dict[str, Any] = {
            "message_id": number,
            "date": int(time.time()),
            "chat": self.place(),
            "from": self.profile(),
        }
        if self.topic:
            message |= {"message_thread_id": self.topic, "is_topic_message": True}
        if text:
            message |= {"text": text, "entities": entities(text)}
        return {**message, **more}

    async def says(self, text: str = "", **more: Any) -> int:
        """The message's id."""
        message = self.message(text, **more)
        await self.telegram.push(message=message)
        return int(message["message_id"])

    async def edits(self, message_id: int, text: str, **more: Any) -> None:
        edited = self.message(text, message_id=message_id, **more)
        await self.telegram.push(edited_message={**edited, "edit_date": int(time.time()) + 1})

    async def replies(self, shown: Shown, text: str, **more: Any) -> int:
        return await self.says(text, reply_to_message=self.bot_message(shown), **more)

    def bot_message(self, shown: Shown) -> dict[str, Any]:
        base = {"message_id": shown.id, "date": int(time.time()), "chat": self.place(), "from": BOT, "text": shown.text}
        return base | ({"message_thread_id": shown.topic, "is_topic_message": True} if shown.topic else {})

    async def taps(self, shown: Shown, data: str, *, old: bool = False) -> None:
        """Taps a button; ``old`` when Telegram no longer shows the message to bots."""
        message = self.bot_message(shown)
        if old:
            message = {"message_id": shown.id, "date": 0, "chat": self.place()}
        query = {"id": f"q{time.monotonic_ns()}", "from": self.profile(), "chat_instance": "1", "data": data}
        await self.telegram.push(callback_query={**query, "message": message})

    async def changes_membership(self, status: str) -> None:
        """Blocks ("kicked") or unblocks ("member") the bot, or does so to a group."""
        change = {"chat": self.place(), "from": self.profile(), "date": int(time.time())}
        old = {"status": "member", "user": BOT}
        new = {"status": status, "user": BOT, **({"until_date": 0} if status == "kicked" else {})}
        await self.telegram.push(my_chat_member={**change, "old_chat_member": old, "new_chat_member": new})
