"""Reading one source: what goes wrong with it is its report, what goes wrong with Redis is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from bots.library.collections import ServingCollections
from bots.library.reading import SourceReader
from bots.library.runs import Run, Runs
from rag.errors import StoreUnavailable
from rag.retrieval.sparse import SparseEncoder
from rag.store.client import connect
from tests.bots.knowledge_scene import Bookcase


async def test_a_redis_that_goes_away_is_no_fault_of_the_source(
    redis: Redis, redis_url: str, keys: Keys, tmp_path: Path
) -> None:
    run = Run(source="a", token="token", allow_shrink=False, starts=1)
    async with Bookcase.opened(redis, redis_url, keys, tmp_path) as case, connect("unix:///nowhere/redis.sock") as away:
        shelf = ServingCollections(case.serving, case.embeddings, SparseEncoder())
        reader = SourceReader(shelf.synchronizer, Runs(away, keys), case.caches)
        with pytest.raises(StoreUnavailable):
            await reader.read(case.source("a", "# A\n\nOne."), run)
