"""The collections of one process: a folder for each, and a file that names the serving one.

``passages/lock`` is locked by the process that owns the collections. ``passages/current.json`` holds the recipe of the serving
one. ``passages/<fingerprint>`` is a Qdrant Edge folder with ``recipe.json``, which is written after its creation is complete.
A folder is renamed before it is deleted, so a folder named by a fingerprint is never partly deleted.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import shutil
from pathlib import Path

from rag.errors import IndexLocked, IndexUnavailable
from rag.retrieval.index.collections import Recipe
from rag.retrieval.index.edge.passages import EdgeIndex

log = logging.getLogger(__name__)

FORMER = "index"
"""The folder of the single index that releases before collections had, below the home folder; the first switch deletes it."""
RECIPE = "recipe.json"
DROPPED = ".dropped"


class EdgeCollections:
    """Collections below a home folder, owned by one process at a time."""

    def __init__(self, home: Path) -> None:
        self._former = home / FORMER
        self._folder = home / "passages"
        self._current = self._folder / "current.json"
        self._open: dict[str, EdgeIndex] = {}
        self._changing = asyncio.Lock()
        self._lock: int | None = None

    async def open(self) -> None:
        """Locks the folder, and deletes folders that an interrupted process did not."""
        async with self._changing:
            await asyncio.to_thread(self._lock_folder)

    async def serving(self) -> Recipe | None:
        """The recipe in ``current.json``; an invalid file counts as none, and the next switch writes it again."""
        return await asyncio.to_thread(self._serving)

    async def index(self, recipe: Recipe) -> EdgeIndex:
        """The Edge index in the recipe's folder."""
        async with self._changing:
            name = recipe.fingerprint
            if name not in self._open:
                self._open[name] = await self._open_index(recipe)
            return self._open[name]

    async def switch(self, recipe: Recipe) -> None:
        """Replaces ``current.json``, then deletes the other folders."""
        await self.index(recipe)
        async with self._changing:
            if await asyncio.to_thread(self._serving) != recipe:
                await asyncio.to_thread(_write, self._current, recipe.to_json())
            others = [name for name in self._open if name != recipe.fingerprint]
            for name in others:
                await self._open.pop(name).close()
            await asyncio.to_thread(self._drop_all_but, recipe.fingerprint)

    async def close(self) -> None:
        """Closes every index, then unlocks the folder."""
        async with self._changing:
            while self._open:
                await self._open.popitem()[1].close()
            lock, self._lock = self._lock, None
            if lock is not None:
                os.close(lock)

    async def _open_index(self, recipe: Recipe) -> EdgeIndex:
        if self._lock is None:
            raise IndexUnavailable(f"the passages in {self._folder} are not open")
        folder = self._folder / recipe.fingerprint
        is_complete = await asyncio.to_thread(_is_complete, folder)
        index = EdgeIndex(folder, recipe.dimension)
        await index.open()
        if not is_complete:
            await asyncio.to_thread(_write, folder / RECIPE, recipe.to_json())
        return index

    def _lock_folder(self) -> None:
        if self._lock is not None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise IndexUnavailable(f"the passages in {self._folder} failed: {error.strerror}") from error
        try:
            # The kernel releases it with the process, so a crash leaves no stale lock.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise IndexLocked(
                f"another Cotorra process owns the passages in {self._folder}: talk to that one, "
                "or set QDRANT_URL to share an index between processes"
            ) from error
        self._lock = lock
        for leftover in self._folder.glob(f"*{DROPPED}"):
            _delete(leftover)
        if self._has_former() and self._serving() is None:
            log.warning(
                "%s is an index of version 0.1, which is not read any more: all documents are read anew, then it is deleted",
                self._former,
            )

    def _serving(self) -> Recipe | None:
        try:
            return Recipe.from_json(self._current.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise IndexUnavailable(f"{self._current} cannot be read: {error.strerror}") from error

    def _drop_all_but(self, name: str) -> None:
        for folder in self._folder.iterdir():
            if folder.is_dir() and folder.name != name:
                _drop(folder)
        if self._has_former():
            _drop(self._former)

    def _has_former(self) -> bool:
        return (self._former / "edge_config.json").exists()


def _is_complete(folder: Path) -> bool:
    """Whether a collection exists completely. A partly created one is deleted: it is empty and may be unreadable."""
    if not (folder / RECIPE).exists() and folder.exists():
        _drop(folder)
    return folder.exists()


def _drop(folder: Path) -> None:
    """Renames a folder and deletes it; what cannot be deleted now is tried again by the next ``open``."""
    try:
        dropped = folder.with_name(f"{folder.name}-{secrets.token_hex(4)}{DROPPED}")
        _delete(folder if folder.suffix == DROPPED else folder.rename(dropped))
    except OSError as error:
        log.warning("%s is not used any more and cannot be deleted (%s): delete it by hand", folder, error.strerror)


def _delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        log.warning("%s is not used any more and cannot be deleted: delete it by hand", folder)


def _write(path: Path, text: str) -> None:
    """Replaces a file by one with this text, atomically, also if the power fails."""
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)  # after fsync: else some file systems can leave an empty file after a power failure
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise IndexUnavailable(f"{path} cannot be written: {error.strerror}") from error
