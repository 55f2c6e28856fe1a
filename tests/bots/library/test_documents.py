"""Documents as tasks of a queue on a real Redis: shared by all workers, lost by none, and one bad document harms no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis

from bots.keys import Keys
from bots.library.documents import SharedDocuments
from rag.errors import IndexUnavailable
from rag.knowledge.loaders.sources import LoadedDocument
from rag.knowledge.sync.survey import Change, Tally
from rag.store.task_queue import TaskQueue
from tests.waiting import until

PATIENCE = 60.0
OFFERED = 4


def change(number: int, markdown: str = "Text.") -> Change:
    name = f"kb/{number}.md"
    document = LoadedDocument(
        id=name, source="kb", title=name, url=name, markdown=markdown, language="en", audience="public", tenant="acme"
    )
    return Change(document=document, digest=f"digest-{number}")


async def given(changes: Iterable[Change]) -> AsyncIterator[Change]:
    for each in changes:
        yield each


@dataclass(slots=True)
class Writer:
    """Takes documents; fails at those that a test names."""

    taken: list[str] = field(default_factory=list)
    trouble: dict[str, Exception] = field(default_factory=dict)
    before: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, change: Change) -> Tally:
        if self.before is not None:
            await self.before()
        document = change.document.id
        if document in self.trouble:
            raise self.trouble[document]
        self.taken.append(document)
        return Tally(written={document: 2}, embedded=2)


Process = Callable[..., Awaitable[SharedDocuments]]


@pytest.fixture
async def process(redis: Redis, redis_url: str, keys: Keys) -> AsyncIterator[Process]:
    """What starts a process that takes its share; a source has at most four documents in flight."""
    name = keys.of("queue", "documents")
    async with AsyncExitStack() as stack:

        async def started(writer: Writer, offer_again_seconds: float = 0.5) -> SharedDocuments:
            documents = SharedDocuments(
                redis,
                keys,
                writer,
                lambda work: TaskQueue(redis, redis_url, name, work, at_once=2, lease_seconds=1, poll_seconds=0.02),
                offered=OFFERED,
                offer_again_seconds=offer_again_seconds,
                waits=(0.0, 0.0),
            )
            await documents.open()
            stack.push_async_callback(documents.close)
            return documents

        yield started


async def spread(documents: SharedDocuments, changes: Iterable[Change]) -> Tally:
    tally = Tally()
    async with asyncio.timeout(PATIENCE):
        await documents.spread(given(changes), tally)
    return tally


async def test_all_workers_share_a_source_and_every_document_is_taken_once(process: Process) -> None:
    one, other = Writer(), Writer()
    # Each waits at its first document until the other has begun: a source that one process takes alone ends here.
    both = asyncio.Barrier(2)
    met: set[int] = set()

    def meeting(writer: Writer) -> Callable[[], Awaitable[object]]:
        async def meet() -> None:
            if id(writer) not in met:
                met.add(id(writer))
                await both.wait()

        return meet

    one.before, other.before = meeting(one), meeting(other)
    first = await process(one)
    await process(other)
    tally = await spread(first, [change(number) for number in range(40)])
    assert sorted(tally.written) == sorted(f"kb/{number}.md" for number in range(40))
    assert tally.embedded == 80
    assert sorted(one.taken + other.taken) == sorted(tally.written)
    assert one.taken
    assert other.taken


async def test_a_document_travels_as_it_is(process: Process) -> None:
    seen: list[Change] = []

    class Keeper(Writer):
        async def __call__(self, change: Change) -> Tally:
            seen.append(change)
            return Tally()

    sent = change(1, "# Título\n\n" + "¿Cuántos días? 🦜 \x00\n" * 1000)
    await spread(await process(Keeper()), [sent])
    assert seen == [sent]


async def test_a_document_that_fails_each_time_is_skipped_with_its_reason_and_the_others_are_written(
    process: Process,
) -> None:
    writer = Writer(trouble={"kb/1.md": IndexUnavailable("Qdrant does not answer")})
    tally = await spread(await process(writer), [change(number) for number in range(3)])
    assert sorted(tally.written) == ["kb/0.md", "kb/2.md"]
    assert [(one.document, one.reason) for one in tally.skipped] == [("kb/1.md", "Qdrant does not answer")]


async def test_a_document_that_nobody_can_even_fail_at_is_given_up(process: Process) -> None:
    """As one that ends its process: it begins again and again, and nothing is heard of it."""
    writer = Writer(trouble={"kb/1.md": RuntimeError("not one of our errors")})
    tally = await spread(await process(writer), [change(1), change(2)])
    assert list(tally.written) == ["kb/2.md"]
    [skipped] = tally.skipped
    assert "the process ended 3 times" in skipped.reason


async def test_a_document_whose_worker_leaves_is_taken_by_another(process: Process) -> None:
    begun = asyncio.Event()

    async def hold() -> None:
        begun.set()
        await asyncio.Event().wait()

    leaving, staying = Writer(before=hold), Writer()
    first = await process(leaving, offer_again_seconds=PATIENCE)  # who has left offers nothing any more
    spreading = asyncio.create_task(spread(first, [change(1)]))
    await begun.wait()
    await process(staying)
    await first.close()
    assert list((await spreading).written) == ["kb/1.md"]
    assert staying.taken == ["kb/1.md"]


async def test_what_redis_lost_is_offered_again(process: Process, redis: Redis) -> None:
    held = asyncio.Event()
    writer = Writer(before=held.wait)
    documents = await process(writer)
    spreading = asyncio.create_task(spread(documents, [change(number) for number in range(5)]))
    await until(redis.dbsize)
    await redis.flushdb()
    held.set()
    assert len((await spreading).written) == 5


async def test_documents_in_flight_are_bounded_in_number_and_bytes(process: Process, redis: Redis, keys: Keys) -> None:
    most = 0

    async def count() -> None:
        nonlocal most
        bodies = [key async for key in redis.scan_iter(match=keys.of("sync-document", "body", "*"))]
        most = max(most, len(bodies))

    tally = await spread(await process(Writer(before=count)), [change(number) for number in range(30)])
    assert len(tally.written) == 30
    assert 1 <= most <= OFFERED


async def test_nothing_is_left_behind_in_redis_but_what_expires(process: Process, redis: Redis, keys: Keys) -> None:
    await spread(await process(Writer()), [change(number) for number in range(5)])
    left = [key async for key in redis.scan_iter(match=keys.of("sync-document", "*"))]
    assert all(b":outcome:" in key for key in left)
    assert all([await redis.ttl(key) > 0 for key in left])


async def test_what_a_source_raises_is_raised(process: Process) -> None:
    async def failing() -> AsyncIterator[Change]:
        yield change(1)
        raise RuntimeError("the source failed")

    documents = await process(Writer())
    with pytest.raises(RuntimeError, match="the source failed"):
        await documents.spread(failing(), Tally())
