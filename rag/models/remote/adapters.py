"""Adapters at servers: which name they have there, and who still uses them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rag.types import AdapterRef


def served_name(adapter: AdapterRef) -> str:
    """The model that a server knows an adapter as: another digest is another model, so a promotion changes no running reply."""
    return f"{adapter.name}-{adapter.digest[:12]}"


class AdaptersInUse:
    """Counts replies by adapter, and remembers which adapters go when their last reply has ended."""

    def __init__(self) -> None:
        self._replies: Counter[str] = Counter()
        self._retired: set[str] = set()

    @contextmanager
    def reply(self, name: str) -> Iterator[None]:
        self._replies[name] += 1
        try:
            yield
        finally:
            self._replies[name] -= 1

    def keep(self, name: str) -> None:
        """It is wanted (again)."""
        self._retired.discard(name)

    def retire(self, name: str) -> None:
        self._retired.add(name)

    def take_idle(self) -> list[str]:
        """Retired adapters that no reply uses any more; each is named once."""
        idle = [name for name in self._retired if not self._replies[name]]
        self._retired.difference_update(idle)
        return idle
