"""The format of documents as points of an index, the same for both back ends.

A version of a document consists of one marker point (no vectors; source, digest, readers) and one point for each passage; all
contain the version's number. Searches find passages by their ``reader`` (tenant and audience in one keyword), so a passage
without ``reader`` is invisible. A document is replaced in these steps:

1. Write the passages. If there are many, this takes several writes, and the passages have no ``reader`` yet.
2. If the readers change, delete the older versions. Otherwise those who may no longer read the document could still find the
   old version, because the new one, which supersedes it, is hidden from them. A moment without the document is better.
3. Give the passages their ``reader``, then write the marker. Few passages are written with both in one step.
4. Delete the older versions.

If the process dies in step 1, invisible passages remain. After step 2 the document and its marker are missing, and the next
sync writes it again. In step 3 two versions exist, or a complete one without a marker, which the next sync writes again.
Until step 4 is done, two versions exist. Of two versions the newer counts: searches leave the older one out, and opening the
index, listing documents and the next replacement delete it. Passages without ``reader`` are deleted with the older versions
of their document, or by opening and listing when they are so old that no process can still be writing them.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rag.retrieval.index.passages import Choose, IndexedPassage, Match, RetrievedPassage, Scope
from rag.types import Passage

DENSE, SPARSE = "dense", "bm25"
KEYWORDS = ("kind", "document", "source", "reader", "language")
"""Indexed fields. ``reader`` combines tenant and audience, because each condition costs 0.5 ms in 20,000 passages."""
MATCHED = ["document", "position", "version", "language"]
"""The fields of a payload that a match needs; the texts of a hundred candidates are not read."""
MARKER, PASSAGE = "document", "passage"
PAGE = 1000
EPOCH = 1_577_836_800_000
"""The start of versions, in milliseconds since 1970: 1 January 2020."""
TIES = 4096
"""Versions in one millisecond, one of which is drawn at random, because two hosts may write a document at the same time.
Until 2089 versions fit into 53 bits, the precision with which the engines compare numbers."""

Payload = Mapping[str, Any]
"""The JSON object of a point; only the functions below read it."""


def milliseconds() -> int:
    """Since 2020, by this host's clock."""
    return time.time_ns() // 1_000_000 - EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """One version of a document. ``readers`` are the distinct readers of its passages."""

    document: str
    source: str
    digest: str
    version: int
    readers: tuple[str, ...] = ()


def marker_for(
    document: str, source: str, digest: str, passages: Sequence[IndexedPassage], existing: Iterable[Marker]
) -> Marker:
    """The marker of the version that follows the existing ones."""
    readers = {reader_of(each.passage) for each in passages}
    version = next_version(existing)
    return Marker(document=document, source=source, digest=digest, version=version, readers=tuple(sorted(readers)))


def next_version(existing: Iterable[Marker], clock: Callable[[], int] = milliseconds) -> int:
    """A version above all existing ones, also if the clock of another host is ahead."""
    after = max((marker.version // TIES + 1 for marker in existing), default=0)
    return max(clock(), after) * TIES + secrets.randbelow(TIES)


def version_before(seconds: float) -> int:
    """The version of that many seconds ago: replacements with lower versions began earlier."""
    return (milliseconds() - int(seconds * 1000)) * TIES


def readers_change(marker: Marker, existing: Iterable[Marker]) -> bool:
    """Whether someone who could read a passage before may not read it now; True in case of doubt."""
    return any(len({*marker.readers, *former.readers}) > 1 for former in existing)


def reader_of(passage: Passage) -> str:
    """Tenant and audience of a passage as one keyword."""
    return _reader(passage.tenant, passage.audience)


def fields_of(scope: Scope) -> dict[str, frozenset[str]]:
    """The permitted values of each indexed field for passages in a scope."""
    readers = frozenset(_reader(tenant, audience) for tenant in scope.tenants for audience in scope.audiences)
    fields = {"reader": readers, "source": scope.sources, "language": scope.languages}
    return {name: values for name, values in fields.items() if values is not None}


def marker_point(marker: Marker) -> tuple[str, dict[str, Any]]:
    """Id and payload of a version's marker."""
    fields = asdict(marker) | {"kind": MARKER, "readers": list(marker.readers)}
    return key_of(marker.document, marker.version, "marker"), fields


def passage_point(marker: Marker, indexed: IndexedPassage, *, waiting: bool = False) -> tuple[str, dict[str, Any]]:
    """Id and payload of a passage of a version; without ``reader`` if ``waiting``."""
    passage = indexed.passage
    fields = asdict(passage) | {
        "document": marker.document,
        "source": marker.source,
        "headings": list(passage.headings),
    }
    fields |= {"kind": PASSAGE, "version": marker.version}
    fields["updated_at"] = passage.updated_at and passage.updated_at.isoformat()
    if not waiting:
        fields["reader"] = reader_of(passage)
    return key_of(marker.document, marker.version, passage.position), fields


def keys_by_reader(marker: Marker, passages: Iterable[IndexedPassage]) -> dict[str, list[str]]:
    """The keys of a version's passages, grouped by their reader."""
    keys: dict[str, list[str]] = {}
    for each in passages:
        key = key_of(marker.document, marker.version, each.passage.position)
        keys.setdefault(reader_of(each.passage), []).append(key)
    return keys


def key_of(document: str, version: int, part: int | str) -> str:
    """A point's id as a UUID, computed from its place, so that the ids of neighbours are known. uuid5 is four times slower."""
    digest = hashlib.blake2b(f"{document}\x1f{version}\x1f{part}".encode(), digest_size=16).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"


def marker_of(payload: Payload) -> Marker:
    """The marker in a payload."""
    fields = {name: payload[name] for name in Marker.__slots__}
    return Marker(**fields | {"readers": tuple(fields["readers"])})


def passage_of(payload: Payload) -> Passage:
    """The passage in a payload."""
    updated_at: str | None = payload["updated_at"]
    return Passage(
        id=payload["id"],
        document=payload["document"],
        source=payload["source"],
        title=payload["title"],
        headings=tuple(payload["headings"]),
        url=payload["url"],
        text=payload["text"],
        position=payload["position"],
        language=payload["language"],
        audience=payload["audience"],
        tenant=payload["tenant"],
        updated_at=datetime.fromisoformat(updated_at) if updated_at else None,
    )


def match_of(key: str, payload: Payload, score: float) -> Match:
    """A match made from a point's key, payload and score."""
    return Match(
        key=key,
        document=payload["document"],
        position=payload["position"],
        version=payload["version"],
        score=score,
        language=payload["language"],
    )


def choose_matches(choose: Choose, legs: Sequence[Sequence[Match]]) -> list[Match]:
    """The matches whose keys ``choose`` returns, each once, in its order."""
    matches = {match.key: match for leg in legs for match in leg}
    return [matches[key] for key in dict.fromkeys(choose(legs))]


def neighbours(match: Match, reach: int) -> tuple[list[str], list[str]]:
    """The keys before and after a match, nearest first. Keys past the end of the document have no points."""
    document, version, at = match.document, match.version, match.position
    before = [key_of(document, version, place) for place in range(at - 1, max(at - reach, 0) - 1, -1)]
    return before, [key_of(document, version, place) for place in range(at + 1, at + reach + 1)]


class PassageFetch:
    """Fetches the passages of selected matches, with their neighbours: ``keys`` names the points to retrieve."""

    def __init__(self, matches: Sequence[Match], reach: int) -> None:
        self._matches = [(match, *neighbours(match, reach)) for match in matches]
        self.keys = list({key for match, before, after in self._matches for key in (match.key, *before, *after)})

    def is_complete(self, payloads: Mapping[str, Payload]) -> bool:
        """Whether all selected points still exist; a replacement may have deleted some since the search."""
        return all(match.key in payloads for match, _, _ in self._matches)

    def passages(self, payloads: Mapping[str, Payload], scope: Scope) -> list[RetrievedPassage]:
        """The retrieved passages in the order of the matches, without those outside the scope.

        The search filters its matches, but neighbours are fetched by key without a filter. So every passage is checked here.
        """
        return [
            RetrievedPassage(
                key=match.key,
                passage=own[0],
                before=tuple(reversed(_visible_passages(payloads, before, scope))),
                after=tuple(_visible_passages(payloads, after, scope)),
            )
            for match, before, after in self._matches
            if (own := _visible_passages(payloads, [match.key], scope))
        ]


def _visible_passages(payloads: Mapping[str, Payload], keys: Iterable[str], scope: Scope) -> list[Passage]:
    """The passages up to the first that is missing or outside the scope, because behind a gap there is no neighbour."""
    passages: list[Passage] = []
    for key in keys:
        payload = payloads.get(key)
        if payload is None or not scope.may_read(payload["audience"], payload["tenant"]):
            break
        passages.append(passage_of(payload))
    return passages


def newest(markers: Iterable[Marker]) -> dict[str, Marker]:
    """The marker of the newest version, by document."""
    latest: dict[str, Marker] = {}
    for marker in markers:
        if marker.document not in latest or latest[marker.document].version < marker.version:
            latest[marker.document] = marker
    return latest


def superseding(markers: Sequence[Marker]) -> list[Marker]:
    """The newest markers of those documents that also have older versions."""
    latest = newest(markers)
    behind = {marker.document for marker in markers if marker.version < latest[marker.document].version}
    return [latest[document] for document in sorted(behind)]


def current_passages(payloads: Sequence[Payload]) -> list[Passage]:
    """The passages of one document's newest visible version, in reading order."""
    version = max((payload["version"] for payload in payloads if "reader" in payload), default=0)
    passages = [passage_of(payload) for payload in payloads if payload["version"] == version]
    return sorted(passages, key=lambda passage: passage.position)


def outdated(legs: Iterable[Iterable[Match]]) -> set[tuple[str, int]]:
    """The pairs of document and version among matches that a newer version in the same matches supersedes."""
    pairs = {(match.document, match.version) for leg in legs for match in leg}
    latest: dict[str, int] = {}
    for document, version in pairs:
        latest[document] = max(version, latest.get(document, version))
    return {(document, version) for document, version in pairs if version < latest[document]}


def _reader(tenant: str, audience: str) -> str:
    # JSON, so that two different pairs of tenant and audience never give the same keyword.
    return json.dumps([tenant, audience], ensure_ascii=False)
