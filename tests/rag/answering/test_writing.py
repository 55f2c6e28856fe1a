"""The chain with a language model: what is written, what is checked, and what becomes of it when the model fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import HumanMessage
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rag.answering.generative import GenerativeAnswerer
from rag.answering.rewriting import Rewriter
from rag.chain import ConversationalChain
from rag.errors import ModelBusy, ModelError, ModelUnavailable
from rag.prompts.sentences import say
from rag.settings import MemorySettings, ModelSettings, RetrievalSettings
from rag.tracing import Tracing
from rag.types import AdapterRef, Answer, Background, Delta, Done, Exchange, Hit, Offer, Question
from tests.rag.fakes import FakeAnswerer, FakeFinder, passage, question
from tests.rag.heard import wishes
from tests.rag.scripted_model import ScriptedModel

PARCELS = Hit(passage=passage("Parcels arrive within three days.", title="Parcels"), score=0.9)
RETURNS = Hit(passage=passage("Returns are free for 30 days.", number=2, title="Returns"), score=0.8)


class Drops:
    """A grounder that drops every sentence with the word "invented"."""

    def __init__(self) -> None:
        self.dropped = 0
        self._held = ""

    def start(self, hits: Sequence[Hit], language: str) -> Drops:
        return Drops()

    async def feed(self, text: str) -> str:
        self._held += text
        *whole, self._held = self._held.split("\n")
        return "".join(f"{line}\n" for line in whole if self._keeps(line))

    async def finish(self) -> str:
        rest, self._held = self._held, ""
        return rest if self._keeps(rest) else ""

    def _keeps(self, line: str) -> bool:
        self.dropped += "invented" in line
        return "invented" not in line


def built(
    model: ScriptedModel, *, fallback: FakeAnswerer | None = None, callbacks: Sequence[Any] = (), **settings: Any
) -> ConversationalChain:
    return ConversationalChain(
        FakeFinder({"parcel": [PARCELS, RETURNS]}),
        GenerativeAnswerer(model, ModelSettings(**settings), MemorySettings()),
        RetrievalSettings(),
        fallback=fallback or FakeAnswerer("Parcels arrive within three days. [1]"),
        grounder=Drops(),
        rewriter=Rewriter(model),
        wishes=wishes(),
        callbacks=callbacks,
    )


async def ask(
    chain: ConversationalChain,
    asked: str | Question,
    history: Sequence[Exchange] = (),
    abandoned: asyncio.Event | None = None,
) -> Answer:
    asked = question(asked) if isinstance(asked, str) else asked
    events = [event async for event in chain.astream(asked, history, abandoned=abandoned)]
    assert isinstance(events[-1], Done)
    answer = events[-1].answer
    assert answer.text == "".join(event.text for event in events if isinstance(event, Delta))
    return answer


def exchange(asked: str, **more: Any) -> Exchange:
    return Exchange(
        turn_id="t0", question=asked, answer="Three days. [1]", asked_at=datetime(2025, 1, 1, tzinfo=UTC),
        speaker="ana", audiences=("public",), **more,
    )  # fmt: skip


async def test_what_the_model_writes_is_shown_with_its_sources() -> None:
    model = ScriptedModel(["They arrive within ", "three days. [1]"])
    answer = await ask(built(model), "When do parcels arrive?")
    assert (answer.text, answer.outcome, answer.model) == (
        "They arrive within three days. [1]",
        "answered",
        "scripted-1",
    )
    assert [source.title for source in answer.sources] == ["Parcels"]
    assert answer.shown == (PARCELS, RETURNS)


async def test_an_answer_is_held_against_what_its_writer_was_shown_and_nothing_else() -> None:
    class Remembers(Drops):
        held: list[tuple[Hit, ...]] = []  # noqa: RUF012

        def start(self, hits: Sequence[Hit], language: str) -> Drops:
            self.held.append(tuple(hits))
            return super().start(hits, language)

    model = ScriptedModel(["Within three days. [1]"])
    long = replace(RETURNS, passage=passage("Returns are free. " * 4000, number=2, title="Returns"))
    chain = ConversationalChain(
        FakeFinder({"parcel": [PARCELS, long]}),
        GenerativeAnswerer(model, ModelSettings(), MemorySettings()),
        RetrievalSettings(),
        grounder=Remembers(),
    )
    answer = await ask(chain, "When do parcels arrive?")
    assert answer.shown == (PARCELS,)
    assert Remembers.held == [(PARCELS,)]


async def test_what_is_not_supported_is_left_out_and_counted() -> None:
    model = ScriptedModel(["An invented claim. [1]\n", "Within three days. [1]"])
    answer = await ask(built(model), "When do parcels arrive?")
    assert (answer.text, answer.dropped) == ("Within three days. [1]", 1)


async def test_an_answer_of_which_nothing_is_supported_is_an_abstention() -> None:
    answer = await ask(built(ScriptedModel(["An invented claim. [1]"])), "When do parcels arrive?")
    assert (answer.outcome, answer.sources) == ("abstained", ())
    assert answer.text.startswith(say("en", "unknown"))


@pytest.mark.parametrize("error", [ModelUnavailable("no server"), ValueError("any model of LangChain's")])
async def test_a_failure_before_the_first_word_is_answered_with_quotes_that_say_so(error: Exception) -> None:
    answer = await ask(built(ScriptedModel([error])), "When do parcels arrive?")
    assert answer.text == f"{say('en', 'quoted')}\n\nParcels arrive within three days. [1]"
    assert (answer.model, answer.outcome, len(answer.sources)) == ("fake", "answered", 1)


async def test_a_failure_while_the_first_sentence_is_still_checked_counts_as_before_the_first_word() -> None:
    answer = await ask(built(ScriptedModel(["They arrive within thr", ModelError("gone")])), "When do parcels arrive?")
    assert answer.text == f"{say('en', 'quoted')}\n\nParcels arrive within three days. [1]"


async def test_a_full_queue_tells_for_how_long() -> None:
    busy = ModelBusy("64 answers wait", seconds=41.2)
    answer = await ask(built(ScriptedModel([busy])), "When do parcels arrive?")
    assert "in about 42 s" in answer.text


async def test_a_failure_later_ends_with_an_honest_sentence_and_without_half_a_sentence() -> None:
    model = ScriptedModel(["Within three days. [1]\nThey are not ", ModelUnavailable("closed")])
    answer = await ask(built(model), "When do parcels arrive?")
    assert answer.text.startswith("Within three days. [1]")
    assert answer.text.endswith(say("en", "cut_off"))
    assert "not" not in answer.text.removesuffix(say("en", "cut_off"))
    assert answer.interrupted


async def test_without_passages_that_answer_a_failing_model_leaves_an_abstention() -> None:
    answer = await ask(built(ScriptedModel([ModelError("gone")]), fallback=FakeAnswerer()), "When do parcels arrive?")
    assert answer.outcome == "abstained"


async def test_without_a_fallback_the_failure_is_raised() -> None:
    model = ScriptedModel([ModelError("gone")])
    answerer = GenerativeAnswerer(model, ModelSettings(), MemorySettings())
    chain = ConversationalChain(FakeFinder({"parcel": [PARCELS]}), answerer, RetrievalSettings())
    with pytest.raises(ModelError, match="gone"):
        await ask(chain, "parcel")


async def test_an_answer_that_got_too_long_says_so() -> None:
    model = ScriptedModel(["Within three days. [1]\nAnd the"])
    model.chat.finish_reason = "length"
    answer = await ask(built(model), "When do parcels arrive?")
    assert answer.text.startswith("Within three days. [1]")
    assert answer.text.endswith(say("en", "too_long"))


async def test_thinking_aloud_is_not_shown() -> None:
    model = ScriptedModel(["<think>The user wants", " days.</thi", "nk>\n\nWithin three days. [1]"])
    assert (await ask(built(model), "When do parcels arrive?")).text == "Within three days. [1]"


async def test_an_answer_that_nobody_waits_for_ends_at_once_while_the_model_is_silent() -> None:
    model = ScriptedModel(["Within three days. [1]\n", asyncio.Event(), "never"])
    abandoned = asyncio.Event()
    text = ""
    async for event in built(model).astream(question("When do parcels arrive?"), [], abandoned=abandoned):
        if isinstance(event, Delta):
            text += event.text
            abandoned.set()
    assert text.split("\n", 1)[0] == "Within three days. [1]"
    assert text.endswith(f"\n{say('en', 'stopped')}")
    assert isinstance(event, Done)
    assert (event.answer.text, event.answer.interrupted) == (text, True)
    assert model.chat.closed == 1


async def test_an_answer_that_nobody_waits_for_does_not_begin() -> None:
    model = ScriptedModel(["Within three days. [1]"])
    abandoned = asyncio.Event()
    abandoned.set()
    answer = await ask(built(model), "When do parcels arrive?", abandoned=abandoned)
    assert (answer.text, model.chat.calls) == (say("en", "stopped"), [])


async def test_who_is_cancelled_while_the_model_is_silent_ends_its_stream() -> None:
    silent = asyncio.Event()
    model = ScriptedModel(["Within three days. [1]\n", silent])
    shown = asyncio.Event()

    async def listen() -> None:
        async for event in built(model).astream(question("When do parcels arrive?"), []):
            if isinstance(event, Delta):
                shown.set()

    listening = asyncio.create_task(listen())
    await shown.wait()
    listening.cancel()
    await asyncio.wait([listening])
    assert listening.cancelled()
    assert model.chat.closed == 1


async def test_a_reader_who_leaves_ends_the_models_stream() -> None:
    model = ScriptedModel(["Within three days. [1]\n", *["More. [1]\n"] * 10_000])
    stream = built(model).astream(question("When do parcels arrive?"), [])
    async for event in stream:
        if isinstance(event, Delta):
            break
    await stream.aclose()
    assert model.chat.closed == 1


async def test_the_adapter_of_the_turn_writes_it_and_is_named() -> None:
    model = ScriptedModel(["Within three days. [1]"])
    adapter = AdapterRef(name="house", path="/a", digest="d")
    answer = await ask(built(model), replace(question("When do parcels arrive?"), adapter=adapter))
    assert answer.adapter == "house"
    assert model.chat.calls[0][1]["adapter"] == adapter


async def test_only_a_turn_that_leans_on_the_past_is_rewritten_and_by_the_base_model() -> None:
    model = ScriptedModel(["“When do parcels to Spain arrive?”\nSecond line"], ["Three days. [1]"])
    chain = built(model)
    finder = chain._retriever
    assert isinstance(finder, FakeFinder)
    adapter = AdapterRef(name="house", path="/a", digest="d")
    await ask(chain, replace(question("and to Spain?"), adapter=adapter), [exchange("When do parcels arrive?")])
    assert finder.queries[0].rewritten == "When do parcels to Spain arrive?"
    assert [options["adapter"] for _, options in model.chat.calls] == [None, adapter]


async def test_a_turn_that_stands_alone_costs_one_call() -> None:
    model = ScriptedModel(["Three days. [1]"])
    await ask(built(model), "When do parcels arrive?", [exchange("Are returns free?")])
    assert len(model.chat.calls) == 1


async def test_a_rewriting_that_fails_is_done_without() -> None:
    model = ScriptedModel([ModelError("gone")], ["Three days. [1]"])
    answer = await ask(built(model), "and how are they packed?", [exchange("When do parcels arrive?")])
    assert answer.text == "Three days. [1]"


async def test_a_past_answer_that_these_readers_may_not_read_is_not_in_the_prompt() -> None:
    model = ScriptedModel(["Three days. [1]"])
    secret = replace(exchange("What does the parcel contract cost?"), answer="9 million", audiences=("staff",))
    await ask(built(model), "When do parcels arrive?", [secret])
    prompt = "\n".join(message.text for message in model.chat.calls[0][0])
    assert "9 million" not in prompt


async def test_people_of_a_group_are_told_apart_by_name() -> None:
    model = ScriptedModel(["Three days. [1]"])
    asked = replace(question("When do my parcels arrive?"), speaker="bea", speaker_name="Bea")
    await ask(built(model), asked, [exchange("Are returns free?", speaker_name="Ana")])
    messages = model.chat.calls[0][0]
    assert next(message.text for message in messages if isinstance(message, HumanMessage)) == "Ana: Are returns free?"
    assert "Question (Bea): When do my parcels arrive?" in messages[-1].text


async def test_the_answer_tells_what_stood_in_the_prompt() -> None:
    model = ScriptedModel(["Three days. [1]"])
    known = Background(summary="They live in Spain.", notes=("works part time",))
    asked = replace(question("When do parcels arrive?"), background=known)
    answer = await ask(built(model), asked, [exchange("Are returns free?")])
    assert (answer.recalled, answer.background) == (("t0",), known)
    assert "They live in Spain." in model.chat.calls[0][0][-1].text


async def test_a_model_gets_a_yes_as_it_was_written_and_what_quotes_in_its_place_what_was_offered() -> None:
    section = PARCELS.passage
    offer = Offer(document=section.document, title=section.title, headings=section.headings)
    history = [exchange("Who pays for a parcel?", answered=False, outcome="abstained", offer=offer)]
    fallback, model = FakeAnswerer("Within three days. [1]"), ScriptedModel([ModelUnavailable("gone")])
    answer = await ask(built(model, fallback=fallback), "yes please", history)
    assert fallback.asked[-1][0].text == "Parcels"
    assert "yes please" in str(model.chat.calls[-1])
    assert [source.title for source in answer.sources] == ["Parcels"]


async def test_who_wants_a_person_is_heard_without_the_model() -> None:
    model = ScriptedModel()
    answer = await ask(built(model), "Can I talk to a person?")
    assert (answer.outcome, answer.answered, model.chat.calls) == ("wants_person", False, [])


class Runs(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.models = 0
        self.tokens = 0

    async def on_chat_model_start(self, serialized: Any, messages: Any, **more: Any) -> None:
        self.models += 1

    async def on_llm_new_token(self, token: Any, **more: Any) -> None:
        self.tokens += 1


async def test_callbacks_reach_the_model_within_the_stages() -> None:
    runs = Runs()
    chain = built(ScriptedModel(["Three ", "days. [1]"]))
    async for _ in chain.astream(question("When do parcels arrive?"), [], {"callbacks": [runs]}):
        pass
    assert runs.models == 1
    assert runs.tokens >= 2


async def test_a_trace_tells_stages_and_tokens_and_no_text() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider.get_tracer("test"))
    await ask(built(ScriptedModel(["Three days. [1]"]), callbacks=[tracing]), "When do parcels arrive?")
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert {"conversation", "condense", "retrieve", "answer", "ground"} <= set(spans)
    (model,) = [span for name, span in spans.items() if name.startswith("chat ")]
    assert model.attributes is not None
    assert (model.attributes["gen_ai.usage.input_tokens"], model.attributes["gen_ai.usage.output_tokens"]) == (7, 3)
    assert model.parent is not None
    assert model.context is not None
    assert model.context.trace_id == spans["conversation"].context.trace_id
    told = "\n".join(span.to_json() for span in exporter.get_finished_spans())
    assert "parcel" not in told.lower()
    assert "Three days" not in told


async def test_a_failing_stage_is_told_by_its_class() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    chain = built(ScriptedModel([ModelError("parcel secret")]), callbacks=[Tracing(provider.get_tracer("test"))])
    await ask(chain, "When do parcels arrive?")
    told = "\n".join(span.to_json() for span in exporter.get_finished_spans())
    assert "ModelError" in told
    assert "parcel secret" not in told
