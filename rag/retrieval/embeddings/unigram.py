"""The Unigram tokenizer of XLM-RoBERTa: a word becomes those pieces of the vocabulary that are likeliest together.

Kudo 2018, "Subword Regularization", section 3.2. The ``tokenizers`` library does the same, but its trie of 250,000 pieces takes
230 MB (0.23); a dict of them takes 30, and the words of a passage are split in a hundredth of the time of its forward pass.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from rag.retrieval.embeddings.quantised import Vocabulary

SPACE = "\u2581"
"""How SentencePiece writes the space before a word."""
SPECIAL = frozenset({"<s>", "<pad>", "</s>", "<unk>", "<mask>"})
"""Pieces that no text may ask for."""
KNOWN = 16_384
"""Words of passages whose pieces are kept, some 4 MB: the splitter counts the same ones again and again."""


class Unigram:
    """Texts to token ids."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._ids = {piece: number for number, piece in enumerate(vocabulary.pieces) if piece not in SPECIAL}
        self._scores = vocabulary.scores
        self._longest = max(map(len, self._ids))
        self._replaced = vocabulary.replaced
        self._start, self._end, self._unknown = vocabulary.start, vocabulary.end, vocabulary.unknown
        self._known = lru_cache(KNOWN)(self._word)
        self._least = min(vocabulary.scores) - 10  # SentencePiece's penalty for a character that no piece has

    def encode(self, text: str, *, keep: bool = False) -> list[int]:
        """Ids with the one of the start and the one of the end. Blanks count as one, and at the ends not at all.

        ``keep`` its words for the next text, which is not for what people ask: who said it may be forgotten.
        """
        pieces = self._known if keep else self._word
        # The vocabulary's own table knows single characters only; composing comes first, as in XLM-R's NFKC.
        words = unicodedata.normalize("NFC", text).translate(self._replaced).split()
        return [self._start, *(number for word in words for number in pieces(SPACE + word)), self._end]

    def _word(self, word: str) -> Sequence[int]:
        """The likeliest pieces by Viterbi: for each place, the best way to it from the start."""
        ids, scores, longest = self._ids, self._scores, self._longest
        best = [0.0]
        ways: list[tuple[int, int]] = []
        for end in range(1, len(word) + 1):
            score, way = best[end - 1] + self._least, (end - 1, self._unknown)
            for begin in range(max(0, end - longest), end):
                number = ids.get(word[begin:end])
                if number is not None and best[begin] + scores[number] > score:
                    score, way = best[begin] + scores[number], (begin, number)
            best.append(score)
            ways.append(way)
        return self._followed(ways)

    def _followed(self, ways: list[tuple[int, int]]) -> tuple[int, ...]:
        """The pieces in their order; unknown characters that follow each other are one."""
        found: list[int] = []
        at = len(ways)
        while at > 0:
            at, number = ways[at - 1]
            if number != self._unknown or found[-1:] != [number]:
                found.append(number)
        return tuple(reversed(found))
