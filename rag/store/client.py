"""The Redis client, and the one place where its errors become ``StoreUnavailable``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from rag.errors import ConfigurationError, StoreUnavailable

CONNECTIONS = 64
"""Connections of one process; whoever finds none free waits."""

REPLY_SECONDS = 5.0
"""A command without an answer by then failed. Blocking reads stay well below it."""

_CURE = "start Redis or correct REDIS_URL; without REDIS_URL, read redis/redis.log in COTORRA_HOME"


def connect(url: str) -> Redis:
    """A client of bytes for ``url`` (redis://, rediss:// or unix://). Raises ``ConfigurationError`` for anything else.

    A broken connection is tried again twice within half a second: a restart of Redis goes unnoticed, and a receiver
    whose Redis is gone answers its platform at once. So a script may run twice.
    """
    pool = BlockingConnectionPool.from_url(
        checked_url(url),
        max_connections=CONNECTIONS,
        timeout=REPLY_SECONDS,
        socket_timeout=REPLY_SECONDS,
        socket_connect_timeout=2.0,
        retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.2), 2),
    )
    return Redis.from_pool(pool)


def checked_url(url: str) -> str:
    """``url``, if it is one of a Redis server. Raises ``ConfigurationError``."""
    try:
        parse_url(url)
    except ValueError as error:
        raise ConfigurationError(
            f"REDIS_URL is no address of a Redis server ({error}); write it as redis://localhost:6379/0"
        ) from error
    return url


@contextmanager
def store_errors(consequence: str) -> Iterator[None]:
    """Turns every way in which Redis can fail into ``StoreUnavailable``; ``consequence`` says what was not done.

    A time limit set within counts among them (``TimeoutError`` is an ``OSError``).
    """
    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"Redis does not answer ({type(error).__name__}): {consequence}; {_CURE}") from error


def text(value: object) -> str:
    """What our clients return as bytes; redis-py's types cannot tell such clients from those that decode."""
    return value.decode() if isinstance(value, bytes) else str(value)
