"""Answers what no document answers: courtesies, questions about the conversation or the bot, a yes to the bot's offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from rag.intents.intent import GROUPS, Heard, Intent, IntentClassifier, NotesIntent, OnlyQuestions
from rag.intents.notes import NoteWish, wish_of
from rag.memory.summarising import selected
from rag.prompts.sentences import Sentence, plain, say
from rag.settings import SourceSettings
from rag.types import Exchange, Offer, Outcome, Question

LISTED = 8
"""Earlier questions that are named: the first one and the latest."""
CHARACTERS = 200
"""Characters of an earlier question that are quoted."""

_NOTES = frozenset(get_args(NotesIntent))
_SENTENCES: dict[Intent, Sentence] = {
    "greeting": "greeting",
    "thanks": "thanks",
    "goodbye": "goodbye",
    "acknowledgement": "acknowledgement",
    "bot_identity": "identity",
    "bot_abilities": "abilities",
}
_OWN_WORDS = ("small_talk", "wants_person")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply in the bot's own words."""

    text: str
    language: str
    outcome: Outcome = "small_talk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """What is searched for instead of the message itself: an earlier question, or the page that was offered.

    ``history``: the exchanges before it.
    """

    text: str
    history: Sequence[Exchange]
    offer: Offer | None = None


class Wishes:
    """Recognises wishes with ``intents``. ``sources`` are those whose names may be told, each to its own readers."""

    def __init__(self, intents: IntentClassifier | None = None, sources: Sequence[SourceSettings] = ()) -> None:
        self._intents = intents or OnlyQuestions()
        self._sources = sources

    async def act(self, question: Question, history: Sequence[Exchange], language: str) -> Reply | Lookup | None:
        """The reply to a message, or what to look up for it; None for an ordinary question. Raises ``ModelError``."""
        heard = await self._intents.classify(question.text)
        if heard is None:
            return None
        if heard.intent == "talk_repeat":
            return await self._again(history, heard.language or language)
        return self._respond(heard, question, history, heard.language or language)

    async def note_wish(self, question: Question, language: str) -> NoteWish | None:
        """The request about the speaker's notes that a message makes, or None. Raises ``ModelError``."""
        heard = await self._intents.classify(question.text)
        return None if heard is None else _note_wish(heard, question, heard.language or language)

    def _respond(
        self, heard: Heard, question: Question, history: Sequence[Exchange], language: str
    ) -> Reply | Lookup | None:
        intent = heard.intent
        match intent:
            case "offer_yes" | "more":
                return _yes(history, language, more=intent == "more")
            case "person":
                return Reply(text=say(language, "person"), language=language, outcome="wants_person")
            case "talk_before":
                text = _asked_before(question, history, language)
            case "talk_summary":
                text = _so_far(question, history, language)
            case "bot_sources":
                text = self._named_sources(question, language)
            case _ if intent in _NOTES:
                # a wish about notes comes here only where none are kept
                if _note_wish(heard, question, language) is None:
                    return None
                text = say(language, "no_notes")
            case _:
                text = say(language, _SENTENCES[intent])
        return Reply(text=text, language=language)

    async def _again(self, history: Sequence[Exchange], language: str) -> Reply | Lookup:
        """The latest question that was looked up, to be answered anew: only what is still there to be read is shown again."""
        for place in range(len(history) - 1, -1, -1):
            last, before = history[place], history[:place]
            if last.outcome in _OWN_WORDS:
                continue
            if not last.answered:
                return Reply(text=last.answer, language=language)
            heard = await self._intents.classify(last.question)
            if heard is not None and heard.intent == "talk_repeat":
                continue
            if (
                heard is not None
                and GROUPS[heard.intent] == "offer_yes"
                and isinstance(yes := _yes(before, language), Lookup)
            ):
                return yes
            return Lookup(text=last.question, history=before)
        return Reply(text=say(language, "nothing_to_repeat"), language=language)

    def _named_sources(self, question: Question, language: str) -> str:
        """The names of the sources that every reader of the answer may read."""
        names = [
            plain(source.name)
            for source in self._sources
            if source.audience in question.audiences and source.tenant in ("", question.tenant)
        ]
        if not names:
            return say(language, "no_documents")
        return "\n".join((say(language, "from_sources"), "", *(f"- {name}" for name in names)))


def _note_wish(heard: Heard, question: Question, language: str) -> NoteWish | None:
    for intent in get_args(NotesIntent):
        if heard.intent == intent:
            return wish_of(intent, question.text, language)
    return None


def _yes(history: Sequence[Exchange], language: str, *, more: bool = False) -> Lookup | Reply | None:
    """What was offered; without an offer a yes acknowledges, unless a model asked something that only itself can go on with.

    A wish for ``more`` without an offer is a question that leans on the one before.
    """
    last = history[-1] if history else None
    if last is not None and last.offer is not None:
        words = (last.offer.title, *last.offer.headings[-1:])
        return Lookup(text=" ".join(dict.fromkeys(words)), history=(), offer=last.offer)
    if more or (last is not None and last.answer.rstrip().endswith("?")):
        return None
    return Reply(text=say(language, "acknowledgement"), language=language)


def _asked_before(question: Question, history: Sequence[Exchange], language: str) -> str:
    """The speaker's own earlier questions, not those of others in a group."""
    own = [each for each in history if each.speaker == question.speaker and each.outcome not in _OWN_WORDS]
    if not own:
        return say(language, "asked_nothing")
    if len(own) > LISTED:
        own = [own[0], *own[-LISTED + 1 :]]
    quoted = [_quoted(each.question, language) for each in own]
    return "\n".join((say(language, "asked_before"), "", *(f"- {text}" for text in quoted)))


def _quoted(text: str, language: str) -> str:
    line = " ".join(text.split())
    line = plain(line if len(line) <= CHARACTERS else f"{line[:CHARACTERS].rstrip()}…")
    return f"«{line}»" if language == "es" else f"“{line}”"


def _so_far(question: Question, history: Sequence[Exchange], language: str) -> str:
    lines = selected(question.background.summary, history).splitlines()
    if not lines:
        return say(language, "asked_nothing")
    return "\n".join((say(language, "so_far"), "", *(f"- {plain(line)}" for line in lines)))
