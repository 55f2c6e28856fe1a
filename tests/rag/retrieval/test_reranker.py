"""Ranking anew: what a cross-encoder is asked, what its scores do to a retrieval, and what its failures do not."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import sys
from collections.abc import AsyncIterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
import pytest_asyncio

from rag.errors import ModelError
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.index.passages import IndexedPassage, Scope
from rag.retrieval.reranker import CHARACTERS, CrossEncoderReranker, Reranker, Rerankers, reranking_text
from rag.retrieval.retriever import HybridRetriever, Pair
from rag.retrieval.sparse import SparseEncoder
from rag.settings import RetrievalSettings
from rag.types import Query, Retrieval
from tests.rag.fakes import WordEmbeddings, passage

EVERYONE = Scope(audiences=frozenset({"public"}))
TEXTS = ("The invoice is sent by post.", "The invoice is paid by card.", "The invoice is kept for ten years.")

needs_sentence_transformers = pytest.mark.skipif(
    find_spec("sentence_transformers") is None, reason="sentence-transformers is an extra: pip install cotorra[bench]"
)


class WordReranker:
    """Prefers passages with one word; remembers what it was asked."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.reranking_text: list[tuple[str, Sequence[str]]] = []

    async def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        self.reranking_text.append((question, passages))
        return [4.0 if self.word in each else -4.0 - place for place, each in enumerate(passages)]


class Broken:
    """Fails with an error, or gives these scores."""

    def __init__(self, *outcomes: Exception | list[float]) -> None:
        self.outcomes = list(outcomes)

    async def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest_asyncio.fixture
async def plain(tmp_path: Path) -> AsyncIterator[HybridRetriever]:
    """Three pages on invoices, found without a reranker."""
    embeddings, sparse = WordEmbeddings(), SparseEncoder()
    index = EdgeIndex(tmp_path / "index", embeddings.dimension)
    await index.open()
    for number, text in enumerate(TEXTS):
        each = passage(text, number=number, title=f"Page {number}")
        written = IndexedPassage(
            passage=each, dense=embeddings.embed_query(text), sparse=sparse.encode_passage(text, "en")
        )
        await index.replace(each.document, each.source, "d", [written])
    yield HybridRetriever(serving=Pair(embeddings=embeddings, index=index), sparse=sparse, settings=RetrievalSettings())
    await index.close()


def with_reranker(plain: HybridRetriever, reranker: Reranker) -> HybridRetriever:
    settings = RetrievalSettings(reranker="named")
    return plain.model_copy(update={"settings": settings, "rerankers": Rerankers(lambda _: reranker)})


async def ask(
    retriever: HybridRetriever, text: str = "How is the invoice sent?", **fields: tuple[str, ...]
) -> Retrieval:
    return await retriever.find(Query(text=text, language="en", **fields), EVERYONE)  # type: ignore[arg-type]


def texts(found: Retrieval) -> list[str]:
    return [hit.passage.text for hit in found.hits]


async def test_the_rerankers_order_replaces_that_of_the_search(plain: HybridRetriever) -> None:
    assert texts(await ask(plain))[0] == TEXTS[0]
    found = await ask(with_reranker(plain, WordReranker("ten years")))
    assert texts(found)[0] == TEXTS[2]
    assert set(texts(found)) == set(TEXTS)


async def test_scores_are_between_0_and_1_and_fall_with_the_rank(plain: HybridRetriever) -> None:
    found = await ask(with_reranker(plain, WordReranker("card")))
    fused = [hit.fused for hit in found.hits]
    assert fused == sorted(fused, reverse=True)
    assert fused[0] == pytest.approx(1 / (1 + math.exp(-4.0)))
    assert all(0 < score < 1 for score in fused)
    assert found.hits[0].score == found.score
    assert found.hits[1].score < found.score / 10


async def test_it_reads_title_headings_and_text(plain: HybridRetriever) -> None:
    reranker = WordReranker("card")
    await ask(with_reranker(plain, reranker))
    question, passages = reranker.reranking_text[0]
    assert question == "How is the invoice sent?"
    assert f"Page 0\nPage 0\n{TEXTS[0]}" in passages


@pytest.mark.parametrize(
    "outcome", [RuntimeError("out of memory"), [1.0], [math.nan] * 3, ModelError("gone"), [math.inf] * 3]
)
async def test_a_reranker_that_fails_leaves_the_ranking_of_the_search(
    plain: HybridRetriever, outcome: Exception | list[float], caplog: pytest.LogCaptureFixture
) -> None:
    broken = with_reranker(plain, Broken(outcome, outcome))
    expected = await ask(plain)
    with caplog.at_level(logging.WARNING):
        assert [await ask(broken), await ask(broken)] == [expected, expected]
    assert [record.message.startswith("the reranker fails") for record in caplog.records] == [True]


async def test_a_failure_after_a_recovery_is_logged_again(
    plain: HybridRetriever, caplog: pytest.LogCaptureFixture
) -> None:
    broken = with_reranker(plain, Broken(OSError("one"), [3.0, 2.0, 1.0], OSError("two")))
    for _ in range(3):
        await ask(broken)
    assert ["one" in record.message or "two" in record.message for record in caplog.records] == [True, True]


async def test_nothing_found_is_not_ranked(plain: HybridRetriever) -> None:
    reranker = WordReranker("card")
    nobody = Scope(audiences=frozenset({"nobody"}))
    found = await with_reranker(plain, reranker).find(Query(text="invoice"), nobody)
    assert (found.hits, reranker.reranking_text) == ((), [])


async def test_each_model_is_loaded_once_and_none_without_a_name() -> None:
    loaded: list[str] = []

    def load(name: str) -> Reranker:
        loaded.append(name)
        return WordReranker(name)

    rerankers = Rerankers(load)
    found = await asyncio.gather(*(rerankers.named(name) for name in ("a", "b", "a", "")))
    assert sorted(loaded) == ["a", "b"]
    assert found[0] is found[2]
    assert found[3] is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(text="And on Sundays?"), "And on Sundays?"),
        (Query(text="And on Sundays?", history=("When open?", "Weekdays from 9.")), "When open?\nAnd on Sundays?"),
        (Query(text="And on Sundays?", history=("Hi.", "An answer of ours.", "When open?")), "When open?\nAnd on Sundays?"),
        (Query(text="What does a parcel to Spain cost now?", history=("Hi.", "Yes?")), "What does a parcel to Spain cost now?"),
        (Query(text="And on Sundays?", history=("When?", "At 9."), rewritten="Open on Sundays?"), "Open on Sundays?"),
        (Query(text="x" * 2000, history=("y" * 2000,)), f"{'y' * CHARACTERS}\n{'x' * CHARACTERS}"),
    ],
)  # fmt: skip
def test_a_short_turn_is_read_after_the_question_that_it_follows(query: Query, expected: str) -> None:
    assert reranking_text(query) == expected


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder of two layers: a WordPiece of whole words, random weights that are the same in every run."""
    return build(tmp_path_factory.mktemp("model"), labels=1)


def build(folder: Path, *, labels: int) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = sorted({word for text in TEXTS for word in text.lower().replace(".", " .").split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = BertTokenizerFast(vocab={word: place for place, word in enumerate(vocabulary)})
    tokenizer.save_pretrained(folder)
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, num_labels=labels, initializer_range=0.5,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def reference(folder: Path, question: str, text: str) -> float:
    """One pair through the model as transformers computes it."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.inference_mode():
        encoded = tokenizer(question, text, truncation=True, max_length=64, return_tensors="pt")
        return float(model(**encoded).logits[0, 0])


@needs_sentence_transformers
async def test_a_folder_with_a_cross_encoder_gives_its_log_odds_in_order(folder: Path) -> None:
    reranker = CrossEncoderReranker(str(folder))
    found = await reranker.scores("how is the invoice sent", TEXTS * 7)  # more than one batch
    expected = [reference(folder, "how is the invoice sent", text) for text in TEXTS]
    assert found == pytest.approx(expected * 7, abs=1e-4)
    assert len({round(score, 3) for score in expected}) == len(TEXTS)


@needs_sentence_transformers
async def test_what_is_longer_than_the_window_is_cut(folder: Path) -> None:
    long = " ".join(TEXTS * 50)
    (found,) = await CrossEncoderReranker(str(folder)).scores("invoice", [long])
    assert found == pytest.approx(reference(folder, "invoice", long), abs=1e-4)


@needs_sentence_transformers
async def test_a_named_folder_ranks_what_the_search_found(folder: Path, plain: HybridRetriever) -> None:
    named = plain.model_copy(update={"settings": RetrievalSettings(reranker=str(folder))})
    found = await ask(named)
    by_text = {text: reference(folder, "How is the invoice sent?", shown(text)) for text in TEXTS}
    assert texts(found) == sorted(TEXTS, key=by_text.__getitem__, reverse=True)
    assert found.hits[0].fused == pytest.approx(1 / (1 + math.exp(-max(by_text.values()))), abs=1e-4)


def shown(text: str) -> str:
    title = f"Page {TEXTS.index(text)}"
    return f"{title}\n{title}\n{text}"


@needs_sentence_transformers
async def test_a_name_that_cannot_be_had_is_told_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"retrieval\.reranker '.*nothing' is no folder with a cross-encoder"):
        await Rerankers().named(str(tmp_path / "nothing"))


@needs_sentence_transformers
def test_a_model_with_several_figures_a_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="gives 3 figures a pair"):
        CrossEncoderReranker(str(build(tmp_path, labels=3)))


@needs_sentence_transformers
def test_pickled_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(load_file(folder / "model.safetensors"), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="in safetensors"):
        CrossEncoderReranker(str(tmp_path))


@needs_sentence_transformers
def test_code_that_comes_with_a_model_is_not_run(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    ran = tmp_path / "ran"
    (tmp_path / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: ...\nclass OwnConfig: ...\n")
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.Own"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError):
        CrossEncoderReranker(str(tmp_path))
    assert not ran.exists()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ModelError, match="pip install sentence-transformers"):
        CrossEncoderReranker("org/name")
