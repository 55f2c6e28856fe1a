"""Whether passages support a statement: vectors, words, figures, names, negations, conditions, weighed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rag.answering.support_numbers import claimed, months
from rag.answering.support_passages import Premise
from rag.answering.support_words import folded, names, negations, swapped, words
from rag.retrieval.embeddings import TextEmbeddings
from rag.retrieval.sparse import SparseEncoder
from rag.types import Hit

LOOKED_AT = 3
"""Passages that a statement without a marker is held against: those that share most of its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``hits`` are the passages that support a statement, best first; none where nothing does."""

    hits: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hits)


class Support:
    """The passages of one answer, and what they support."""

    def __init__(
        self, hits: Sequence[Hit], language: str, *, embeddings: TextEmbeddings, sparse: SparseEncoder
    ) -> None:
        self._premises = [Premise(passage=hit.passage) for hit in hits]
        self._language = language
        self._embeddings = embeddings
        self._stem = lru_cache(4096)(lambda word: tuple(sparse.encode_query(word, language).indices))

    async def sentence(self, claim: str, cited: Sequence[int], lead: str = "") -> Verdict:
        """The cited passages that say it; without any, or if none does, the others are looked at."""
        for group in (list(cited), self._likeliest(claim, without=cited)):
            found = [(await self._support(claim, index, lead), index) for index in group]
            if hits := tuple(index for support, index in sorted(found, reverse=True) if support >= 0.5):
                return Verdict(hits=hits)
        return Verdict()

    def announcement(self, text: str) -> bool:
        """Whether nothing speaks against words that announce what follows: they name no figure that no passage names."""
        return any(self._vetoes(text, premise) == 0 for premise in self._premises)

    def code(self, text: str, cited: Sequence[int]) -> Verdict:
        """The passages that have every line of it."""
        lines = {" ".join(line.split()) for line in text.splitlines() if line.strip("`~ \t>")}
        lines -= {line for line in lines if line.startswith(("```", "~~~"))}
        order = [*cited, *(index for index in range(len(self._premises)) if index not in cited)]
        return Verdict(hits=tuple(index for index in order if lines <= self._premises[index].lines)[:1])

    def table(self, text: str, cited: Sequence[int]) -> Verdict:
        """The passages that have the figures and the words of every row."""
        order = [*cited, *(index for index in range(len(self._premises)) if index not in cited)]
        rows = [row for row in text.splitlines() if row.strip("|-: \t")]
        return Verdict(hits=tuple(index for index in order if all(self._has(row, index) for row in rows))[:1])

    def _has(self, row: str, index: int) -> bool:
        premise = self._premises[index]
        return self._vetoes(row, premise) == 0 and self._covered(row, premise.words) >= 0.8

    def _likeliest(self, claim: str, without: Sequence[int]) -> list[int]:
        others = [index for index in range(len(self._premises)) if index not in without]
        ranked = sorted(others, key=lambda index: -self._covered(claim, self._premises[index].words))
        return ranked[:LOOKED_AT]

    async def _support(self, claim: str, index: int, lead: str) -> float:
        premise = self._premises[index]
        if premise.says(claim):
            return 1.0
        figures = await self.features(claim, index)
        if not figures["vetoes"] and figures["cosine"] + figures["covered"] >= 1.1 and not figures["negation"]:
            return 0.5 + figures["cosine"] / 2
        return 0.0 if not lead else await self._support(f"{lead} {claim}", index, "")

    async def features(self, claim: str, index: int) -> Mapping[str, float]:
        """What a decision is made from, by the name of each figure."""
        premise = self._premises[index]
        vectors = await premise.embed(self._embeddings)
        cosines = vectors @ np.asarray(await self._embeddings.aembed_query(claim))
        best = premise.windows[int(np.argmax(cosines[:-1]))]
        return {
            "cosine": float(cosines[:-1].max()),
            "whole": float(cosines[-1]),
            "covered": self._covered(claim, premise.words),
            "near": self._covered(claim, frozenset(words(best))),
            "vetoes": self._vetoes(claim, premise),
            "negation": abs(min(1, negations(claim)) - min(1, negations(best))),
            "swapped": swapped(claim, best),
        }

    def _vetoes(self, claim: str, premise: Premise) -> int:
        """Figures, months and names that the passage does not have."""
        missing = sum(not number & premise.figures for number in claimed(claim))
        missing += len(months(claim) - premise.months)
        return missing + sum(self._is_strange(name, premise) for name in names(claim))

    def _is_strange(self, name: str, premise: Premise) -> bool:
        return name not in premise.compact and not any(folded(part) in premise.words for part in name.split("-"))

    def _covered(self, claim: str, held: frozenset[str]) -> float:
        """The share of a statement's content words that a text has."""
        stems = {stem for word in words(claim) for stem in self._stem(word)}
        there = {stem for word in held for stem in self._stem(word)}
        return len(stems & there) / len(stems) if stems else 0.0
