"""The stores of the service, in Redis and in the conversation log; opened and closed together."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis

from bots.conversation.forgetting import Forgetting
from bots.errors import BotsError
from bots.keys import Keys
from bots.operations.private_redis import PrivateRedis
from bots.queue.inbox import Inbox
from bots.queue.outbox import Outbox
from bots.queue.replies import ReplyLedger
from bots.settings import Settings
from rag.assembly.answering import build_memory
from rag.memory.conversation import ConversationMemory
from rag.store.client import connect, store_errors, text
from tuning.conversations.log import ConversationLog
from tuning.errors import LogUnavailable

log = structlog.get_logger()
KEEP_ALIVE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The open stores. ``url`` is the address of Redis, for libraries that open their own connection."""

    url: str
    keys: Keys
    redis: Redis
    inbox: Inbox
    ledger: ReplyLedger
    memory: ConversationMemory
    outbox: Outbox
    log: ConversationLog
    forgetting: Forgetting


@asynccontextmanager
async def open_stores(settings: Settings, *, adopt: bool = False) -> AsyncIterator[Stores]:
    """Opens Redis (a private one unless REDIS_URL is set) and the migrated log. Raises ``BotsError`` or ``TuningError``.

    ``adopt``: another process owns the private Redis, which therefore goes on running afterwards.
    """
    async with _redis_url(settings, adopt=adopt) as url:
        redis = connect(url)
        try:
            yield await _stores(settings, redis, url)
        finally:
            await redis.aclose()


@asynccontextmanager
async def _redis_url(settings: Settings, *, adopt: bool) -> AsyncIterator[str]:
    if settings.redis.url:
        yield settings.redis.url
        return
    private = PrivateRedis(settings.home, settings.redis.appendfsync)
    url = await asyncio.to_thread(private.start)
    stopping = asyncio.Event()
    keep_alive = None if adopt else asyncio.create_task(_keep_alive(private, stopping), name="private redis")
    try:
        yield url
    finally:
        if keep_alive is not None:
            stopping.set()
            await keep_alive  # not cancelled: a start that goes on in its thread would undo the stop
            await asyncio.to_thread(private.stop)


async def _keep_alive(private: PrivateRedis, stopping: asyncio.Event) -> None:
    """Restarts the private server when it dies, for example by the kernel's out-of-memory killer."""
    while not stopping.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), KEEP_ALIVE_SECONDS)
        if not stopping.is_set():
            try:
                await asyncio.to_thread(private.start)
            except BotsError as error:
                log.warning("private_redis_down", reason=str(error))


async def _stores(settings: Settings, redis: Redis, url: str) -> Stores:
    keys = Keys(settings.redis.prefix)
    ledger = ReplyLedger(redis, keys)
    memory = build_memory(redis, settings.memory, conversation=keys.memory, notes=keys.notes, notes_of=keys.notes_of)
    inbox = Inbox(redis, keys, settings.worker)
    conversation_log = await _log(settings, redis, keys)
    # The log is not needed to answer: an unreachable PostgreSQL must not stop the start.
    try:
        await asyncio.to_thread(conversation_log.upgrade)
    except LogUnavailable:
        log.warning("log_unavailable", until="the recorder reaches it; answers do not wait")
    return Stores(
        url=url,
        keys=keys,
        redis=redis,
        inbox=inbox,
        ledger=ledger,
        memory=memory,
        outbox=Outbox(redis, keys),
        log=conversation_log,
        forgetting=Forgetting(
            redis, keys, memory=memory, inbox=inbox, ledger=ledger, pseudonym=conversation_log.pseudonym
        ),
    )


async def open_log(settings: Settings, redis_url: str) -> ConversationLog:
    """The log alone, not migrated yet. Redis holds the secret of its pseudonyms."""
    redis = connect(redis_url)
    try:
        return await _log(settings, redis, Keys(settings.redis.prefix))
    finally:
        await redis.aclose()


async def _log(settings: Settings, redis: Redis, keys: Keys) -> ConversationLog:
    secret = await pseudonym_secret(redis, keys)
    return ConversationLog(database_url(settings), secret, redact=settings.log.redact)


def database_url(settings: Settings) -> str:
    """DATABASE_URL, or SQLite in the home."""
    return settings.log.url or f"sqlite:///{settings.home / 'conversations.sqlite3'}"


async def pseudonym_secret(redis: Redis, keys: Keys) -> bytes:
    """The secret of an installation, shared through Redis, so that a person has the same pseudonym in every process."""
    key = keys.of("pseudonym-secret")
    with store_errors("the secret of the pseudonyms was not read"):
        # nx and then get: of two processes that start at once, both use the secret that was stored first.
        await redis.set(key, secrets.token_hex(32), nx=True)
        value = await redis.get(key)
    return text(value).encode()
