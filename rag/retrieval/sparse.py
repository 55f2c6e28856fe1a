"""Texts to BM25 term weights, one Snowball configuration a language; the index multiplies the IDF in.

Accents are folded, because people type without them what documents spell with them. Term ids are hashes of stemmed
terms, so a product's name matches across languages and everything else within one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from qdrant_edge import Bm25, Bm25Config, DisabledStemmer, StopwordsSet, TokenizerType

AVERAGE_LENGTH = 120
"""Terms of a typical passage: BM25's length normalisation is relative to it."""

LANGUAGES = {
    "ar": "arabic", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish", "fi": "finnish",
    "fr": "french", "hu": "hungarian", "it": "italian", "nl": "dutch", "no": "norwegian", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip
"""Languages with a stemmer and stop words in qdrant-edge 0.9; ISO 639-1 code to Qdrant's name."""


_NOUN = re.compile(r"(?<=\w)([au])ci[oó]n\b", re.IGNORECASE)
"""Accents are folded before stemming (qdrant-edge 0.9), and Snowball knows *-ación* but not *-acion*: *validación* would not
meet *validar*. Of *-aciones*, which has no accent, it makes the stem of *-ación*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseVector:
    """Term ids, ascending, and their weights."""

    indices: Sequence[int]
    values: Sequence[float]


class SparseEncoder:
    """BM25 for passages and questions. A language without a stemmer is split into words and kept as it is."""

    def encode_passage(self, text: str, language: str) -> SparseVector:
        """Term frequencies, saturated and normalised by length."""
        found = _model(language).embed_document(_stemmable(text, language))
        return SparseVector(indices=found.indices, values=found.values)

    def encode_query(self, text: str, language: str) -> SparseVector:
        """The distinct content terms of a question, each of weight 1."""
        found = _model(language).embed_query(_stemmable(text, language))
        return SparseVector(indices=found.indices, values=found.values)


@cache
def _named(name: str) -> Bm25:
    return Bm25(Bm25Config(avg_len=AVERAGE_LENGTH, ascii_folding=True, language=name))


@cache
def _neutral() -> Bm25:
    config = Bm25Config(
        avg_len=AVERAGE_LENGTH,
        ascii_folding=True,
        tokenizer=TokenizerType.Multilingual,
        stopwords=StopwordsSet(),
        stemmer=DisabledStemmer(),
    )
    return Bm25(config)


def _stemmable(text: str, language: str) -> str:
    return _NOUN.sub(r"\1ciones", text) if language == "es" else text


def _model(language: str) -> Bm25:
    name = LANGUAGES.get(language)
    return _named(name) if name else _neutral()
