"""Decides whether passages support a statement that a language model wrote.

Learnt trees weigh vectors, shared words, numbers, names, negations and conditions (see ``features``); an NLI model, if one is
configured, is asked as well. A statement in another language than its passage is compared by what both languages share.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from rag.grounding.support.clauses import unrelated_clauses
from rag.grounding.support.cues import Stem, TokenizedText, names, words
from rag.grounding.support.features import evidence, is_refuted, is_unknown_name, share
from rag.grounding.support.nli import Entailing, Entailment
from rag.grounding.support.numbers import claimed_numbers, months
from rag.grounding.support.passages import Premise
from rag.grounding.support.weights import DEFAULT
from rag.retrieval.embeddings.models import PackagedEmbeddings, TextEmbeddings
from rag.retrieval.sparse import SparseEncoder
from rag.types import Hit, Passage

CANDIDATES = 3
"""Uncited passages that a statement is compared with: those that share most of its words."""
ELSEWHERE, SURELY = 0.8, 0.9
"""What an uncited passage needs to replace the cited ones: this share of the statement's content words, and this probability.
With the threshold of a cited passage, each further one would be one more chance for a wrong statement to pass."""
ROW = 0.8
"""Least share of a table row's content words that the passage must contain."""
ANNOUNCING, HALF = 3, 0.5
"""An announcement of so few content words claims nothing ("Here is how to do it:"); of a longer one, a passage must contain this
share."""
ANCHORS = 2
"""Fewest numbers, names and words of one root that a statement must share with a passage in another language."""
ROOT = 4
"""First letters that words of one root have in common: *documento* and *document*."""
ACROSS = 0.55
"""Least cosine at which a multilingual embedding model says that two texts mean the same."""
SURE = 0.5
"""Least probability at which a verdict of the NLI model counts."""

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
"""A passage named by its number in words ("as page 2 says"): no marker stands there that could be checked."""
_CODE = re.compile(r"`+([^`]+)`+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Indices of the passages that support a statement, best first; empty (and false) if none does."""

    hits: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hits)


class Support:
    """Checks the statements of one answer against its passages. ``language`` is the language of the answer."""

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
        """The cited passages if they support the sentence, alone or together; otherwise another passage that does.

        A sentence that is not supported alone is checked once more after the ``lead`` that announced it.
        """
        bare = claim_text(claim)
        verdict = await self._best_support(bare, cited, lead)
        return Verdict() if self._names_another_passage(bare, verdict.hits) else verdict

    async def _best_support(self, bare: str, cited: Sequence[int], lead: str) -> Verdict:
        """The cited passages first; the likeliest others by stricter limits if the sentence cites any."""
        if cited and await self._supports_with_lead(bare, tuple(cited), lead, DEFAULT.threshold):
            return Verdict(hits=await self._sufficient_citations(bare, tuple(cited), lead))
        least, threshold = (ELSEWHERE, SURELY) if cited else (0.0, DEFAULT.threshold)
        for index in self._likeliest(bare, cited, least):
            if await self._supports_with_lead(bare, (index,), lead, threshold):
                return Verdict(hits=(index,))
        return Verdict()

    def _names_another_passage(self, claim: str, cited: Sequence[int]) -> bool:
        """Whether the claim names a passage by its number ("as page 2 says") that does not support it."""
        page_indices = {int(number) - 1 for number in _ATTRIBUTION.findall(claim)}
        return any(index not in cited and index < len(self._hits) for index in page_indices)

    async def _sufficient_citations(self, claim: str, cited: tuple[int, ...], lead: str) -> tuple[int, ...]:
        """The cited passages that support the claim alone; all of them if it takes them together."""
        if len(cited) == 1:
            return cited
        return (
            tuple([one for one in cited if await self._supports_with_lead(claim, (one,), lead, DEFAULT.threshold)])
            or cited
        )

    async def _supports_with_lead(self, claim: str, cited: tuple[int, ...], lead: str, threshold: float) -> bool:
        if await self._supports(claim, cited, threshold):
            return True
        # The lead may supply the context, but not the words: those of the sentence itself must be in the passage.
        needs_lead = bool(lead) and self._mentions(claim, cited)
        return needs_lead and await self._supports(f"{claim_text(lead)} {claim}", cited, threshold)

    def may_announce(self, text: str, among: Sequence[int] | None = None) -> bool:
        """Whether a heading or an introduction may stand: some passage (of ``among``, else any) has all of its numbers and names.

        One that says more than that something follows must also share words with that passage.
        """
        bare = claim_text(text)
        return any(
            self._fits_announcement(bare, self.premise((index,)))
            for index in (range(len(self._hits)) if among is None else among)
        )

    def _fits_announcement(self, text: str, premise: Premise) -> bool:
        if self._is_vetoed(text, premise):
            return False
        content = TokenizedText.of(text, premise.stem).content()
        whole = text.rstrip(":*_ ").endswith((".", "!"))  # a sentence of its own, however few its words
        announces = len(content) <= ANNOUNCING and not whole
        return announces or self._is_foreign(premise) or share(content, premise.content) >= HALF

    def linkable_passage(self, statement: str, index: int) -> Passage:
        """The passage reduced to the sentences that the statement speaks of, so that it can only give their links.

        A passage in another language than the answer is returned whole, since shared words mean nothing there.
        """
        premise = self.premise((index,))
        if self._is_foreign(premise):
            return premise.passage
        wanted = TokenizedText.of(_without_addresses(statement), premise.stem).content()
        related = [unit for unit in premise.sentences if _is_about(unit, wanted, premise.stem)]
        return replace(premise.passage, text="\n\n".join(related))

    def code(self, text: str, cited: Sequence[int]) -> Verdict:
        """A passage that contains every line of a code block, whatever its indentation."""
        # without the opening fence: a passage need not name the same language
        lines = {" ".join(line.split()) for line in text.splitlines()[1:] if line.strip("`~ \t>")}
        return self._first_match(cited, lambda premise: bool(lines) and lines <= premise.lines)

    def table(self, text: str, cited: Sequence[int]) -> Verdict:
        """A passage that contains the numbers and most words of every row."""
        rows = [row for row in text.splitlines() if row.strip("|-: \t")]
        return self._first_match(
            cited, lambda premise: bool(rows) and all(self._contains_row(row, premise) for row in rows)
        )

    async def evidence(self, claim: str, cited: Sequence[int]) -> dict[str, float]:
        """The features of a claim and the cited passages together, by name."""
        premise = self.premise(tuple(cited))
        vectors = await premise.embed(self._embeddings)
        vector = np.asarray(await self._embeddings.aembed_query(claim))
        # computation over all windows of a passage, kept off the event loop
        return await asyncio.to_thread(evidence, claim, vector, premise, vectors)

    def premise(self, cited: tuple[int, ...]) -> Premise:
        """The passages as one; prepared once for the whole answer."""
        if cited not in self._premises:
            passage = _merged_passage([self._hits[index].passage for index in cited])
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
        if premise.says(claim):  # a quote needs no model
            return True
        if not re.search(r"\w", claim) or any(
            " ".join(code.split()) not in premise.spaced for code in _CODE.findall(claim)
        ):
            return False
        features = await self.evidence(claim, cited)
        return await self._is_likely(claim, premise, features, threshold) or (
            self._is_foreign(premise) and self._is_translated(claim, premise, features)
        )

    async def _is_likely(self, claim: str, premise: Premise, features: Mapping[str, float], threshold: float) -> bool:
        if is_refuted(features) or (not self._is_foreign(premise) and unrelated_clauses(claim, premise)):
            return False
        likely = DEFAULT.probability(features)
        if self._nli is None:
            return likely >= threshold
        return _passes_nli(likely, threshold, await self._nli.judge(premise.whole, claim))

    def _is_foreign(self, premise: Premise) -> bool:
        return premise.passage.language not in ("", self._language)

    def _is_translated(self, claim: str, premise: Premise, features: Mapping[str, float]) -> bool:
        """Whether a statement in another language than its passage agrees with it: numbers, names and negations always must.

        The rest is the cosine of a multilingual embedding model; the packaged one knows English only, so shared roots decide.
        """
        if self._is_vetoed(claim, premise):
            return False
        if features["denies"] or features["affirms"]:
            return False
        if self._embeddings.name != PackagedEmbeddings.name:
            return features["cosine"] >= ACROSS
        return _anchors(claim, premise) >= ANCHORS

    def _mentions(self, claim: str, cited: tuple[int, ...]) -> bool:
        """Whether the cited passages together contain every content word of the claim."""
        premise = self.premise(cited)
        return TokenizedText.of(claim, premise.stem).content() <= premise.content

    def _first_match(self, cited: Sequence[int], holds: Callable[[Premise], bool]) -> Verdict:
        order = [*cited, *(index for index in range(len(self._hits)) if index not in cited)]
        return Verdict(hits=tuple(index for index in order if holds(self.premise((index,))))[:1])

    def _contains_row(self, row: str, premise: Premise) -> bool:
        return (
            not self._is_vetoed(row, premise)
            and share(TokenizedText.of(row, premise.stem).content(), premise.content) >= ROW
        )

    def _is_vetoed(self, claim: str, premise: Premise) -> bool:
        """Whether the claim has a number, a month or a name that the passage lacks."""
        return (
            any(not number & premise.figures for number in claimed_numbers(claim))
            or bool(months(claim) - premise.months)
            or any(is_unknown_name(name, premise) for name in names(claim))
        )

    def _likeliest(self, claim: str, without: Sequence[int], least: float) -> list[int]:
        """The passages outside ``without`` that share most words with the claim, and at least the share ``least``."""
        others = [index for index in range(len(self._hits)) if index not in without]
        shares = {index: self._shared(claim, self.premise((index,))) for index in others}
        # the few likeliest only: the windows of each further passage would have to be embedded
        return sorted((index for index in others if shares[index] >= least), key=lambda index: -shares[index])[
            :CANDIDATES
        ]

    def _shared(self, claim: str, premise: Premise) -> float:
        return share(TokenizedText.of(claim, premise.stem).content(), premise.content)


def _passes_nli(likely: float, threshold: float, nli: Entailment) -> bool:
    """A statement that the NLI model finds contradicted fails; one that it finds entailed needs only half of the threshold."""
    if nli.contradiction >= SURE:
        return False
    return likely >= (threshold / 2 if nli.entailment >= SURE else threshold)


def _is_about(unit: str, wanted: Set[int], stem: Stem) -> bool:
    """Whether a sentence of a passage shares enough with a statement of ``wanted`` words; a line with hardly a word passes."""
    own = TokenizedText.of(_without_addresses(unit), stem).content()
    return len(own) < 2 or len(own & wanted) >= min(2, len(own) / 3)


def _without_addresses(text: str) -> str:
    return _ADDRESS.sub(" ", claim_text(text))


def claim_text(markdown: str) -> str:
    """The text of a statement without emphasis, addresses, or a leading "yes" or "according to the passage"."""
    text = _LINK.sub(lambda match: match[1] or "", markdown).replace("**", "").replace("__", "")
    return " ".join(_OPENING.sub("", text.strip()).split())


def _merged_passage(passages: Sequence[Passage]) -> Passage:
    first = passages[0]
    if len(passages) == 1:
        return first
    headings = tuple(dict.fromkeys(name for one in passages for name in (one.title, *one.headings)))
    return replace(first, headings=headings, text="\n\n".join(one.text for one in passages))


def _anchors(claim: str, premise: Premise) -> int:
    """How many numbers, names and words of a common root the claim shares with the passage, each counted once."""
    roots = {word[:ROOT] for word in premise.words if len(word) > ROOT}
    shared = {word for word in words(claim) if len(word) > ROOT and word[:ROOT] in roots}
    figures = sum(bool(number & premise.figures) for number in claimed_numbers(claim))
    return figures + len(shared | {name for name in names(claim) if not is_unknown_name(name, premise)})
