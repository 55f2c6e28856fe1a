"""What the packaged models do alike: weights that are checked, texts to tokens, batches of like length through an encoder."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import ModelError
from rag.retrieval.embeddings.batching import like_lengths
from rag.retrieval.embeddings.threaded import ThreadedEmbeddings

if TYPE_CHECKING:
    import torch

    from rag.retrieval.embeddings.bert import Encoder


class EncoderEmbeddings(ThreadedEmbeddings):
    """An encoder in this process; a model adds what it reads of a text."""

    def __init__(self, batch: int = 64, *, exact: bool = False) -> None:
        """``exact`` computes in float32 even where bfloat16 is twice as fast."""
        super().__init__(batch)
        self._exact = exact

    @abstractmethod
    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of the tokens that the model reads of each passage, special ones included; blocking."""

    @abstractmethod
    def _encoder(self) -> Encoder:
        """The model, which is loaded the first time; blocking."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed passages in batches of like length; blocking."""
        return self._embedded(self._tokens(texts))

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self._tokens(texts)]

    def _embedded(self, tokens: Sequence[list[int]]) -> list[list[float]]:
        vectors: list[list[float]] = [[]] * len(tokens)
        for chosen in like_lengths([len(ids) for ids in tokens], self._batch):
            for index, vector in zip(chosen, self._forward([tokens[i] for i in chosen]), strict=True):
                vectors[index] = vector
        return vectors

    def _forward(self, tokens: Sequence[list[int]]) -> list[list[float]]:
        import torch

        longest = max(map(len, tokens))
        ids = torch.zeros((len(tokens), longest), dtype=torch.long)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, known in enumerate(tokens):
            ids[row, : len(known)] = torch.tensor(known)
            mask[row, : len(known)] = True
        with torch.inference_mode():
            vectors: list[list[float]] = self._encoder()(ids, mask).tolist()
        return vectors


def arithmetic(*, exact: bool) -> torch.dtype:
    """bfloat16 where this processor is fast at it, unless the result is to be ``exact``."""
    import torch

    from rag.models.processor import bfloat16_is_fast

    return torch.bfloat16 if bfloat16_is_fast() and not exact else torch.float32


def check(weights: Path, sha256: str, model: str, package: str) -> None:
    """Raises ``ModelError`` unless the file is there and is the one that was released."""
    try:
        with weights.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        message = f"the packaged embedding model cannot be read: {error}; install {package}"
        raise ModelError(message) from error
    if found != sha256:
        raise ModelError(f"{weights} is not {model} (sha256 {found[:12]}…); reinstall {package}")
