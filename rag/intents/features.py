"""Features of a message: its embedding, its pieces of words, and its form."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rag.intents.examples import normalized

Vector = NDArray[np.float32]

CHARACTERS = 1000
"""Most characters of a message that are looked at: a longer one describes a case."""
PIECES = 4096
"""Places for pieces of words, chosen by hash. With 1,024, Spanish wishes heard fall from .73 to .64."""
MEANING_SCALE = 5.0
PIECES_SCALE = 8.0
"""Both make up for vectors of length 1 whose single coordinates are small; chosen on held-out folds."""
FORMS = 8
"""Features of the form, the constant included."""


def features(text: str, vector: Sequence[float]) -> Vector:
    """The features of one message with its embedding."""
    meaning = np.asarray(vector, dtype=np.float32) * MEANING_SCALE
    return np.concatenate([meaning, _pieces(text[:CHARACTERS]), _form(text[:CHARACTERS])])


def _pieces(text: str) -> Vector:
    """Hashed pieces of 3 to 5 characters, and whole words.

    They hear what the embedding does not: typing errors, and Spanish where the model was made for English.
    """
    padded = f" {normalized(text)} "
    pieces = {padded[start : start + size] for size in (3, 4, 5) for start in range(len(padded) - size + 1)}
    pieces |= {f" {word} " for word in padded.split()}
    counts = np.zeros(PIECES, dtype=np.float32)
    for piece in pieces:
        counts[zlib.crc32(piece.encode(errors="replace")) % PIECES] += 1
    return counts * np.float32(PIECES_SCALE / max(1.0, float(np.linalg.norm(counts))))


def _form(text: str) -> Vector:
    """How long the message is, whether it asks, and whether it has figures or several parts."""
    words = len(text.split())
    asks = "?" in text or "¿" in text
    parts = any(char in ",.:;" for char in text.strip(" .!"))
    figures = any(map(str.isdigit, text))
    values = (min(words, 20) / 10, min(math.log1p(words), 4) / 2, asks, words <= 1, words <= 3, figures, parts, 1)
    return np.array(values, dtype=np.float32)
