"""The values between platforms and the service: :class:`IncomingMessage` in, :class:`OutgoingReply` out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import TypeAdapter

from rag.types import Source

Kind = Literal["question", "edit", "deletion", "command", "handover"]
ChannelKind = Literal["direct", "private", "public", "shared", "ephemeral"]
"""Who reads there: one person; a closed group; the whole organisation; outsiders too; the asker alone in a channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who wrote. ``groups`` are the platform's user groups (ids); ``guest`` covers guests and people of other organisations."""

    id: str
    name: str = ""
    guest: bool = False
    admin: bool = False
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingMessage:
    """One accepted message, as the inbox stores it (JSON: its fields must not be renamed).

    ``id`` is the platform's own identity of the message and stays the same over redeliveries; ``seen`` lists every key by
    which a redelivery may be recognised; ``address`` is what the platform needs to answer (opaque to everybody else).
    For ``edit`` and ``deletion``, ``original`` is the id of the message that was edited or deleted.
    For ``command``, ``command`` is its name without a slash and ``text`` its argument. ``handover`` is no person's message: it is
    what has to be done about a conversation that a person was asked to take over (``bots/conversation/handover/state.py``).
    """

    id: str
    seen: tuple[str, ...]
    platform: str
    conversation: str
    kind: Kind
    text: str
    sender: Sender
    channel: ChannelKind
    received_at: datetime
    address: Mapping[str, str] = field(default_factory=dict)
    language: str | None = None
    command: str = ""
    original: str = ""
    attachments: tuple[str, ...] = ()

    @property
    def turn_id(self) -> str:
        """Sixteen hex digits, the same at every delivery; users meet it as the reference of an error."""
        return turn_id(self.id)

    def to_json(self) -> str:
        return _MESSAGES.dump_json(self).decode()

    @classmethod
    def from_json(cls, raw: str | bytes) -> IncomingMessage:
        """Raises ``pydantic.ValidationError`` on anything that :meth:`to_json` did not write."""
        return _MESSAGES.validate_json(raw)


def turn_id(message_id: str) -> str:
    """The identity of a turn, derived from its message, so that every delivery of the message has the same one."""
    # 64 bits: enough for all turns of a deployment, short enough for the data of a Telegram button (64 bytes).
    return hashlib.sha256(message_id.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingReply:
    """The reply that the user must see.

    An ``answer`` is shown with sources and feedback buttons, a ``notice`` (help, limits, errors) without.
    ``text`` is Markdown with ``[n]`` citations that refer to ``sources``.
    """

    turn_id: str
    kind: Literal["answer", "notice"]
    text: str
    language: str = "en"
    sources: tuple[Source, ...] = ()


_MESSAGES: TypeAdapter[IncomingMessage] = TypeAdapter(IncomingMessage)
REPLIES: TypeAdapter[OutgoingReply] = TypeAdapter(OutgoingReply)
