"""Chooses the device and the dtype of the local model."""

from __future__ import annotations

from pathlib import Path

import torch

from rag.errors import ModelError
from rag.models.processor import bfloat16_is_fast


def choose_device(setting: str) -> torch.device:
    """The device of ``model.device``; ``auto`` prefers a GPU. Raises ``ModelError`` for a device that is missing."""
    if setting == "auto":
        return torch.device(_best())
    device = torch.device(setting)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f'model.device = "{setting}": there are {torch.cuda.device_count()} such GPUs; take "auto"')
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ModelError('model.device = "mps": this machine has no Apple GPU; take "auto"')
    return device


def choose_dtype(setting: str, device: torch.device) -> torch.dtype:
    """The dtype of ``model.dtype``; ``auto`` takes a 16-bit type where the device supports it in hardware."""
    if setting != "auto":
        chosen: torch.dtype = getattr(torch, setting)
        return chosen
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if bfloat16_is_fast() else torch.float32


def free_bytes(device: torch.device) -> int | None:
    """Memory in bytes that can still be allocated; None where the system does not report it."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) + _cached(device)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def _cached(device: torch.device) -> int:
    """GPU memory that torch's allocator has reserved but does not use: the driver counts it as taken."""
    return int(torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
