"""Adapters in folders: one each below ``COTORRA_HOME/adapters``, and beside them a small file a task that names what serves."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from rag.models.adapters import CONFIG, WEIGHTS, adapter_digest
from rag.types import AdapterRef
from tuning.errors import AdapterMissing
from tuning.registry.adapters import AdapterRegistry, Task

FORMER_POINTER = "serving"
"""The only pointer of version 0.1, which knew one task: that of ``chat`` until one is promoted anew."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_Stamp = tuple[int, int, int, int]


def pointer_file(task: Task) -> str:
    """The file that holds the name of the adapter that serves; none, or an empty one, means the base model."""
    return f"serving.{task}"


class FolderRegistry(AdapterRegistry):
    """A digest reads the whole adapter: it is kept until the files change."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, tuple[_Stamp, AdapterRef]] = {}

    def names(self) -> list[str]:
        """Every folder that holds both files."""
        return sorted(config.parent.name for config in self._root.glob(f"*/{CONFIG}") if _complete(config.parent))

    def named(self, name: str) -> AdapterRef:
        """Raises ``AdapterMissing`` with the names that there are."""
        return self._named(name, "correct model.adapter")

    def by_digest(self, digest: str) -> AdapterRef:
        """Reads every adapter that was not read yet."""
        for name in self.names():
            if (adapter := self.named(name)).digest == digest:
                return adapter
        raise AdapterMissing(f"there is no adapter {digest[:12]}… in {self._root} any more; put its folder back there")

    def serving(self, task: Task) -> AdapterRef | None:
        """What the task's file names, or the file of version 0.1."""
        file = self._pointer(task)
        name = _content(file)
        return self._named(name, f"correct {file.name} there") if name else None

    def promote(self, task: Task, name: str) -> None:
        """Replaces the task's file; the one of version 0.1 goes once it says nothing any more."""
        if name:
            self.named(name)
        self._root.mkdir(parents=True, exist_ok=True)
        self._write(self._root / pointer_file(task), name)
        if task == "chat":
            (self._root / FORMER_POINTER).unlink(missing_ok=True)

    def _named(self, name: str, cure: str) -> AdapterRef:
        folder = self._root / name
        if not _NAME.fullmatch(name) or not _complete(folder):
            there = ", ".join(self.names()) or "none"
            raise AdapterMissing(
                f"there is no complete adapter {name!r} in {self._root} (there: {there}); {cure}, or put {CONFIG} and "
                f"{WEIGHTS} into its folder"
            )
        stamp = _stamp(folder)
        known = self._known.get(name)
        if known is None or known[0] != stamp:
            known = (stamp, AdapterRef(name=name, path=str(folder), digest=adapter_digest(folder)))
            self._known[name] = known
        return known[1]

    def _pointer(self, task: Task) -> Path:
        own, former = self._root / pointer_file(task), self._root / FORMER_POINTER
        return former if task == "chat" and not own.exists() else own

    def _write(self, file: Path, name: str) -> None:
        with tempfile.NamedTemporaryFile("w", dir=self._root, delete=False, encoding="utf-8") as draft:
            draft.write(name)
            draft.flush()
            os.fsync(draft.fileno())
        Path(draft.name).replace(file)


def _complete(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def _content(pointer: Path) -> str:
    try:
        return pointer.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def _stamp(folder: Path) -> _Stamp:
    config, weights = (folder / CONFIG).stat(), (folder / WEIGHTS).stat()
    return config.st_mtime_ns, config.st_size, weights.st_mtime_ns, weights.st_size
