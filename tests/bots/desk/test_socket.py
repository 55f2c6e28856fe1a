"""The owner's socket: what a second process asks for is what the service would have done itself."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest

from bots.desk import operations
from bots.desk.operations import OPERATIONS, Forget, NewConversation, Retry, Search, Sync
from bots.desk.seam import AskEvent, AskRequest, Complete, RetrieveRequest, Text
from bots.desk.socket import RemoteDesk, control_app
from bots.errors import BotsError
from bots.operations.ownership import control_socket
from bots.server import HttpServer
from rag.errors import IndexUnavailable
from rag.types import Query
from tests.bots.fake_desk import ANSWER, ASIDE, KNOWN, RETRIEVED, SYNCED, SYNCING, FakeDesk, running


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def socket(desk: FakeDesk, tmp_path: Path) -> AsyncIterator[Path]:
    path = tmp_path / "control.sock"
    server = HttpServer(control_app(desk, KNOWN), socket=path)
    await server.start()
    yield path
    await server.stop()


@pytest.fixture
async def remote(socket: Path) -> AsyncIterator[RemoteDesk]:
    async with RemoteDesk(socket) as remote:
        yield remote


INQUIRY = RetrieveRequest(
    query=Query(text="¿Y allí?", history=("¿Dónde?", "Aquí.")),
    limit=3,
    audiences=frozenset({"public", "board"}),
    sources=frozenset({"kb"}),
    changes={"retrieval.threshold": "0.2"},
)
NEW = NewConversation(conversation="terminal:1")
SYNC = Sync(source="kb", allow_shrink=True)
FORGET = Forget(conversation="c", speaker="ada")
ASKED = AskRequest(text="¿Cuántas?", conversation="terminal:1", audiences=frozenset({"public", "board"}))


async def test_an_answer_streams_through_and_ends_whole(desk: FakeDesk, remote: RemoteDesk) -> None:
    events = [event async for event in remote.stream(operations.ask, ASKED)]
    assert events == [Text(text="Once."), Text(text=" [1]"), Complete(conversation="terminal:1", answer=ANSWER)]
    assert desk.calls == [("ask", ASKED)]


async def test_every_call_arrives_as_it_was_made(desk: FakeDesk, remote: RemoteDesk) -> None:
    looked_for = Search(query="q", limit=3, audiences=frozenset({"public"}))
    await remote.call(operations.new, NEW)
    [found] = await remote.call(operations.search, looked_for)
    assert (found.title, found.score) == ("Page", 0.5)
    assert await remote.call(operations.retrieve, INQUIRY) == RETRIEVED
    assert [event async for event in remote.stream(operations.sync, SYNC)] == [SYNCING, SYNCED]
    assert await remote.call(operations.set_aside, None) == (ASIDE,)
    assert await remote.call(operations.retry, Retry(turn_id=None)) == 2
    assert await remote.call(operations.forget, FORGET) == {"memory": 1}
    assert desk.calls == [
        ("new", NEW),
        ("search", looked_for),
        ("retrieve", INQUIRY),
        ("sync", SYNC),
        ("set_aside", None),
        ("retry", Retry(turn_id=None)),
        ("forget", FORGET),
    ]


def test_the_fake_desk_knows_every_operation_of_the_product() -> None:
    assert set(KNOWN.single) == set(OPERATIONS.single)
    assert set(KNOWN.streaming) == set(OPERATIONS.streaming)


@pytest.mark.parametrize("error", [BotsError("no source is called x"), IndexUnavailable("Qdrant does not answer")])
async def test_an_error_arrives_in_the_services_own_words(desk: FakeDesk, remote: RemoteDesk, error: Exception) -> None:
    desk.error = error
    for call in (
        remote.call(operations.new, NEW),
        remote.call(operations.set_aside, None),
        remote.call(operations.retry, Retry(turn_id="t")),
        remote.call(operations.forget, FORGET),
    ):
        with pytest.raises(BotsError, match=str(error)):
            await call


async def test_an_error_in_the_middle_of_an_answer_arrives_after_its_beginning(
    desk: FakeDesk, remote: RemoteDesk
) -> None:
    desk.error = IndexUnavailable("Qdrant does not answer")
    stream = remote.stream(operations.ask, ASKED)
    assert await anext(stream) == Text(text="Once.")
    with pytest.raises(BotsError, match="Qdrant does not answer"):
        await anext(stream)


async def test_an_error_in_the_middle_of_a_sync_arrives_after_its_progress(desk: FakeDesk, remote: RemoteDesk) -> None:
    desk.error = BotsError("no knowledge source is called x")
    stream = remote.stream(operations.sync, Sync(source="x", allow_shrink=False))
    assert await anext(stream) == SYNCING
    with pytest.raises(BotsError, match="no knowledge source is called x"):
        await anext(stream)


async def test_a_malformed_request_is_refused(desk: FakeDesk, socket: Path) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://cotorra") as client:
        for path in ("/ask", "/new", "/search", "/retrieve", "/sync", "/retry", "/forget"):
            for body in (b"", b"{", b"\xff\xfe", b"[]", b"{}", b'"text"', b'{"text": 1}'):
                answer = await client.post(path, content=body)
                assert answer.status_code == 400, (path, body)
                assert "malformed" in answer.json()["error"]
    assert not desk.calls


async def test_only_the_owner_may_speak_to_the_socket_and_it_goes_with_the_service(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("left behind by a killed service")
    server = HttpServer(control_app(FakeDesk(), KNOWN), socket=path)
    await server.start()
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await server.stop()
    assert not path.exists()


async def test_a_service_that_went_away_is_one_clear_line(tmp_path: Path) -> None:
    async with RemoteDesk(tmp_path / "nobody.sock") as remote:
        with pytest.raises(BotsError, match="stopped answering"):
            await remote.call(operations.new, NEW)
        with pytest.raises(BotsError, match="stopped answering"):
            await anext(remote.stream(operations.ask, ASKED))


class Endless(FakeDesk):
    """Writes an answer that never ends, and knows when it is told to stop; ``waits`` before each piece, or goes on at once."""

    def __init__(self, *, waits: bool) -> None:
        super().__init__()
        self.waits = waits
        self.stopped = asyncio.Event()

    async def ask(self, asked: AskRequest) -> AsyncIterator[AskEvent]:
        yield Text(text="Once.")
        try:
            while True:
                await (asyncio.Event().wait() if self.waits else asyncio.sleep(0))
                yield Text(text=" More.")
        finally:
            self.stopped.set()


@pytest.mark.parametrize("waits", [True, False])
async def test_whoever_leaves_stops_the_answer_that_is_being_written(tmp_path: Path, waits: bool) -> None:
    desk = Endless(waits=waits)
    async with running(desk, tmp_path / "home"), RemoteDesk(control_socket(tmp_path / "home")) as remote:
        async with aclosing(remote.stream(operations.ask, AskRequest(text="How?"))) as events:  # type: ignore[type-var]
            assert await anext(events) == Text(text="Once.")
        async with asyncio.timeout(5):
            await desk.stopped.wait()
