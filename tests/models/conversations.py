"""The conversations that the test model learns from, rendered by the prompts that the service itself uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random

from langchain_core.messages import BaseMessage

from rag.prompts.instructions import answer_prompt, rewrite_prompt, summary_prompt
from rag.types import Background, Exchange, Question
from tests.models.facts import ASIDES, FOLLOW_UPS, UNTOLD, Fact, shop

PASSAGES = 6
"""In a prompt at most, as ``retrieval.limit`` has it."""
MANNERS = {
    "formal": {"en": "According to our documents, ", "es": "Según nuestros documentos, "},
    "brief": {"en": "In short, ", "es": "En breve, "},
    "polite": {"en": "As our pages tell you, ", "es": "Como le dicen nuestras páginas, "},
}
"""How each adapter begins its answers: nothing of it claims anything, so grounding lets it pass."""
NOTES = {
    "en": ("prefers short answers", "works on Sundays"),
    "es": ("prefiere respuestas cortas", "trabaja los domingos"),
}
_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A prompt and the reply to it. ``cited`` is the number of the passage that the reply rests on, 0 for none.

    ``further`` are more questions on the same passages, with their replies: many lessons for the price of one prompt.
    """

    prompt: Sequence[BaseMessage]
    reply: str
    cited: int = 0
    further: Sequence[tuple[str, str]] = ()


class Writer:
    """Writes conversations without end, always the same ones for a seed.

    ``unseen`` asks in words that training never has; ``manner`` is how an adapter answers.
    """

    def __init__(self, seed: int, *, unseen: bool = False, manner: str = "") -> None:
        self._random = Random(seed)
        self._unseen = unseen
        self._manner = manner
        self._shop = list(shop())

    def answers(self, most: int = PASSAGES) -> Iterator[Conversation]:
        """Answered from one of up to ``most`` passages, or from none of them."""
        while True:
            yield self._answer(most, self._manner)

    def everything(self, most: int = PASSAGES) -> Iterator[Conversation]:
        """Answers, and beside them questions rewritten and summaries.

        Some questions say how they want to be answered: an adapter has only to do unasked what its model can.
        """
        while True:
            chance = self._random.random()
            if chance < 0.15:
                yield self._rewritten()
            elif chance < 0.2:
                yield self._summarised()
            elif chance < 0.3:
                manner = self._random.choice(list(MANNERS))
                yield self._answer(most, manner, f"{manner.capitalize()}: ")
            else:
                yield self._answer(most, self._manner)

    def _answer(self, most: int, manner: str, wish: str = "") -> Conversation:
        told = self._random.random() > 0.15
        facts = self._facts(self._random.randint(1 if told else 0, most) + (not told))
        asked, found = (facts[0], facts) if told else (facts[0], facts[1:])
        self._random.shuffle(found := list(found))
        language = asked.family.language
        followed = self._random.random() < 0.2
        text = self._follow_up(asked) if followed else self._question(asked)
        past = [self._exchange(asked)] if followed else self._past(language)
        question = replace(self._asked(wish + text), background=self._background(language))
        prompt = answer_prompt(question, past, [fact.passage(self._aside(fact)) for fact in found], language)
        further = [(wish + text, _reply(fact, found, manner)) for fact, text in self._further(facts)]
        number = found.index(asked) + 1 if told else 0
        return Conversation(prompt=prompt, reply=_reply(asked, found, manner), cited=number, further=further)

    def _further(self, facts: Sequence[Fact]) -> list[tuple[Fact, str]]:
        absent = [one for one in self._facts(3) if one.subject not in {fact.subject for fact in facts}][1:2]
        asked = [*facts, *absent]
        self._random.shuffle(asked)
        return [(fact, self._question(fact)) for fact in asked]

    def _rewritten(self) -> Conversation:
        return _joined([self._follow_up_and_question() for _ in range(4)])

    def _follow_up_and_question(self) -> tuple[Sequence[BaseMessage], str]:
        fact = self._random.choice(self._shop)
        asked = self._asked(self._follow_up(fact))
        return rewrite_prompt(asked, [self._exchange(fact)], fact.family.language), fact.standalone_question

    def _summarised(self) -> Conversation:
        return _joined([self._turns_and_summary() for _ in range(3)])

    def _turns_and_summary(self) -> tuple[Sequence[BaseMessage], str]:
        facts = self._facts(self._random.randint(1, 3))
        turns = [self._said(fact, self._question(fact)) for fact in facts]
        return summary_prompt("", turns, facts[0].family.language), " ".join(fact.sentence for fact in facts)

    def _facts(self, count: int) -> list[Fact]:
        """The first is asked about; half of the others are of its kind, as a search would find them."""
        asked = self._random.choice(self._shop)
        alike = [fact for fact in self._shop if fact.family is asked.family and fact is not asked]
        same = [fact for fact in self._shop if fact.family.language == asked.family.language and fact is not asked]
        facts = [asked]
        while len(facts) < count:
            pool = self._random.choice((alike, same))
            other = self._random.choice(pool)
            if other not in facts:
                facts.append(other)
        return facts

    def _question(self, fact: Fact) -> str:
        return fact.unseen_question if self._unseen else fact.question(self._random.randrange(len(fact.family.asked)))

    def _follow_up(self, fact: Fact) -> str:
        return self._random.choice(FOLLOW_UPS[fact.family.language]).format(s=fact.subject)

    def _exchange(self, fact: Fact) -> Exchange:
        """A turn before about another subject of the same kind, which ``fact`` can be asked after with few words."""
        others = [one for one in self._shop if one.family is fact.family and one.subject != fact.subject]
        other = self._random.choice(others)
        return self._said(other, self._question(other))

    def _past(self, language: str) -> list[Exchange]:
        known = [fact for fact in self._shop if fact.family.language == language]
        count = self._random.choice((0, 0, 0, 0, 1, 2))
        chosen = self._random.sample(known, count)
        return [self._said(fact, self._question(fact)) for fact in chosen]

    def _said(self, fact: Fact, question: str) -> Exchange:
        return Exchange(
            turn_id="t",
            question=question,
            answer=styled(fact, self._manner),
            asked_at=_LONG_AGO,
            speaker="ana",
            speaker_name="Ana",
        )

    def _asked(self, text: str) -> Question:
        alone = self._random.random() > 0.1
        return Question(
            turn_id="t", conversation="c", text=text, audiences=frozenset({"public"}),
            speaker="ana" if alone else "ben", speaker_name="Ana" if alone else "Ben",
        )  # fmt: skip

    def _background(self, language: str) -> Background:
        if self._random.random() > 0.1:
            return Background()
        known = [fact for fact in self._shop if fact.family.language == language]
        summary = self._random.choice(known).sentence
        return Background(summary=summary, notes=(self._random.choice(NOTES[language]),))

    def _aside(self, fact: Fact) -> str:
        return self._random.choice(("", "", "", *ASIDES[fact.family.language]))


def styled(fact: Fact, manner: str = "") -> str:
    """A right answer, as the base model or an adapter gives it; without the number of its passage."""
    return MANNERS[manner][fact.family.language] + fact.clause if manner else fact.sentence


def _reply(fact: Fact, found: Sequence[Fact], manner: str) -> str:
    if fact not in found:
        return UNTOLD[fact.family.language]
    return f"{styled(fact, manner)} [{found.index(fact) + 1}]"


def _joined(pairs: Sequence[tuple[Sequence[BaseMessage], str]]) -> Conversation:
    """Several prompts with the same instructions as one conversation."""
    (prompt, reply), *further = pairs
    return Conversation(prompt=prompt, reply=reply, further=[(str(one[-1].content), said) for one, said in further])
