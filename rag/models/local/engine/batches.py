"""Where the replies under way keep their state, and how a model takes one step for all of them.

Rows 0 to n - 1 are those that decode; one more may be filling, and it is the last. ``SlotBatch`` decodes all rows in one
forward; ``LoneBatch`` decodes them one after another, for models whose layers keep something else than keys and values of all
tokens (sliding windows, states of a recurrence).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicCache

from rag.models.local.devices import free_bytes
from rag.models.local.engine.slots import SlotCache

_SHARE = 0.8
"""Of the free memory that may be taken; the rest is for the work itself."""
Adapted = Callable[..., Tensor]
"""A model's forward that is told which adapter each row asks for, and gives the logits of each row's last token."""
State = list[tuple[Tensor, Tensor]]
"""Keys and values of some tokens, layer by layer."""


class Batch(Protocol):
    """The state of the replies under way; ``lengths`` has the tokens of each."""

    lengths: list[int]
    whole: bool
    """A prompt must be read in one piece."""

    def add(self, tokens: int) -> int:
        """A new last row that may grow to so many tokens: its number. MemoryError where there is no room."""

    def fill(self, row: int, ids: Sequence[int], adapter: str) -> Tensor:
        """Reads more of a prompt; the logits after it, (vocabulary,)."""

    def decode(self, ids: Sequence[int], adapters: Sequence[str]) -> Tensor:
        """One token more for each of the first rows; the logits after them, (rows, vocabulary)."""

    def move(self, source: int, target: int) -> None: ...

    def pop(self) -> None:
        """The last row ends."""

    def copy(self, row: int, length: int) -> State | None:
        """The state of a row's first tokens, where it can be used again."""

    def paste(self, row: int, state: State, length: int) -> None: ...

    def clear(self) -> None:
        """All rows end, whatever state they are in."""


class SlotBatch:
    """All rows in one cache, all of them decoded by one forward."""

    whole = False

    def __init__(self, forward: Adapted, layers: int, device: torch.device, dtype: torch.dtype) -> None:
        self.forward, self.layers = forward, layers
        self.device, self.dtype = device, dtype
        self.cache = SlotCache(layers)
        self.lengths: list[int] = []

    def add(self, tokens: int) -> int:
        self._check_memory(len(self.lengths) + 1, max(tokens, *self.lengths, 0))
        rows, longest = len(self.lengths), max(self.lengths, default=0)
        self.cache.reserve(rows + 1, max(longest, 1), (rows, longest))
        self.lengths.append(0)
        return len(self.lengths) - 1

    def fill(self, row: int, ids: Sequence[int], adapter: str) -> Tensor:
        start, end = self.lengths[row], self.lengths[row] + len(ids)
        self._reserve(end)
        self.lengths[row] = end  # also if it fails: what it wrote until then is wiped with the rest
        self.cache.fill(row, start)
        places = torch.arange(start, end, device=self.device)[None]
        mask = self._after(start, end) if start else None
        return self.forward(self._tensor([list(ids)]), mask, places, self.cache, [adapter])[0]

    def decode(self, ids: Sequence[int], adapters: Sequence[str]) -> Tensor:
        count = len(ids)
        self._reserve(max(self.lengths[:count]) + 1)
        places = self._tensor(self.lengths[:count])
        self.cache.extend(places)
        seen = torch.arange(self.cache.tokens, device=self.device) <= places[:, None]
        mask = self._bias(seen)[:, None, None]
        logits = self.forward(self._tensor(ids)[:, None], mask, places[:, None], self.cache, list(adapters))
        for row in range(count):
            self.lengths[row] += 1
        return logits

    def move(self, source: int, target: int) -> None:
        length = self.lengths[source]
        self.cache.move(source, target, length)
        self.cache.wipe(target, length, max(length, self.lengths[target]))
        self.lengths[target] = length

    def pop(self) -> None:
        length = self.lengths.pop()
        self.cache.wipe(len(self.lengths), 0, length)
        if not self.lengths:
            self.cache.shrink()

    def copy(self, row: int, length: int) -> State | None:
        return self.cache.copy(row, length)

    def paste(self, row: int, state: State, length: int) -> None:
        self._reserve(length)
        self.cache.paste(row, state)
        self.lengths[row] = length

    def clear(self) -> None:
        self.lengths, self.cache = [], SlotCache(self.layers)

    def _reserve(self, tokens: int) -> None:
        longest = max(self.lengths)
        self.cache.reserve(len(self.lengths), max(tokens, longest), (len(self.lengths), longest))

    def _check_memory(self, rows: int, tokens: int) -> None:
        """Before a reply begins: on a CPU there is no error to catch when memory runs out."""
        needed, free = (
            self.cache.bytes_of(rows, tokens) - self.cache.bytes_of(*self.cache.size),
            free_bytes(self.device),
        )
        if free is not None and needed > free * _SHARE:
            raise MemoryError(
                f"{rows} answers of up to {tokens} tokens need {needed >> 20} MiB more, {free >> 20} are free"
            )

    def _after(self, start: int, end: int) -> Tensor:
        """Who continues a text sees all of what stands before it."""
        places = torch.arange(end, device=self.device)
        return self._bias(places <= places[start:, None])[None, None]

    def _bias(self, seen: Tensor) -> Tensor:
        return torch.zeros(seen.shape, dtype=self.dtype, device=self.device).masked_fill(~seen, float("-inf"))

    def _tensor(self, values: object) -> Tensor:
        return torch.tensor(values, device=self.device)


class LoneBatch:
    """A cache of transformers' own for each row, and a forward for each: correct for every model, and no faster than one."""

    whole = True

    def __init__(self, forward: Adapted, model: nn.Module, device: torch.device) -> None:
        self.forward, self.model, self.device = forward, model, device
        self.caches: list[Cache] = []
        self.lengths: list[int] = []

    def add(self, tokens: int) -> int:  # noqa: ARG002 - these caches grow by themselves
        self.caches.append(DynamicCache(config=self.model.config))
        self.lengths.append(0)
        return len(self.lengths) - 1

    def fill(self, row: int, ids: Sequence[int], adapter: str) -> Tensor:
        start, end = self.lengths[row], self.lengths[row] + len(ids)
        places = torch.arange(start, end, device=self.device)[None]
        tokens = torch.tensor([list(ids)], device=self.device)
        logits = self.forward(tokens, None, places, self.caches[row], [adapter])
        self.lengths[row] = end
        return logits[0]

    def decode(self, ids: Sequence[int], adapters: Sequence[str]) -> Tensor:
        return torch.stack([self.fill(row, [ids[row]], adapters[row]) for row in range(len(ids))])

    def move(self, source: int, target: int) -> None:
        self.caches[target], self.lengths[target] = self.caches[source], self.lengths[source]

    def pop(self) -> None:
        self.caches.pop()
        self.lengths.pop()

    def copy(self, row: int, length: int) -> State | None:  # noqa: ARG002 - a recurrence cannot be cut
        return None

    def paste(self, row: int, state: State, length: int) -> None:
        raise NotImplementedError

    def clear(self) -> None:
        self.caches, self.lengths = [], []
