"""Where people find a conversation in Telegram, by the kinds of links that t.me knows."""

from __future__ import annotations

import re

from bots.conversation.handover.state import Whereabouts
from bots.messages import IncomingMessage

_USERNAME = re.compile(r"[A-Za-z0-9_]{3,64}")
_SUPERGROUP = "-100"
"""What the id of a supergroup begins with; links leave it out."""


def whereabouts(message: IncomingMessage) -> Whereabouts:
    """From the address alone: no call is made."""
    address = message.address
    username = address.get("username", "")
    known = username if _USERNAME.fullmatch(username) else ""
    if message.channel == "direct":
        return Whereabouts(
            url=f"https://t.me/{known}" if known else "", person=f"@{known}" if known else f"id {message.sender.id}"
        )
    return Whereabouts(url=_in_group(known, address["chat"], address["topic"], address["message"]))


def _in_group(username: str, chat: str, topic: str, message: str) -> str:
    if not username and not chat.startswith(_SUPERGROUP):
        return ""
    group = username or f"c/{chat.removeprefix(_SUPERGROUP)}"
    thread = "" if topic in ("", "0") else f"/{topic}"
    return f"https://t.me/{group}{thread}/{message}"
