"""An adapter's files: read once, checked against the digest that was asked for, and only then parsed."""

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

_REFUSED = (
    "use_dora",
    "modules_to_save",
    "target_parameters",
    "layer_replication",
    "trainable_token_indices",
    "lora_bias",
    "alora_invocation_tokens",
)
"""What peft 0.21 does not do, or does for the whole model, in a batch of several adapters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFiles:
    """An adapter's configuration and weights, as they were written."""

    name: str
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]


def read_adapter(adapter: AdapterRef, base: str) -> AdapterFiles:
    """The adapter in the folder that is named; ``base`` is the hub name or folder of the model that it goes to. Blocks.

    Raises ``ModelError``, which names the adapter.
    """
    config, weights = _content(adapter)
    if (found := digest_of(config, weights)) != adapter.digest:
        raise ModelError(
            f"the adapter {adapter.name} in {adapter.path} is not the one that was registered "
            f"(its digest is {found[:12]}, expected {adapter.digest[:12]}); restore its files or register it anew"
        )
    return AdapterFiles(name=adapter.name, config=_config(adapter, config, base), weights=_weights(adapter, weights))


def _content(adapter: AdapterRef) -> tuple[bytes, bytes]:
    folder = Path(adapter.path)
    try:
        return (folder / CONFIG).read_bytes(), (folder / WEIGHTS).read_bytes()
    except FileNotFoundError as exc:
        lost = Path(exc.filename).name
        raise ModelError(
            f"the adapter {adapter.name} has no {lost} in {folder}; only adapters saved as safetensors are loaded"
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
    if used := [key for key in _REFUSED if config.get(key)]:
        raise ModelError(f"the adapter {adapter.name} uses {used[0]}, which cannot serve beside other adapters")
    if config.get("bias", "none") != "none":
        raise ModelError(f"the adapter {adapter.name} changes the model's own biases; train it with bias='none'")
    _is_for(adapter, str(config.get("base_model_name_or_path") or ""), base)
    return dict(config)


def _is_for(adapter: AdapterRef, trained: str, base: str) -> None:
    """Names of the hub tell models apart; folders do not, there the shapes decide."""
    if _of_the_hub(trained) and _of_the_hub(base) and trained.lower() != base.lower():
        raise ModelError(f"the adapter {adapter.name} was trained on {trained}, but model.name is {base}")


def _of_the_hub(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()


def _weights(adapter: AdapterRef, content: bytes) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content)
    except SafetensorError as exc:
        raise ModelError(f"the {WEIGHTS} of the adapter {adapter.name} is damaged: {exc}") from exc
