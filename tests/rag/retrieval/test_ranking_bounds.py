"""What decides between passages that are close: the weights of legs, pages and languages, and the packaged calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rag.retrieval.calibration import DEFAULT
from rag.retrieval.fusion import Fusion
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.index.passages import IndexedPassage, Leg, Match, Scope
from rag.retrieval.legs import Search
from rag.retrieval.retriever import HybridRetriever, Pair
from rag.retrieval.sparse import SparseEncoder, SparseVector
from rag.settings import RetrievalSettings
from rag.types import Query
from tests.rag.fakes import WordEmbeddings, passage

SPARSE = SparseEncoder()


def leg(name: str, weight: float) -> Search:
    chosen = Leg(dense=[1.0]) if name.endswith("meaning") else Leg(sparse=SparseVector(indices=[1], values=[1.0]))
    return Search(name=name, weight=weight, leg=chosen)


def matches(**scores: float) -> Sequence[Match]:
    """Keys are a document's letter and a number."""
    return [Match(key=key, document=key[0], position=0, version=1, score=score) for key, score in scores.items()]


@pytest.mark.parametrize(("weight", "best"), [(2.0, "b1"), (0.5, "a1")])
def test_the_leg_that_counts_more_decides_what_comes_first(weight: float, best: str) -> None:
    fusion = Fusion([leg("turn meaning", 1.0), leg("turn words", weight)], 4, 4)

    assert fusion([matches(a1=0.9, c1=0.1), matches(b1=9.0, d1=1.0)])[0] == best


@pytest.mark.parametrize(
    ("second", "order"),
    [(0.45, ["a1", "a2", "b1"]), (0.2, ["a1", "b1", "a2"])],
    ids=["nearly as good", "far behind"],
)
def test_for_a_question_alone_a_page_lends_its_best_passage_to_those_that_are_nearly_as_good(
    second: float, order: list[str]
) -> None:
    found = matches(a1=0.9, b1=0.5, a2=second, c1=0.1)

    assert Fusion([leg("turn meaning", 1.0)], 3, 4)([found]) == order


@pytest.mark.parametrize("language", ["en", "es"])
async def test_of_a_page_and_its_copy_in_another_language_the_one_in_the_questions_comes_first(
    language: str, tmp_path: Path
) -> None:
    embeddings = WordEmbeddings()
    index = EdgeIndex(tmp_path, embeddings.dimension)
    await index.open()
    pages = {"best": ("fr", "slack"), "en": ("en", "slack token"), "es": ("es", "slack token"), "worst": ("fr", "sky")}
    for name, (spoken, text) in pages.items():
        page = passage(text, title=name, document=name, language=spoken)
        (dense,) = embeddings.embed_documents([text])
        written = IndexedPassage(passage=page, dense=dense, sparse=SPARSE.encode_passage(text, spoken))
        await index.replace(name, "kb", "d1", [written])
    retriever = HybridRetriever(
        serving=Pair(embeddings=embeddings, index=index), sparse=SPARSE, settings=RetrievalSettings()
    )

    found = await retriever.find(Query(text="slack", language=language), Scope(audiences=frozenset({"public"})))

    assert next(hit for hit in found.hits if hit.passage.language != "fr").passage.document == language
    await index.close()


@pytest.mark.parametrize(("deviations", "low", "high"), [(0.0, 0.5, 0.56), (1.0, 0.86, 0.93), (-1.0, 0.09, 0.16)])
def test_middling_evidence_is_as_likely_as_not_and_a_deviation_more_or_less_nearly_settles_it(
    deviations: float, low: float, high: float
) -> None:
    figures = zip(DEFAULT.features, DEFAULT.means, DEFAULT.scales, strict=True)

    likely = DEFAULT.probability({name: mean + deviations * scale for name, mean, scale in figures})

    assert low < likely < high


@pytest.mark.parametrize("feature", DEFAULT.features)
def test_each_figure_speaks_for_an_answer_but_words_that_no_passage_has(feature: str) -> None:
    middling = dict(zip(DEFAULT.features, DEFAULT.means, strict=True))
    more = DEFAULT.probability(middling | {feature: middling[feature] + 0.1})

    assert (more < DEFAULT.probability(middling)) == (feature == "missing")
