"""Turns the pieces of a streamed answer into text that may be shown: checked, and with numbered citations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from rag.answering.answerer import Notice, Piece, Quoted, Writer, Written
from rag.grounding.citations import Citations
from rag.prompts.plain import plain_passage
from rag.types import Hit, Source


class Grounding(Protocol):
    """Seam: checks one answer while it is written; ``dropped`` counts the statements left out so far."""

    @property
    def dropped(self) -> int: ...

    async def feed(self, text: str) -> str:
        """The text that may be shown after this piece: whole statements, each supported by what it cites."""

    async def finish(self) -> str:
        """The rest of the text that may be shown."""


class Grounder(Protocol):
    """Seam: starts the check of each answer, in which ``[n]`` cites ``hits[n - 1]``."""

    def start(self, hits: Sequence[Hit], language: str) -> Grounding: ...


class GroundedText:
    """The text of one answer. Without a ``grounder`` a model's text is shown unchecked.

    A statement that its writer left unfinished is never shown: half a sentence may say the opposite of the whole one.
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
        """The text that can be shown after this piece. Raises ``ModelError``."""
        match piece:
            case Writer(hits=hits):  # the previous writer failed: its unfinished statement is dropped
                await self._finish_check(interrupted=True)
                self._hits = hits
                self._citations.cite(hits)  # a writer may have made a passage longer, or shorter, than it was retrieved
                return ""
            case Written(text=text):
                return self._with_citations(await self._check(text))
            case Quoted(text=text):
                return self._with_citations(await self._finish_check(interrupted=False) + text)
            case Notice(text=text, interrupted=interrupted):
                before = self._with_citations(await self._finish_check(interrupted=interrupted))
                gap = "" if self._empty else "\n\n"
                return before + self._with_citations(f"{gap}{text}" if interrupted else f"{gap}{text}\n\n")

    async def finish(self) -> str:
        """The rest of the text."""
        return self._with_citations(await self._finish_check(interrupted=False)) + self._citations.finish()

    async def _check(self, text: str) -> str:
        """The part of a model's text that is supported by the passages in its prompt."""
        if self._grounder is None:
            return text
        if self._grounding is None:
            # The passages as the prompt showed them: invisible characters were removed there too.
            prompt_hits = [replace(hit, passage=plain_passage(hit.passage)) for hit in self._hits]
            self._grounding = self._grounder.start(prompt_hits, self._language)
        return await self._grounding.feed(text)

    async def _finish_check(self, *, interrupted: bool) -> str:
        """Ends the check of the current writer; its last statement is dropped if it was ``interrupted``."""
        if self._grounding is None:
            return ""
        rest = "" if interrupted else await self._grounding.finish()
        self._dropped += self._grounding.dropped
        self._grounding = None
        return rest

    def _with_citations(self, text: str) -> str:
        """The text with its citations numbered."""
        ready = self._citations.feed(text)
        self._empty = self._empty and not ready.strip()
        return ready
