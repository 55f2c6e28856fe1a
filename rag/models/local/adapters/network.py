"""A model's forward for rows that ask for different adapters, and the adapters that it holds."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from rag.errors import ModelError
from rag.models.local.adapters.files import AdapterFiles

BASE = "__base__"
"""What peft calls no adapter in a mixed batch."""


class Network:
    """The base model, and in its layers low-rank adapters under names of their own.

    peft's ``set_adapter`` is global state and is never called: every forward says for each row which adapter it means, and
    each adapted layer is told so by a hook (peft's own hooks are made anew, for all layers, with every forward).
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._tuner: Any = None
        self._hooked: set[Any] = set()
        self._rows: list[str] = []
        accepted = inspect.signature(model.forward).parameters
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self._cache = "cache_params" if "cache_params" in accepted else "past_key_values"  # as recurrent models call it

    def forward(self, ids: Tensor, mask: Tensor | None, places: Tensor, cache: Any, adapters: Sequence[str]) -> Tensor:
        """Logits of the last token of each row, (rows, vocabulary). The cache takes the new keys and values."""
        self._rows = list(adapters)
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=places,
            use_cache=True,
            **{self._cache: cache},
            **self._last,
        )
        logits: Tensor = out.logits[:, -1]
        return logits

    def place(self, name: str, files: AdapterFiles) -> None:
        """Puts an adapter beside the others. Raises ``ModelError``; then the model is as it was."""
        try:
            self._inject(name, files)
            self._load(name, files)
            self._hook()
        except Exception as exc:  # peft also lets re.error out, of target_modules, and ImportError
            self.remove(name)
            raise ModelError(f"the adapter {files.name} does not fit {self.model.name_or_path}: {_line(exc)}") from exc

    def remove(self, name: str) -> None:
        """Takes an adapter out, and what is there of one that could not be placed."""
        if self._tuner is not None and name in self._tuner.peft_config:
            self._tuner.delete_adapter(name)
        for layer in self._adapted():
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

        weights = self._fitting(files.weights)
        told = set_peft_model_state_dict(self.model, weights, adapter_name=name, low_cpu_mem_usage=True)
        missing = [key for key in told.missing_keys if f".{name}." in key or key.endswith(f".{name}")]
        if missing or told.unexpected_keys:
            lost = missing or told.unexpected_keys
            raise ValueError(
                f"{len(missing)} weights are missing and {len(told.unexpected_keys)} too many, e.g. {lost[0]}"
            )
        self.model.eval().requires_grad_(False)

    def _hook(self) -> None:
        """No adapter is peft's active one: a layer that is not told which to use adds none."""
        self._tuner.active_adapter = []
        for layer in self._adapted():
            layer._active_adapter = []
            if layer not in self._hooked:
                layer.register_forward_pre_hook(self._tell, with_kwargs=True)
                self._hooked.add(layer)

    def _tell(
        self, _layer: Any, args: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, {**options, "adapter_names": self._rows}

    def _adapted(self) -> list[Any]:
        from peft.tuners.lora import LoraLayer

        return [module for module in self.model.modules() if isinstance(module, LoraLayer)]

    def _fitting(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        own = next(self.model.parameters())
        return {key: value.to(own.device, own.dtype) for key, value in weights.items()}


def _line(exc: BaseException) -> str:
    """An error's first lines as one, not too long to be read."""
    return " ".join(str(exc).split())[:300]
