"""A transformers cache with one row of keys and values for each running reply.

Rows in use are always the first ones: the last row moves into the place of a row that ends. Before each forward pass, ``fill``
(read a prompt into one row) or ``extend`` (add a token to each of the first rows) says what it does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

STEP = 64
"""Row lengths are multiples of this many tokens, which matrix kernels process faster."""


class Plan:
    """What the next forward pass does. All layers share one object."""

    def __init__(self) -> None:
        self.filling = False
        self.row = self.start = 0
        self.rows = self.places = torch.empty(0, dtype=torch.long)


class SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """Keys and values of one layer: (rows, heads, tokens, width)."""

    is_sliding = False

    def __init__(self, plan: Plan, rows: int, tokens: int) -> None:
        super().__init__()
        self.plan, self.size = plan, (rows, tokens)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys, self.values = (_empty(states, *self.size) for states in (key_states, value_states))
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        """Stores the new keys and values; returns all those that the forward pass may attend to."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        store = _fill if self.plan.filling else _extend
        return store(self.keys, key_states, self.plan), store(self.values, value_states, self.plan)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        """Tokens before those of the current forward pass: of the row that is filled, or the room of a row less one."""
        return self.plan.start if self.plan.filling else self.size[1] - 1

    def get_max_length(self) -> int:
        return self.size[1]

    def move(self, source: int, target: int, length: int) -> None:
        for buffer in self._buffers():
            buffer[target, :, :length] = buffer[source, :, :length]

    def wipe(self, row: int, start: int, end: int) -> None:
        for buffer in self._buffers():
            buffer[row, :, start:end] = 0

    def grow(self, rows: int, tokens: int, used: tuple[int, int]) -> None:
        """Resizes to ``rows`` rows of ``tokens`` tokens and copies the first ``used`` rows and tokens."""
        self.size = (rows, tokens)
        if self.is_initialized:
            self.keys, self.values = (_enlarge(buffer, rows, tokens, used) for buffer in self._buffers())

    def copy(self, row: int, length: int) -> tuple[Tensor, Tensor]:
        return self.keys[row, :, :length].clone(), self.values[row, :, :length].clone()

    def paste(self, row: int, states: tuple[Tensor, Tensor]) -> None:
        for buffer, source in zip(self._buffers(), states, strict=True):
            buffer[row, :, : source.shape[1]] = source

    def _buffers(self) -> tuple[Tensor, Tensor]:
        return self.keys, self.values


class SlotCache(Cache):  # type: ignore[misc]
    """The cache of all layers of a model, with room for ``rows`` rows of ``tokens`` tokens."""

    def __init__(self, layers: int) -> None:
        self.plan = Plan()
        self.rows, self.tokens = 1, STEP
        super().__init__(layers=[SlotLayer(self.plan, self.rows, self.tokens) for _ in range(layers)])

    @property
    def size(self) -> tuple[int, int]:
        return self.rows, self.tokens

    def fill(self, row: int, start: int) -> None:
        """Prepares a forward pass that continues one row from token ``start``."""
        self.plan.filling, self.plan.row, self.plan.start = True, row, start

    def extend(self, places: Tensor) -> None:
        """Prepares a forward pass that adds a token to each of the first rows, at ``places`` (rows,)."""
        self.plan.filling = False
        self.plan.rows, self.plan.places = torch.arange(len(places), device=places.device), places

    def reserve(self, rows: int, tokens: int, used: tuple[int, int]) -> None:
        """Makes room for ``rows`` rows of ``tokens`` tokens and keeps the first ``used`` rows and tokens.

        A step computes over the whole room, so rows get only an eighth more than the longest one needs, which is enough to
        resize seldom, and the room shrinks when that row has ended.
        """
        if rows <= self.rows and tokens <= self.tokens <= 2 * tokens + STEP:
            return
        used = (min(used[0], self.rows), min(used[1], self.tokens))
        # Rows grow by powers of two: each resize copies the whole cache.
        size = (max(self.rows, 1 << (rows - 1).bit_length()), -(-(tokens + tokens // 8) // STEP) * STEP)
        for layer in self.layers:
            layer.grow(*size, used)
        self.rows, self.tokens = size

    def shrink(self) -> None:
        """Frees the memory of all rows; none is in use."""
        self.rows, self.tokens = 1, STEP
        for layer in self.layers:
            layer.grow(self.rows, self.tokens, (0, 0))

    def move(self, source: int, target: int, length: int) -> None:
        for layer in self.layers:
            layer.move(source, target, length)

    def wipe(self, row: int, start: int, end: int) -> None:
        """Zeroes tokens ``start`` to ``end`` of a row: the mask's weight behind a row's end is 0, but 0 × NaN is NaN."""
        for layer in self.layers:
            if layer.is_initialized:
                layer.wipe(row, start, end)

    def copy(self, row: int, length: int) -> list[tuple[Tensor, Tensor]]:
        return [layer.copy(row, length) for layer in self.layers]

    def paste(self, row: int, states: list[tuple[Tensor, Tensor]]) -> None:
        for layer, source in zip(self.layers, states, strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(*(one[None] for one in source))
            layer.paste(row, source)

    def bytes_of(self, rows: int, tokens: int) -> int:
        """Memory for ``rows`` rows of ``tokens`` tokens; 0 before the first forward pass, when no layer has its width."""
        return sum(rows * tokens * _width(layer) for layer in self.layers if layer.is_initialized)


def _fill(buffer: Tensor, new: Tensor, plan: Plan) -> Tensor:
    end = plan.start + new.shape[2]
    buffer[plan.row, :, plan.start : end] = new[0]
    return buffer[plan.row : plan.row + 1, :, :end]


def _extend(buffer: Tensor, new: Tensor, plan: Plan) -> Tensor:
    buffer[plan.rows, :, plan.places] = new[:, :, 0]
    return buffer[: len(new)]


def _empty(like: Tensor, rows: int, tokens: int) -> Tensor:
    """A buffer of zeros, for the reason that ``SlotCache.wipe`` gives."""
    return like.new_zeros(rows, like.shape[1], tokens, like.shape[3])


def _enlarge(buffer: Tensor, rows: int, tokens: int, used: tuple[int, int]) -> Tensor:
    larger = _empty(buffer, rows, tokens)
    larger[: used[0], :, : used[1]] = buffer[: used[0], :, : used[1]]
    return larger


def _width(layer: SlotLayer) -> int:
    return sum(buffer.shape[1] * buffer.shape[3] * buffer.element_size() for buffer in (layer.keys, layer.values))
