"""Loads the local model and tests it. Every function here blocks, so all of it runs in a thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rag.errors import ModelError
from rag.models.local.adapters.network import Network
from rag.models.local.devices import choose_device, choose_dtype
from rag.models.local.engine.attention import use_batched_attention
from rag.models.local.engine.batches import Batch, LoneBatch, SlotBatch
from rag.models.local.engine.packing import can_pack, pack
from rag.models.local.engine.trial import agrees, full_layers, uncached_logits
from rag.models.local.prompts import PromptTemplate
from rag.models.local.weights import find_model
from rag.models.local.writing import Recommended
from rag.settings import ModelSettings

_log = logging.getLogger(__name__)
_CACHE_DIFFERS = (
    "does not compute the same with a cache as without one, so its answers would be wrong; take another model"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A loaded model with its tokenizer, template and batch. ``window`` is in tokens."""

    network: Network
    batch: Batch
    tokenizer: Any
    template: PromptTemplate
    recommended: Recommended
    window: int
    device: torch.device
    dtype: torch.dtype


def load(settings: ModelSettings, progress: Callable[[str], None]) -> LoadedModel:
    """Finds, loads and tests a model. Raises ``ModelError`` with what to do."""
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    folder = find_model(settings, progress)
    tokenizer = _read(settings, folder, "AutoTokenizer")
    template = PromptTemplate(tokenizer, settings.name)
    _log.info("%s computes in %s on %s", settings.name, dtype, device)
    progress(f"Loading {settings.name} ({str(dtype).removeprefix('torch.')} on {device})")
    network, batch = _network(settings, folder, device, dtype, progress)
    return LoadedModel(
        network=network,
        batch=batch,
        tokenizer=tokenizer,
        template=template,
        recommended=_recommended(network.model, tokenizer, template),
        window=_window(settings, network.model),
        device=device,
        dtype=dtype,
    )


def _network(
    settings: ModelSettings, folder: Path, device: torch.device, dtype: torch.dtype, progress: Callable[[str], None]
) -> tuple[Network, Batch]:
    """The model with the fastest batch whose logits match those without a cache.

    Tried in order: packed weights with batched attention, one forward for all rows, one forward for each row.
    """
    network = Network(_model(settings, folder, device, dtype))
    expected = _reference_logits(network.model)
    layers = full_layers(network.model, _window(settings, network.model))
    slots = SlotBatch(network.forward, layers, device, dtype)
    if layers and can_pack(device, dtype):
        pack(network.model)
        use_batched_attention(network.model)
        if agrees(slots, network.model, expected):
            return network, slots
        network.model = _model(settings, folder, device, dtype)  # read again: packing has replaced the weights
    if layers and agrees(slots, network.model, expected):
        return network, slots
    lone = LoneBatch(network.forward, network.model, device)
    if not agrees(lone, network.model, expected):
        raise ModelError(f"the model {settings.name} {_CACHE_DIFFERS}")
    progress("This kind of model writes its answers one after another: its layers cannot be shared by several")
    return network, lone


def _model(settings: ModelSettings, folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    model = _read(settings, folder, "AutoModelForCausalLM", dtype=dtype)
    return model.to(device).eval().requires_grad_(False)


def _reference_logits(model: Any) -> list[torch.Tensor]:
    try:
        return uncached_logits(model)
    except Exception as exc:
        raise ModelError(f"the model {model.name_or_path} cannot compute: {' '.join(str(exc).split())[:300]}") from exc


def _read(settings: ModelSettings, folder: Path, kind: str, **options: Any) -> Any:
    import transformers

    allowed = settings.name in settings.remote_code
    try:
        return getattr(transformers, kind).from_pretrained(
            folder, trust_remote_code=allowed, local_files_only=True, **_format_options(kind), **options
        )
    except Exception as exc:
        what = "tokenizer" if kind == "AutoTokenizer" else "model"
        raise ModelError(f"the {what} in {folder} cannot be loaded: {' '.join(str(exc).split())[:300]}") from exc


def _format_options(kind: str) -> dict[str, bool]:
    # Pickled weights can run code when they are loaded.
    return {} if kind == "AutoTokenizer" else {"use_safetensors": True}


def _window(settings: ModelSettings, model: Any) -> int:
    own = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    return min(settings.window, own) if own else settings.window


def _recommended(model: Any, tokenizer: Any, template: PromptTemplate) -> Recommended:
    config = model.generation_config
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    # All three places: many models name the token that ends a turn in only one of them.
    stops = {*ends, tokenizer.eos_token_id, *template.stops()} - {None}
    if not stops:
        raise ModelError(f"the model {model.name_or_path} names no token that ends an answer (eos_token_id)")
    return Recommended(stops=frozenset(stops), top_k=config.top_k or 0, top_p=config.top_p or 1.0)
