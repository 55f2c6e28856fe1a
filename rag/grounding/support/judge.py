"""Whether passages support a statement of a model: vectors, words, figures, names, denials and conditions, weighed together."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from rag.grounding.support.clauses import stray
from rag.grounding.support.cues import Read, Stem, names, words
from rag.grounding.support.features import evidence, is_strange, refuted, share
from rag.grounding.support.nli import Entailing, Entailment
from rag.grounding.support.numbers import claimed, months
from rag.grounding.support.passages import Premise
from rag.grounding.support.weights import DEFAULT
from rag.retrieval.embeddings.models import PackagedEmbeddings, TextEmbeddings
from rag.retrieval.sparse import SparseEncoder
from rag.types import Hit, Passage

LOOKED_AT = 3
"""Passages that a statement is held against beside those that it cites: the ones that share most of its words."""
ELSEWHERE, SURELY = 0.8, 0.9
"""What a passage that a statement does not cite needs to take the place of the cited one: of its content words so many, and so
high a likelihood. With the bar of the cited one, each further passage would be one more chance for what is wrong."""
ROW = 0.8
"""Of the words of a table's row, those that the passage must have."""
ANNOUNCING, HALF = 3, 0.5
"""Content words up to which an announcement claims nothing ("Here is how to do it:"); of more, the share that must be there."""
ANCHORS = 2
"""Words that a statement must share with a passage in another language: figures, names, and words of one root."""
ROOT = 4
"""Letters in which words of one root agree: *documento* and *document*."""
ACROSS = 0.55
"""Cosine from which on a model of many languages is believed that two texts say the same."""
SURE = 0.5
"""Probability from which on a verdict of an NLI model counts."""

_OPENING = re.compile(
    r"^(?:(?:yes|no|well|sure|ok|okay|of course|absolutely|s[ií]|claro|por supuesto|en efecto)\b\s*[,.;:!]+\s*"
    r"|(?:according to|based on) (?:the |this )?(?:passages?|documents?|documentation|sources?|page)\s*,?\s*"
    r"|según (?:el|la|los) (?:pasajes?|documentos?|documentación|fuentes?|página)\s*,?\s*)+",
    re.IGNORECASE,
)
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s[^()]*)?\)|<https?://[^<>\s]*>|https?://\S+")
_ADDRESS = re.compile(r"(?:\w+:)?[\w.+@%-]*[\w-]+(?:\.[\w-]+)+(?:[/?#]\S*)?")
_ATTRIBUTION = re.compile(
    r"\b(?:page|passage|source|document|p[aá]gina|pasaje|fuente|documento)s?\s+(?:n[uú]mero\s+|number\s+|no\.\s*)?(\d{1,3})\b",
    re.IGNORECASE,
)
"""Which passage says what is told by markers, which are checked; a number in words is not."""
_CODE = re.compile(r"`+([^`]+)`+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``hits`` are the passages that support a statement, best first; none where nothing does."""

    hits: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hits)


class Support:
    """The passages of one answer, and what they support. ``language`` is the answer's."""

    def __init__(
        self,
        hits: Sequence[Hit],
        language: str,
        *,
        embeddings: TextEmbeddings,
        sparse: SparseEncoder,
        nli: Entailing | None = None,
    ) -> None:
        self._hits = hits
        self._language = language
        self._embeddings = embeddings
        self._nli = nli
        self._stems: dict[str, Stem] = {}
        self._sparse = sparse
        self._premises: dict[tuple[int, ...], Premise] = {}

    async def sentence(self, claim: str, cited: Sequence[int], lead: str = "") -> Verdict:
        """The cited passages if they say it (together); else, of the others, those that do.

        Where it alone is not supported, it is looked at once more behind the ``lead`` that announced it.
        """
        bare = said(claim)
        verdict = await self._found(bare, cited, lead)
        return Verdict() if self._speaks_for_another(bare, verdict.hits) else verdict

    async def _found(self, bare: str, cited: Sequence[int], lead: str) -> Verdict:
        if cited and await self._holds(bare, tuple(cited), lead, DEFAULT.threshold):
            return Verdict(hits=await self._those_that_say_it(bare, tuple(cited), lead))
        least, threshold = (ELSEWHERE, SURELY) if cited else (0.0, DEFAULT.threshold)
        for index in self._likeliest(bare, cited, least):
            if await self._holds(bare, (index,), lead, threshold):
                return Verdict(hits=(index,))
        return Verdict()

    def _speaks_for_another(self, claim: str, cited: Sequence[int]) -> bool:
        """ "As page 2 says": a passage named by its number in words, and not by a marker that could be checked."""
        named = {int(number) - 1 for number in _ATTRIBUTION.findall(claim)}
        return any(index not in cited and index < len(self._hits) for index in named)

    async def _those_that_say_it(self, claim: str, cited: tuple[int, ...], lead: str) -> tuple[int, ...]:
        """Of several cited ones, those that say it by themselves; all, where it takes them together."""
        if len(cited) == 1:
            return cited
        return tuple([one for one in cited if await self._holds(claim, (one,), lead, DEFAULT.threshold)]) or cited

    async def _holds(self, claim: str, cited: tuple[int, ...], lead: str, threshold: float) -> bool:
        if await self._supports(claim, cited, threshold):
            return True
        led = bool(lead) and self._mentions(claim, cited)
        return led and await self._supports(f"{said(lead)} {claim}", cited, threshold)

    def announcement(self, text: str, among: Sequence[int] | None = None) -> bool:
        """Whether nothing speaks against words that announce what follows: a passage (of ``among``, or any) has every figure
        and name in them, and something of what they say, if they say more than that something follows."""
        bare = said(text)
        return any(
            self._may_announce(bare, self.premise((index,)))
            for index in (range(len(self._hits)) if among is None else among)
        )

    def _may_announce(self, text: str, premise: Premise) -> bool:
        if self._vetoed(text, premise):
            return False
        content = Read.of(text, premise.stem).content()
        whole = text.rstrip(":*_ ").endswith((".", "!"))  # a sentence of its own, however few its words
        announces = len(content) <= ANNOUNCING and not whole
        return announces or self._is_foreign(premise) or share(content, premise.content) >= HALF

    def linking(self, statement: str, index: int) -> Passage:
        """A passage without those of its sentences that speak of something else: their links are not the statement's to give.

        In another language than the answer words tell nothing, and the passage stays as it is.
        """
        premise = self.premise((index,))
        if self._is_foreign(premise):
            return premise.passage
        wanted = Read.of(_unaddressed(statement), premise.stem).content()
        related = [unit for unit in premise.sentences if _is_about(unit, wanted, premise.stem)]
        return replace(premise.passage, text="\n\n".join(related))

    def code(self, text: str, cited: Sequence[int]) -> Verdict:
        """A passage that has every line of it."""
        lines = {" ".join(line.split()) for line in text.splitlines()[1:] if line.strip("`~ \t>")}
        return self._first(cited, lambda premise: bool(lines) and lines <= premise.lines)

    def table(self, text: str, cited: Sequence[int]) -> Verdict:
        """A passage that has the figures and the words of every row."""
        rows = [row for row in text.splitlines() if row.strip("|-: \t")]
        return self._first(cited, lambda premise: bool(rows) and all(self._has(row, premise) for row in rows))

    async def evidence(self, claim: str, cited: Sequence[int]) -> dict[str, float]:
        """What a decision is made from, by the name of each figure."""
        premise = self.premise(tuple(cited))
        vectors = await premise.embed(self._embeddings)
        vector = np.asarray(await self._embeddings.aembed_query(claim))
        return await asyncio.to_thread(evidence, claim, vector, premise, vectors)

    def premise(self, cited: tuple[int, ...]) -> Premise:
        """Passages as one, read once for the whole answer."""
        if cited not in self._premises:
            passage = _joined([self._hits[index].passage for index in cited])
            self._premises[cited] = Premise(passage=passage, stem=self._stem(passage.language or self._language))
        return self._premises[cited]

    def _stem(self, language: str) -> Stem:
        if language not in self._stems:
            self._stems[language] = lru_cache(4096)(
                lambda word: tuple(self._sparse.encode_query(word, language).indices)
            )
        return self._stems[language]

    async def _supports(self, claim: str, cited: tuple[int, ...], threshold: float) -> bool:
        premise = self.premise(cited)
        if premise.says(claim):
            return True
        if not re.search(r"\w", claim) or any(
            " ".join(code.split()) not in premise.spaced for code in _CODE.findall(claim)
        ):
            return False
        found = await self.evidence(claim, cited)
        return await self._weighed(claim, premise, found, threshold) or (
            self._is_foreign(premise) and self._is_translated(claim, premise, found)
        )

    async def _weighed(self, claim: str, premise: Premise, found: Mapping[str, float], threshold: float) -> bool:
        if refuted(found) or (not self._is_foreign(premise) and stray(claim, premise)):
            return False
        likely = DEFAULT.probability(found)
        if self._nli is None:
            return likely >= threshold
        return _judged(likely, threshold, await self._nli.judge(premise.whole, claim))

    def _is_foreign(self, premise: Premise) -> bool:
        return premise.passage.language not in ("", self._language)

    def _is_translated(self, claim: str, premise: Premise, found: Mapping[str, float]) -> bool:
        """A statement in another language than its passage: figures, names and denials must agree, whatever else is known.

        A model of many languages is asked for the rest; the packaged one knows English, and common roots must do.
        """
        if self._vetoed(claim, premise):
            return False
        if found["denies"] or found["affirms"]:
            return False
        if self._embeddings.name != PackagedEmbeddings.name:
            return found["cosine"] >= ACROSS
        return _anchors(claim, premise) >= ANCHORS

    def _mentions(self, claim: str, cited: tuple[int, ...]) -> bool:
        """Whether a passage has all its content words: those of a lead must not make up for what is not there."""
        premise = self.premise(cited)
        return Read.of(claim, premise.stem).content() <= premise.content

    def _first(self, cited: Sequence[int], holds: Callable[[Premise], bool]) -> Verdict:
        order = [*cited, *(index for index in range(len(self._hits)) if index not in cited)]
        return Verdict(hits=tuple(index for index in order if holds(self.premise((index,))))[:1])

    def _has(self, row: str, premise: Premise) -> bool:
        return not self._vetoed(row, premise) and share(Read.of(row, premise.stem).content(), premise.content) >= ROW

    def _vetoed(self, claim: str, premise: Premise) -> bool:
        """Whether it has a figure, a month or a name that the passage has not."""
        return (
            any(not number & premise.figures for number in claimed(claim))
            or bool(months(claim) - premise.months)
            or any(is_strange(name, premise) for name in names(claim))
        )

    def _likeliest(self, claim: str, without: Sequence[int], least: float) -> list[int]:
        others = [index for index in range(len(self._hits)) if index not in without]
        shares = {index: self._shared(claim, self.premise((index,))) for index in others}
        return sorted((index for index in others if shares[index] >= least), key=lambda index: -shares[index])[
            :LOOKED_AT
        ]

    def _shared(self, claim: str, premise: Premise) -> float:
        return share(Read.of(claim, premise.stem).content(), premise.content)


def _judged(likely: float, threshold: float, found: Entailment) -> bool:
    """What an NLI model finds contradicted goes; what it finds entailed needs half of the rest only."""
    if found.contradiction >= SURE:
        return False
    return likely >= (threshold / 2 if found.entailment >= SURE else threshold)


def _is_about(unit: str, wanted: Set[int], stem: Stem) -> bool:
    """Whether a statement of ``wanted`` words speaks of what a sentence speaks of; a line that is a link alone says nothing."""
    own = Read.of(_unaddressed(unit), stem).content()
    return len(own) < 2 or len(own & wanted) >= min(2, len(own) / 3)


def _unaddressed(text: str) -> str:
    return _ADDRESS.sub(" ", said(text))


def said(markdown: str) -> str:
    """What a statement says: no emphasis, no addresses, no "yes" that answers the question rather than the passage."""
    text = _LINK.sub(lambda match: match[1] or "", markdown).replace("**", "").replace("__", "")
    return " ".join(_OPENING.sub("", text.strip()).split())


def _joined(passages: Sequence[Passage]) -> Passage:
    first = passages[0]
    if len(passages) == 1:
        return first
    headings = tuple(dict.fromkeys(name for one in passages for name in (one.title, *one.headings)))
    return replace(first, headings=headings, text="\n\n".join(one.text for one in passages))


def _anchors(claim: str, premise: Premise) -> int:
    """Figures, names and words of a common root that both have, each once."""
    roots = {word[:ROOT] for word in premise.words if len(word) > ROOT}
    shared = {word for word in words(claim) if len(word) > ROOT and word[:ROOT] in roots}
    figures = sum(bool(number & premise.figures) for number in claimed(claim))
    return figures + len(shared | {name for name in names(claim) if not is_strange(name, premise)})
