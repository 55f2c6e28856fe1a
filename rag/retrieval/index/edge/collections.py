"""The collections of one process: a folder each, and a small file that names the serving one.

``passages/lock`` belongs to the process that owns them all, ``passages/current.json`` is the serving one's recipe, and
``passages/<fingerprint>`` is a Qdrant Edge folder with ``recipe.json``, written when its making was finished. A folder
is renamed before it is deleted, so one with a fingerprint for its name is never half gone.
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
"""Where releases before collections kept their one index, below the home folder; goes with the first switch."""
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
        """Lock the folder; delete what a death left behind."""
        async with self._changing:
            await asyncio.to_thread(self._own)

    async def serving(self) -> Recipe | None:
        """What the small file says. One that cannot be understood counts as none: the next switch writes it anew."""
        return await asyncio.to_thread(self._serving)

    async def index(self, recipe: Recipe) -> EdgeIndex:
        """The Edge index in the recipe's folder."""
        async with self._changing:
            name = recipe.fingerprint
            if name not in self._open:
                self._open[name] = await self._opened(recipe)
            return self._open[name]

    async def switch(self, recipe: Recipe) -> None:
        """Replace the small file, then delete the other folders."""
        await self.index(recipe)
        async with self._changing:
            if await asyncio.to_thread(self._serving) != recipe:
                await asyncio.to_thread(_write, self._current, recipe.to_json())
            others = [name for name in self._open if name != recipe.fingerprint]
            for name in others:
                await self._open.pop(name).close()
            await asyncio.to_thread(self._drop_all_but, recipe.fingerprint)

    async def close(self) -> None:
        """Close every index, then unlock."""
        async with self._changing:
            while self._open:
                await self._open.popitem()[1].close()
            lock, self._lock = self._lock, None
            if lock is not None:
                os.close(lock)

    async def _opened(self, recipe: Recipe) -> EdgeIndex:
        if self._lock is None:
            raise IndexUnavailable(f"the passages in {self._folder} are not open")
        folder = self._folder / recipe.fingerprint
        made = await asyncio.to_thread(_is_made, folder)
        index = EdgeIndex(folder, recipe.dimension)
        await index.open()
        if not made:
            await asyncio.to_thread(_write, folder / RECIPE, recipe.to_json())
        return index

    def _own(self) -> None:
        if self._lock is not None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise IndexUnavailable(f"the passages in {self._folder} failed: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise IndexLocked(
                f"another Cotorra process owns the passages in {self._folder}: talk to that one, "
                "or set QDRANT_URL to share an index between processes"
            ) from error
        self._lock = lock
        for left in self._folder.glob(f"*{DROPPED}"):
            _delete(left)
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


def _is_made(folder: Path) -> bool:
    """Whether the collection is there. One that its making did not finish has nothing in it, and may be unreadable."""
    if not (folder / RECIPE).exists() and folder.exists():
        _drop(folder)
    return folder.exists()


def _drop(folder: Path) -> None:
    """Rename, then delete; what cannot be deleted now is tried again when the collections are opened next."""
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
    """The whole text or nothing, also after a power cut."""
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise IndexUnavailable(f"{path} cannot be written: {error.strerror}") from error
