"""A place where people are asked to come, that can be looked at and that can fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bots.conversation.audience import Readers
from bots.conversation.handover.case import Case
from bots.conversation.handover.handovers import HandoverChannel
from bots.conversation.handover.state import Handover


@dataclass(slots=True)
class Board(HandoverChannel):
    """``posts`` are those that stand, by id; ``drawn`` is what each was brought to last."""

    place: str = "board"
    audiences: frozenset[str] = frozenset({"public", "employees"})
    posts: dict[str, Case] = field(default_factory=dict)
    drawn: dict[str, Handover] = field(default_factory=dict)
    failures: list[Exception] = field(default_factory=list)

    async def readers(self) -> Readers:
        return Readers(audiences=self.audiences)

    async def post(self, case: Case) -> str:
        if self.failures:
            raise self.failures.pop(0)
        post = f"b{len(self.posts) + 1}"
        self.posts[post] = case
        return post

    async def find(self, turn: str, since: datetime) -> str | None:
        return next((post for post, case in self.posts.items() if case.handover.turn_id == turn), "")

    async def redraw(self, handover: Handover) -> None:
        self.drawn[handover.post] = handover

    async def remove(self, place: str, post: str) -> None:
        self.posts.pop(post, None)

    async def check(self) -> Mapping[str, str]:
        return {}
