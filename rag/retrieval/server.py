"""The passage index on a Qdrant server or cluster (1.10 or later), over REST.

The two steps of a replacement are two requests; a search in between finds both versions and asks again without the older.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlsplit

from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from rag.errors import ConfigurationError, IndexUnavailable
from rag.retrieval import records, server_search
from rag.retrieval.index import Choose, Found, IndexedPassage, IndexQuery, Match
from rag.retrieval.records import DENSE, SPARSE, Marker
from rag.retrieval.server_search import matching, sparse_vector
from rag.settings import QdrantSettings
from rag.types import Passage

CONFLICT = 409
TRIES = 8
"""Searches that replacements may spoil, one after the other, before giving up."""


class ServerIndex:
    """A PassageIndex that any number of processes share."""

    def __init__(self, settings: QdrantSettings, dimension: int) -> None:
        self._settings = settings
        self._dimension = dimension
        self._collection = settings.collection
        self._client = _client(settings)

    async def open(self) -> None:
        """Create the collection if it is missing, and finish what an interruption left."""
        with self._answering():
            if not await self._client.collection_exists(self._collection):
                await self._create()
            await self._check_dimension()
            for name in records.KEYWORDS:
                await self._index(name, models.PayloadSchemaType.KEYWORD)
            await self._index("version", models.PayloadSchemaType.INTEGER)
        await self._newest_markers(matching(kind=[records.MARKER]))

    async def replace(self, document: str, source: str, digest: str, passages: Sequence[IndexedPassage]) -> None:
        """Write the new version in one request, then delete all but the newest: meanwhile another process may have written."""
        existing = await self._markers(matching(kind=[records.MARKER], document=[document]))
        version = records.next_version(existing)
        marker = Marker(document=document, source=source, digest=digest, version=version)
        with self._answering():
            await self._client.upsert(self._collection, version_points(marker, passages), wait=True)
        await self._newest_markers(matching(kind=[records.MARKER], document=[document]))

    async def remove(self, documents: Collection[str]) -> None:
        """Delete all versions of documents."""
        if documents:
            await self._delete(matching(document=documents))

    async def documents(self, source: str) -> Mapping[str, str]:
        """Digest by document id."""
        markers = await self._newest_markers(matching(kind=[records.MARKER], source=[source]))
        return {document: marker.digest for document, marker in markers.items()}

    async def sources(self) -> frozenset[str]:
        """From the documents' markers."""
        return frozenset(marker.source for marker in await self._markers(matching(kind=[records.MARKER])))

    async def search(self, query: IndexQuery, choose: Choose) -> list[Found]:
        """All legs in one request, what was chosen in another; again if a replacement came in between."""
        if query.scope.empty:
            return []
        hidden: set[tuple[str, int]] = set()
        for _ in range(TRIES):
            legs = await self._matches(query, hidden)
            if old := records.outdated(legs):
                hidden |= old
                continue
            wanted = records.chosen(choose, legs)
            payloads = await self._retrieve(
                {key for match in wanted for key in records.keys_around(match, query.reach)}
            )
            if all(match.key in payloads for match in wanted):
                found = (records.found_among(payloads, match, query.scope, query.reach) for match in wanted)
                return [each for each in found if each is not None]
        raise IndexUnavailable(self._line(f"held no version still in {TRIES} tries: too many replacements at once"))

    async def passages(self, document: str) -> list[Passage]:
        """The newest version's passages by position."""
        found = [payload async for payload in self._scroll(matching(kind=[records.PASSAGE], document=[document]))]
        return records.current_passages(found)

    async def count(self) -> int:
        """Passages of all documents."""
        with self._answering():
            counted = await self._client.count(self._collection, matching(kind=[records.PASSAGE]), exact=True)
        return counted.count

    async def settle(self) -> None:
        """Nothing to do: the server keeps its own structures."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _create(self) -> None:
        try:
            await self._client.create_collection(
                self._collection,
                vectors_config={DENSE: models.VectorParams(size=self._dimension, distance=models.Distance.COSINE)},
                sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            )
        except UnexpectedResponse as error:
            if error.status_code != CONFLICT:  # another process was first
                raise

    async def _check_dimension(self) -> None:
        vectors = (await self._client.get_collection(self._collection)).config.params.vectors
        held = vectors[DENSE].size if isinstance(vectors, dict) and DENSE in vectors else None
        if held != self._dimension:
            raise ConfigurationError(
                f"embedding.model gives vectors of {self._dimension} dimensions, but Qdrant's collection "
                f"{self._collection!r} holds {held or 'others'}: set the former model, or another qdrant.collection"
            )

    async def _index(self, name: str, schema: models.PayloadSchemaType) -> None:
        await self._client.create_payload_index(self._collection, name, schema, wait=True)

    async def _delete(self, chosen: models.Filter) -> None:
        with self._answering():
            await self._client.delete(self._collection, models.FilterSelector(filter=chosen), wait=True)

    async def _newest_markers(self, chosen: models.Filter) -> dict[str, Marker]:
        markers = await self._markers(chosen)
        if old := records.superseded(markers):
            versions = server_search.versions({marker.version for marker in old})
            await self._delete(matching(versions, document={marker.document for marker in old}))
        return records.newest(markers)

    async def _markers(self, chosen: models.Filter) -> list[Marker]:
        return [records.marker_of(payload) async for payload in self._scroll(chosen)]

    async def _scroll(self, chosen: models.Filter) -> AsyncIterator[dict[str, Any]]:
        offset = None
        while True:
            with self._answering():
                page, offset = await self._client.scroll(self._collection, chosen, records.PAGE, offset=offset)
            for record in page:
                yield record.payload or {}
            if offset is None:
                return

    async def _matches(self, query: IndexQuery, hidden: set[tuple[str, int]]) -> list[list[Match]]:
        visible = server_search.visible(query.scope, hidden)
        requests = server_search.requests(query, visible)
        with self._answering():
            answers = await self._client.query_batch_points(self._collection, requests) if requests else []
        return server_search.matches(query, answers)

    async def _retrieve(self, keys: Collection[str]) -> dict[str, records.Payload]:
        with self._answering():
            points = await self._client.retrieve(self._collection, list(keys)) if keys else []
        return {str(point.id): point.payload or {} for point in points}

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Map what the client raises; neither the key nor credentials in the URL get into a message."""
        try:
            yield
        except UnexpectedResponse as error:
            raise IndexUnavailable(self._line(f"answers {error.status_code} {_reason(error)}")) from error
        except ResponseHandlingException as error:
            raise IndexUnavailable(self._line(f"does not answer ({type(error.source).__name__})")) from error

    def _line(self, what: str) -> str:
        parts = urlsplit(self._settings.url or "")
        server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        return f"Qdrant at {server} {what}; check QDRANT_URL and QDRANT_API_KEY (collection {self._collection!r})"


def version_points(marker: Marker, passages: Sequence[IndexedPassage]) -> list[models.PointStruct]:
    """All points of one version of a document: what a replacement's first step writes."""
    points = [_point(records.marker_point(marker), {})]
    return points + [_point(records.passage_point(marker, indexed), _vectors(indexed)) for indexed in passages]


def _client(settings: QdrantSettings) -> AsyncQdrantClient:
    if urlsplit(settings.url or "").scheme not in {"http", "https"}:
        raise ConfigurationError("qdrant.url (QDRANT_URL) must begin with http:// or https://")
    # check_compatibility asks for the server's version in the constructor, blocking (qdrant-client 1.20)
    return AsyncQdrantClient(
        url=settings.url,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        timeout=math.ceil(settings.timeout),
        prefer_grpc=False,
        check_compatibility=False,
    )


def _point(record: tuple[str, dict[str, Any]], vectors: dict[str, models.Vector]) -> models.PointStruct:
    return models.PointStruct(id=record[0], vector=cast("models.VectorStruct", vectors), payload=record[1])


def _vectors(indexed: IndexedPassage) -> dict[str, models.Vector]:
    return {DENSE: list(indexed.dense), SPARSE: sparse_vector(indexed.sparse)}


def _reason(error: UnexpectedResponse) -> str:
    """The server's own words, or what HTTP calls the status: one short line."""
    try:
        stated = error.structured().get("status", {}).get("error", "")
    except (ValueError, AttributeError):
        stated = ""
    return str(stated or error.reason_phrase).partition("\n")[0][:200]
