"""State of the running replies, and one decoding step for all of them.

Rows 0 to n - 1 decode; one more row, the last, may be reading its prompt. ``SlotBatch`` decodes all rows in one forward pass.
``LoneBatch`` decodes them one after another, for models whose layers store something else than the keys and values of all
tokens (sliding windows, recurrent states).
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
"""The share of the free memory that the cache may take; the rest is for the computation itself."""
Forward = Callable[..., Tensor]
"""A forward pass with an adapter's name for each row; returns the logits of each row's last token."""
State = list[tuple[Tensor, Tensor]]
"""Keys and values of some tokens, layer by layer."""


class Batch(Protocol):
    """The state of the running replies; ``lengths`` holds the number of tokens in each row."""

    lengths: list[int]
    whole: bool
    """Whether a prompt must be read in one piece."""

    def add(self, tokens: int) -> int:
        """Adds a row that may grow to ``tokens`` tokens; returns its number. Raises ``MemoryError`` if there is no room."""

    def fill(self, row: int, ids: Sequence[int], adapter: str) -> Tensor:
        """Reads more tokens of a prompt; returns the logits after them, (vocabulary,)."""

    def decode(self, ids: Sequence[int], adapters: Sequence[str]) -> Tensor:
        """Adds one token to each of the first rows; returns the logits after them, (rows, vocabulary)."""

    def move(self, source: int, target: int) -> None: ...

    def pop(self) -> None:
        """Removes the last row."""

    def copy(self, row: int, length: int) -> State | None:
        """A copy of the state of a row's first ``length`` tokens; None if such a state cannot be reused."""

    def paste(self, row: int, state: State, length: int) -> None: ...

    def clear(self) -> None:
        """Removes all rows. Works after a failed step too."""


class SlotBatch:
    """Holds all rows in one cache and decodes them in one forward pass."""

    whole = False

    def __init__(self, forward: Forward, layers: int, device: torch.device, dtype: torch.dtype) -> None:
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
        self.lengths[row] = end  # before the forward pass: if that fails, what it wrote is wiped with the row
        self.cache.fill(row, start)
        places = torch.arange(start, end, device=self.device)[None]
        # Without earlier tokens no mask is needed: torch's own causal attention is faster.
        mask = self._causal_mask(start, end) if start else None
        return self.forward(self._tensor([list(ids)]), mask, places, self.cache, [adapter])[0]

    def decode(self, ids: Sequence[int], adapters: Sequence[str]) -> Tensor:
        count = len(ids)
        self._reserve(max(self.lengths[:count]) + 1)
        places = self._tensor(self.lengths[:count])
        self.cache.extend(places)
        visible = torch.arange(self.cache.tokens, device=self.device) <= places[:, None]
        mask = self._bias(visible)[:, None, None]
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
        """Raises ``MemoryError`` before a reply begins: on a CPU the kernel kills the process when memory runs out."""
        needed, free = (
            self.cache.bytes_of(rows, tokens) - self.cache.bytes_of(*self.cache.size),
            free_bytes(self.device),
        )
        if free is not None and needed > free * _SHARE:
            raise MemoryError(
                f"{rows} answers of up to {tokens} tokens need {needed >> 20} MiB more, {free >> 20} are free"
            )

    def _causal_mask(self, start: int, end: int) -> Tensor:
        """Mask for tokens ``start`` to ``end``: each sees itself and all tokens before it, also those in the cache."""
        places = torch.arange(end, device=self.device)
        return self._bias(places <= places[start:, None])[None, None]

    def _bias(self, visible: Tensor) -> Tensor:
        return torch.zeros(visible.shape, dtype=self.dtype, device=self.device).masked_fill(~visible, float("-inf"))

    def _tensor(self, values: object) -> Tensor:
        return torch.tensor(values, device=self.device)


class LoneBatch:
    """Holds a transformers cache for each row and decodes one row at a time: correct for every model, but without speedup."""

    whole = True

    def __init__(self, forward: Forward, model: nn.Module, device: torch.device) -> None:
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

    def copy(self, row: int, length: int) -> State | None:  # noqa: ARG002 - a recurrent state cannot be cut to a length
        return None

    def paste(self, row: int, state: State, length: int) -> None:
        raise NotImplementedError

    def clear(self) -> None:
        self.caches, self.lengths = [], []
