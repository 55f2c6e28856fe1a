"""What a replacement sends to a Qdrant server, as rag.retrieval.index.records describes it."""

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
"""Bytes of a request, estimated from above; a Qdrant server refuses 32 MiB by default (service.max_request_size_mb)."""
NUMBER = 24
"""Bytes of a number in JSON at most, with its comma."""
ABANDONED = 3600.0
"""Seconds after which nobody is still writing a document."""


def batches(passages: Sequence[IndexedPassage], limit: int = LIMIT) -> list[list[IndexedPassage]]:
    """Passages that fit into one request of ``limit`` bytes each time; one that is larger by itself goes alone."""
    found: list[list[IndexedPassage]] = [[]]
    room = limit
    for each in passages:
        size = _size(each)
        if size > room and found[-1]:
            found.append([])
            room = limit
        found[-1].append(each)
        room -= size
    return found


def version_points(marker: Marker, passages: Iterable[IndexedPassage]) -> list[models.PointStruct]:
    """All points of one version of a document: what a small one's replacement writes in its first step."""
    return [marker_point(marker), *passage_points(marker, passages, waiting=False)]


def passage_points(
    marker: Marker, passages: Iterable[IndexedPassage], *, waiting: bool
) -> Iterator[models.PointStruct]:
    """Passages, with a reader or waiting for it."""
    for indexed in passages:
        key, payload = records.passage_point(marker, indexed, waiting=waiting)
        vectors = {DENSE: list(indexed.dense), SPARSE: sparse_vector(indexed.sparse)}
        yield models.PointStruct(id=key, vector=cast("models.VectorStruct", vectors), payload=payload)


def marker_point(marker: Marker) -> models.PointStruct:
    """What makes a version count."""
    key, payload = records.marker_point(marker)
    return models.PointStruct(id=key, vector={}, payload=payload)


def older(marker: Marker) -> models.Filter:
    """Whatever there is of a document's former versions."""
    return matching(
        models.FieldCondition(key="version", range=models.Range(lt=marker.version)), document=[marker.document]
    )


def abandoned() -> models.Filter:
    """Passages whose replacement was cut short before anybody could read them."""
    begun = models.FieldCondition(key="version", range=models.Range(lt=records.version_before(ABANDONED)))
    nobody = models.IsEmptyCondition(is_empty=models.PayloadField(key="reader"))
    return models.Filter(must=[nobody, *(matching(begun, kind=[PASSAGE]).must or ())])


def _size(each: IndexedPassage) -> int:
    numbers = len(each.dense) + 2 * len(each.sparse.indices)
    texts = (each.passage.text, each.passage.title, each.passage.url, *each.passage.headings)
    return NUMBER * numbers + len(json.dumps(texts)) + 1024
