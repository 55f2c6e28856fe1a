"""The first stage: what a turn asks for in its conversation, or what is said to it without looking anything up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rag.intents.courtesy import recognise
from rag.intents.person import wants_person
from rag.language import LANGUAGES, adetect
from rag.prompts.sentences import say
from rag.text.utterances import cleaned, follows_up, is_empty, utterances
from rag.types import Query
from rag.work import Work

if TYPE_CHECKING:
    from rag.answering.rewriting import Rewriter

QUERY_CHARACTERS = 1000
"""Of a question that are embedded and searched for: more than any embedder reads of a question."""


async def understand(work: Work, rewriter: Rewriter | None) -> None:
    """Cleans the question, tells its language, and finds what to search for, or what to say at once."""
    text = cleaned(work.question.text)
    work.question = replace(work.question, text=text)
    work.language = await _language(work)
    if is_empty(text):
        work.say(say(work.language, "empty"), "abstained")
    elif courtesy := recognise(text):
        work.language = courtesy.language
        work.say(say(work.language, courtesy.kind), "small_talk")
    elif wants_person(text):
        work.say(say(work.language, "person"), "wants_person")
    else:
        rewritten = await _rewritten(work, rewriter)
        said = utterances(work.history)
        work.query = Query(text=text[:QUERY_CHARACTERS], history=said, rewritten=rewritten, language=work.language)


async def _rewritten(work: Work, rewriter: Rewriter | None) -> str:
    """Only a turn that leans on the past is rewritten: each rewriting is a reply to wait for."""
    if rewriter is None or not work.history or not follows_up(work.question.text):
        return ""
    return (await rewriter.rewrite(work.question, work.history, work.language))[:QUERY_CHARACTERS]


async def _language(work: Work) -> str:
    """The question's own; where that is undecided, the one of the question before, or the platform's hint."""
    hinted = (work.question.language or "").lower().replace("_", "-").partition("-")[0]
    default = hinted if hinted in LANGUAGES else "en"
    if work.history:
        default = await adetect(work.history[-1].question, default)
    return await adetect(work.question.text, default)
