"""The points and filters that a replacement sends to a Qdrant server; see rag.retrieval.index.records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from qdrant_client import models

from rag.retrieval.index import records
from rag.retrieval.index.passages import IndexedPassage
from rag.retrieval.index.records import DENSE, PASSAGE, SPARSE, Marker
from rag.retrieval.index.server.search import matching, sparse_vector

LIMIT = 16 * 2**20
"""The largest estimated request in bytes; a Qdrant server refuses 32 MiB by default (service.max_request_size_mb)."""
NUMBER = 24
"""The most bytes of a number in JSON, with its comma."""
ABANDONED = 3600.0
"""Seconds after which no process can still be writing a document."""


def batches(passages: Sequence[IndexedPassage], limit: int = LIMIT) -> list[list[IndexedPassage]]:
    """Splits passages into batches of at most ``limit`` bytes a request; a passage that is too large gets its own."""
    result: list[list[IndexedPassage]] = [[]]
    room = limit
    for each in passages:
        size = _size(each)
        if size > room and result[-1]:
            result.append([])
            room = limit
        result[-1].append(each)
        room -= size
    return result


def version_points(marker: Marker, passages: Iterable[IndexedPassage]) -> list[models.PointStruct]:
    """All points of one version of a document, for a small document that is written in one step."""
    return [marker_point(marker), *passage_points(marker, passages, waiting=False)]


def passage_points(
    marker: Marker, passages: Iterable[IndexedPassage], *, waiting: bool
) -> Iterator[models.PointStruct]:
    """The points of passages; if ``waiting``, without ``reader``, so that no search finds them yet."""
    for indexed in passages:
        key, payload = records.passage_point(marker, indexed, waiting=waiting)
        vectors = {DENSE: list(indexed.dense), SPARSE: sparse_vector(indexed.sparse)}
        yield models.PointStruct(id=key, vector=cast("models.VectorStruct", vectors), payload=payload)


def marker_point(marker: Marker) -> models.PointStruct:
    """The marker's point, which makes a version count."""
    key, payload = records.marker_point(marker)
    return models.PointStruct(id=key, vector={}, payload=payload)


def older_versions(marker: Marker) -> models.Filter:
    """A filter for all points of a document's older versions."""
    return matching(
        models.FieldCondition(key="version", range=models.Range(lt=marker.version)), document=[marker.document]
    )


def abandoned_passages() -> models.Filter:
    """A filter for passages of interrupted replacements that never became visible."""
    old_version = models.FieldCondition(key="version", range=models.Range(lt=records.version_before(ABANDONED)))
    without_reader = models.IsEmptyCondition(is_empty=models.PayloadField(key="reader"))
    return models.Filter(must=[without_reader, *(matching(old_version, kind=[PASSAGE]).must or ())])


def _size(each: IndexedPassage) -> int:
    numbers = len(each.dense) + 2 * len(each.sparse.indices)
    texts = (each.passage.text, each.passage.title, each.passage.url, *each.passage.headings)
    return NUMBER * numbers + len(json.dumps(texts)) + 1024
