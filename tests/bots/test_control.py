"""The owner's socket: what a second process asks for is what the service would have done itself."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from bots.control import RemoteDesk, control_app
from bots.desk import Asked, AskEvent, Complete, Desk, FoundPassage, SetAside, SyncedSource, Text
from bots.errors import BotsError, StoreUnavailable
from bots.server import HttpServer
from rag.errors import IndexUnavailable
from rag.types import Answer, Hit, Source
from tests.rag.fakes import passage

ANSWER = Answer(
    text="Once. [1]",
    outcome="answered",
    language="en",
    sources=(Source(number=1, passage=passage(updated_at=datetime(2026, 1, 2, tzinfo=UTC)), score=0.5),),
    shown=(Hit(passage=passage(), score=0.5),),
    model="extractive",
    seconds={"answer": 0.25},
)
ASIDE = SetAside(turn_id="t", conversation="c", error="RuntimeError", tries=3, at=datetime(2026, 1, 2, tzinfo=UTC))
SYNCED = SyncedSource(source="kb", added=2, skipped=(("a.md", "no UTF-8"),))


@dataclass(slots=True)
class FakeDesk(Desk):
    """Answers everything with what is known; fails with ``error``, if any, where it would have ended."""

    error: Exception | None = None
    calls: list[tuple[object, ...]] = field(default_factory=list)

    def note(self, *call: object) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error

    async def ask(self, asked: Asked) -> AsyncIterator[AskEvent]:
        yield Text(text="Once.")
        self.note("ask", asked)
        yield Text(text=" [1]")
        yield Complete(conversation=asked.conversation, answer=ANSWER)

    async def new(self, conversation: str) -> None:
        self.note("new", conversation)

    async def search(self, query: str, *, limit: int, audiences: frozenset[str]) -> Sequence[FoundPassage]:
        self.note("search", query, limit, audiences)
        return [FoundPassage(title="Page", url="", text="Text.", score=0.5, source="kb")]

    async def sync(self, source: str | None, *, allow_shrink: bool) -> Sequence[SyncedSource]:
        self.note("sync", source, allow_shrink)
        return [SYNCED]

    async def set_aside(self) -> Sequence[SetAside]:
        self.note("set_aside")
        return [ASIDE]

    async def retry(self, turn_id: str | None) -> int:
        self.note("retry", turn_id)
        return 2

    async def forget(self, conversation: str, speaker: str | None) -> Mapping[str, int]:
        self.note("forget", conversation, speaker)
        return {"memory": 1}


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def socket(desk: FakeDesk, tmp_path: Path) -> AsyncIterator[Path]:
    path = tmp_path / "control.sock"
    server = HttpServer(control_app(desk), socket=path)
    await server.start()
    yield path
    await server.stop()


@pytest.fixture
async def remote(socket: Path) -> AsyncIterator[RemoteDesk]:
    async with RemoteDesk(socket) as remote:
        yield remote


ASKED = Asked(text="¿Cuántas?", conversation="terminal:1", audiences=frozenset({"public", "board"}))


async def test_an_answer_streams_through_and_ends_whole(desk: FakeDesk, remote: RemoteDesk) -> None:
    events = [event async for event in remote.ask(ASKED)]
    assert events == [Text(text="Once."), Text(text=" [1]"), Complete(conversation="terminal:1", answer=ANSWER)]
    assert desk.calls == [("ask", ASKED)]


async def test_every_call_arrives_as_it_was_made(desk: FakeDesk, remote: RemoteDesk) -> None:
    await remote.new("terminal:1")
    [found] = await remote.search("q", limit=3, audiences=frozenset({"public"}))
    assert (found.title, found.score) == ("Page", 0.5)
    assert list(await remote.sync("kb", allow_shrink=True)) == [SYNCED]
    assert list(await remote.set_aside()) == [ASIDE]
    assert await remote.retry(None) == 2
    assert await remote.forget("c", "ada") == {"memory": 1}
    assert desk.calls == [
        ("new", "terminal:1"),
        ("search", "q", 3, frozenset({"public"})),
        ("sync", "kb", True),
        ("set_aside",),
        ("retry", None),
        ("forget", "c", "ada"),
    ]


@pytest.mark.parametrize("error", [BotsError("no source is called x"), IndexUnavailable("Qdrant does not answer")])
async def test_an_error_arrives_in_the_services_own_words(desk: FakeDesk, remote: RemoteDesk, error: Exception) -> None:
    desk.error = error
    for call in (remote.new("c"), remote.set_aside(), remote.retry("t"), remote.forget("c", None)):
        with pytest.raises(BotsError, match=str(error)):
            await call


async def test_an_error_in_the_middle_of_an_answer_arrives_after_its_beginning(
    desk: FakeDesk, remote: RemoteDesk
) -> None:
    desk.error = IndexUnavailable("Qdrant does not answer")
    stream = remote.ask(ASKED)
    assert await anext(stream) == Text(text="Once.")
    with pytest.raises(BotsError, match="Qdrant does not answer"):
        await anext(stream)


async def test_a_malformed_request_is_refused(desk: FakeDesk, socket: Path) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://cotorra") as client:
        for path in ("/ask", "/new", "/search", "/sync", "/retry", "/forget"):
            for body in (b"", b"{", b"\xff\xfe", b"[]", b"{}", b'"text"', b'{"text": 1}'):
                answer = await client.post(path, content=body)
                assert answer.status_code == 400, (path, body)
                assert "malformed" in answer.json()["error"]
    assert not desk.calls


async def test_only_the_owner_may_speak_to_the_socket_and_it_goes_with_the_service(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("left behind by a killed service")
    server = HttpServer(control_app(FakeDesk()), socket=path)
    await server.start()
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await server.stop()
    assert not path.exists()


async def test_a_service_that_went_away_is_one_clear_line(tmp_path: Path) -> None:
    async with RemoteDesk(tmp_path / "nobody.sock") as remote:
        with pytest.raises(StoreUnavailable, match="stopped answering"):
            await remote.new("c")
        with pytest.raises(StoreUnavailable, match="stopped answering"):
            await anext(remote.ask(ASKED))
