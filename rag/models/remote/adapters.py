"""Names of adapters at model servers, and a count of the replies that use each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rag.types import AdapterRef


def served_name(adapter: AdapterRef) -> str:
    """The model name under which a server serves an adapter.

    It contains the digest: a promoted adapter gets a new name, so running replies keep the old one.
    """
    return f"{adapter.name}-{adapter.digest[:12]}"


class AdaptersInUse:
    """Counts the running replies of each adapter, and remembers which adapters to unload after their last reply."""

    def __init__(self) -> None:
        self._replies: Counter[str] = Counter()
        self._retired: set[str] = set()

    @contextmanager
    def reply(self, name: str) -> Iterator[None]:
        """Counts one reply for as long as the context is open."""
        self._replies[name] += 1
        try:
            yield
        finally:
            self._replies[name] -= 1

    def keep(self, name: str) -> None:
        """Takes back a retirement: the adapter is used again."""
        self._retired.discard(name)

    def retire(self, name: str) -> None:
        self._retired.add(name)

    def take_idle(self) -> list[str]:
        """Names of retired adapters without a running reply; each is returned only once."""
        idle = [name for name in self._retired if not self._replies[name]]
        self._retired.difference_update(idle)
        return idle
