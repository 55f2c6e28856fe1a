"""Tests once, when a model is loaded, whether a batch computes the same logits as the model without a cache."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from rag.models.local.adapters.network import BASE
from rag.models.local.engine.batches import Batch

_log = logging.getLogger(__name__)
_LONG, _SHORT = 11, 4
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.15, torch.float16: 0.05}
"""Largest difference of logits as a share of their spread: additions in another order round differently."""


def full_layers(model: Any, window: int) -> int:
    """Number of layers for a cache of all tokens; 0 if a layer stores something else within ``window`` tokens."""
    if model.config._attn_implementation != "sdpa":
        return 0
    try:
        layers = DynamicCache(config=model.config).layers
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        _log.info("the cache of %s is of an unknown kind: %s", model.name_or_path, exc)
        return 0
    return len(layers) if all(_is_full(layer, window) for layer in layers) else 0


def _is_full(layer: Any, window: int) -> bool:
    """Whether a layer stores all tokens. A sliding window at least as long as the model's window never drops one."""
    if type(layer) is DynamicSlidingWindowLayer:
        return int(layer.sliding_window) >= window
    return type(layer) is DynamicLayer


def uncached_logits(model: Any) -> list[Tensor]:
    """Reference logits for ``agrees``: the same prompts in forward passes without a cache."""
    first, second = _prompts(model)
    with torch.no_grad():
        return [_last_logits(model, ids) for ids in (first[:-2], first[:-1], first, second)]


def agrees(batch: Batch, model: Any, expected: list[Tensor]) -> bool:
    """Whether a batch gives the expected logits for two prompts; the second one joins later and is read in pieces."""
    try:
        with torch.no_grad():
            actual = _batched_logits(batch, model)
    except Exception as exc:  # noqa: BLE001 - an architecture may raise anything; then the model cannot use this batch
        _log.info("%s does not work with %s: %s", model.name_or_path, type(batch).__name__, exc)
        return False
    finally:
        batch.clear()
    return all(_are_close(one, other) for one, other in zip(actual, expected, strict=True))


def _prompts(model: Any) -> tuple[list[int], list[int]]:
    size = model.config.get_text_config(decoder=True).vocab_size
    # Fixed tokens, so that a model is always judged in the same way.
    words = torch.randint(0, size, (_LONG + _SHORT + 3,), generator=torch.Generator().manual_seed(0)).tolist()
    return words[:_LONG], words[_LONG:]


def _batched_logits(batch: Batch, model: Any) -> list[Tensor]:
    first, second = _prompts(model)
    row = batch.add(len(first))
    logits = [batch.fill(row, first[:-2], BASE)]
    logits.append(batch.decode([first[-2]], [BASE])[0])
    row = batch.add(len(second))
    cut = len(second) - 1 if batch.whole else _SHORT
    for piece in (second[:cut], second[cut:-1]):
        if piece:
            batch.fill(row, piece, BASE)
    logits.extend(batch.decode([first[-1], second[-1]], [BASE, BASE]))
    return logits


def _last_logits(model: Any, ids: list[int]) -> Tensor:
    logits: Tensor = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1]
    return logits


def _are_close(actual: Tensor, expected: Tensor) -> bool:
    dtype, actual, expected = expected.dtype, actual.float(), expected.float()
    spread = (expected.max() - expected.min()).clamp(min=1e-6)
    return float((actual - expected).abs().max() / spread) <= _TOLERANCE.get(dtype, 0.05)
