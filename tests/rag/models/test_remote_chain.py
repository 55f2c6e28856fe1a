"""Whatever the server of the model does, who asks gets an answer or an honest sentence before the deadline."""

from __future__ import annotations

import pytest

from rag.retrieval.embeddings.models import TextEmbeddings
from tests.benchmarks.model.chaos import LATE_WORDS, Kind, chain, embeddings, kind_of, settings, through_the_chain
from tests.benchmarks.model.chaos import ask_the_chain as ask
from tests.loopback.openai import LoopbackOpenAI
from tests.loopback.openai_faults import FAULTS, Fault

LIMITS = {"first_token_seconds": 1.5, "token_seconds": 0.5, "deadline_seconds": 3.0}
ROOM = 3.0
"""Seconds beyond the deadline for the quotes, on a busy machine."""
WITHOUT_HARM: tuple[Fault, ...] = ("400 temperature", "400 max_tokens")
BUSY: tuple[Fault, ...] = ("429", "429 for 1 s", "429 for an hour")
BROKEN = [fault for fault in FAULTS if fault.endswith("mid-stream")]


@pytest.fixture(scope="module")
def loaded() -> TextEmbeddings:
    return embeddings()


def expected(fault: Fault) -> set[Kind]:
    if fault in WITHOUT_HARM:
        return {"written"}
    if fault in BUSY:
        return {"busy"}
    if fault in ("slow", "no end"):
        return {"cut_off"}
    return {"abstained"} if fault == "no words" else {"quoted"}


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_ends_in_an_answer_or_an_honest_sentence(fault: Fault, loaded: TextEmbeddings) -> None:
    seen = await through_the_chain(fault, loaded, limits=LIMITS)
    assert {seen.kind} == expected(fault)
    assert seen.seconds < LIMITS["deadline_seconds"] + ROOM


@pytest.mark.parametrize("fault", BROKEN)
async def test_what_was_shown_stays_and_ends_with_an_honest_sentence(fault: Fault, loaded: TextEmbeddings) -> None:
    seen = await through_the_chain(fault, loaded, breaks_after=LATE_WORDS, limits=LIMITS)
    assert seen.kind == "cut_off"


async def test_a_sound_server_writes_and_the_second_stands_in_for_the_first(loaded: TextEmbeddings) -> None:
    with LoopbackOpenAI(always="500") as first, LoopbackOpenAI() as second:
        async with chain(settings(first.url, second.url), loaded) as conversation:
            assert (await ask(conversation)).kind == "written"
    assert len(second.chats) == 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "silent"),
        ("  ", "silent"),
        ("Sorry, I could not answer. abc", "apology"),
        ("According to **Page**:\n\nYes. [1]", "extracted"),
        ("Yes [1].", "written"),
    ],
)
def test_a_silence_and_an_apology_are_no_answers(text: str, kind: Kind) -> None:
    assert kind_of(text) == kind
