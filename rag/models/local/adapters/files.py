"""Reads an adapter's files once, compares them with the expected digest, and only then parses them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from rag.errors import ModelError
from rag.models.adapters import CONFIG, WEIGHTS, digest_of
from rag.types import AdapterRef

_UNSUPPORTED = (
    "use_dora",
    "modules_to_save",
    "target_parameters",
    "layer_replication",
    "trainable_token_indices",
    "lora_bias",
    "alora_invocation_tokens",
)
"""Options that peft 0.21 does not support in a batch of several adapters, or applies to the whole model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFiles:
    """An adapter's parsed configuration and weights."""

    name: str
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]


def read_adapter(adapter: AdapterRef, base: str) -> AdapterFiles:
    """Reads the adapter in ``adapter.path``; ``base`` is the hub name or folder of the base model. Blocks.

    Raises ``ModelError``, which names the adapter.
    """
    # Both files are read before they are hashed: what is parsed below is what was checked, also if a file changes meanwhile.
    config, weights = _content(adapter)
    if (digest := digest_of(config, weights)) != adapter.digest:
        raise ModelError(
            f"the adapter {adapter.name} in {adapter.path} is not the one that was registered "
            f"(its digest is {digest[:12]}, expected {adapter.digest[:12]}); restore its files or register it anew"
        )
    return AdapterFiles(name=adapter.name, config=_config(adapter, config, base), weights=_weights(adapter, weights))


def _content(adapter: AdapterRef) -> tuple[bytes, bytes]:
    folder = Path(adapter.path)
    try:
        return (folder / CONFIG).read_bytes(), (folder / WEIGHTS).read_bytes()
    except FileNotFoundError as exc:
        missing = Path(exc.filename).name
        raise ModelError(
            f"the adapter {adapter.name} has no {missing} in {folder}; only adapters saved as safetensors are loaded"
        ) from exc
    except OSError as exc:
        raise ModelError(f"the adapter {adapter.name} in {folder} cannot be read: {exc.strerror}") from exc


def _config(adapter: AdapterRef, content: bytes, base: str) -> dict[str, Any]:
    try:
        config = json.loads(content)
        kind = str(config["peft_type"])
    except (ValueError, KeyError, TypeError) as exc:
        raise ModelError(f"the {CONFIG} of the adapter {adapter.name} is not an adapter's configuration") from exc
    if kind.upper() != "LORA":
        raise ModelError(f"the adapter {adapter.name} is of the kind {kind}; only LORA is served")
    if used := [key for key in _UNSUPPORTED if config.get(key)]:
        raise ModelError(f"the adapter {adapter.name} uses {used[0]}, which cannot serve beside other adapters")
    if config.get("bias", "none") != "none":
        raise ModelError(f"the adapter {adapter.name} changes the model's own biases; train it with bias='none'")
    _check_base_model(adapter, str(config.get("base_model_name_or_path") or ""), base)
    return dict(config)


def _check_base_model(adapter: AdapterRef, trained: str, base: str) -> None:
    """Compares hub names only: a folder's name does not identify a model, so there the shapes of the weights decide."""
    if _is_hub_name(trained) and _is_hub_name(base) and trained.lower() != base.lower():
        raise ModelError(f"the adapter {adapter.name} was trained on {trained}, but model.name is {base}")


def _is_hub_name(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()


def _weights(adapter: AdapterRef, content: bytes) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content)
    except SafetensorError as exc:
        raise ModelError(f"the {WEIGHTS} of the adapter {adapter.name} is damaged: {exc}") from exc
