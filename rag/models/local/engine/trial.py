"""Whether a model may write several replies in one forward: told by its layers, and tried once when it is loaded."""

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
_NEAR = {torch.float32: 1e-3, torch.bfloat16: 0.15, torch.float16: 0.05}
"""How far logits may differ, as a share of their spread: the order of additions differs, the sums do not."""


def full_layers(model: Any, window: int) -> int:
    """How many layers a cache of all tokens needs; 0 where a layer keeps something else within this window."""
    if model.config._attn_implementation != "sdpa":
        return 0
    try:
        layers = DynamicCache(config=model.config).layers
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        _log.info("the cache of %s is of an unknown kind: %s", model.name_or_path, exc)
        return 0
    return len(layers) if all(_is_full(layer, window) for layer in layers) else 0


def _is_full(layer: Any, window: int) -> bool:
    """A sliding window that is longer than any conversation hides nothing."""
    if type(layer) is DynamicSlidingWindowLayer:
        return int(layer.sliding_window) >= window
    return type(layer) is DynamicLayer


def uncached(model: Any) -> list[Tensor]:
    """What a batch must compute: the logits of the same texts in forwards without a cache."""
    first, second = _prompts(model)
    with torch.no_grad():
        return [_last(model, ids) for ids in (first[:-2], first[:-1], first, second)]


def agrees(batch: Batch, model: Any, expected: list[Tensor]) -> bool:
    """Two prompts, the second joining later and in pieces, then a token for both: are the logits those expected?"""
    try:
        with torch.no_grad():
            found = _written(batch, model)
    except Exception as exc:  # noqa: BLE001 - whatever a model of any architecture raises, it is not for this batch
        _log.info("%s does not work with %s: %s", model.name_or_path, type(batch).__name__, exc)
        return False
    finally:
        batch.clear()
    return all(_are_near(one, other) for one, other in zip(found, expected, strict=True))


def _prompts(model: Any) -> tuple[list[int], list[int]]:
    size = model.config.get_text_config(decoder=True).vocab_size
    words = torch.randint(0, size, (_LONG + _SHORT + 3,), generator=torch.Generator().manual_seed(0)).tolist()
    return words[:_LONG], words[_LONG:]


def _written(batch: Batch, model: Any) -> list[Tensor]:
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


def _last(model: Any, ids: list[int]) -> Tensor:
    logits: Tensor = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1]
    return logits


def _are_near(found: Tensor, expected: Tensor) -> bool:
    dtype, found, expected = expected.dtype, found.float(), expected.float()
    spread = (expected.max() - expected.min()).clamp(min=1e-6)
    return float((found - expected).abs().max() / spread) <= _NEAR.get(dtype, 0.05)
