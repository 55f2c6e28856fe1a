"""The legs of a query, and how their matches become one ranking."""

from __future__ import annotations

import pytest

from rag.retrieval.embeddings.models import PackagedEmbeddings
from rag.retrieval.fusion import Fusion
from rag.retrieval.index.passages import Leg, Match
from rag.retrieval.legs import DECAY, REACH, Search, decayed_terms, searches
from rag.retrieval.sparse import SparseEncoder, SparseVector
from rag.types import Query

SPARSE = SparseEncoder()


class Written(PackagedEmbeddings):
    """Vectors that cost nothing; remembers the texts."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    async def aembed_queries(self, texts: list[str]) -> list[list[float]]:
        self.texts += texts
        return [[1.0, 0.0] for _ in texts]


async def legs(query: Query, language: str = "en") -> tuple[list[Search], list[str]]:
    embeddings = Written()
    return await searches(query, language, embeddings, SPARSE), embeddings.texts


def match(key: str, score: float, document: str = "", language: str = "") -> Match:
    return Match(key=key, document=document or key, position=0, version=1, score=score, language=language)


def meaning(name: str = "turn meaning", weight: float = 1.0) -> Search:
    return Search(name=name, weight=weight, leg=Leg(dense=[1.0]))


def words(name: str = "turn words", weight: float = 1.0) -> Search:
    return Search(name=name, weight=weight, leg=Leg(sparse=SparseVector(indices=[1], values=[1.0])))


async def test_a_question_alone_is_searched_for_by_meaning_and_by_words() -> None:
    found, _ = await legs(Query(text="How do I connect Slack?"))
    assert [search.name for search in found] == ["turn meaning", "turn words"]


async def test_a_turn_is_searched_for_with_what_was_said_of_late_latest_first_and_with_all_its_words() -> None:
    found, texts = await legs(Query(text="and contractors?", history=("How many holidays?", "Thirty days.")))
    assert [search.name for search in found] == ["turn meaning", "recent meaning", "turn words", "whole words"]
    assert texts == ["and contractors?", "and contractors?\nThirty days.\nHow many holidays?"]


async def test_a_rewritten_question_is_searched_for_too() -> None:
    found, texts = await legs(Query(text="and contractors?", rewritten="How many holidays do contractors have?"))
    assert texts[1] == "How many holidays do contractors have?"
    assert {"rewritten meaning", "rewritten words"} <= {search.name for search in found}


async def test_a_turn_without_a_word_to_search_for_has_no_leg_of_words() -> None:
    found, _ = await legs(Query(text="and?"))
    assert [search.name for search in found] == ["turn meaning"]


async def test_meaning_counts_less_in_a_language_that_the_packaged_model_does_not_know() -> None:
    weights = [(await legs(Query(text="¿Cómo conecto Slack?"), language))[0][0].weight for language in ("en", "es")]
    assert weights[1] < weights[0]


def test_words_in_another_language_count_what_their_search_says_and_those_of_an_unknown_one_in_full() -> None:
    searched = Search(name="turn words", weight=1.0, leg=words().leg, abroad=0.25)
    found = [match("same", 8.0, language="en"), match("other", 8.0, language="es"), match("unknown", 8.0)]
    fusion = Fusion([searched], 3, 80, language="en")
    assert fusion([found])[-1] == "other"
    assert fusion.fused["other"] == pytest.approx(fusion.fused["same"] / 4)
    assert fusion.fused["unknown"] == fusion.fused["same"]


async def test_words_fade_abroad_for_a_model_that_brings_languages_together() -> None:
    class Multilingual(Written):
        name = "of many languages"

    query = Query(text="How do I connect Slack?", history=("Hello", "Ask me"))
    english = await searches(query, "en", Written(), SPARSE)
    many = await searches(query, "en", Multilingual(), SPARSE)
    assert {search.abroad for search in english} == {1.0}
    assert {search.abroad < 1 for search in many if search.leg.sparse} == {True}
    assert {search.abroad for search in many if search.leg.dense} == {1.0}


def test_words_fade_with_every_utterance_and_count_as_when_they_were_said_last() -> None:
    (slack,) = SPARSE.encode_query("slack", "en").indices
    (token,) = SPARSE.encode_query("token", "en").indices
    vector = decayed_terms(("slack token", "yes", "the token"), "en", SPARSE)
    weights = dict(zip(vector.indices, vector.values, strict=True))
    assert weights[token] == 1.0
    assert weights[slack] == pytest.approx(DECAY**2)
    assert list(vector.indices) == sorted(vector.indices)


def test_what_was_said_long_ago_is_not_searched_for() -> None:
    assert (
        decayed_terms(("slack", *["yes"] * REACH), "en", SPARSE).indices
        == decayed_terms(("yes",), "en", SPARSE).indices
    )


def test_what_both_legs_find_comes_before_what_one_finds_first() -> None:
    fusion = Fusion([meaning(), words()], 3, 3)
    chosen = fusion(
        [
            [match("a", 0.9), match("b", 0.8), match("z", 0.1)],
            [match("c", 9.0), match("b", 8.0), match("y", 1.0)],
        ]
    )
    assert chosen[0] == "b"
    assert all(0 <= share <= 1 for share in fusion.fused.values())


def test_in_a_conversation_a_page_lends_its_best_passage_to_its_others() -> None:
    within = [match("a1", 0.9, "a"), match("b1", 0.5, "b"), match("a2", 0.45, "a"), match("c1", 0.1, "c")]
    assert Fusion([meaning("recent meaning")], 4, 4)([within]) == ["a1", "a2", "b1", "c1"]


def test_copies_that_tie_come_in_the_order_of_their_documents() -> None:
    copies = [match("x", 0.9, "b"), match("y", 0.9, "a"), match("z", 0.1, "c")]
    assert Fusion([meaning()], 2, 3)([copies]) == ["y", "x"]


def test_the_last_of_few_that_hold_a_word_still_counts_more_than_none() -> None:
    fusion = Fusion([words()], 5, 80)
    fusion([[match("a", 4.0), match("b", 2.0)]])
    assert fusion.fused["b"] == pytest.approx(0.5)


def test_nothing_found_is_nothing_chosen() -> None:
    assert Fusion([meaning(), words()], 3, 3)([[], []]) == []
