"""BM25 term weights of texts, with a Snowball stemmer for each language; the index multiplies them by the IDF.

Accents are folded, because people often leave out the accents that documents have. Term ids are hashes of stemmed terms, so
product names match across languages and other words within one language.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from qdrant_edge import Bm25, Bm25Config, DisabledStemmer, StopwordsSet, TokenizerType

AVERAGE_LENGTH = 120
"""Terms of a typical passage, for BM25's length normalisation."""

LANGUAGES = {
    "ar": "arabic", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish", "fi": "finnish",
    "fr": "french", "hu": "hungarian", "it": "italian", "nl": "dutch", "no": "norwegian", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip
"""Languages with a stemmer and stop words in qdrant-edge 0.9: ISO 639-1 code to Qdrant's name."""


_NOUN = re.compile(r"(?<=\w)([au])ci[oó]n\b", re.IGNORECASE)
"""Spanish nouns in *-ación*. qdrant-edge 0.9 folds accents before stemming, and Snowball does not stem *-acion*, so
*validación* would not match *validar*. It stems the plural *-aciones*, which has no accent, correctly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseVector:
    """Term ids in ascending order, and their weights."""

    indices: Sequence[int]
    values: Sequence[float]


class SparseEncoder:
    """BM25 for passages and questions. Words of a language without a stemmer are not changed."""

    def encode_passage(self, text: str, language: str) -> SparseVector:
        """Weights of a passage's terms: frequencies, saturated and normalised by length."""
        vector = _model(language).embed_document(_stemmable(text, language))
        return SparseVector(indices=vector.indices, values=vector.values)

    def encode_query(self, text: str, language: str) -> SparseVector:
        """The distinct content terms of a question, each of weight 1."""
        vector = _model(language).embed_query(_stemmable(text, language))
        return SparseVector(indices=vector.indices, values=vector.values)


@cache
def _for_language(name: str) -> Bm25:
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
    # Passages and questions alike, so both get the same stem.
    return _NOUN.sub(r"\1ciones", text) if language == "es" else text


def _model(language: str) -> Bm25:
    name = LANGUAGES.get(language)
    return _for_language(name) if name else _neutral()
