"""A passage prepared for comparison with statements: sentences, words, numbers and, once needed, embeddings.

Each view is computed at its first use and kept, because all statements of an answer are compared with the same few passages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rag.grounding.support.cues import Stem, TokenizedText, folded, words
from rag.grounding.support.numbers import figures, months
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.text.blocks import Block, parse
from rag.text.sentences import sentences
from rag.types import Passage

Floats = NDArray[np.float64]

LONGEST = 120
"""Most sentences of a passage that are compared one by one; the rest (of a table of a thousand rows) counts as words only."""


@dataclass(kw_only=True)
class Premise:
    """A passage that may support statements. ``vectors`` has a row for each window and one for the whole."""

    passage: Passage
    stem: Stem = field(repr=False)
    vectors: Floats | None = field(default=None, repr=False)

    @cached_property
    def title(self) -> str:
        return " > ".join(dict.fromkeys((self.passage.title, *self.passage.headings)))

    @cached_property
    def whole(self) -> str:
        """Title, headings and text, as a reader of the source sees them."""
        return f"{self.title}\n{self.passage.text}"

    @cached_property
    def sentences(self) -> list[str]:
        """Sentences, items, rows and lines of code, in reading order."""
        return [unit for block in parse(self.passage.text) for unit in _units(block)][:LONGEST] or [self.title]

    @cached_property
    def windows(self) -> list[str]:
        """Every sentence, then every pair of neighbouring sentences: a statement often merges two of them."""
        pairs = [f"{one} {other}" for one, other in zip(self.sentences, self.sentences[1:], strict=False)]
        return [*self.sentences, *pairs]

    @cached_property
    def tokenized_windows(self) -> list[TokenizedText]:
        """The windows as words with their cues."""
        return [TokenizedText.of(window, self.stem) for window in self.windows]

    @cached_property
    def content(self) -> frozenset[int]:
        """Ids of the content words of title, headings and text."""
        return frozenset(TokenizedText.of(self.whole, self.stem).content())

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(words(self.whole))

    @cached_property
    def plain_words(self) -> frozenset[str]:
        """The words without dots (U.S. as US), and the parts of hyphenated words."""
        return frozenset(word.replace(".", "") for word in self.words) | {
            part for word in self.words for part in word.split("-")
        }

    @cached_property
    def word_run(self) -> str:
        """All words in one string, with a bar between sentences."""
        return f" | {' | '.join(' '.join(words(sentence)) for sentence in self.sentences)} | "

    @cached_property
    def compact(self) -> str:
        """All characters without spaces, for names that one text writes as one word and another as two."""
        return "".join(folded(self.whole).replace(".", "").split())

    @cached_property
    def spaced(self) -> str:
        """The whole text with single spaces."""
        return " ".join(self.whole.split())

    @cached_property
    def figures(self) -> frozenset[str]:
        return figures(self.whole)

    @cached_property
    def months(self) -> frozenset[int]:
        return months(self.whole)

    @cached_property
    def lines(self) -> frozenset[str]:
        """The lines of the text with single spaces, to compare code."""
        return frozenset(" ".join(line.split()) for line in self.passage.text.splitlines())

    def says(self, statement: str) -> bool:
        """Whether the statement is, word for word, one sentence of the passage or several neighbouring ones."""
        parts = [" ".join(words(one)) for one in sentences(statement)]
        return any(parts) and f" | {' | '.join(parts)} | " in self.word_run

    async def embed(self, embeddings: TextEmbeddings) -> Floats:
        """Vectors of the windows and, last, of the whole passage; computed once."""
        if self.vectors is None:
            vectors = await embeddings.aembed_documents([*self.windows, self.whole])
            self.vectors = await asyncio.to_thread(np.asarray, vectors, np.float64)
        return self.vectors


def _units(block: Block) -> Iterator[str]:
    """Sentences of running text and of list items; rows of tables and lines of code whole."""
    if block.kind in ("list", "steps"):
        for item in block.items:
            yield from sentences(item.lstrip("-*+ "))
    elif block.kind in ("table", "code"):
        yield from (line for line in block.text.splitlines() if line.strip("`~ |-:"))
    else:
        yield from sentences(block.text)
