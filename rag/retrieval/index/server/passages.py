"""The passage index on a Qdrant server or cluster (1.10 or later), over REST.

A replacement consists of several requests. A search that finds two versions of a document repeats itself without the older.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from rag.errors import ConfigurationError, IndexUnavailable
from rag.retrieval.index import records
from rag.retrieval.index.passages import Choose, IndexedPassage, IndexQuery, Match, RetrievedPassage, Scope
from rag.retrieval.index.records import DENSE, SPARSE, Marker
from rag.retrieval.index.server import search as server_search
from rag.retrieval.index.server import writing as server_writing
from rag.retrieval.index.server.client import CONFLICT, connect, mapped_errors, server_message
from rag.retrieval.index.server.search import matching
from rag.settings import QdrantSettings
from rag.types import Passage

TRIES = 8
"""Attempts at one search; a replacement at the same time can make an attempt useless."""


class ServerIndex:
    """A ``PassageIndex`` that any number of processes may share."""

    def __init__(
        self,
        settings: QdrantSettings,
        dimension: int,
        collection: str | None = None,
        *,
        request_bytes: int = server_writing.LIMIT,
    ) -> None:
        """``collection`` stands in for the one of the settings; ``request_bytes``: of a request with passages, at most."""
        self._settings = settings
        self._dimension = dimension
        self._collection = collection or settings.collection
        self._request_bytes = request_bytes
        self._client = connect(settings)

    async def open(self) -> None:
        """Creates the collection if it is missing, and cleans up after interrupted replacements."""
        with self._mapped_errors():
            if not await self._client.collection_exists(self._collection):
                await self._create()
            await self._check_dimension()
            for name in records.KEYWORDS:
                await self._index(name, models.PayloadSchemaType.KEYWORD)
            await self._index("version", models.PayloadSchemaType.INTEGER)
        await self._newest_markers(matching(kind=[records.MARKER]))
        await self._delete(server_writing.abandoned_passages())

    async def replace(self, document: str, source: str, digest: str, passages: Sequence[IndexedPassage]) -> None:
        """Writes a version in requests of limited size, then deletes all but the newest: another process may write too."""
        selection = matching(kind=[records.MARKER], document=[document])
        existing = await self._markers(selection)
        marker = records.marker_for(document, source, digest, passages, existing)
        batches = server_writing.batches(passages, self._request_bytes)
        if len(batches) > 1:
            for batch in batches:
                await self._upsert(server_writing.passage_points(marker, batch, waiting=True))
        if records.readers_change(marker, existing):
            await self._delete(server_writing.older_versions(marker))
        if len(batches) > 1:
            await self._publish(marker, passages)
        else:
            await self._upsert(server_writing.version_points(marker, passages))
        await self._newest_markers(selection)
        await self._delete(server_writing.older_versions(marker))

    async def remove(self, documents: Collection[str]) -> None:
        """Deletes all versions of documents."""
        if documents:
            await self._delete(matching(document=documents))

    async def documents(self, source: str) -> Mapping[str, str]:
        """Digests by document id."""
        markers = await self._newest_markers(matching(kind=[records.MARKER], source=[source]))
        await self._delete(server_writing.abandoned_passages())
        return {document: marker.digest for document, marker in markers.items()}

    async def sources(self) -> frozenset[str]:
        """The sources in the documents' markers."""
        return frozenset(marker.source for marker in await self._markers(matching(kind=[records.MARKER])))

    async def search(self, query: IndexQuery, choose: Choose) -> list[RetrievedPassage]:
        """Sends all legs in one request, fetches in another, and repeats both if a replacement came in between."""
        if query.scope.empty:
            return []
        hidden: set[tuple[str, int]] = set()
        for _ in range(TRIES):
            legs = await self._matches(query, hidden)
            if old := records.outdated(legs):
                hidden |= old
                continue
            fetch = records.PassageFetch(records.choose_matches(choose, legs), query.reach)
            payloads = await self._retrieve(fetch.keys)
            if fetch.is_complete(payloads):
                return fetch.passages(payloads, query.scope)
        reason = f"changed in each of {TRIES} searches while it was read; try again"
        raise IndexUnavailable(server_message(self._settings, self._collection, reason))

    async def passages(self, document: str) -> list[Passage]:
        """The passages of the newest version, in reading order."""
        payloads = [payload async for payload in self._scroll(matching(kind=[records.PASSAGE], document=[document]))]
        return records.current_passages(payloads)

    async def excerpt(self, document: str, positions: range, scope: Scope) -> list[Passage]:
        """One request, filtered by document, positions and readers."""
        if scope.empty or not positions:
            return []
        selection = server_search.excerpt(document, positions, scope)
        return records.current_passages([payload async for payload in self._scroll(selection)])

    async def count(self) -> int:
        """The number of passages of all documents."""
        with self._mapped_errors():
            result = await self._client.count(self._collection, matching(kind=[records.PASSAGE]), exact=True)
        return result.count

    async def settle(self) -> None:
        """Does nothing: the server maintains its own structures."""

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def _create(self) -> None:
        try:
            await self._client.create_collection(
                self._collection,
                vectors_config={DENSE: models.VectorParams(size=self._dimension, distance=models.Distance.COSINE)},
                sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            )
        except UnexpectedResponse as error:
            if error.status_code != CONFLICT:  # a conflict means that another process has created it meanwhile
                raise

    async def _check_dimension(self) -> None:
        vectors = (await self._client.get_collection(self._collection)).config.params.vectors
        size = vectors[DENSE].size if isinstance(vectors, dict) and DENSE in vectors else None
        if size != self._dimension:
            raise ConfigurationError(
                f"embedding.model gives vectors of {self._dimension} dimensions, but Qdrant's collection "
                f"{self._collection!r} holds {size or 'others'}: set the former model, or another qdrant.collection"
            )

    async def _index(self, name: str, schema: models.PayloadSchemaType) -> None:
        await self._client.create_payload_index(self._collection, name, schema, wait=True)

    async def _upsert(self, points: Iterable[models.PointStruct]) -> None:
        with self._mapped_errors():
            # wait: the next step of a replacement relies on this one being visible.
            await self._client.upsert(self._collection, list(points), wait=True)

    async def _publish(self, marker: Marker, passages: Sequence[IndexedPassage]) -> None:
        """Makes waiting passages visible. The marker is written last, so that an interruption before it is noticed."""
        for reader, keys in records.keys_by_reader(marker, passages).items():
            with self._mapped_errors():
                await self._client.set_payload(self._collection, {"reader": reader}, list(keys), wait=True)
        await self._upsert([server_writing.marker_point(marker)])

    async def _delete(self, selection: models.Filter) -> None:
        with self._mapped_errors():
            await self._client.delete(self._collection, models.FilterSelector(filter=selection), wait=True)

    async def _newest_markers(self, selection: models.Filter) -> dict[str, Marker]:
        markers = await self._markers(selection)
        for marker in records.superseding(markers):
            await self._delete(server_writing.older_versions(marker))
        return records.newest(markers)

    async def _markers(self, selection: models.Filter) -> list[Marker]:
        return [records.marker_of(payload) async for payload in self._scroll(selection)]

    async def _scroll(self, selection: models.Filter) -> AsyncIterator[dict[str, Any]]:
        offset = None
        while True:
            with self._mapped_errors():
                page, offset = await self._client.scroll(self._collection, selection, records.PAGE, offset=offset)
            for record in page:
                yield record.payload or {}
            if offset is None:
                return

    async def _matches(self, query: IndexQuery, hidden: set[tuple[str, int]]) -> list[list[Match]]:
        visible = server_search.visible(query.scope, hidden)
        requests = server_search.requests(query, visible)
        with self._mapped_errors():
            answers = await self._client.query_batch_points(self._collection, requests) if requests else []
        return server_search.matches(query, answers)

    async def _retrieve(self, keys: Collection[str]) -> dict[str, records.Payload]:
        with self._mapped_errors():
            points = await self._client.retrieve(self._collection, list(keys)) if keys else []
        return {str(point.id): point.payload or {} for point in points}

    def _mapped_errors(self) -> AbstractContextManager[None]:
        return mapped_errors(self._settings, self._collection)
