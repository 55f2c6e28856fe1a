"""On what a model computes, and with which numbers."""

from __future__ import annotations

from pathlib import Path

import torch

from rag.errors import ModelError
from rag.models.processor import bfloat16_is_fast


def choose_device(wanted: str) -> torch.device:
    """``auto`` takes a GPU where there is one. Raises ``ModelError`` for one that is not there."""
    if wanted == "auto":
        return torch.device(_best())
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f'model.device = "{wanted}": there are {torch.cuda.device_count()} such GPUs; take "auto"')
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ModelError('model.device = "mps": this machine has no Apple GPU; take "auto"')
    return device


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """``auto`` takes half the bytes where the device computes with them in hardware."""
    if wanted != "auto":
        chosen: torch.dtype = getattr(torch, wanted)
        return chosen
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if bfloat16_is_fast() else torch.float32


def free_bytes(device: torch.device) -> int | None:
    """Memory that may still be taken; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) + _cached(device)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    told = dict(line.split(":", 1) for line in lines)
    return int(told["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in told else None


def _cached(device: torch.device) -> int:
    """What torch holds of the GPU without using it."""
    return int(torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
