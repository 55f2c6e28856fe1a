"""End to end, with the real embedder and index: pages to answers with sources, in two languages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rag.answering.extractive import ExtractiveAnswerer
from rag.chain import ConversationalChain
from rag.knowledge.sync.source import Synchronizer
from rag.retrieval.embeddings.models import PackagedEmbeddings
from rag.retrieval.index.edge.passages import EdgeIndex
from rag.retrieval.retriever import HybridRetriever, Pair
from rag.retrieval.sections import IndexedSections
from rag.retrieval.sparse import SparseEncoder
from rag.settings import ModelSettings, RetrievalSettings, SourceSettings
from rag.types import Answer, Done, Exchange, Question

PAGES = {
    "en/slack.md": (
        "# Slack\n\n## Connect Slack\n\nTo connect Slack, create a Slack app and set its two tokens:\n\n"
        "1. Create the app from the manifest.\n2. Set `SLACK_BOT_TOKEN`.\n3. Start the service.\n"
    ),
    "en/vacation.md": (
        "# Vacation\n\nEmployees have 25 days of vacation a year. Unused days expire at the end of March of the next year.\n"
    ),
    "es/slack.md": (
        "# Slack\n\n## Conectar Slack\n\nPara conectar Slack, crea una app de Slack y define sus dos tokens:\n\n"
        "1. Crea la app con el manifiesto.\n2. Define `SLACK_BOT_TOKEN`.\n3. Arranca el servicio.\n"
    ),
    "es/vacaciones.md": (
        "# Vacaciones\n\nLos empleados tienen 25 días de vacaciones al año. Los días sin usar caducan a finales de marzo.\n"
    ),
}


@pytest.fixture(scope="module")
def embeddings() -> PackagedEmbeddings:
    return PackagedEmbeddings()


@pytest.fixture
async def chain(tmp_path: Path, embeddings: PackagedEmbeddings) -> AsyncIterator[ConversationalChain]:
    for name, text in PAGES.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    index, sparse, settings = EdgeIndex(tmp_path / "index", embeddings.dimension), SparseEncoder(), RetrievalSettings()
    await index.open()
    source = SourceSettings(name="kb", path=tmp_path / "docs", base_url="https://help.example.com")
    await Synchronizer(index, embeddings, sparse).sync(source, tmp_path / "cache")
    retriever = HybridRetriever(serving=Pair(embeddings=embeddings, index=index), sparse=sparse, settings=settings)
    answerer = ExtractiveAnswerer(embeddings, sparse, ModelSettings(), sections=IndexedSections(retriever.serving))
    yield ConversationalChain(retriever, answerer, settings)
    await index.close()


async def ask(
    chain: ConversationalChain, text: str, audience: str = "public", history: Sequence[Exchange] = ()
) -> Answer:
    asked = Question(turn_id="t", conversation="c", text=text, audiences=frozenset({audience}))
    done = [event async for event in chain.astream(asked, history) if isinstance(event, Done)]
    return done[0].answer


async def talk(chain: ConversationalChain, *texts: str) -> list[Answer]:
    """The answers to questions of one conversation, whose history is the bot's own answers."""
    answers: list[Answer] = []
    history: list[Exchange] = []
    for number, text in enumerate(texts):
        answers.append(await ask(chain, text, history=history))
        history.append(
            Exchange(
                turn_id=str(number),
                question=text,
                answer=answers[-1].text,
                asked_at=datetime(2026, 1, 1, 12, number, tzinfo=UTC),
                speaker="ada",
                answered=answers[-1].outcome == "answered",
                audiences=("public",),
            )
        )
    return answers


async def test_a_how_to_is_answered_from_its_page_in_either_language(chain: ConversationalChain) -> None:
    english = await ask(chain, "How do I connect Slack?")
    assert english.text.startswith("According to **Slack: Connect Slack**:\n\nTo connect Slack, create a Slack app")
    assert "3. Start the service. [1]" in english.text
    assert english.sources[0].passage.url == "https://help.example.com/en/slack#connect-slack"
    spanish = await ask(chain, "¿Cómo conecto Slack?")
    assert spanish.language == "es"
    assert spanish.text.startswith("Según **Slack: Conectar Slack**:\n\nPara conectar Slack, crea una app")
    assert spanish.sources[0].passage.url == "https://help.example.com/es/slack#conectar-slack"


async def test_a_fact_is_quoted_with_its_source(chain: ConversationalChain) -> None:
    answer = await ask(chain, "How many days of vacation do employees have?")
    assert "Employees have 25 days of vacation a year. Unused days" in answer.text
    assert answer.text.endswith("of the next year. [1]")
    assert answer.sources[0].title == "Vacation"
    assert "caducan a finales de marzo. [1]" in (await ask(chain, "¿Cuándo caducan los días de vacaciones?")).text


@pytest.mark.parametrize("text", ["What is the capital of Mongolia?", "¿Cuál es la capital de Mongolia?"])
async def test_what_the_pages_do_not_say_is_declined(chain: ConversationalChain, text: str) -> None:
    answer = await ask(chain, text)
    assert (answer.outcome, answer.sources) == ("abstained", ())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("How many days of vacation do employees have?", "What is the capital of Mongolia?"),
        ("How do I connect Slack?", "who won the world cup in 1998"),
        ("¿Cuándo caducan los días de vacaciones?", "¿Cuál es la capital de Mongolia?"),
    ],
)
async def test_an_unrelated_question_is_not_answered_with_the_page_before(
    chain: ConversationalChain, first: str, second: str
) -> None:
    before, after = await talk(chain, first, second)
    assert before.outcome == "answered"
    assert (after.outcome, after.sources) == ("abstained", ())


async def test_a_follow_up_that_moves_on_is_answered_from_the_other_page(chain: ConversationalChain) -> None:
    before, after = await talk(chain, "How many days of vacation do employees have?", "And how do I connect Slack?")
    assert [answer.sources[0].title for answer in (before, after)] == ["Vacation", "Slack: Connect Slack"]


@pytest.mark.parametrize(
    ("first", "second", "title"),
    [
        ("How many days of vacation do employees have?", "And who gets them?", "Vacation"),
        ("¿Cuántos días de vacaciones tienen los empleados?", "¿y quién los tiene?", "Vacaciones"),
    ],
)
async def test_a_turn_of_hardly_a_word_is_understood_with_the_one_before(
    chain: ConversationalChain, first: str, second: str, title: str
) -> None:
    _, after = await talk(chain, first, second)
    assert (after.outcome, after.sources[0].title) == ("answered", title)


async def test_who_may_not_read_the_pages_gets_no_answer_and_no_name_of_one(chain: ConversationalChain) -> None:
    answer = await ask(chain, "How do I connect Slack?", audience="guests")
    assert answer.outcome == "abstained"
    assert "Slack" not in answer.text
