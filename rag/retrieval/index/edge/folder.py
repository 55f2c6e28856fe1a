"""The folder of an Edge index: shards in folders of their own, and a file that names the current one.

The file is replaced atomically, so after an interruption at any moment either the former shard or its successor is current
and complete. Other shards are remains, which ``open`` deletes. Blocks.
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
"""Size of a segment in KB from which on a graph is built: never, because building it holds Python's global interpreter lock
all the time (20 s for 30,000 passages)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """The number of the current shard, and how many points were ever written to it."""

    shard: int
    written: int


class EdgeFolder:
    """The folder with the shards of one index."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self.path = folder
        self._dimension = dimension

    def open(self) -> tuple[qdrant.EdgeShard, Current]:
        """Loads the current shard, or creates the first one. The remains are deleted only after its lock is held."""
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
        # A folder of an earlier release may lack the index of a newer field.
        for name in records.KEYWORDS:
            if name not in shard.info().payload_schema:
                shard.update(qdrant.UpdateOperation.create_field_index(name, qdrant.PayloadSchemaType.Keyword))
        return shard, current

    def create(self, number: int) -> qdrant.EdgeShard:
        """Creates an empty shard, which is not current yet."""
        place = self._place(number)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        shard = qdrant.EdgeShard.create(str(place), self._config())
        for name in records.KEYWORDS:
            shard.update(qdrant.UpdateOperation.create_field_index(name, qdrant.PayloadSchemaType.Keyword))
        return shard

    def write(self, current: Current) -> None:
        """Makes a shard the current one, durably."""
        draft = self.path / f"{CURRENT}.new"
        with draft.open("w") as file:
            json.dump({"shard": current.shard, "written": current.written}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / CURRENT)
        with suppress(OSError):  # not every file system can sync a folder, and the new file is in place already
            _sync(self.path)

    def drop(self, number: int) -> None:
        """Deletes a shard that is no longer current; what cannot be deleted now is left for the next ``open``."""
        shutil.rmtree(self._place(number), ignore_errors=True)

    def _read(self) -> Current | None:
        try:
            return Current(**json.loads((self.path / CURRENT).read_bytes()))
        except FileNotFoundError:
            return None

    def _clear(self, current: int | None) -> None:
        for each in self.path.glob("shard-*"):
            if current is None or each != self._place(current):
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
