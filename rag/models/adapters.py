"""What an adapter's folder holds, and the digest by which the same adapter is known everywhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def digest_of(config: bytes, weights: bytes | memoryview) -> str:
    """sha256, in hex, of an adapter's two files: each file's name and size stand before its content."""
    hashed = hashlib.sha256()
    for name, content in ((CONFIG, config), (WEIGHTS, weights)):
        hashed.update(f"{name}\n{len(content)}\n".encode())
        hashed.update(content)
    return hashed.hexdigest()


def adapter_digest(folder: Path) -> str:
    """The digest of the adapter in a folder; FileNotFoundError where one of its two files is not there."""
    return digest_of((folder / CONFIG).read_bytes(), (folder / WEIGHTS).read_bytes())
