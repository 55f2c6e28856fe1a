"""The beginnings that many prompts share (the instructions): their keys and values are computed once.

A beginning is known by the adapter's digest and its tokens, so after a promotion nothing of the old adapter is used; and it is
used only where the very same tokens stand, so nothing of one conversation is seen by another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import takewhile

from rag.models.local.engine.batches import State

LEAST = 32
"""Tokens that a beginning must have to be worth its memory."""


class Prefixes:
    """At most ``limit`` beginnings, those that were used last; and the last prompt of each adapter, to compare with."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._states: OrderedDict[tuple[str, tuple[int, ...]], State] = OrderedDict()
        self._last: dict[str, Sequence[int]] = {}

    def find(self, adapter: str, prompt: Sequence[int]) -> tuple[State, int] | None:
        """The longest known beginning of a prompt and its length; at least one token is left to read."""
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

    def learn(self, adapter: str, prompt: Sequence[int]) -> int:
        """How long a beginning of this prompt should be kept now: what it shares with the one before, or 0."""
        before, self._last[adapter] = self._last.get(adapter, ()), prompt
        pairs = zip(before, prompt, strict=False)
        shared = min(sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)), len(prompt) - 1)
        return shared if shared >= LEAST and not self._covers(adapter, prompt, shared) else 0

    def keep(self, adapter: str, beginning: Sequence[int], state: State) -> None:
        self._states[adapter, tuple(beginning)] = state
        while len(self._states) > self._limit:
            self._states.popitem(last=False)

    def forget(self, adapter: str) -> None:
        """The adapter is gone."""
        self._last.pop(adapter, None)
        for key in [key for key in self._states if key[0] == adapter]:
            del self._states[key]

    def _covers(self, adapter: str, prompt: Sequence[int], shared: int) -> bool:
        """A beginning nearly as long is known already: chance makes the next words of two questions agree now and then."""
        found = self.find(adapter, prompt)
        return found is not None and found[1] > shared - LEAST
