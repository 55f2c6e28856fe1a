"""Adapters to register, and one place for each back end of the registry: the conformance suite runs on all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from rag.models.adapters import CONFIG, WEIGHTS
from tuning.registry.adapters import AdapterRegistry
from tuning.registry.folders import FolderRegistry


class RegistryPlace(Protocol):
    """Where a back end keeps what it keeps."""

    def open(self) -> AdapterRegistry:
        """A registry over this place; each call is one more process that shares it."""

    def put(self, name: str, weights: bytes = b"weights") -> None:
        """As training leaves an adapter there, or replaces one."""


class FolderPlace(RegistryPlace):
    def __init__(self, home: Path) -> None:
        self.root = home / "adapters"

    def open(self) -> FolderRegistry:
        return FolderRegistry(self.root)

    def put(self, name: str, weights: bytes = b"weights") -> None:
        put(self.root, name, weights)


PLACES = {"folders": FolderPlace}
"""A new back end joins here."""


def put(root: Path, name: str, weights: bytes = b"weights") -> Path:
    """A complete adapter of a folder registry, whatever its weights are worth."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text("{}", encoding="utf-8")
    (folder / WEIGHTS).write_bytes(weights)
    return folder
