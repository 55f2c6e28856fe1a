"""The way to Redis: how a client is made, and how its errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from bots.errors import SettingsError, StoreUnavailable

CONNECTIONS = 64
"""Connections of one process; whoever finds none free waits."""

REPLY_SECONDS = 5.0
"""A command without an answer by then failed. Blocking reads stay well below it."""


def connect(url: str) -> Redis:
    """A client of bytes for ``url`` (redis://, rediss:// or unix://). Raises ``SettingsError`` for anything else.

    A broken connection is tried again twice within half a second: a restart of Redis goes unnoticed, and a receiver
    whose Redis is gone answers its platform at once. So a script may run twice.
    """
    retry = Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.2), 2)
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=REPLY_SECONDS,
            socket_timeout=REPLY_SECONDS,
            socket_connect_timeout=2.0,
            retry=retry,
        )
    except ValueError as error:
        raise SettingsError(f"REDIS_URL is no address of a Redis server: {error}") from error
    return Redis.from_pool(pool)


@contextmanager
def store(purpose: str) -> Iterator[None]:
    """Turns every way in which Redis can fail into ``StoreUnavailable``; ``purpose`` says what was not done."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"Redis does not answer ({type(error).__name__}); {purpose}") from error


def text(value: object) -> str:
    """What our clients return as bytes; redis-py's types cannot tell such clients from those that decode."""
    return value.decode() if isinstance(value, bytes) else str(value)
