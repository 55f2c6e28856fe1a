"""Whether a model may write several replies in one forward: told by its layers, and tried once when it is loaded."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from rag.models.local.batches import Batch
from rag.models.local.network import BASE

_log = logging.getLogger(__name__)
_LONG, _SHORT = 11, 4
_NEAR = {torch.float32: 1e-3, torch.bfloat16: 0.15, torch.float16: 0.05}
"""How far logits may differ, as a share of their spread: the order of additions differs, the sums do not."""


def full_layers(model: Any, window: int) -> int:
    """How many layers a cache of all tokens needs; 0 where a layer keeps something else within this window."""
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


def agrees(batch: Batch, reference: Batch, model: Any) -> bool:
    """Two prompts, the second joining later and in pieces, then a token for both: the same logits as one by one?"""
    try:
        with torch.inference_mode():
            found, expected = _written(batch, model), _alone(reference, model)
    except Exception as exc:  # noqa: BLE001 - whatever a model of any architecture raises, it is not for this batch
        _log.warning("%s cannot write several answers in one forward: %s", model.name_or_path, exc)
        return False
    finally:
        batch.clear()
        reference.clear()
    return all(_are_near(one, other) for one, other in zip(found, expected, strict=True))


def _prompts(model: Any) -> tuple[list[int], list[int]]:
    size = model.config.get_text_config(decoder=True).vocab_size
    words = torch.randint(0, size, (_LONG + _SHORT + 3,), generator=torch.Generator().manual_seed(0)).tolist()
    return words[:_LONG], words[_LONG:]


def _written(batch: Batch, model: Any) -> list[Tensor]:
    first, second = _prompts(model)
    row = batch.add(len(first) + 2)
    logits = [batch.fill(row, first[:-2], BASE)]
    logits.append(batch.decode([first[-2]], [BASE])[0])
    row = batch.add(len(second) + 1)
    batch.fill(row, second[:_SHORT], BASE)
    batch.fill(row, second[_SHORT:-1], BASE)
    logits.extend(batch.decode([first[-1], second[-1]], [BASE, BASE]))
    return logits


def _alone(batch: Batch, model: Any) -> list[Tensor]:
    first, second = _prompts(model)
    logits = []
    for ids, read in ((first, len(first) - 2), (second, len(second) - 1)):
        row = batch.add(len(ids) + 1)
        logits.append(batch.fill(row, ids[:read], BASE))
        logits.extend(batch.fill(row, [token], BASE) for token in ids[read:])
    return [*logits[:3], logits[4]]


def _are_near(found: Tensor, expected: Tensor) -> bool:
    dtype, found, expected = expected.dtype, found.float(), expected.float()
    spread = (expected.max() - expected.min()).clamp(min=1e-6)
    return float((found - expected).abs().max() / spread) <= _NEAR.get(dtype, 0.05)
