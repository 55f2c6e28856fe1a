"""What a turn wants is heard in words that no example has, and a question is never taken for a wish."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import ConfigurationError
from rag.intents.classifier import LONGEST, EmbeddingIntents
from rag.intents.examples import FILE, known_messages, normalized, read_examples
from rag.intents.features import CHARACTERS, FORMS, PIECES
from rag.intents.intent import GROUPS, INTENTS, Group, Heard, OnlyQuestions
from rag.intents.weights import FOLDER, IntentWeights, file_of, read_weights
from tests.rag.fakes import WordEmbeddings
from tests.rag.heard import embeddings, intents

UNSEEN: dict[Group, tuple[str, ...]] = {
    "courtesy": (
        "good evening to all of you",
        "thank u very much indeed",
        "cheers, that did the trick",
        "see you next monday",
        "okay, that's clear now",
        "buenas tardes a todo el equipo",
        "mil gracias por tu ayuda!!",
        "hasta la semana que viene",
        "vale, ahora lo entiendo",
        "de acuerdo, perfecto",
    ),
    "person": (
        "how can I get in touch with somebody at your company?",
        "I'd like a member of your staff to answer me",
        "could I have a word with a real human",
        "give me a human to talk to",
        "necesito k me atienda alguien",
        "me gustaria q me llamase una persona",
        "quisiera que un agente me atendiera",
        "hola hola, necesito hablar con alguien urgente",
    ),
    "talk": (
        "what was the thing I asked you about first?",
        "can u repeat pls",
        "give me a quick recap of this chat",
        "cual fue la primera cosa que te pregunte",
        "¿me repites la última respuesta?",
        "hazme un resumen de lo que llevamos hablado",
    ),
    "about_bot": (
        "what stuff are you able to help with?",
        "which docs do you have",
        "are you a machine or a human?",
        "que cosas puedes hacer",
        "quien te ha creado?",
        "¿qué documentos usas para contestar?",
    ),
    "notes": (
        "please remember im allergic to peanuts",
        "what do you have saved about me?",
        "wipe everything you know about me",
        "recuerda que soy celíaca",
        "¿qué tienes apuntado sobre mí?",
        "borra todo lo que has apuntado de mí",
    ),
    "offer_yes": ("yes, tell me what it says", "sure, show me that", "sí, cuéntame qué pone", "vale, dime lo que dice"),
}

QUESTIONS = """\
Who is the person in charge of the warehouse?
how do I add a colleague to the agent group?
What is a human resources portal?
what are the agent's fees
who do I call when the alarm goes off at night?
thanks to whom was the bridge built?
how do I speak to the API from a script
how do I say hello in Japanese?
How do I repeat a chapter of the course?
where are the documents of the old project?
which documents does a visa need?
what can the auditor do in billing?
does the bot read private channels?
How do I make the service remember a filter?
how do I delete old notes from the wiki?
please remember to attach the receipt, is that required?
What did the board decide last year?
what did I pay in March?
can my brother pick up the parcel for me?
Hi, how do I connect Slack?
Thanks, and for contractors?
ok and how much is the chair
yes but who signs it?
no, I meant the white desk
Slack
holiday 2?
x [1]
contractors
run on port 5000
error 500
my card was swallowed by the machine
I am retired, do I still pay?
¿Quién es la persona encargada del almacén?
¿cómo añado un compañero al grupo de agentes?
¿cuánto cobra el agente?
¿a quién aviso si salta la alarma?
¿qué documentos pide el banco?
¿dónde están las notas de la reunión?
¿cómo hago que el formulario recuerde los datos?
¿qué puede hacer un auditor?
hola, ¿cómo conecto Slack?
gracias, ¿y para los autónomos?
sí, pero ¿quién lo firma?
vale, ¿y la silla?
me da error 500
mi tarjeta no funciona
vacaciones de verano
¿Puede el bot leer los canales privados?
¿cómo se dice hola en japonés?
¿qué se decidió en la junta?
""".splitlines()


def group(heard: Heard | None) -> Group | None:
    return GROUPS[heard.intent] if heard else None


@pytest.mark.parametrize("wanted", UNSEEN)
async def test_wishes_are_heard_in_words_of_ones_own(wanted: Group) -> None:
    classifier = intents()
    heard = {text: group(await classifier.classify(text)) for text in UNSEEN[wanted]}
    missed = {text: other for text, other in heard.items() if other != wanted}
    # a yes and a courtesy differ in what was said before, which the text does not tell
    missed = {text: other for text, other in missed.items() if {other, wanted} != {"courtesy", "offer_yes"}}
    assert len(missed) <= len(heard) // 5, missed


async def test_ordinary_questions_are_left_to_the_documents() -> None:
    classifier = intents()
    taken = {text: heard for text in QUESTIONS if (heard := await classifier.classify(text)) is not None}
    assert taken == {}


def test_the_list_of_unseen_messages_is_unseen() -> None:
    examples = {normalized(example.text) for example in read_examples()}
    assert not examples & {normalized(text) for texts in UNSEEN.values() for text in texts}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("HELLO", "courtesy"),
        ("Thank You Very Much!!!", "courtesy"),
        ("graciass", "courtesy"),
        ("adios", "courtesy"),
        ("🙏🏽🙏🏽", "courtesy"),
        ("👍👍", "courtesy"),
        ("QUIERO HABLAR CON UNA PERSONA", "person"),
        ("quiero ablar con una persna", "person"),
        ("i wnat to talk to a humann", "person"),
        ("que sabes hacer", "about_bot"),
        ("quien eres??", "about_bot"),
        ("QUE TE PREGUNTE ANTES", "talk"),
        ("¿¿qué recuerdas de mi??", "notes"),
        ("sii por favor", "offer_yes"),
    ],
)
async def test_rough_writing_changes_nothing(text: str, wanted: Group) -> None:
    assert group(await intents().classify(text)) == wanted


@pytest.mark.parametrize(("text", "language"), [("gracias", "es"), ("Hasta luego!", "es"), ("bye", "en"), ("ok", "")])
async def test_a_known_message_tells_its_language_unless_both_say_it(text: str, language: str) -> None:
    heard = await intents().classify(text)
    assert heard is not None
    assert heard.language == language


async def test_signs_without_words_are_no_wish_unless_an_example_is_like_them() -> None:
    classifier = intents()
    assert [await classifier.classify(text) for text in ("", " ", "???", "🦜🦜", "\x00")] == [None] * 5


async def test_a_wish_within_a_long_message_may_be_a_quotation() -> None:
    wish = "I want to talk to a person. "
    assert group(await intents().classify(wish)) == "person"
    assert await intents().classify(wish + "That is what the letter says. " * (LONGEST // 25)) is None


@pytest.mark.parametrize("text", ["a" * 100_000, "thanks " * 20_000, "¿" * CHARACTERS, "a b " * (CHARACTERS // 4)])
async def test_a_hostile_message_costs_little(text: str) -> None:
    classifier = intents()
    await classifier.classify("warm up the model, please")
    started = time.process_time()
    await classifier.classify(text)
    assert time.process_time() - started < 1.0


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60))
def test_any_text_has_a_normal_form(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)


async def test_the_vector_that_is_known_already_is_used() -> None:
    asked = "what was the thing I asked you about first?"
    vector = await embeddings().aembed_query(asked)
    assert await intents().classify(asked, vector) == await intents().classify(asked)


async def test_a_model_without_weights_of_its_own_has_them_fitted_from_the_examples() -> None:
    classifier = EmbeddingIntents(WordEmbeddings())
    await classifier.load()
    assert group(await classifier.classify("I would like to talk to a human being, please")) == "person"
    assert await classifier.classify("How many days of holiday do contractors have in Spain?") is None


def test_the_examples_are_of_every_intent_in_both_languages_and_contradict_nothing() -> None:
    kinds = {(example.intent, example.language) for example in read_examples()}
    assert kinds == {(intent, language) for intent in (None, *INTENTS) for language in ("en", "es")}
    ordinary = {normalized(example.text) for example in read_examples() if example.intent is None}
    assert not ordinary & set(known_messages())


def test_the_packaged_model_comes_with_weights_also_under_an_adapter() -> None:
    name = embeddings().query_name
    weights = read_weights(name)
    assert weights is not None
    assert read_weights(f"{name}+abc123") == weights
    assert read_weights("another/model") is None


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.stem)
def test_weights_were_learnt_from_the_examples_of_today(file: Path) -> None:
    weights = IntentWeights.from_json(file.read_bytes())
    assert file_of(weights.provenance.embedding) == file
    assert weights.provenance.sha256 == hashlib.sha256(FILE.read_bytes()).hexdigest()
    assert weights.matrix().shape == (len(weights.labels), weights.dimension + PIECES + FORMS)


@pytest.mark.parametrize("change", ['{"labels": []', '{"weights": "AAAA"', '{"thresholds": {"courtesy": 2}'])
def test_weights_of_another_form_are_refused(change: str) -> None:
    whole = json.loads(file_of(embeddings().query_name).read_text(encoding="utf-8"))
    with pytest.raises(ConfigurationError, match="weights of intents"):
        IntentWeights.from_json(json.dumps(whole | json.loads(change + "}")))


async def test_where_nothing_recognises_intents_everything_is_a_question() -> None:
    assert await OnlyQuestions().classify("hello") is None
