"""Who may read the answer decides what the answer may use: everyone who can read it may read all of it.

A source is for an audience, and may be one tenant's own: then only those who belong to the tenant find it.
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
    """Who reads a place: the audiences that all of them belong to, and their tenant, if they have the same one."""

    audiences: frozenset[str]
    tenant: str = ""

    def may_read(self, exchange: Exchange) -> bool:
        """Whether all of them may read an answer. What an older release remembered tells no audiences."""
        readable = bool(exchange.audiences) and self.audiences.issuperset(exchange.audiences)
        return readable and exchange.tenant in ("", self.tenant)


class KnowsReaders(Protocol):
    """A platform, as far as audiences are concerned."""

    def readers(self, message: IncomingMessage) -> Readers:
        """Who reads the reply to a resolved message; whatever is not known for certain counts as public."""


def readers(message: IncomingMessage, platforms: Mapping[str, KnowsReaders]) -> Readers:
    """Who reads the reply: the verdict of the message's platform. Everybody may read what is public."""
    platform = platforms.get(message.platform)
    if platform is None:
        return Readers(audiences=PUBLIC)
    verdict = platform.readers(message)
    return replace(verdict, audiences=PUBLIC | verdict.audiences)


def terminal_readers(settings: AudienceSettings) -> Readers:
    """Who sits at the terminal, unless a command names audiences."""
    return Readers(audiences=PUBLIC | frozenset(settings.terminal), tenant=settings.terminal_tenant)
