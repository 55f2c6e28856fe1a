"""A message that failed too often and is stored for an operator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from bots.messages import IncomingMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class AsideMessage:
    """A message that was set aside.

    ``error`` names the kind of failure and never quotes the message; ``raw`` is the message as JSON; ``at`` is when it was set
    aside.
    """

    turn_id: str
    conversation: str
    raw: str
    error: str
    tries: int
    at: datetime

    @property
    def message(self) -> IncomingMessage:
        """The message itself. Raises ``pydantic.ValidationError`` if another release wrote it in another form."""
        return IncomingMessage.from_json(self.raw)

    def to_json(self) -> str:
        return _ASIDE.dump_json(self).decode()

    @classmethod
    def from_json(cls, raw: str | bytes) -> AsideMessage:
        """Raises ``pydantic.ValidationError`` on anything that :meth:`to_json` did not write."""
        return _ASIDE.validate_json(raw)


_ASIDE: TypeAdapter[AsideMessage] = TypeAdapter(AsideMessage)
