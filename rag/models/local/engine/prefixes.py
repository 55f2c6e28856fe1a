"""Prefix cache: keys and values of beginnings that many prompts share (the instructions) are computed once.

The key is the adapter's digest with the prefix's tokens: states of another adapter are never used, and a prompt uses a state
only where it has the same tokens, so no text of one conversation reaches another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import takewhile

from rag.models.local.engine.batches import State

LEAST = 32
"""The fewest tokens of a prefix that are worth its memory."""


class Prefixes:
    """Holds the ``limit`` prefixes that were used last, and the last prompt of each adapter for comparison."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._states: OrderedDict[tuple[str, tuple[int, ...]], State] = OrderedDict()
        self._last: dict[str, Sequence[int]] = {}

    def find(self, adapter: str, prompt: Sequence[int]) -> tuple[State, int] | None:
        """State and length of the longest stored prefix of a prompt, or None.

        It is shorter than the prompt: the model must read at least one token to give logits.
        """
        fitting = [
            key
            for key in self._states
            if key[0] == adapter and len(key[1]) < len(prompt) and key[1] == tuple(prompt[: len(key[1])])
        ]
        if not fitting:
            return None
        longest = max(fitting, key=lambda key: len(key[1]))
        self._states.move_to_end(longest)
        return self._states[longest], len(longest[1])

    def shared_length(self, adapter: str, prompt: Sequence[int]) -> int:
        """Tokens that this prompt shares with the previous one, if they should be stored now; else 0."""
        before, self._last[adapter] = self._last.get(adapter, ()), prompt
        pairs = zip(before, prompt, strict=False)
        shared = min(sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)), len(prompt) - 1)
        return shared if shared >= LEAST and not self._covers(adapter, prompt, shared) else 0

    def store(self, adapter: str, prefix: Sequence[int], state: State) -> None:
        self._states[adapter, tuple(prefix)] = state
        while len(self._states) > self._limit:
            self._states.popitem(last=False)

    def forget(self, adapter: str) -> None:
        """Drops the states of an adapter that was removed."""
        self._last.pop(adapter, None)
        for key in [key for key in self._states if key[0] == adapter]:
            del self._states[key]

    def _covers(self, adapter: str, prompt: Sequence[int], shared: int) -> bool:
        """Whether a prefix of nearly that length is stored: two questions may share a few more tokens by chance."""
        match = self.find(adapter, prompt)
        return match is not None and match[1] > shared - LEAST
