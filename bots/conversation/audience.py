"""Audiences: an answer may use only what everyone who can read the answer may read.

Every source has an audience, and may belong to one tenant; then only readers of that tenant find its passages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from bots.messages import IncomingMessage
from bots.settings import AudienceSettings
from rag.types import Exchange

PUBLIC = frozenset({"public"})
INTERNAL = frozenset({"public", "employees"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """The readers of a channel: the audiences that all of them belong to, and their tenant, if all have the same one."""

    audiences: frozenset[str]
    tenant: str = ""

    def may_read(self, exchange: Exchange) -> bool:
        """Whether all of them may read an earlier exchange."""
        # An exchange stored by an older release names no audiences: what its answer used is unknown, so nobody may read it.
        allowed = bool(exchange.audiences) and self.audiences.issuperset(exchange.audiences)
        return allowed and exchange.tenant in ("", self.tenant)


class KnowsReaders(Protocol):
    """The part of a platform that determines audiences."""

    def readers(self, message: IncomingMessage) -> Readers:
        """The readers of the reply to a resolved message. A reader who is not known for certain counts as public."""


def readers(message: IncomingMessage, platforms: Mapping[str, KnowsReaders]) -> Readers:
    """The readers of the reply, as the message's platform determines them. Every reader may read what is public."""
    platform = platforms.get(message.platform)
    if platform is None:  # an unknown platform gets the least, never the most
        return Readers(audiences=PUBLIC)
    confirmed = platform.readers(message)
    return replace(confirmed, audiences=PUBLIC | confirmed.audiences)


def terminal_readers(settings: AudienceSettings) -> Readers:
    """The reader at the terminal, unless a command names audiences."""
    return Readers(audiences=PUBLIC | frozenset(settings.terminal), tenant=settings.terminal_tenant)
