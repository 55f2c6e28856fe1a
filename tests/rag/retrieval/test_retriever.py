"""From a question to scored passages, over the packaged model and the real engine, on a handbook of a few pages."""

from __future__ import annotations

import math
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rag.retrieval.calibrated import Calibrations
from rag.retrieval.calibration import DEFAULT
from rag.retrieval.embeddings.models import PackagedEmbeddings
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.index.passages import IndexedPassage, Scope
from rag.retrieval.retriever import HybridRetriever, Pair
from rag.retrieval.sparse import SparseEncoder
from rag.settings import RetrievalSettings
from rag.types import Passage, Query, Retrieval

EVERYONE = frozenset({"public"})
PAGES = (
    ("en", "public", "Slack", "Connect Slack", "Create an app from the manifest, install it and set the tokens."),
    ("en", "public", "Slack", "Channels", "Invite the bot. It answers when it is mentioned and follows the thread."),
    ("en", "public", "Telegram", "Connect Telegram", "Ask BotFather for a token and set TELEGRAM_BOT_TOKEN."),
    ("en", "public", "Documents", "Add documents", "Put Markdown files in a folder and run cotorra sync."),
    ("en", "public", "Privacy", "Forget a person", "The command /forget deletes what memory and log hold about you."),
    ("en", "public", "Backup", "Back up the data", "Stop the service and copy COTORRA_HOME."),
    ("en", "public", "Scaling", "More workers", "Start cotorra worker on any host; all share Redis and Qdrant."),
    ("en", "employees", "Salaries", "Pay day", "Salaries are paid on the last working day of a month."),
    ("es", "public", "Slack", "Conectar Slack", "Crea una aplicación con el manifiesto, instálala y pon los tokens."),
    ("es", "public", "Telegram", "Conectar Telegram", "Pide un token a BotFather y ponlo en TELEGRAM_BOT_TOKEN."),
    ("es", "public", "Documentos", "Añadir documentos", "Pon ficheros Markdown en una carpeta y ejecuta cotorra sync."),
    ("es", "public", "Privacidad", "Olvidar a una persona", "La orden /forget borra lo que guardan la memoria y el registro."),
)  # fmt: skip


def page(number: int) -> Passage:
    language, audience, title, heading, text = PAGES[number]
    return Passage(
        id=f"page-{number}",
        document=f"{language}/{title}-{number}.md",
        source="handbook",
        title=title,
        headings=(title, heading),
        url="",
        text=text,
        position=0,
        language=language,
        audience=audience,
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def retriever() -> AsyncIterator[HybridRetriever]:
    embeddings, sparse = PackagedEmbeddings(), SparseEncoder()
    with tempfile.TemporaryDirectory() as folder:
        index = EdgeIndex(Path(folder), embeddings.dimension)
        await index.open()
        for number in range(len(PAGES)):
            each = page(number)
            shown = "\n".join((each.title, *each.headings, each.text))
            (dense,) = embeddings.embed_documents([shown])
            written = IndexedPassage(passage=each, dense=dense, sparse=sparse.encode_passage(shown, each.language))
            await index.replace(each.document, "handbook", "d1", [written])
        yield HybridRetriever(
            serving=Pair(embeddings=embeddings, index=index), sparse=sparse, settings=RetrievalSettings()
        )
        await index.close()


async def ask(retriever: HybridRetriever, text: str, **fields: Any) -> Retrieval:
    return await retriever.find(Query(text=text, **fields), Scope(audiences=EVERYONE))


@pytest.mark.parametrize(
    ("question", "language", "heading"),
    [
        ("How do I connect Slack?", "en", "Connect Slack"),
        ("how to connect telegram", "en", "Connect Telegram"),
        ("How do I make it forget a person?", "en", "Forget a person"),
        ("How do I back up the data?", "en", "Back up the data"),
        ("¿Cómo conecto Slack?", "es", "Conectar Slack"),
        ("como conecto telegram", "es", "Conectar Telegram"),
        ("¿Cómo añado documentos?", "es", "Añadir documentos"),
    ],
)
async def test_a_question_that_the_handbook_answers_finds_the_page_in_its_language(
    retriever: HybridRetriever, question: str, language: str, heading: str
) -> None:
    found = await ask(retriever, question)
    best = found.hits[0]
    assert best.passage.headings[-1] == heading
    assert best.passage.language == language
    assert found.score > retriever.settings.threshold


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of Mongolia?",
        "Who won the 1998 world cup?",
        "¿Cuál es la capital de Mongolia?",
        "¿Quién ganó el mundial de 1998?",
        "What is the best recipe for paella?",
        "How do I cook rice?",
        "🦜",
        "how do I",
    ],
)
async def test_a_question_that_the_handbook_does_not_answer_scores_below_the_threshold(
    retriever: HybridRetriever, question: str
) -> None:
    assert (await ask(retriever, question)).score < retriever.settings.threshold


async def test_the_language_given_outweighs_the_one_detected(retriever: HybridRetriever) -> None:
    best = (await ask(retriever, "Slack", language="es")).hits[0]
    assert best.passage.language == "es"


async def test_scores_fall_and_stay_within_zero_and_one(retriever: HybridRetriever) -> None:
    found = await retriever.find(Query(text="connect Slack"), Scope(audiences=EVERYONE), limit=50)
    scores = [hit.score for hit in found.hits]
    assert scores[0] == found.score
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


async def test_the_limit_is_the_setting_unless_given(retriever: HybridRetriever) -> None:
    scope = Scope(audiences=EVERYONE)
    assert len((await retriever.find(Query(text="slack"), scope)).hits) == retriever.settings.limit
    assert len((await retriever.find(Query(text="slack"), scope, limit=2)).hits) == 2


async def test_only_what_the_audiences_may_read_is_found(retriever: HybridRetriever) -> None:
    asked = "When are salaries paid?"
    assert "employees" not in {hit.passage.audience for hit in (await ask(retriever, asked)).hits}
    staff = await retriever.find(Query(text=asked), Scope(audiences=EVERYONE | {"employees"}))
    assert staff.hits[0].passage.title == "Salaries"
    nobody = await retriever.find(Query(text=asked), Scope(audiences=frozenset()))
    assert (nobody.hits, nobody.score) == ((), 0.0)


@pytest.mark.parametrize("text", ["", " ", "half a pair \ud83e", "\x00", "slack " * 20_000])
async def test_any_text_can_be_asked(retriever: HybridRetriever, text: str) -> None:
    assert (await ask(retriever, text)).hits


async def test_langchain_gets_documents_that_carry_the_passage(retriever: HybridRetriever) -> None:
    documents = await retriever.ainvoke("How do I connect Slack?")
    passage = documents[0].metadata["passage"]
    assert passage == page(0)
    assert documents[0].page_content == passage.text
    assert "Salaries" not in {document.metadata["passage"].title for document in documents}


async def test_langchain_can_name_the_audiences(retriever: HybridRetriever) -> None:
    documents = await retriever.ainvoke("When are salaries paid?", audiences=EVERYONE | {"employees"})
    assert documents[0].metadata["passage"].title == "Salaries"


class Adapted(PackagedEmbeddings):
    """The same vectors under the name of an adapter."""

    query_name = "all-MiniLM-L6-v2+c0ffee"


async def test_the_score_is_calibrated_for_the_adapter_that_embedded_the_question(retriever: HybridRetriever) -> None:
    provenance = replace(DEFAULT.provenance, embedding=Adapted.query_name)
    learned = replace(DEFAULT, intercept=DEFAULT.intercept - 2.0, provenance=provenance)
    assert isinstance(retriever.serving, Pair)
    adapted = replace(retriever.serving, embeddings=Adapted())
    calibrations = Calibrations(DEFAULT, learned=learned)
    scores = [
        (await ask(retriever.model_copy(update={"serving": pair, "calibrations": calibrations}), "Connect Slack")).score
        for pair in (retriever.serving, adapted)
    ]
    assert scores[0] == pytest.approx((await ask(retriever, "Connect Slack")).score)
    odds = [math.log(score / (1 - score)) for score in scores]
    assert odds[0] - odds[1] == pytest.approx(2.0, abs=0.01)
