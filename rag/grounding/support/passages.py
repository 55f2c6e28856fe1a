"""A passage as what statements are held against: its sentences, its words, its figures, and their vectors once needed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rag.grounding.support.cues import Read, Stem, folded, words
from rag.grounding.support.numbers import figures, months
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.text.blocks import Block, parse
from rag.text.sentences import sentences
from rag.types import Passage

Floats = NDArray[np.float64]

LONGEST = 120
"""Sentences of a passage that are looked at: a table of a thousand rows is held against words only."""


@dataclass(kw_only=True)
class Premise:
    """A passage that is cited. ``vectors`` are of its windows."""

    passage: Passage
    stem: Stem = field(repr=False)
    vectors: Floats | None = field(default=None, repr=False)

    @cached_property
    def title(self) -> str:
        return " > ".join(dict.fromkeys((self.passage.title, *self.passage.headings)))

    @cached_property
    def whole(self) -> str:
        """Title, headings and text: what a reader of the source sees."""
        return f"{self.title}\n{self.passage.text}"

    @cached_property
    def sentences(self) -> list[str]:
        """Sentences, items, rows and lines of code, in reading order."""
        return [unit for block in parse(self.passage.text) for unit in _units(block)][:LONGEST] or [self.title]

    @cached_property
    def windows(self) -> list[str]:
        """Each sentence, and each two that follow one another."""
        pairs = [f"{one} {other}" for one, other in zip(self.sentences, self.sentences[1:], strict=False)]
        return [*self.sentences, *pairs]

    @cached_property
    def reads(self) -> list[Read]:
        """The windows, word by word."""
        return [Read.of(window, self.stem) for window in self.windows]

    @cached_property
    def content(self) -> frozenset[int]:
        """The terms of the whole."""
        return frozenset(Read.of(self.whole, self.stem).content())

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(words(self.whole))

    @cached_property
    def plain_words(self) -> frozenset[str]:
        """U.S. as US."""
        return frozenset(word.replace(".", "") for word in self.words) | {
            part for word in self.words for part in word.split("-")
        }

    @cached_property
    def run(self) -> str:
        """Its words as one run, sentences kept apart."""
        return f" | {' | '.join(' '.join(words(sentence)) for sentence in self.sentences)} | "

    @cached_property
    def compact(self) -> str:
        """Its characters without spaces, for what is written together here and apart there."""
        return "".join(folded(self.whole).replace(".", "").split())

    @cached_property
    def spaced(self) -> str:
        """Its characters, every run of spaces made one."""
        return " ".join(self.whole.split())

    @cached_property
    def figures(self) -> frozenset[str]:
        return figures(self.whole)

    @cached_property
    def months(self) -> frozenset[int]:
        return months(self.whole)

    @cached_property
    def lines(self) -> frozenset[str]:
        """Lines of code, spaces made one."""
        return frozenset(" ".join(line.split()) for line in self.passage.text.splitlines())

    def says(self, statement: str) -> bool:
        """Whether it is, word for word, one of its sentences or several that follow one another."""
        parts = [" ".join(words(one)) for one in sentences(statement)]
        return any(parts) and f" | {' | '.join(parts)} | " in self.run

    async def embed(self, embeddings: TextEmbeddings) -> Floats:
        """The vectors of its windows and, last, of the whole; made once."""
        if self.vectors is None:
            found = await embeddings.aembed_documents([*self.windows, self.whole])
            self.vectors = await asyncio.to_thread(np.asarray, found, np.float64)
        return self.vectors


def _units(block: Block) -> Iterator[str]:
    if block.kind in ("list", "steps"):
        for item in block.items:
            yield from sentences(item.lstrip("-*+ "))
    elif block.kind in ("table", "code"):
        yield from (line for line in block.text.splitlines() if line.strip("`~ |-:"))
    else:
        yield from sentences(block.text)
