"""How documents are kept as points, the same in both back ends.

A version of a document is one marker point (no vectors; source, digest) and one point a passage, all bearing the
version's number. A replacement writes the new version in one operation and then deletes the older ones, so at every
instant a whole version is there. Where both are (a replacement under way or cut short), the newest counts: readers
leave the older out, and whoever opens the index or lists documents next deletes it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from operator import mul
from typing import Any

from rag.retrieval.index import Found, IndexedPassage
from rag.types import Passage

DENSE, SPARSE = "dense", "bm25"
KEYWORDS = ("kind", "document", "source", "audience")
MARKER, PASSAGE = "document", "passage"
PAGE = 1000
RRF_K = 2  # what a Qdrant server uses (1 / (k + rank), ranks from 0): first in both legs is 1.0
_NAMESPACE = uuid.UUID("5b4c7ab4-6b0c-4d3e-9d51-0a8f5f0c7c11")

Payload = Mapping[str, Any]
"""What the engines give back: JSON objects, read by the functions below and nowhere else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """One version of a document. ``version`` is in microseconds since 1970, made to grow."""

    document: str
    source: str
    digest: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHit:
    """A hit with the version it belongs to."""

    found: Found
    version: int


def next_version(existing: Iterable[Marker]) -> int:
    """A number above all that exist, even where another host's clock is ahead."""
    return max(time.time_ns() // 1000, *(marker.version + 1 for marker in existing), 0)


def marker_point(marker: Marker) -> tuple[str, dict[str, Any]]:
    """Id and payload of a version's marker."""
    return _id(marker, "marker"), {"kind": MARKER, **asdict(marker)}


def passage_point(marker: Marker, indexed: IndexedPassage) -> tuple[str, dict[str, Any]]:
    """Id and payload of a passage of a version."""
    passage = asdict(indexed.passage)
    passage |= {"document": marker.document, "source": marker.source, "headings": list(indexed.passage.headings)}
    passage["updated_at"] = indexed.passage.updated_at and indexed.passage.updated_at.isoformat()
    return _id(marker, str(indexed.passage.position)), {"kind": PASSAGE, "version": marker.version, **passage}


def marker_of(payload: Payload) -> Marker:
    """The marker in a payload."""
    return Marker(**{name: payload[name] for name in Marker.__slots__})


def passage_of(payload: Payload) -> Passage:
    """The passage in a payload."""
    fields = {name: payload[name] for name in Passage.__slots__}
    fields["headings"] = tuple(fields["headings"])
    fields["updated_at"] = fields["updated_at"] and datetime.fromisoformat(fields["updated_at"])
    return Passage(**fields)


def hit_of(payload: Payload, fused: float, stored: Sequence[float], asked: Sequence[float]) -> StoredHit:
    """A hit, with the cosine of the two unit vectors."""
    cosine = sum(map(mul, stored, asked))
    return StoredHit(
        found=Found(passage=passage_of(payload), fused=fused, dense=max(-1.0, min(1.0, cosine))),
        version=payload["version"],
    )


def newest(markers: Iterable[Marker]) -> dict[str, Marker]:
    """The version that counts, by document."""
    latest: dict[str, Marker] = {}
    for marker in markers:
        if marker.document not in latest or latest[marker.document].version < marker.version:
            latest[marker.document] = marker
    return latest


def superseded(markers: Sequence[Marker]) -> list[Marker]:
    """The versions that a newer one of the same document supersedes; another document may bear the same number."""
    latest = newest(markers)
    return [marker for marker in markers if marker.version < latest[marker.document].version]


def current_passages(payloads: Sequence[Payload]) -> list[Passage]:
    """The passages of one document's newest version, in reading order."""
    version = max((payload["version"] for payload in payloads), default=0)
    passages = [passage_of(payload) for payload in payloads if payload["version"] == version]
    return sorted(passages, key=lambda passage: passage.position)


def outdated(versions: Iterable[tuple[str, int]]) -> set[int]:
    """Versions, out of pairs of document and version, that a newer one of the same document supersedes."""
    pairs = set(versions)
    latest: dict[str, int] = {}
    for document, version in pairs:
        latest[document] = max(version, latest.get(document, version))
    return {version for document, version in pairs if version < latest[document]}


def outdated_hits(hits: Iterable[StoredHit]) -> set[int]:
    """Versions among hits that a newer one among them supersedes."""
    return outdated((hit.found.passage.document, hit.version) for hit in hits)


def _id(marker: Marker, part: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{marker.document}\x1f{marker.version}\x1f{part}"))
