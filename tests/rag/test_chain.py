"""The conversational chain over fakes of its two seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.runnables import RunnableConfig

from rag.answering.answerer import Quoted
from rag.chain import ConversationalChain
from rag.errors import IndexUnavailable, ModelError
from rag.prompts.sentences import abstention, say
from rag.retrieval.index.passages import Scope
from rag.settings import RetrievalSettings
from rag.types import AdapterRef, Answer, ChainEvent, Delta, Done, Exchange, Hit, Progress, Query, Question, Retrieval
from tests.rag.fakes import FakeAnswerer, FakeFinder, passage, question
from tests.rag.heard import wishes

SLACK = Hit(passage=passage("Slack text.", number=1, title="Slack"), score=0.9)
HTTP = Hit(passage=passage("HTTP text.", number=2, title="HTTP"), score=0.7)
WEAK = Hit(passage=passage("Weak.", number=3, title="Other"), score=0.3)


def exchange(text: str) -> Exchange:
    return Exchange(
        turn_id="t0", question=text, answer="…", asked_at=datetime(2025, 1, 1, tzinfo=UTC), speaker="ana",
        audiences=("public",),
    )  # fmt: skip


def chain(finder: FakeFinder, *pieces: str, error: Exception | None = None) -> tuple[ConversationalChain, FakeAnswerer]:
    answerer = FakeAnswerer(*pieces, error=error)
    return ConversationalChain(finder, answerer, RetrievalSettings(limit=3), wishes=wishes()), answerer


async def ask(
    built: ConversationalChain,
    text: str | Question,
    history: Sequence[Exchange] = (),
    config: RunnableConfig | None = None,
) -> tuple[Answer, list[str]]:
    """The answer, and the other events as words."""
    asked = question(text) if isinstance(text, str) else text
    events = [event async for event in built.astream(asked, history, config)]
    assert isinstance(events[-1], Done)
    answer = events[-1].answer
    assert answer.text == "".join(event.text for event in events if isinstance(event, Delta))
    return answer, [event.stage if isinstance(event, Progress) else "text" for event in events[:-1]]


async def test_an_answer_streams_with_its_sources_numbered_as_they_appear() -> None:
    built, _ = chain(
        FakeFinder({"slack": [SLACK, HTTP]}), "From the second [2]. ", "From the first [1", "]. Nothing [7]."
    )
    answer, events = await ask(built, "How do I connect Slack?")
    assert answer.text == "From the second [1]. From the first [2]. Nothing."
    assert [(source.number, source.title) for source in answer.sources] == [(1, "HTTP"), (2, "Slack")]
    assert answer.outcome == "answered"
    assert (answer.model, answer.language, answer.shown) == ("fake", "en", (SLACK, HTTP))
    assert events == ["condense", "retrieve", "answer", "text", "text", "text"]
    assert set(answer.seconds) == {"condense", "retrieve", "answer", "ground"}


@pytest.mark.parametrize(("text", "language"), [("What is Slack weak on?", "en"), ("¿Qué es débil en Slack?", "es")])
async def test_weak_hits_are_no_answer(text: str, language: str) -> None:
    built, answerer = chain(FakeFinder({"slack": [WEAK]}), "never")
    answer, events = await ask(built, text)
    assert answer.outcome == "abstained"
    assert not answer.answered
    assert answer.text.startswith(say(language, "unknown"))
    assert "[Other](<https://help.example.com/Other>)" in answer.text
    assert answer.sources == ()
    assert answer.shown == (WEAK,)
    assert answerer.asked == []
    assert events == ["condense", "retrieve", "text"]


async def test_a_page_that_has_nothing_to_do_with_the_question_is_not_named() -> None:
    built, _ = chain(FakeFinder({"slack": [replace(WEAK, score=0.2)]}))
    assert (await ask(built, "Slack?"))[0].text == abstention("en", None)


async def test_nothing_found_and_nothing_said_are_abstentions_too() -> None:
    assert (await ask(chain(FakeFinder({}), "never")[0], "How?"))[0].text == abstention("en", None)
    silent, _ = chain(FakeFinder({"slack": [SLACK]}))
    assert (await ask(silent, "Slack?"))[0].outcome == "abstained"


@pytest.mark.parametrize(
    ("text", "sentence", "language"),
    [("gracias!", "thanks", "es"), ("Hello", "greeting", "en"), ("¿Quién eres?", "identity", "es")],
)
async def test_small_talk_needs_no_retrieval(text: str, sentence: Any, language: str) -> None:
    finder = FakeFinder({"": [SLACK]})
    answer, events = await ask(chain(finder, "never")[0], text)
    assert (answer.text, answer.outcome, answer.language) == (say(language, sentence), "small_talk", language)
    assert finder.queries == []
    assert events == ["condense", "text"]


@pytest.mark.parametrize(("hint", "language"), [("es-MX", "es"), ("es", "es"), ("xx", "en"), (None, "en")])
async def test_the_platforms_hint_decides_only_where_the_text_does_not(hint: str | None, language: str) -> None:
    built, _ = chain(FakeFinder({}))
    assert (await ask(built, question("🙂", language=hint)))[0].language == language
    assert (await ask(built, question("Where is the log?", language=hint)))[0].language == "en"


async def test_an_undecided_text_is_answered_in_the_language_of_the_conversation() -> None:
    built, _ = chain(FakeFinder({}))
    answer, _ = await ask(built, question("COTORRA_HOME", language="en"), [exchange("¿Dónde están los datos?")])
    assert answer.language == "es"


async def test_a_turn_is_searched_for_with_what_was_asked_before_it_and_nothing_that_the_bot_said() -> None:
    finder = FakeFinder({"http": [HTTP]})
    built, answerer = chain(finder, "Yes [1].")
    answered = replace(exchange("How do I connect Slack?"), answer="With a token [1], see `a[1](x)`.")
    refused = replace(exchange("Who won the cup?"), answer="I do not know.", answered=False)
    await ask(built, "and over HTTP?", [answered, refused])
    history = ("How do I connect Slack?", "Who won the cup?")
    assert finder.queries == [Query(text="and over HTTP?", history=history, language="en")]
    assert answerer.asked[0][0].text == "and over HTTP?"


async def test_the_scope_is_what_the_readers_and_their_tenant_may_read() -> None:
    finder = FakeFinder({"slack": [SLACK]})
    asked = replace(question("Slack?"), audiences=frozenset({"public", "staff"}), tenant="acme")
    await ask(chain(finder, "x [1]")[0], asked)
    assert finder.scopes == [Scope(audiences=frozenset({"public", "staff"}), tenants=frozenset({"", "acme"}))]


async def test_the_rest_of_the_best_section_comes_before_better_scores_elsewhere() -> None:
    more = Hit(passage=passage("More.", number=9, title="Slack"), score=0.6)
    built, _ = chain(FakeFinder({"slack": [SLACK, HTTP, more]}), "x [1]")
    assert (await ask(built, "Slack"))[0].shown == (SLACK, more, HTTP)


async def test_a_long_question_is_cut_for_the_search_only() -> None:
    finder = FakeFinder({"slack": [SLACK]})
    built, answerer = chain(finder, "x [1]")
    await ask(built, "slack " * 700)
    assert len(finder.queries[0].text) == 1000
    assert len(answerer.asked[0][0].text) > 4000


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "🙂🙂",
        "\x00",
        "\ud800",
        "???",
        "שלום, איך מחברים?",
        "a\x00b\ud83d c",
        "xq " * 1333,
        "`" * 4000,
        "[1]" * 9,
    ],
)
async def test_no_text_makes_it_raise(text: str) -> None:
    answer, _ = await ask(chain(FakeFinder({}), "never")[0], text, [exchange(text)])
    assert answer.outcome == "abstained"
    assert answer.text


async def test_the_adapter_that_answered_is_named() -> None:
    built, _ = chain(FakeFinder({"slack": [SLACK]}), "x [1]")
    asked = Question(
        turn_id="t", conversation="c", text="Slack", audiences=frozenset({"public"}),
        adapter=AdapterRef(name="house-style", path="/a", digest="d"),
    )  # fmt: skip
    assert (await ask(built, asked))[0].adapter == "house-style"


class Names(AsyncCallbackHandler):
    """The names of the runs that LangChain reports."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.failed = 0

    async def on_chain_start(
        self, serialized: dict[str, Any], inputs: dict[str, Any], *, run_id: UUID, **kwargs: Any
    ) -> None:
        self.started.append(kwargs["name"])

    async def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self.failed += 1


async def test_langchain_callbacks_see_every_stage_by_its_name() -> None:
    names = Names()
    await ask(chain(FakeFinder({"slack": [SLACK]}), "x [1]")[0], "Slack", config={"callbacks": [names]})
    assert names.started == ["conversation", "condense", "retrieve", "answer", "ground"]


async def test_a_failing_model_is_raised_through_the_stream_after_what_was_said() -> None:
    names = Names()
    built, _ = chain(FakeFinder({"slack": [SLACK]}), "So far [1]. ", error=ModelError("out of memory"))
    said: list[ChainEvent] = []

    async def listen() -> None:
        async for event in built.astream(question("Slack"), [], {"callbacks": [names]}):
            said.append(event)

    with pytest.raises(ModelError, match="out of memory"):
        await listen()
    assert Delta(text="So far [1].") in said
    assert names.failed


async def test_an_index_that_is_gone_is_raised() -> None:
    class Gone(FakeFinder):
        async def find(self, *args: Any, **kwargs: Any) -> Retrieval:
            raise IndexUnavailable("gone")

    with pytest.raises(IndexUnavailable):
        await ask(chain(Gone({}))[0], "Slack?")


async def test_who_stops_listening_stops_the_answerer() -> None:
    closed: list[bool] = []

    class Endless(FakeAnswerer):
        async def astream(self, *args: Any) -> Any:
            try:
                while True:
                    yield Quoted(text="more ")
            finally:
                closed.append(True)

    built = ConversationalChain(FakeFinder({"slack": [SLACK]}), Endless(), RetrievalSettings())
    stream = built.astream(question("Slack"), [])
    async for event in stream:
        if isinstance(event, Delta):
            break
    await stream.aclose()
    assert closed == [True]
