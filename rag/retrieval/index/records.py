"""How documents are kept as points, the same in both back ends.

A version of a document is one marker point (no vectors; source, digest, readers) and one point a passage, all bearing
the version's number. Passages are found by their ``reader``, the tenant and audience in one keyword: a passage without
one is nobody's. A replacement goes

1. write the passages; where there are many, in several steps and without ``reader``,
2. if the readers change, delete the older versions: a moment without the document is better than one in which those
   who may no longer read it find the former version, which the newer one, hidden from them, cannot supersede,
3. give the passages their ``reader``, then write the marker; few passages come with theirs, in one step with it,
4. delete the older versions.

Whoever dies in 1 leaves passages that nobody finds. After 2 the document is gone, with its marker, and the next sync
writes it anew. Within 3 two versions are there, or a whole one whose marker is missing, so that the next sync writes the
document again; before 4 is done, two. Where two versions are found, the newer counts: searches leave the older out, and
opening the index, listing documents and the next replacement delete it. Passages that wait for a reader are deleted
with the older versions of their document, or on opening and listing once they are so old that nobody is still writing.
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

from rag.retrieval.index.passages import Choose, Found, IndexedPassage, Match, Scope
from rag.types import Passage

DENSE, SPARSE = "dense", "bm25"
KEYWORDS = ("kind", "document", "source", "reader", "language")
"""Indexed fields. Tenant and audience are one, ``reader``: each condition costs a search 0.5 ms in 20,000 passages."""
MATCHED = ["document", "position", "version"]
"""What of a payload a match is made of: the text of a hundred candidates is not worth reading."""
MARKER, PASSAGE = "document", "passage"
PAGE = 1000
EPOCH = 1_577_836_800_000
"""Versions count milliseconds from 2020 (here in milliseconds since 1970)."""
TIES = 4096
"""Two hosts that write a document in one millisecond draw one of so many versions; until 2089 they fit into 53 bits,
which is what the engines compare numbers with."""

Payload = Mapping[str, Any]
"""What the engines give back: JSON objects, read by the functions below and nowhere else."""


def milliseconds() -> int:
    """Since 2020, by this host's clock."""
    return time.time_ns() // 1_000_000 - EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """One version of a document. ``readers`` are those of its passages, each once."""

    document: str
    source: str
    digest: str
    version: int
    readers: tuple[str, ...] = ()


def marker_for(
    document: str, source: str, digest: str, passages: Sequence[IndexedPassage], existing: Iterable[Marker]
) -> Marker:
    """The marker of the version that is to follow those that exist."""
    readers = {reader_of(each.passage) for each in passages}
    version = next_version(existing)
    return Marker(document=document, source=source, digest=digest, version=version, readers=tuple(sorted(readers)))


def next_version(existing: Iterable[Marker], clock: Callable[[], int] = milliseconds) -> int:
    """A number above all that exist, even where another host's clock is ahead."""
    after = max((marker.version // TIES + 1 for marker in existing), default=0)
    return max(clock(), after) * TIES + secrets.randbelow(TIES)


def version_before(seconds: float) -> int:
    """The versions below this number were begun more than so many seconds ago."""
    return (milliseconds() - int(seconds * 1000)) * TIES


def readers_change(marker: Marker, existing: Iterable[Marker]) -> bool:
    """Whether there may be someone who could read a passage before and may not now. Errs on the side of yes."""
    return any(len({*marker.readers, *former.readers}) > 1 for former in existing)


def reader_of(passage: Passage) -> str:
    """Who may read a passage, as one keyword."""
    return _reader(passage.tenant, passage.audience)


def fields_of(scope: Scope) -> dict[str, frozenset[str]]:
    """The values that a passage of this scope may have, by indexed field."""
    readers = frozenset(_reader(tenant, audience) for tenant in scope.tenants for audience in scope.audiences)
    given = {"reader": readers, "source": scope.sources, "language": scope.languages}
    return {name: values for name, values in given.items() if values is not None}


def marker_point(marker: Marker) -> tuple[str, dict[str, Any]]:
    """Id and payload of a version's marker."""
    fields = asdict(marker) | {"kind": MARKER, "readers": list(marker.readers)}
    return key_of(marker.document, marker.version, "marker"), fields


def passage_point(marker: Marker, indexed: IndexedPassage, *, waiting: bool = False) -> tuple[str, dict[str, Any]]:
    """Id and payload of a passage of a version; one that waits has no reader yet."""
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
    """Whom to give which of the passages that wait."""
    keys: dict[str, list[str]] = {}
    for each in passages:
        key = key_of(marker.document, marker.version, each.passage.position)
        keys.setdefault(reader_of(each.passage), []).append(key)
    return keys


def key_of(document: str, version: int, part: int | str) -> str:
    """A point's id: the neighbours of a passage can be told from it. As UUID, which takes uuid5 four times as long."""
    digest = hashlib.blake2b(f"{document}\x1f{version}\x1f{part}".encode(), digest_size=16).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"


def marker_of(payload: Payload) -> Marker:
    """The marker in a payload."""
    fields = {name: payload[name] for name in Marker.__slots__}
    return Marker(**fields | {"readers": tuple(fields["readers"])})


def passage_of(payload: Payload) -> Passage:
    """The passage in a payload."""
    changed: str | None = payload["updated_at"]
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
        updated_at=datetime.fromisoformat(changed) if changed else None,
    )


def match_of(key: str, payload: Payload, score: float) -> Match:
    """What a leg found."""
    return Match(
        key=key, document=payload["document"], position=payload["position"], version=payload["version"], score=score
    )


def chosen(choose: Choose, legs: Sequence[Sequence[Match]]) -> list[Match]:
    """The matches whose keys are wanted, each once, in the order wished for."""
    matches = {match.key: match for leg in legs for match in leg}
    return [matches[key] for key in dict.fromkeys(choose(legs))]


def neighbours(match: Match, reach: int) -> tuple[list[str], list[str]]:
    """Keys of those before and after a match, the nearest first. Past the end of a document there is nothing to find."""
    document, version, at = match.document, match.version, match.position
    before = [key_of(document, version, place) for place in range(at - 1, max(at - reach, 0) - 1, -1)]
    return before, [key_of(document, version, place) for place in range(at + 1, at + reach + 1)]


class Fetching:
    """Matches that were chosen, on their way to become what was found."""

    def __init__(self, wanted: Sequence[Match], reach: int) -> None:
        self._wanted = [(match, *neighbours(match, reach)) for match in wanted]
        self.keys = list({key for match, before, after in self._wanted for key in (match.key, *before, *after)})

    def whole(self, payloads: Mapping[str, Payload]) -> bool:
        """Whether all that was chosen was there to be fetched."""
        return all(match.key in payloads for match, _, _ in self._wanted)

    def found(self, payloads: Mapping[str, Payload], scope: Scope) -> list[Found]:
        """What was fetched, in order, without what is there for others.

        Every leg was filtered, but neighbours come by their keys: nothing is handed out that was not looked at here.
        """
        return [
            Found(
                key=match.key,
                passage=own[0],
                before=tuple(reversed(_readable(payloads, before, scope))),
                after=tuple(_readable(payloads, after, scope)),
            )
            for match, before, after in self._wanted
            if (own := _readable(payloads, [match.key], scope))
        ]


def _readable(payloads: Mapping[str, Payload], keys: Iterable[str], scope: Scope) -> list[Passage]:
    """Up to the first that is missing or hidden: what stands behind a gap is no neighbour."""
    found: list[Passage] = []
    for key in keys:
        payload = payloads.get(key)
        if payload is None or not scope.may_read(payload["audience"], payload["tenant"]):
            break
        found.append(passage_of(payload))
    return found


def newest(markers: Iterable[Marker]) -> dict[str, Marker]:
    """The version that counts, by document."""
    latest: dict[str, Marker] = {}
    for marker in markers:
        if marker.document not in latest or latest[marker.document].version < marker.version:
            latest[marker.document] = marker
    return latest


def superseding(markers: Sequence[Marker]) -> list[Marker]:
    """The newest versions of those documents that have older ones too."""
    latest = newest(markers)
    behind = {marker.document for marker in markers if marker.version < latest[marker.document].version}
    return [latest[document] for document in sorted(behind)]


def current_passages(payloads: Sequence[Payload]) -> list[Passage]:
    """The passages of one document's newest version, in reading order; a version that waits for its readers is none yet."""
    version = max((payload["version"] for payload in payloads if "reader" in payload), default=0)
    passages = [passage_of(payload) for payload in payloads if payload["version"] == version]
    return sorted(passages, key=lambda passage: passage.position)


def outdated(legs: Iterable[Iterable[Match]]) -> set[tuple[str, int]]:
    """Pairs of document and version, among matches, that a newer one of the same document supersedes."""
    pairs = {(match.document, match.version) for leg in legs for match in leg}
    latest: dict[str, int] = {}
    for document, version in pairs:
        latest[document] = max(version, latest.get(document, version))
    return {(document, version) for document, version in pairs if version < latest[document]}


def _reader(tenant: str, audience: str) -> str:
    return json.dumps([tenant, audience], ensure_ascii=False)
