"""The folder of an Edge index: a shard in a folder of its own, and a small file that names it.

The file is replaced in one step, so a death at any moment leaves the former shard or its successor, whole. What the file
does not name is left over, and goes when the index opens. Blocking.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import qdrant_edge as qdrant

from rag.retrieval.index import records
from rag.retrieval.index.records import DENSE, SPARSE

CURRENT = "current.json"
NEVER_HNSW = 10**9
"""KB of vectors in a segment. Building a graph holds the interpreter's lock all the time (20 s for 30,000 passages)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """Which shard counts, and how many points were ever written to it."""

    shard: int
    written: int


class EdgeFolder:
    """Where the shards of one index are kept."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self.path = folder
        self._dimension = dimension

    def open(self) -> tuple[qdrant.EdgeShard, Current]:
        """The shard that counts; the first time, a new one. Its lock is held when the leftovers go."""
        self.path.mkdir(parents=True, exist_ok=True)
        current = self._read()
        if current is None:
            self._clear(None)
            current = Current(shard=1, written=0)
            shard = self.create(current.shard)
            self.write(current)
        else:
            shard = qdrant.EdgeShard.load(str(self._place(current.shard)), self._config())
            self._clear(current.shard)
        for name in records.KEYWORDS:
            if name not in shard.info().payload_schema:
                shard.update(qdrant.UpdateOperation.create_field_index(name, qdrant.PayloadSchemaType.Keyword))
        return shard, current

    def create(self, number: int) -> qdrant.EdgeShard:
        """A further shard, empty; it does not count yet."""
        place = self._place(number)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        shard = qdrant.EdgeShard.create(str(place), self._config())
        for name in records.KEYWORDS:
            shard.update(qdrant.UpdateOperation.create_field_index(name, qdrant.PayloadSchemaType.Keyword))
        return shard

    def write(self, current: Current) -> None:
        """Name the shard that counts, from now on and after any death."""
        draft = self.path / f"{CURRENT}.new"
        with draft.open("w") as file:
            json.dump({"shard": current.shard, "written": current.written}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / CURRENT)
        with suppress(OSError):  # the name counts by now, and not every file system can sync a folder
            _sync(self.path)

    def drop(self, number: int) -> None:
        """Delete a shard that counts no more; what cannot be deleted now is left over."""
        shutil.rmtree(self._place(number), ignore_errors=True)

    def _read(self) -> Current | None:
        try:
            return Current(**json.loads((self.path / CURRENT).read_bytes()))
        except FileNotFoundError:
            return None

    def _clear(self, kept: int | None) -> None:
        for each in self.path.glob("shard-*"):
            if kept is None or each != self._place(kept):
                shutil.rmtree(each, ignore_errors=True)

    def _place(self, number: int) -> Path:
        return self.path / f"shard-{number}"

    def _config(self) -> qdrant.EdgeConfig:
        bits = qdrant.BinaryQuantizationConfig(
            always_ram=True, query_encoding=qdrant.BinaryQuantizationQueryEncoding.Scalar8Bits
        )
        return qdrant.EdgeConfig(
            vectors={DENSE: qdrant.EdgeVectorParams(size=self._dimension, distance=qdrant.Distance.Cosine)},
            sparse_vectors={SPARSE: qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
            quantization_config=bits,
            optimizers=qdrant.EdgeOptimizersConfig(indexing_threshold=NEVER_HNSW, default_segment_number=1),
            wal_enabled=True,
        )


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
