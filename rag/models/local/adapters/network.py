"""Forward pass of a model in which each row of the batch may use another LoRA adapter."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from rag.errors import ModelError
from rag.models.local.adapters.files import AdapterFiles

BASE = "__base__"
"""The name that peft uses for "no adapter" in a mixed batch."""


class Network:
    """The base model with named low-rank adapters in its layers.

    ``forward`` takes an adapter's name for each row. peft's ``set_adapter`` is global state, so it is never called: a hook on
    each LoRA layer passes the names on. The hooks are registered once; peft registers its own for every forward pass.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._tuner: Any = None
        self._hooked_layers: set[Any] = set()
        self._rows: list[str] = []
        accepted = inspect.signature(model.forward).parameters
        self._logits_option = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        # Recurrent models (Mamba) take their cache by another name.
        self._cache_option = "cache_params" if "cache_params" in accepted else "past_key_values"

    def forward(self, ids: Tensor, mask: Tensor | None, places: Tensor, cache: Any, adapters: Sequence[str]) -> Tensor:
        """Logits of the last token of each row, (rows, vocabulary). The cache takes the new keys and values."""
        self._rows = list(adapters)
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=places,
            use_cache=True,
            **{self._cache_option: cache},
            **self._logits_option,
        )
        logits: Tensor = out.logits[:, -1]
        return logits

    def place(self, name: str, files: AdapterFiles) -> None:
        """Adds an adapter to the model. Raises ``ModelError`` and leaves the model unchanged if it does not fit."""
        try:
            self._inject(name, files)
            self._load(name, files)
            self._hook()
        except Exception as exc:  # peft also raises re.error (for target_modules) and ImportError
            self.remove(name)
            raise ModelError(
                f"the adapter {files.name} does not fit {self.model.name_or_path}: {_one_line(exc)}"
            ) from exc

    def remove(self, name: str) -> None:
        """Removes an adapter, or the parts of one that could not be loaded completely."""
        if self._tuner is not None and name in self._tuner.peft_config:
            self._tuner.delete_adapter(name)
        # If injection failed, peft's record may lack the adapter while some layers have it already.
        for layer in self._lora_layers():
            layer.delete_adapter(name)

    def _inject(self, name: str, files: AdapterFiles) -> None:
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel

        config = LoraConfig.from_peft_type(**{**files.config, "inference_mode": True})
        if self._tuner is None:
            self._tuner = LoraModel(self.model, {name: config}, name, low_cpu_mem_usage=True)
        else:
            self._tuner.peft_config[name] = config
            self._tuner.inject_adapter(self.model, name, autocast_adapter_dtype=False, low_cpu_mem_usage=True)

    def _load(self, name: str, files: AdapterFiles) -> None:
        from peft import set_peft_model_state_dict

        weights = self._converted(files.weights)
        result = set_peft_model_state_dict(self.model, weights, adapter_name=name, low_cpu_mem_usage=True)
        missing = [key for key in result.missing_keys if f".{name}." in key or key.endswith(f".{name}")]
        if missing or result.unexpected_keys:
            lost = missing or result.unexpected_keys
            raise ValueError(
                f"{len(missing)} weights are missing and {len(result.unexpected_keys)} too many, e.g. {lost[0]}"
            )
        # New LoRA modules start in training mode, in which dropout is active.
        self.model.eval().requires_grad_(False)

    def _hook(self) -> None:
        """Clears peft's active adapter, so that a layer without names adds nothing, and hooks the new layers."""
        self._tuner.active_adapter = []
        for layer in self._lora_layers():
            layer._active_adapter = []
            if layer not in self._hooked_layers:
                layer.register_forward_pre_hook(self._pass_adapter_names, with_kwargs=True)
                self._hooked_layers.add(layer)

    def _pass_adapter_names(
        self, _layer: Any, args: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, {**options, "adapter_names": self._rows}

    def _lora_layers(self) -> list[Any]:
        from peft.tuners.lora import LoraLayer

        return [module for module in self.model.modules() if isinstance(module, LoraLayer)]

    def _converted(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        # safetensors loads to the CPU, in the dtype of training.
        own = next(self.model.parameters())
        return {key: value.to(own.device, own.dtype) for key, value in weights.items()}


def _one_line(exc: BaseException) -> str:
    """The message of an exception in one line of at most 300 characters."""
    return " ".join(str(exc).split())[:300]
