"""Trouble on demand: errors, limits, broken connections and delays, for chosen calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["error", "limit", "server_error", "reset", "lost_answer"]
"""``reset`` breaks the connection before anything happens, ``lost_answer`` after it happened."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """Strikes the ``first``-th matching call and the ``times - 1`` after it. ``method`` may be ``*``."""

    method: str
    kind: Kind = "error"
    code: str = "internal"
    first: int = 1
    times: int = 1
    retry_after: float = 0.0
    count: int = 0

    def strikes(self, method: str) -> bool:
        if self.method not in ("*", method):
            return False
        self.count += 1
        return self.first <= self.count < self.first + self.times


class Faults:
    """The faults that wait to strike, and hooks that watch each call."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self.delays: dict[str, float] = {}
        self.after: Callable[[str], None] | None = None

    def next(self, method: str) -> Fault | None:
        return next((fault for fault in self.waiting if fault.strikes(method)), None)
