"""What no document answers: courtesies, the conversation itself, the bot, and a yes to what the bot offered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rag.answering.answerer import Piece
from rag.answering.wishes import LISTED, Reply, Wishes
from rag.chain import ConversationalChain
from rag.intents.intent import INTENTS, Heard, Intent
from rag.prompts.sentences import say
from rag.settings import RetrievalSettings, SourceSettings
from rag.types import Answer, Background, Done, Exchange, Hit, Outcome, Question
from tests.rag.fakes import FakeAnswerer, FakeFinder, passage, question
from tests.rag.heard import wishes

DESK = Hit(passage=passage("The Atlas desk costs 480 euros.", number=1, title="Atlas desk"), score=0.3)
CHAIR = Hit(passage=passage("The chair has arms.", number=2, title="Nimbus chair"), score=0.2)
PARCELS = Hit(passage=passage("Parcels arrive within three days.", number=3, title="Parcels"), score=0.9)
SOURCES = (
    SourceSettings(name="handbook", path=Path("docs")),
    SourceSettings(name="salaries", path=Path("salaries"), audience="board"),
    SourceSettings(name="acme_contract", path=Path("acme"), tenant="acme"),
)


class Titles(FakeAnswerer):
    """Quotes the first passage, whatever is asked."""

    async def astream(
        self, question: Question, history: Sequence[Exchange], hits: Sequence[Hit], language: str
    ) -> AsyncGenerator[Piece]:
        self.pieces = (f"{hits[0].passage.text} [1]",)
        async for piece in super().astream(question, history, hits, language):
            yield piece


@dataclass
class Talk:
    """A conversation that remembers what the service would."""

    hits: dict[str, Sequence[Hit]]
    audiences: frozenset[str] = frozenset({"public"})
    tenant: str = ""
    summary: str = ""
    history: list[Exchange] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.finder, self.answerer = FakeFinder(self.hits), Titles()
        self.chain = ConversationalChain(self.finder, self.answerer, RetrievalSettings(), wishes=wishes(SOURCES))

    async def ask(self, text: str, speaker: str = "ana") -> Answer:
        asked = replace(
            question(text),
            audiences=self.audiences,
            tenant=self.tenant,
            speaker=speaker,
            background=Background(summary=self.summary),
        )
        *_, done = [event async for event in self.chain.astream(asked, self.history)]
        assert isinstance(done, Done)
        answer = done.answer
        self.history.append(
            Exchange(
                turn_id=f"t{len(self.history)}", question=text, answer=answer.text, asked_at=datetime.now(UTC),
                speaker=speaker, answered=answer.outcome == "answered", audiences=tuple(self.audiences),
                tenant=self.tenant, outcome=answer.outcome, offer=answer.offer,
            )
        )  # fmt: skip
        return answer


@pytest.fixture
def talk() -> Talk:
    return Talk({"atlas": [DESK, CHAIR], "parcel": [PARCELS]})


@pytest.mark.parametrize(
    ("text", "sentence", "language"),
    [
        ("hola", "greeting", "es"),
        ("thank you!", "thanks", "en"),
        ("hasta luego", "goodbye", "es"),
        ("ok, got it", "acknowledgement", "en"),
        ("¿eres un bot?", "identity", "es"),
        ("what can you do?", "abilities", "en"),
    ],
)
async def test_courtesies_and_questions_about_the_bot_need_no_search(
    talk: Talk, text: str, sentence: str, language: str
) -> None:
    answer = await talk.ask(text)
    assert (answer.text, answer.outcome, answer.language) == (say(language, sentence), "small_talk", language)  # type: ignore[arg-type]
    assert talk.finder.queries == []


async def test_what_was_asked_before_is_told_from_the_conversation(talk: Talk) -> None:
    for text in ("When do parcels arrive?", "thanks", "And the *Atlas* desk?"):
        await talk.ask(text)
    answer = await talk.ask("What did I ask before?")
    assert answer.text == (f"{say('en', 'asked_before')}\n\n- “When do parcels arrive?”\n- “And the \\*Atlas\\* desk?”")
    assert (answer.outcome, answer.sources) == ("small_talk", ())
    assert (await talk.ask("¿cuál fue mi primera pregunta?")).text.startswith(say("es", "asked_before"))


async def test_only_the_askers_own_questions_are_told_in_a_group(talk: Talk) -> None:
    await talk.ask("When do parcels arrive?", speaker="luis")
    assert (await talk.ask("what did I ask before?")).text == say("en", "asked_nothing")


async def test_of_many_questions_the_first_and_the_latest_are_told(talk: Talk) -> None:
    for number in range(20):
        await talk.ask(f"When does parcel {number} arrive?")
    text = (await talk.ask("What was my first question?")).text
    assert "parcel 0 " in text
    assert "parcel 19 " in text
    assert text.count("\n- ") == LISTED


async def test_what_other_readers_may_not_see_is_not_told(talk: Talk) -> None:
    talk.audiences = frozenset({"public", "board"})
    await talk.ask("When do parcels of the board arrive?")
    talk.audiences = frozenset({"public"})
    assert (await talk.ask("what did I ask before?")).text == say("en", "asked_nothing")


async def test_the_talk_is_summarised_from_memory(talk: Talk) -> None:
    talk.summary = "Ana moves to Vigo."
    await talk.ask("When do parcels arrive?")
    answer = await talk.ask("summarise our conversation")
    assert "- Ana moves to Vigo." in answer.text
    assert "When do parcels arrive? → Parcels arrive within three days." in answer.text
    assert answer.sources == ()


async def test_the_last_answer_is_repeated_with_its_sources(talk: Talk) -> None:
    first = await talk.ask("When do parcels arrive?")
    await talk.ask("thanks")
    for text in ("can you repeat that?", "repite tu última respuesta"):
        again = await talk.ask(text)
        assert (again.text, again.sources) == (first.text, first.sources)


async def test_that_the_documents_do_not_say_is_repeated_in_the_same_words(talk: Talk) -> None:
    first = await talk.ask("Who pays for an Atlas at home?")
    again = await talk.ask("say that again")
    assert (again.text, again.outcome) == (first.text, "small_talk")


async def test_without_an_answer_nothing_is_repeated(talk: Talk) -> None:
    await talk.ask("hello")
    assert (await talk.ask("repeat your last answer")).text == say("en", "nothing_to_repeat")


@pytest.mark.parametrize("yes", ["yes", "yes please", "go on", "sure, tell me", "sí, por favor"])
async def test_a_yes_to_the_bots_offer_gets_what_the_offered_page_says(talk: Talk, yes: str) -> None:
    offered = await talk.ask("Who pays for an Atlas at home?")
    assert offered.outcome == "abstained"
    assert offered.offer is not None
    answer = await talk.ask(yes)
    assert (answer.outcome, answer.text) == ("answered", "The Atlas desk costs 480 euros. [1]")
    assert [source.title for source in answer.sources] == ["Atlas desk"]
    assert talk.answerer.asked[-1][0].text == "Atlas desk"
    again = await talk.ask("repeat that please")
    assert again.text == answer.text


async def test_a_yes_without_an_offer_is_an_acknowledgement(talk: Talk) -> None:
    await talk.ask("When do parcels arrive?")
    assert (await talk.ask("yes please")).text == say("en", "acknowledgement")


async def test_a_wish_for_more_without_an_offer_is_a_question_that_leans_on_the_one_before(talk: Talk) -> None:
    await talk.ask("When do parcels arrive?")
    assert (await talk.ask("tell me more")).outcome == "answered"
    assert talk.finder.queries[-1].history == ("When do parcels arrive?",)


async def test_an_offer_is_good_for_the_next_turn_only(talk: Talk) -> None:
    await talk.ask("Who pays for an Atlas at home?")
    await talk.ask("thanks")
    assert (await talk.ask("yes")).text == say("en", "acknowledgement")


async def test_a_page_that_is_gone_or_hidden_since_is_not_told(talk: Talk) -> None:
    await talk.ask("Who pays for an Atlas at home?")
    talk.finder.hits = {"atlas": [CHAIR]}
    answer = await talk.ask("yes")
    assert (answer.text, answer.outcome, answer.sources) == (say("en", "offer_gone"), "abstained", ())
    assert talk.finder.scopes[-1].audiences == frozenset({"public"})


async def test_a_yes_to_a_models_own_question_is_left_to_the_model(talk: Talk) -> None:
    await talk.ask("When do parcels arrive?")
    talk.history[-1] = replace(talk.history[-1], answer="Parcels to Spain or to France?")
    await talk.ask("yes")
    assert talk.finder.queries[-1].text == "yes"


@pytest.mark.parametrize(
    ("audiences", "tenant", "named"),
    [
        ({"public"}, "", ["handbook"]),
        ({"public", "board"}, "", ["handbook", "salaries"]),
        ({"public"}, "acme", ["handbook", "acme\\_contract"]),
        ({"guests"}, "", []),
    ],
)
async def test_sources_are_named_to_their_own_readers_only(
    talk: Talk, audiences: set[str], tenant: str, named: list[str]
) -> None:
    talk.audiences, talk.tenant = frozenset(audiences), tenant
    for text, language in (("Which documents do your answers come from?", "en"), ("¿De qué sabes?", "es")):
        answer = await talk.ask(text)
        expected = "\n".join((say(language, "from_sources"), "", *(f"- {name}" for name in named)))
        assert answer.text == (expected if named else say(language, "no_documents"))


async def test_a_wish_about_notes_is_told_that_none_are_kept(talk: Talk) -> None:
    for text in ("remember that I work part time", "what do you remember about me?", "forget my notes"):
        assert (await talk.ask(text)).text == say("en", "no_notes")


async def test_a_reminder_that_is_no_note_is_a_question(talk: Talk) -> None:
    assert (await talk.ask("note that parcels are late")).outcome == "answered"


async def test_every_intent_has_a_reply() -> None:
    class Told:
        def __init__(self, intent: Intent) -> None:
            self.heard = Heard(intent=intent)

        async def classify(self, text: str, vector: Sequence[float] | None = None) -> Heard:
            return self.heard

    outcomes: dict[Intent, Outcome] = {}
    for intent in set(INTENTS) - {"more"}:
        reply = await Wishes(Told(intent)).act(question("remember that I am Ana"), (), "en")
        assert isinstance(reply, Reply)
        assert reply.text
        outcomes[intent] = reply.outcome
    assert outcomes == dict.fromkeys(outcomes, "small_talk") | {"person": "wants_person"}
