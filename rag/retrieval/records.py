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
from typing import Any

from rag.retrieval.index import Choose, Found, IndexedPassage, Match, Scope
from rag.types import Passage

DENSE, SPARSE = "dense", "bm25"
KEYWORDS = ("kind", "document", "source", "audience", "tenant", "language")
MATCHED = ["document", "position", "version"]
"""What of a payload a match is made of: the text of a hundred candidates is not worth reading."""
MARKER, PASSAGE = "document", "passage"
PAGE = 1000
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


def next_version(existing: Iterable[Marker]) -> int:
    """A number above all that exist, even where another host's clock is ahead."""
    return max(time.time_ns() // 1000, *(marker.version + 1 for marker in existing), 0)


def marker_point(marker: Marker) -> tuple[str, dict[str, Any]]:
    """Id and payload of a version's marker."""
    return _id(marker.document, marker.version, "marker"), {"kind": MARKER, **asdict(marker)}


def passage_point(marker: Marker, indexed: IndexedPassage) -> tuple[str, dict[str, Any]]:
    """Id and payload of a passage of a version."""
    passage = asdict(indexed.passage)
    passage |= {"document": marker.document, "source": marker.source, "headings": list(indexed.passage.headings)}
    passage["updated_at"] = indexed.passage.updated_at and indexed.passage.updated_at.isoformat()
    key = _id(marker.document, marker.version, str(indexed.passage.position))
    return key, {"kind": PASSAGE, "version": marker.version, **passage}


def marker_of(payload: Payload) -> Marker:
    """The marker in a payload."""
    return Marker(**{name: payload[name] for name in Marker.__slots__})


def passage_of(payload: Payload) -> Passage:
    """The passage in a payload."""
    fields = {name: payload[name] for name in Passage.__slots__}
    fields["headings"] = tuple(fields["headings"])
    fields["updated_at"] = fields["updated_at"] and datetime.fromisoformat(fields["updated_at"])
    return Passage(**fields)


def match_of(key: str, payload: Payload, score: float) -> Match:
    """What a leg found."""
    return Match(
        key=key, document=payload["document"], position=payload["position"], version=payload["version"], score=score
    )


def chosen(choose: Choose, legs: Sequence[Sequence[Match]]) -> list[Match]:
    """The matches whose keys are wanted, each once, in the order wished for."""
    matches = {match.key: match for leg in legs for match in leg}
    return [matches[key] for key in dict.fromkeys(choose(legs))]


def keys_around(match: Match, reach: int) -> list[str]:
    """The keys of a match and of its neighbours, in reading order. Past the end of a document there is nothing to find."""
    positions = range(max(0, match.position - reach), match.position + reach + 1)
    return [_id(match.document, match.version, str(position)) for position in positions]


def found_among(payloads: Mapping[str, Payload], match: Match, scope: Scope, reach: int) -> Found | None:
    """A match as it was fetched; None if it is not there, or is there for others.

    Every leg was filtered, but neighbours come by their keys: nothing is handed out that was not looked at here.
    """
    own = _readable(payloads.get(match.key), scope)
    if own is None:
        return None
    keys = keys_around(match, reach)
    place = keys.index(match.key)
    before = _unbroken(payloads, reversed(keys[:place]), scope)
    after = _unbroken(payloads, keys[place + 1 :], scope)
    return Found(key=match.key, passage=own, before=tuple(reversed(before)), after=tuple(after))


def _unbroken(payloads: Mapping[str, Payload], keys: Iterable[str], scope: Scope) -> list[Passage]:
    """Up to the first that is missing or hidden: what stands behind a gap is no neighbour."""
    found: list[Passage] = []
    for key in keys:
        if (passage := _readable(payloads.get(key), scope)) is None:
            break
        found.append(passage)
    return found


def _readable(payload: Payload | None, scope: Scope) -> Passage | None:
    if payload is None or not scope.may_read(payload["audience"], payload["tenant"]):
        return None
    return passage_of(payload)


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


def outdated(legs: Iterable[Iterable[Match]]) -> set[tuple[str, int]]:
    """Pairs of document and version, among matches, that a newer one of the same document supersedes."""
    pairs = {(match.document, match.version) for leg in legs for match in leg}
    latest: dict[str, int] = {}
    for document, version in pairs:
        latest[document] = max(version, latest.get(document, version))
    return {(document, version) for document, version in pairs if version < latest[document]}


def _id(document: str, version: int, part: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{document}\x1f{version}\x1f{part}"))
