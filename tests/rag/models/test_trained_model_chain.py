"""The whole chain with a model that writes: pages indexed, found, answered from, each sentence checked, each source cited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest
import pytest_asyncio

from rag.answering.generative import GenerativeAnswerer
from rag.answering.rewriting import Rewriter
from rag.chain import ConversationalChain
from rag.grounding.grounder import Grounder
from rag.knowledge.sync.source import Synchronizer
from rag.models.local.deferred import load_local
from rag.retrieval.embeddings.models import PackagedEmbeddings
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.retriever import HybridRetriever, Pair
from rag.retrieval.sparse import SparseEncoder
from rag.settings import MemorySettings, RetrievalSettings, SourceSettings
from rag.types import AdapterRef, Answer, Delta, Done, Exchange, Query, Retrieval
from tests.models.asking import SHOP, exchange, question, settings_of
from tests.models.conversations import MANNERS, styled
from tests.models.facts import shop
from tests.models.trained import Trained

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Watched:
    """The retriever, with what it was asked."""

    def __init__(self, retriever: HybridRetriever) -> None:
        self._retriever = retriever
        self.queries: list[Query] = []

    async def find(self, query: Query, *given: object, **options: object) -> Retrieval:
        self.queries.append(query)
        return await self._retriever.find(query, *given, **options)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    chain: ConversationalChain
    finder: Watched

    async def asks(
        self, text: str, history: Sequence[Exchange] = (), adapter: AdapterRef | None = None
    ) -> tuple[Answer, list[str]]:
        """The answer, and the pieces in which it was shown."""
        events = [event async for event in self.chain.astream(question(text, adapter), history)]
        last = events[-1]
        assert isinstance(last, Done)
        return last.answer, [event.text for event in events if isinstance(event, Delta)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    home = tmp_path_factory.mktemp("shop")
    (home / "docs").mkdir()
    for fact in shop():
        (home / "docs" / f"{fact.title.lower()}.md").write_text(fact.page, encoding="utf-8")
    embeddings, sparse, retrieval = PackagedEmbeddings(), SparseEncoder(), RetrievalSettings()
    index = EdgeIndex(home / "index", embeddings.dimension)
    await index.open()
    source = SourceSettings(name="shop", path=home / "docs", base_url="https://shop.example.com")
    await Synchronizer(index, embeddings, sparse).sync(source, home / "cache")
    finder = Watched(
        HybridRetriever(serving=Pair(embeddings=embeddings, index=index), sparse=sparse, settings=retrieval)
    )
    settings = settings_of(trained)
    model = await load_local(settings, lambda _: None)
    chain = ConversationalChain(
        finder,
        GenerativeAnswerer(model, settings, MemorySettings()),
        retrieval,
        grounder=Grounder(embeddings, sparse, settings),
        rewriter=Rewriter(model),
    )
    yield Scene(chain=chain, finder=finder)
    await model.close()
    await index.close()


def cited(answer: Answer) -> list[str]:
    return [source.title for source in answer.sources]


@pytest.mark.parametrize("subject", ["parcels", "lamps", "drills", "keys", "the library", "refunds", "shoes", "dogs"])
async def test_the_answer_is_the_pages_sentence_with_its_page_as_the_one_source(scene: Scene, subject: str) -> None:
    fact = SHOP[subject]
    answer, _ = await scene.asks(fact.question())
    assert (answer.text.strip(), answer.outcome) == (f"{fact.sentence} [1]", "answered")
    assert cited(answer) == [fact.title]
    assert len(answer.shown) > 1
    assert answer.dropped == 0


@pytest.mark.parametrize("subject", ["los paquetes", "las velas", "los cascos", "el taller"])
async def test_a_question_in_spanish_is_answered_in_spanish(scene: Scene, subject: str) -> None:
    fact = SHOP[subject]
    answer, _ = await scene.asks(fact.question())
    assert answer.text.strip() == f"{fact.sentence} [1]"
    assert (answer.language, cited(answer)) == ("es", [fact.title])


@pytest.mark.parametrize("text", ["How long do tables take?", "Who approves holidays?", "¿Cuánto cuestan las mesas?"])
async def test_what_no_page_says_is_abstained_from(scene: Scene, text: str) -> None:
    answer, _ = await scene.asks(text)
    assert answer.outcome == "abstained"
    assert answer.sources == ()


async def test_a_follow_up_is_rewritten_searched_for_and_answered(scene: Scene) -> None:
    parcels, pallets = SHOP["parcels"], SHOP["pallets"]
    past = [exchange(parcels.question(), f"{parcels.sentence} [1]")]
    answer, _ = await scene.asks("And pallets?", past)
    assert scene.finder.queries[-1].rewritten == pallets.standalone_question
    assert (answer.text.strip(), cited(answer)) == (f"{pallets.sentence} [1]", [pallets.title])


@pytest.mark.parametrize("manner", MANNERS)
async def test_an_adapters_manner_survives_the_check_of_its_sentences(
    scene: Scene, trained: Trained, manner: str
) -> None:
    for fact in (SHOP["parcels"], SHOP["las velas"]):
        answer, _ = await scene.asks(fact.question(), adapter=trained.adapter(manner))
        assert answer.text.strip() == f"{styled(fact, manner)} [1]"
        assert (answer.adapter, answer.dropped) == (manner, 0)
