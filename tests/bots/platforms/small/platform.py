"""A noticeboard: people pin a note over HTTP, and the bot pins its reply below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from bots.conversation.audience import INTERNAL, PUBLIC, Readers
from bots.conversation.handover.case import Case
from bots.conversation.handover.state import Handover, Whereabouts, resumption
from bots.messages import IncomingMessage, OutgoingReply, Sender
from bots.platforms.base import Accept
from bots.queue.replies import Post, ReplyEntry
from rag.types import Stage


@dataclass(slots=True)
class Desk:
    """The board where people take over: the cases that are pinned there, by post."""

    place: str
    cases: dict[str, Case] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)

    async def readers(self) -> Readers:
        return Readers(audiences=INTERNAL)

    async def post(self, case: Case) -> str:
        self.cases[case.handover.turn_id] = case
        return case.handover.turn_id

    async def find(self, turn: str, since: datetime) -> str | None:
        return turn if turn in self.cases else ""

    async def redraw(self, handover: Handover) -> None:
        self.stages[handover.post] = handover.stage

    async def remove(self, place: str, post: str) -> None:
        self.cases.pop(post, None)

    async def check(self) -> Mapping[str, str]:
        return {"board": self.place}


@dataclass(slots=True)
class Note:
    """A reply on the board."""

    board: list[str]
    entry: ReplyEntry

    async def status(self, stage: Stage) -> None:
        """A board shows no progress."""

    async def show(self, text: str) -> None:
        """Nor half of an answer."""

    async def finish(self, reply: OutgoingReply) -> None:
        if self.entry.record.finished:
            return
        self.board.append(reply.text)
        post = Post(id=str(len(self.board)), kind="note", shown=len(reply.text), done=True)
        await self.entry.save(replace(self.entry.record.with_post(post), text=reply.text, finished=True))


class Noticeboard:
    """``internal`` are the boards that only employees read."""

    name = "noticeboard"

    def __init__(self, internal: frozenset[str], place: str) -> None:
        self._internal = internal
        self._accept: Accept | None = None
        self._boards: dict[str, list[str]] = {}
        self.handover = Desk(place) if place else None

    def routes(self) -> Sequence[BaseRoute]:
        return (
            Route("/noticeboard/{board}", self._pin, methods=["POST"]),
            Route("/noticeboard/{board}", self._read, methods=["GET"]),
            Route("/noticeboard/{board}/resume", self._resume, methods=["POST"]),
        )

    async def _pin(self, request: Request) -> Response:
        if self._accept is None:
            return Response(status_code=503)
        note, board = await request.json(), request.path_params["board"]
        new = await self._accept(
            IncomingMessage(
                id=f"noticeboard:{note['id']}",
                seen=(f"noticeboard:{note['id']}",),
                platform=self.name,
                conversation=f"noticeboard:{board}",
                kind="question",
                text=note["text"],
                sender=Sender(id="ada"),
                channel="private",
                received_at=datetime.now(UTC),
                address={"board": board},
            )
        )
        return JSONResponse({"new": new})

    async def _read(self, request: Request) -> Response:
        return JSONResponse(self._boards.get(request.path_params["board"], []))

    async def _resume(self, request: Request) -> Response:
        """Somebody at the desk is done."""
        conversation = f"noticeboard:{request.path_params['board']}"
        if self.handover is None or self._accept is None:
            return Response(status_code=503)
        for case in self.handover.cases.values():
            if case.handover.conversation == conversation:
                await self._accept(resumption(case.handover, "grace", datetime.now(UTC)))
        return Response(status_code=204)

    async def start(self, accept: Accept) -> None:
        self._accept = accept

    async def stop(self) -> None:
        self._accept = None

    async def close(self) -> None:
        self._boards.clear()

    async def resolve(self, message: IncomingMessage) -> IncomingMessage:
        return message

    def readers(self, message: IncomingMessage) -> Readers:
        return Readers(audiences=INTERNAL if message.address["board"] in self._internal else PUBLIC)

    async def reply(self, message: IncomingMessage, entry: ReplyEntry) -> Note:
        return Note(self._boards.setdefault(message.address["board"], []), entry)

    async def whereabouts(self, message: IncomingMessage) -> Whereabouts:
        return Whereabouts()

    def observe(self, gauge: Callable[[str, str, Callable[[], float]], None]) -> None:
        gauge("noticeboard_boards", "Boards with a reply", lambda: float(len(self._boards)))

    async def check(self) -> Mapping[str, str]:
        return {"boards": str(len(self._boards))}
