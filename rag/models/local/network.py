"""A model's forward for rows that ask for different adapters, and the adapters that it holds."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from rag.errors import ModelError
from rag.models.local.reading import AdapterFiles

BASE = "__base__"
"""What peft calls no adapter in a mixed batch."""


class Network:
    """The base model, and beside it low-rank adapters under names of their own.

    peft's ``set_adapter`` is global state and is never called: every forward says for each row which adapter it means.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._adapted: Any = None
        accepted = inspect.signature(model.forward).parameters
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    def forward(self, ids: Tensor, mask: Tensor | None, places: Tensor, cache: Any, adapters: Sequence[str]) -> Tensor:
        """Logits of the last token of each row, (rows, vocabulary). The cache takes the new keys and values."""
        called, named = (self.model, {}) if self._adapted is None else (self._adapted, {"adapter_names": adapters})
        out = called(
            input_ids=ids,
            attention_mask=mask,
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
            **self._last,
            **named,
        )
        logits: Tensor = out.logits[:, -1]
        return logits

    def place(self, name: str, files: AdapterFiles) -> None:
        """Puts an adapter beside the others. Raises ``ModelError``; then the model is as it was."""
        if self._adapted is not None and name in self._adapted.peft_config:
            return
        try:
            self._inject(name, files)
            self._load(name, files)
        except (ValueError, RuntimeError, TypeError, KeyError) as exc:
            self.remove(name)
            raise ModelError(f"the adapter {files.name} does not fit {self.model.name_or_path}: {_line(exc)}") from exc

    def remove(self, name: str) -> None:
        if self._adapted is not None and name in self._adapted.peft_config:
            self._adapted.delete_adapter(name)

    def _inject(self, name: str, files: AdapterFiles) -> None:
        from peft import LoraConfig, PeftModel

        config = LoraConfig.from_peft_type(**{**files.config, "inference_mode": True})
        if self._adapted is None:
            adapted = PeftModel(
                self.model, config, adapter_name=name, autocast_adapter_dtype=False, low_cpu_mem_usage=True
            )
            self._adapted = adapted.eval()
        else:
            self._adapted.add_adapter(name, config, low_cpu_mem_usage=True, autocast_adapter_dtype=False)

    def _load(self, name: str, files: AdapterFiles) -> None:
        from peft import set_peft_model_state_dict

        weights = self._fitting(files.weights)
        told = set_peft_model_state_dict(self._adapted, weights, adapter_name=name, low_cpu_mem_usage=True)
        missing = [key for key in told.missing_keys if f".{name}." in key or key.endswith(f".{name}")]
        if missing or told.unexpected_keys:
            lost = missing or told.unexpected_keys
            raise ValueError(
                f"{len(missing)} weights are missing and {len(told.unexpected_keys)} too many, e.g. {lost[0]}"
            )
        self._adapted.eval().requires_grad_(False)

    def _fitting(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        own = next(self.model.parameters())
        return {key: value.to(own.device, own.dtype) for key, value in weights.items()}


def _line(exc: BaseException) -> str:
    """An error's first lines as one, not too long to be read."""
    return " ".join(str(exc).split())[:300]
