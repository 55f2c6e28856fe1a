"""An answerer at work in a task of its own, so that it can be stopped while it is silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from rag.answering.answerer import Answerer, Notice, Piece, Written
from rag.prompts.sentences import say
from rag.work import Work

ATTENTION = 0.25
"""Seconds between two looks at whether anybody still waits for an answer that makes no progress."""


class _Stopped:
    """Nobody waits any more."""


_Result = Piece | BaseException | None
"""None is the end."""


async def written(answerer: Answerer, work: Work) -> AsyncGenerator[Piece]:
    """The answerer's pieces; once nobody waits for more of them, a sentence that says so. Raises as ``astream`` does."""
    pieces: asyncio.Queue[_Result] = asyncio.Queue(maxsize=1)
    writer = asyncio.create_task(_write(answerer, work, pieces), name="answerer")
    try:
        while not isinstance(piece := await _next(pieces, work), _Stopped):
            if piece is None:
                return
            if isinstance(piece, BaseException):
                raise piece
            yield piece
            if work.abandoned or (isinstance(piece, Written) and work.stopping()):
                break
        yield Notice(text=say(work.language, "stopped"), interrupted=True)
    finally:
        writer.cancel()
        await asyncio.wait((writer,))


async def _write(answerer: Answerer, work: Work, pieces: asyncio.Queue[_Result]) -> None:
    try:
        async with aclosing(answerer.astream(work.question, work.history, work.hits, work.language)) as stream:
            async for piece in stream:
                await pieces.put(piece)
    except Exception as error:  # noqa: BLE001 - raised again where the pieces are read
        await pieces.put(error)
    else:
        await pieces.put(None)


async def _next(pieces: asyncio.Queue[_Result], work: Work) -> _Result | _Stopped:
    with work.clocked("answer"):
        waiting = asyncio.ensure_future(pieces.get())
        try:
            while True:
                await asyncio.wait((waiting,), timeout=ATTENTION)
                if waiting.done():
                    return waiting.result()
                if work.stopping() or work.abandoned:
                    return _Stopped()
        finally:
            waiting.cancel()
