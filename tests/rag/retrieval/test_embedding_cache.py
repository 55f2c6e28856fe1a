"""The cache of question embeddings on a real Redis: what it saves, what it never keeps, and that it fails no question."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from rag.retrieval.embeddings.cache import CachedEmbeddings
from rag.retrieval.embeddings.threaded import query_name_of
from rag.store.client import connect
from rag.types import AdapterRef
from tests.rag.fakes import WordEmbeddings
from tests.waiting import until

DAY = timedelta(days=1)


class CountingEmbeddings(WordEmbeddings):
    """Remembers which questions it was asked."""

    def __init__(self, name: str = "words") -> None:
        super().__init__()
        self.name = name
        self.asked: list[str] = []

    async def aembed_queries(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked += texts
        return [self.embed_query(text) for text in texts]


def cached(
    inner: CountingEmbeddings, redis: Redis, *, secret: bytes = b"secret", ttl: timedelta = DAY
) -> CachedEmbeddings:
    return CachedEmbeddings(inner, redis, "test:embedding", secret, ttl)


async def stored(redis: Redis, count: int) -> list[bytes]:
    """The keys, once there are ``count`` of them: writes go on beside the question."""
    keys: list[bytes] = []

    async def there() -> bool:
        keys[:] = [key async for key in redis.scan_iter(match="test:embedding:*")]
        return len(keys) >= count

    await until(there)
    return keys


async def test_what_one_process_embedded_another_only_looks_up(redis: Redis) -> None:
    one, other = CountingEmbeddings(), CountingEmbeddings()
    fresh = await cached(one, redis).aembed_query("How many days of holiday?")
    await stored(redis, 1)
    found = await cached(other, redis).aembed_query("How many days of holiday?")
    assert (one.asked, other.asked) == (["How many days of holiday?"], [])
    assert found == pytest.approx(fresh, abs=1e-3)


async def test_the_texts_of_one_question_come_back_in_their_order_and_only_new_ones_are_embedded(redis: Redis) -> None:
    inner = CountingEmbeddings()
    cache = cached(inner, redis)
    await cache.aembed_queries(["one", "two"])
    await stored(redis, 2)
    vectors = await cache.aembed_queries(["three", "two", "three", "one"])
    assert inner.asked == ["one", "two", "three"]
    expected = [inner.embed_query(text) for text in ("three", "two", "three", "one")]
    assert vectors == [pytest.approx(vector, abs=1e-3) for vector in expected]


async def test_a_vector_of_another_model_is_never_returned(redis: Redis) -> None:
    await cached(CountingEmbeddings("first"), redis).aembed_query("holiday")
    await stored(redis, 1)
    second = CountingEmbeddings("second")
    await cached(second, redis).aembed_query("holiday")
    assert second.asked == ["holiday"]


class AdaptedEmbeddings(CountingEmbeddings):
    """The same model; an adapter works on the side of questions."""

    adapter: AdapterRef | None = None

    @property
    def query_name(self) -> str:
        return query_name_of(self.name, self.adapter)


HOUSE = AdapterRef(name="house", path="adapters/house", digest="c0ffee")


async def test_a_vector_of_another_adapter_is_never_returned_and_the_former_is_found_after_a_rollback(
    redis: Redis,
) -> None:
    inner = AdaptedEmbeddings()
    cache = cached(inner, redis)
    await cache.aembed_query("holiday")
    await stored(redis, 1)
    inner.adapter = HOUSE
    assert (cache.name, cache.query_name) == ("words", "words+c0ffee")
    await cache.aembed_query("holiday")
    await stored(redis, 2)
    inner.adapter = None
    await cache.aembed_query("holiday")
    assert inner.asked == ["holiday", "holiday"]


async def test_a_vector_that_was_made_while_an_adapter_was_promoted_is_not_kept(redis: Redis) -> None:
    class Promoted(AdaptedEmbeddings):
        async def aembed_queries(self, texts: Sequence[str]) -> list[list[float]]:
            self.adapter = HOUSE
            return await super().aembed_queries(texts)

    inner = Promoted()
    cache = cached(inner, redis)
    await cache.aembed_query("during")
    await cache.aembed_query("after")
    assert len(await stored(redis, 1)) == 1
    await cache.aembed_query("after")
    assert inner.asked == ["during", "after"]
    await cache.aembed_query("during")
    assert inner.asked == ["during", "after", "during"]


async def test_a_value_of_the_wrong_length_is_no_vector(redis: Redis) -> None:
    inner = CountingEmbeddings()
    await cached(inner, redis).aembed_query("holiday")
    [key] = await stored(redis, 1)
    await redis.set(key, b"\0" * 7)
    assert await cached(inner, redis).aembed_query("holiday") == inner.embed_query("holiday")
    assert inner.asked == ["holiday", "holiday"]


async def test_neither_the_text_nor_its_plain_digest_stands_in_redis(redis: Redis) -> None:
    text = "my salary is 3000"
    await cached(CountingEmbeddings(), redis).aembed_query(text)
    [key] = await stored(redis, 1)
    value = await redis.get(key)
    for guess in (text, f"words\0{text}"):
        assert hashlib.sha256(guess.encode()).hexdigest().encode() not in key
    assert isinstance(value, bytes)
    assert b"salary" not in key + value
    await cached(CountingEmbeddings(), redis, secret=b"another installation").aembed_query(text)
    assert len(await stored(redis, 2)) == 2


async def test_vectors_are_forgotten_after_their_time(redis: Redis) -> None:
    await cached(CountingEmbeddings(), redis, ttl=timedelta(days=7)).aembed_query("holiday")
    [key] = await stored(redis, 1)
    assert 7 * 86400 - 60 < await redis.ttl(key) <= 7 * 86400


async def test_a_redis_that_is_away_costs_a_forward_pass_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    inner = CountingEmbeddings()
    async with connect("unix:///nowhere/redis.sock") as nobody:
        cache = cached(inner, nobody)
        for text in ("one", "two", "three"):
            assert await cache.aembed_query(text) == inner.embed_query(text)
    assert inner.asked == ["one", "two", "three"]
    assert [record.name for record in caplog.records] == ["rag.retrieval.embeddings.cache"]
