"""The adapters of an installation: a folder each below ``COTORRA_HOME/adapters``, and which of them serves.

Training writes the folders and promotion the pointer; both arrive with the learning loop. What answers only reads.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from rag.models.adapters import CONFIG, WEIGHTS, adapter_digest
from rag.types import AdapterRef
from tuning.errors import AdapterMissing

POINTER = "serving"
"""A file that holds the name of the adapter that serves; none, or an empty one, means the base model."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_Stamp = tuple[int, int, int, int]


class Registry:
    """Blocking: a digest reads the whole adapter. What was read once is known until its files change."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, tuple[_Stamp, AdapterRef]] = {}

    def names(self) -> list[str]:
        """Every adapter that is there, by name."""
        found = (config.parent for config in self._root.glob(f"*/{CONFIG}"))
        return sorted(folder.name for folder in found if (folder / WEIGHTS).is_file())

    def named(self, name: str) -> AdapterRef:
        """Raises ``AdapterMissing`` with the names that there are."""
        folder = self._root / name
        if not _NAME.fullmatch(name) or not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
            there = ", ".join(self.names()) or "none"
            raise AdapterMissing(
                f"there is no complete adapter {name!r} in {self._root} (there: {there}); correct model.adapter, or the file "
                f"{POINTER} there, or put {CONFIG} and {WEIGHTS} into its folder"
            )
        stamp = _stamp(folder)
        known = self._known.get(name)
        if known is None or known[0] != stamp:
            known = (stamp, AdapterRef(name=name, path=str(folder), digest=adapter_digest(folder)))
            self._known[name] = known
        return known[1]

    def serving(self) -> AdapterRef | None:
        """The promoted adapter, or None for the base model. Raises ``AdapterMissing``."""
        name = self.pointer()
        return self.named(name) if name else None

    def pointer(self) -> str:
        """The name that was promoted; empty for the base model."""
        try:
            return (self._root / POINTER).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""

    def promote(self, name: str) -> None:
        """Lets ``name`` serve from the next message on, or the base model for an empty name. Raises ``AdapterMissing``."""
        if name:
            self.named(name)
        self._root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self._root, delete=False, encoding="utf-8") as file:
            file.write(name)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(self._root / POINTER)


def _stamp(folder: Path) -> _Stamp:
    config, weights = (folder / CONFIG).stat(), (folder / WEIGHTS).stat()
    return config.st_mtime_ns, config.st_size, weights.st_mtime_ns, weights.st_size
