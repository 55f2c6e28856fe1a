"""Links of t.me to a conversation in Telegram or to its asker."""

from __future__ import annotations

import re

from bots.conversation.handover.state import Whereabouts
from bots.messages import IncomingMessage

_USERNAME = re.compile(r"[A-Za-z0-9_]{3,64}")
_SUPERGROUP = "-100"
"""The beginning of every supergroup's id; links leave it out."""


def whereabouts(message: IncomingMessage) -> Whereabouts:
    """Built from the address alone, without a call."""
    address = message.address
    username = address.get("username", "")
    handle = username if _USERNAME.fullmatch(username) else ""
    if message.channel == "direct":
        return Whereabouts(
            url=f"https://t.me/{handle}" if handle else "",
            person=f"@{handle}" if handle else f"id {message.sender.id}",
        )
    return Whereabouts(url=_in_group(handle, address["chat"], address["topic"], address["message"]))


def _in_group(username: str, chat: str, topic: str, message: str) -> str:
    # Messages of a basic group have no link at all.
    if not username and not chat.startswith(_SUPERGROUP):
        return ""
    group = username or f"c/{chat.removeprefix(_SUPERGROUP)}"
    thread = "" if topic in ("", "0") else f"/{topic}"
    return f"https://t.me/{group}{thread}/{message}"
