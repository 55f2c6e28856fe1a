"""Questions that come together are embedded together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from rag.retrieval.embeddings.microbatch import LARGEST, MicroBatcher


class Recorder:
    """Embeds a text as its length; the first batch waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun = Event()
        self.go = Event()

    def embed(self, texts: list[str]) -> list[list[float]]:
        self.batches.append(texts)
        self.begun.set()
        self.go.wait(10)
        if "bad" in texts:
            raise ValueError("a bad text")
        return [[float(len(text))] for text in texts]


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def started(batcher: MicroBatcher, recorder: Recorder, text: str) -> asyncio.Task[list[float]]:
    """A task whose batch is running and does not end before ``go``."""
    task = asyncio.create_task(batcher.submit(text))
    await asyncio.to_thread(recorder.begun.wait, 10)
    return task


async def queued(batcher: MicroBatcher, texts: list[str]) -> list[asyncio.Task[list[float]]]:
    tasks = [asyncio.create_task(batcher.submit(text)) for text in texts]
    await asyncio.sleep(0)  # each runs up to its wait
    return tasks


async def test_what_came_while_a_batch_ran_forms_the_next(thread: ThreadPoolExecutor) -> None:
    recorder = Recorder()
    batcher = MicroBatcher(recorder.embed, thread)
    first = await started(batcher, recorder, "a")
    others = await queued(batcher, ["bb", "ccc", "dddd"])
    recorder.go.set()
    assert await asyncio.gather(first, *others) == [[1], [2], [3], [4]]
    assert recorder.batches == [["a"], ["bb", "ccc", "dddd"]]


async def test_a_batch_is_bounded(thread: ThreadPoolExecutor) -> None:
    recorder = Recorder()
    batcher = MicroBatcher(recorder.embed, thread)
    first = await started(batcher, recorder, "a")
    others = await queued(batcher, ["b"] * (LARGEST + 5))
    recorder.go.set()
    await asyncio.gather(first, *others)
    assert [len(batch) for batch in recorder.batches] == [1, LARGEST, 5]


async def test_an_error_reaches_everyone_in_its_batch_and_nobody_after(thread: ThreadPoolExecutor) -> None:
    recorder = Recorder()
    batcher = MicroBatcher(recorder.embed, thread)
    first = await started(batcher, recorder, "a")
    others = await queued(batcher, ["bad", "b"])
    recorder.go.set()
    assert await first == [1]
    for result in await asyncio.gather(*others, return_exceptions=True):
        assert isinstance(result, ValueError)
    assert await batcher.submit("cc") == [2]


async def test_who_gave_up_is_left_out_and_holds_nobody_up(thread: ThreadPoolExecutor) -> None:
    recorder = Recorder()
    batcher = MicroBatcher(recorder.embed, thread)
    first = await started(batcher, recorder, "a")
    (gone,) = await queued(batcher, ["gone"])
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    recorder.go.set()
    assert await first == [1]
    assert await batcher.submit("bb") == [2]
    assert ["gone"] not in recorder.batches


def test_several_event_loops_share_one_batcher(thread: ThreadPoolExecutor) -> None:
    recorder = Recorder()
    recorder.go.set()
    batcher = MicroBatcher(recorder.embed, thread)
    assert [asyncio.run(batcher.submit(text)) for text in ("a", "bb")] == [[1], [2]]
