"""The files of an adapter's folder, and the digest that identifies an adapter."""

from __future__ import annotations

import hashlib
from pathlib import Path

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def digest_of(config: bytes, weights: bytes | memoryview) -> str:
    """sha256 (hex) of an adapter's two files; each file's name and size are hashed before its content."""
    digest = hashlib.sha256()
    for name, content in ((CONFIG, config), (WEIGHTS, weights)):
        # With the sizes, bytes cannot move from one file to the other without another digest.
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def adapter_digest(folder: Path) -> str:
    """The digest of the adapter in a folder. Raises ``FileNotFoundError`` if one of its two files is missing."""
    return digest_of((folder / CONFIG).read_bytes(), (folder / WEIGHTS).read_bytes())
