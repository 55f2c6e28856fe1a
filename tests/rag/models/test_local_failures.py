"""What happens to a reply when there is no room, no time, nobody who reads it, or no memory."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.messages import BaseMessage, HumanMessage

from rag.errors import ModelBusy, ModelError, ModelUnavailable
from rag.models.local.loading import load
from rag.models.local.model import LocalModel
from tests.rag.tiny_models import adapter_of, quiet, save_adapter, save_model, settings_of
from tests.waiting import until


class Gate:
    """Stands before every forward of a model: closed, the engine stands still; broken, the forward raises once."""

    def __init__(self, model: Any) -> None:
        self._open = threading.Event()
        self._open.set()
        self.error: Exception | None = None
        self.forwards = 0
        model.register_forward_pre_hook(self._pass)

    def _pass(self, *_args: object) -> None:
        self.forwards += 1
        error, self.error = self.error, None
        if error:
            raise error
        assert self._open.wait(30)

    def open(self) -> None:
        self._open.set()

    def close(self) -> None:
        self._open.clear()

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        self.close()
        try:
            yield
        finally:
            self.open()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    save_model(home / "model")
    save_adapter(home / "broken", home / "model", strength=float("inf"))
    return home / "model"


Made = Callable[..., tuple[LocalModel, Gate]]


@pytest.fixture
async def made(folder: Path) -> AsyncIterator[Made]:
    models = []

    def make(**options: Any) -> tuple[LocalModel, Gate]:
        settings = settings_of(folder, **options)
        loaded = load(settings, quiet)
        models.append(LocalModel(settings, loaded))
        return models[-1], Gate(loaded.network.model)

    yield make
    for model in models:
        await model.close()


def asked(text: str = "hola") -> list[BaseMessage]:
    return [HumanMessage(text)]


async def said(model: LocalModel, text: str = "hola", tokens: int = 12, **options: Any) -> str:
    return "".join([chunk.text async for chunk in model.chat.astream(asked(text), max_tokens=tokens, **options)])


async def rest(stream: AsyncIterator[Any]) -> str:
    return "".join([chunk.text async for chunk in stream])


async def test_closing_a_stream_frees_its_row_at_the_next_step(made: Made) -> None:
    model, gate = made(batch=1)
    stream = model.chat.astream(asked(), max_tokens=400)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    before = gate.forwards
    assert await said(model, tokens=12)
    assert gate.forwards - before <= 14  # its own twelve, and at most one step of the reply that was given up


async def test_cancelling_who_reads_frees_the_row(made: Made) -> None:
    model, _ = made(batch=1)
    reading = asyncio.create_task(said(model, tokens=400))
    await until(lambda: len(model.engine.replies) == 1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await until(lambda: not model.engine.replies)
    assert await said(model)


async def test_who_waits_can_leave_the_queue(made: Made) -> None:
    model, gate = made(batch=1, queue=1)
    with gate.closed():
        writing = asyncio.create_task(said(model))
        await until(lambda: gate.forwards > 0)
        waiting = asyncio.create_task(said(model))
        await until(lambda: model.engine.waiting == 1)
        waiting.cancel()
        await until(lambda: model.engine.waiting == 0)
        last = asyncio.create_task(said(model))
        await until(lambda: model.engine.waiting == 1)
    assert await writing == await last


async def test_a_full_queue_says_for_about_how_long(made: Made) -> None:
    model, gate = made(batch=2, queue=3)
    assert await said(model)  # so that its pace is known
    with gate.closed():
        taken = [asyncio.create_task(said(model, tokens=40)) for _ in range(5)]
        await until(lambda: model.engine.waiting + len(model.engine.replies) == 5 and gate.forwards > 0)
        with pytest.raises(ModelBusy, match="answers wait for the model already") as busy:
            await said(model)
    assert 0 < busy.value.seconds < 60
    assert len(set(await asyncio.gather(*taken))) == 1


async def test_no_queue_means_only_free_rows(made: Made) -> None:
    model, gate = made(batch=1, queue=0)
    with gate.closed():
        writing = asyncio.create_task(said(model))
        await until(lambda: gate.forwards > 0)
        with pytest.raises(ModelBusy):
            await said(model)
    assert await writing == await said(model)


async def test_a_turn_that_does_not_come_in_time_is_given_back(made: Made) -> None:
    model, gate = made(batch=1, first_token_seconds=0.2)
    with gate.closed():
        writing = asyncio.create_task(said(model))
        await until(lambda: gate.forwards > 0)
        with pytest.raises(ModelBusy, match=r"turn did not come in 0\.2 s"):
            await said(model)
        with pytest.raises(ModelUnavailable, match=r"no word in 0\.2 s"):
            await writing
    assert await said(model)


async def test_the_deadline_ends_an_answer_after_what_was_said(made: Made) -> None:
    model, gate = made(deadline_seconds=1)
    assert await said(model)
    with gate.closed():
        gate.open()
        stream = model.chat.astream(asked(), max_tokens=400)
        text = str((await anext(stream)).text)
        gate.close()
        with pytest.raises(ModelUnavailable, match="not complete after 1 s"):
            await rest(stream)
    assert text
    assert await said(model)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no memory"), MemoryError("no memory")])
async def test_running_out_of_memory_fails_the_replies_in_it_and_the_next_ones_go_on(
    made: Made, error: Exception
) -> None:
    model, gate = made(batch=2)
    expected = await said(model)
    stream = model.chat.astream(asked(), max_tokens=400)
    await anext(stream)
    gate.error = error
    with pytest.raises(ModelError, match=r"ran out of memory .* lower model\.batch"):
        await rest(stream)
    assert await asyncio.gather(*(said(model) for _ in range(4))) == [expected] * 4


async def test_a_prompt_that_cannot_be_read_fails_alone(made: Made) -> None:
    model, gate = made(batch=2)
    expected = await said(model, tokens=60)
    fill = model.engine.batch.fill

    def fails(row: int, ids: Any, adapter: str) -> torch.Tensor:
        model.engine.batch.fill = fill  # type: ignore[method-assign]
        raise RuntimeError("a kernel failed")

    stream = model.chat.astream(asked(), max_tokens=60)
    text = str((await anext(stream)).text)
    model.engine.batch.fill = fails  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="the model failed: a kernel failed"):
        await said(model, "another")
    async for chunk in stream:
        text += chunk.text
    assert text == expected
    assert gate.forwards


async def test_an_adapter_whose_numbers_are_none_fails_only_its_own_reply(made: Made, folder: Path) -> None:
    model, _ = made()
    expected = await said(model, tokens=40)
    broken = adapter_of(folder.parent / "broken")
    found = await asyncio.gather(
        said(model, tokens=40), said(model, adapter=broken), said(model, tokens=40), return_exceptions=True
    )
    assert found[0] == found[2] == expected
    assert isinstance(found[1], ModelError)
    assert "computed no numbers" in str(found[1])


async def test_a_row_is_clean_after_a_reply_whose_numbers_were_none(made: Made, folder: Path) -> None:
    model, _ = made(batch=3)
    expected, long = await said(model, tokens=20), await said(model, "z" * 120, tokens=200)
    broken = adapter_of(folder.parent / "broken")
    stream = model.chat.astream(asked("z" * 120), max_tokens=200)
    text = str((await anext(stream)).text)
    for _ in range(3):  # a broken one is in a row, then a sound one that is shorter
        with pytest.raises(ModelError):
            await said(model, "y" * 100, adapter=broken)
        assert await said(model, tokens=20) == expected
    assert text + await rest(stream) == long


async def test_closing_ends_what_is_written_and_what_waits(made: Made) -> None:
    model, gate = made(batch=1)
    with gate.closed():
        tasks = [asyncio.create_task(said(model, tokens=400)) for _ in range(3)]
        await until(lambda: model.engine.waiting + len(model.engine.replies) == 3 and gate.forwards > 0)
        closing = asyncio.create_task(model.close())
        await until(lambda: model.engine.closed)
    await closing
    assert all(isinstance(one, ModelUnavailable) for one in await asyncio.gather(*tasks, return_exceptions=True))
    with pytest.raises(ModelUnavailable, match="shut down"):
        await said(model)
    with pytest.raises(ModelUnavailable, match="shut down"):
        await model.check()


async def test_a_loop_that_is_gone_does_not_stop_the_engine(made: Made) -> None:
    model, gate = made(batch=1)

    async def abandon() -> None:
        stream = model.chat.astream(asked(), max_tokens=400)
        await anext(stream)

    def other() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(abandon())
        loop.close()

    await asyncio.to_thread(other)
    assert await said(model)
    assert gate.forwards
