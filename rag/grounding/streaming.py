"""An answer's text while it streams: of its pieces, what may be shown, with its citations numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from rag.answering.answerer import Notice, Piece, Quoted, Writer, Written
from rag.grounding.citations import Citations
from rag.prompts.plain import plain_passage
from rag.types import Hit, Source


class Grounding(Protocol):
    """Checks one answer as it is written; ``dropped`` counts the sentences left out so far."""

    @property
    def dropped(self) -> int: ...

    async def feed(self, text: str) -> str:
        """What may be shown after this piece: whole sentences, each supported by what it cites."""

    async def finish(self) -> str:
        """The rest that may be shown."""


class Grounder(Protocol):
    """Starts the check of each answer; ``[n]`` in a text cites ``hits[n - 1]``."""

    def start(self, hits: Sequence[Hit], language: str) -> Grounding: ...


class GroundedText:
    """One answer's text. Without a ``grounder`` what a model writes is shown as it is.

    What a writer left unfinished is not shown: half a sentence may say the opposite of the whole one.
    """

    def __init__(self, hits: Sequence[Hit], language: str, grounder: Grounder | None) -> None:
        self._citations = Citations(hits)
        self._hits = hits
        self._language = language
        self._grounder = grounder
        self._grounding: Grounding | None = None
        self._dropped = 0
        self._empty = True

    @property
    def sources(self) -> tuple[Source, ...]:
        return self._citations.sources

    @property
    def dropped(self) -> int:
        return self._dropped + (self._grounding.dropped if self._grounding else 0)

    async def feed(self, piece: Piece) -> str:
        """What can be shown after this piece."""
        match piece:
            case Writer(hits=hits):  # of the writer before this one, what is held back is not shown
                await self._checked_rest(interrupted=True)
                self._hits = hits
                return ""
            case Written(text=text):
                return self._cited(await self._checked(text))
            case Quoted(text=text):
                return self._cited(await self._checked_rest(interrupted=False) + text)
            case Notice(text=text, interrupted=interrupted):
                before = self._cited(await self._checked_rest(interrupted=interrupted))
                gap = "" if self._empty else "\n\n"
                return before + self._cited(f"{gap}{text}" if interrupted else f"{gap}{text}\n\n")

    async def finish(self) -> str:
        """What was held back until the end."""
        return self._cited(await self._checked_rest(interrupted=False)) + self._citations.finish()

    async def _checked(self, text: str) -> str:
        """A statement may rest on what its writer was shown, and on nothing else."""
        if self._grounder is None:
            return text
        if self._grounding is None:
            read = [replace(hit, passage=plain_passage(hit.passage)) for hit in self._hits]
            self._grounding = self._grounder.start(read, self._language)
        return await self._grounding.feed(text)

    async def _checked_rest(self, *, interrupted: bool) -> str:
        """The end of what a model wrote, unless it was ``interrupted``."""
        if self._grounding is None:
            return ""
        rest = "" if interrupted else await self._grounding.finish()
        self._dropped += self._grounding.dropped
        self._grounding = None
        return rest

    def _cited(self, text: str) -> str:
        shown = self._citations.feed(text)
        self._empty = self._empty and not shown.strip()
        return shown
