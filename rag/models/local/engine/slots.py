"""Keys and values of several conversations at once: a transformers cache with a row for each of them.

Rows are compact: those that are written to are the first ones, and a row that ends is replaced by a later one. What a forward
means to do (fill one row, or add a token to each of the first rows) is said beforehand by ``fill`` and ``extend``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

STEP = 64
"""Tokens by which rows grow: kernels like lengths that are multiples of it."""


class Plan:
    """What the next forward does, for all layers: the same object in each of them."""

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
        self.keys, self.values = (_room(states, *self.size) for states in (key_states, value_states))
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        """Stores what a forward computed, and returns all that it may look at."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        store = _fill if self.plan.filling else _extend
        return store(self.keys, key_states, self.plan), store(self.values, value_states, self.plan)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        """Tokens before those of the forward that runs: of one row, or all that a row may have."""
        return self.plan.start if self.plan.filling else self.size[1] - 1

    def get_max_length(self) -> int:
        return self.size[1]

    def move(self, source: int, target: int, length: int) -> None:
        for kept in self._kept():
            kept[target, :, :length] = kept[source, :, :length]

    def wipe(self, row: int, start: int, end: int) -> None:
        for kept in self._kept():
            kept[row, :, start:end] = 0

    def grow(self, rows: int, tokens: int, used: tuple[int, int]) -> None:
        """To ``rows`` of ``tokens``; ``used`` rows and tokens are kept."""
        self.size = (rows, tokens)
        if self.is_initialized:
            self.keys, self.values = (_grown(kept, rows, tokens, used) for kept in self._kept())

    def copy(self, row: int, length: int) -> tuple[Tensor, Tensor]:
        return self.keys[row, :, :length].clone(), self.values[row, :, :length].clone()

    def paste(self, row: int, states: tuple[Tensor, Tensor]) -> None:
        for kept, known in zip(self._kept(), states, strict=True):
            kept[row, :, : known.shape[1]] = known

    def _kept(self) -> tuple[Tensor, Tensor]:
        return self.keys, self.values


class SlotCache(Cache):  # type: ignore[misc]
    """All layers of a model. ``rows`` and ``tokens`` are what there is room for."""

    def __init__(self, layers: int) -> None:
        self.plan = Plan()
        self.rows, self.tokens = 1, STEP
        super().__init__(layers=[SlotLayer(self.plan, self.rows, self.tokens) for _ in range(layers)])

    @property
    def size(self) -> tuple[int, int]:
        return self.rows, self.tokens

    def fill(self, row: int, start: int) -> None:
        """The next forward continues one row from ``start``."""
        self.plan.filling, self.plan.row, self.plan.start = True, row, start

    def extend(self, places: Tensor) -> None:
        """The next forward adds a token to each of the first rows, at ``places``, and looks at all that there is room for."""
        self.plan.filling = False
        self.plan.rows, self.plan.places = torch.arange(len(places), device=places.device), places

    def reserve(self, rows: int, tokens: int, used: tuple[int, int]) -> None:
        """Room for so many rows of so many tokens; ``used`` rows and tokens are kept.

        A step looks at all the room, so there is little more than the longest row needs: an eighth, to grow seldom, and it
        shrinks when that row has gone.
        """
        if rows <= self.rows and tokens <= self.tokens <= 2 * tokens + STEP:
            return
        kept = (min(used[0], self.rows), min(used[1], self.tokens))
        wanted = (max(self.rows, 1 << (rows - 1).bit_length()), -(-(tokens + tokens // 8) // STEP) * STEP)
        for layer in self.layers:
            layer.grow(*wanted, kept)
        self.rows, self.tokens = wanted

    def shrink(self) -> None:
        """Nobody is written to: lets go of all room."""
        self.rows, self.tokens = 1, STEP
        for layer in self.layers:
            layer.grow(self.rows, self.tokens, (0, 0))

    def move(self, source: int, target: int, length: int) -> None:
        for layer in self.layers:
            layer.move(source, target, length)

    def wipe(self, row: int, start: int, end: int) -> None:
        """Zeros where a reply stood: attention gives what is behind a row's end no weight, but NaN without weight is NaN."""
        for layer in self.layers:
            if layer.is_initialized:
                layer.wipe(row, start, end)

    def copy(self, row: int, length: int) -> list[tuple[Tensor, Tensor]]:
        return [layer.copy(row, length) for layer in self.layers]

    def paste(self, row: int, states: list[tuple[Tensor, Tensor]]) -> None:
        for layer, known in zip(self.layers, states, strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(*(one[None] for one in known))
            layer.paste(row, known)

    def bytes_of(self, rows: int, tokens: int) -> int:
        """Memory for so many rows of so many tokens; 0 before the first forward told how wide they are."""
        return sum(rows * tokens * _width(layer) for layer in self.layers if layer.is_initialized)


def _fill(kept: Tensor, new: Tensor, plan: Plan) -> Tensor:
    end = plan.start + new.shape[2]
    kept[plan.row, :, plan.start : end] = new[0]
    return kept[plan.row : plan.row + 1, :, :end]


def _extend(kept: Tensor, new: Tensor, plan: Plan) -> Tensor:
    kept[plan.rows, :, plan.places] = new[:, :, 0]
    return kept[: len(new)]


def _room(like: Tensor, rows: int, tokens: int) -> Tensor:
    """Zeros, for the reason told at ``wipe``."""
    return like.new_zeros(rows, like.shape[1], tokens, like.shape[3])


def _grown(kept: Tensor, rows: int, tokens: int, used: tuple[int, int]) -> Tensor:
    grown = _room(kept, rows, tokens)
    grown[: used[0], :, : used[1]] = kept[: used[0], :, : used[1]]
    return grown


def _width(layer: SlotLayer) -> int:
    return sum(kept.shape[1] * kept.shape[3] * kept.element_size() for kept in (layer.keys, layer.values))
