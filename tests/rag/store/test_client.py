"""The client of Redis: what is no address is refused, and every failure is one error that says what to do."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from rag.errors import ConfigurationError, RagError, StoreUnavailable
from rag.store.client import connect, store_errors, text


def test_what_is_no_address_is_refused_with_an_example() -> None:
    with pytest.raises(ConfigurationError, match=r"REDIS_URL .*write it as redis://"):
        connect("http://localhost:6379")


async def test_a_redis_that_is_not_there_is_one_error_with_what_was_not_done_and_the_cure() -> None:
    message = r"ConnectionError.*: nothing was stored; start Redis or correct REDIS_URL"
    async with connect("unix:///nowhere/redis.sock") as nobody:
        with pytest.raises(StoreUnavailable, match=message), store_errors("nothing was stored"):
            await nobody.ping()


async def test_what_redis_refuses_is_the_same_error(redis: Redis) -> None:
    await redis.set("word", "not a number")
    with pytest.raises(StoreUnavailable, match="ResponseError"), store_errors("nothing was stored"):
        await redis.incr("word")


async def test_a_time_limit_counts_as_no_answer(redis: Redis) -> None:
    with pytest.raises(StoreUnavailable, match="TimeoutError"), store_errors("nothing was read"):
        async with asyncio.timeout(0.01):
            await redis.xread({"nobody-writes-here": "0"}, block=60_000)


def test_what_has_nothing_to_do_with_redis_passes_unchanged() -> None:
    with pytest.raises(ValueError, match="a defect"), store_errors("nothing was stored"):
        raise ValueError("a defect")


def test_it_is_an_error_of_rag() -> None:
    assert issubclass(StoreUnavailable, RagError)


def test_values_are_bytes_or_decoded() -> None:
    assert text(b"\xc3\xb1") == text("ñ") == "ñ"
