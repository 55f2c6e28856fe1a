"""What of a turn stands in the prompt: as much as the window takes, in the order of its worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage

from rag.answering.fitting import FittedPrompt, fit_prompt
from rag.errors import ModelError
from rag.prompts.instructions import answer_prompt
from rag.types import Background, Exchange, Hit, Passage, Question

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
KNOWN = Background(summary="They asked for leave. " * 5, notes=("I work part time",))
TEXT = "An employee has 23 days. Part-timers, e.g. of 20 hours, have 12.\n- Ask in May.\n- Tell your lead. Then wait."


def tokens(messages: Sequence[BaseMessage]) -> int:
    """Words with what a template adds around each message."""
    return sum(4 + len(message.text.split()) for message in messages)


def exchange(number: int, words: int = 12, speaker: str = "ana") -> Exchange:
    return Exchange(
        turn_id=f"t{number}",
        question=f"Question {number}?",
        answer="word " * words,
        asked_at=START + timedelta(minutes=number),
        speaker=speaker,
        speaker_name=speaker.title(),
    )


def hit(number: int, text: str = TEXT) -> Hit:
    passage = Passage(
        id=f"p{number}", document="d", source="s", title=f"Page {number}", headings=("Leave",), url="", text=text,
        position=number, language="en", audience="public",
    )  # fmt: skip
    return Hit(passage=passage, score=1 / (number + 1))


def asked(background: Background = KNOWN, text: str = "How many days do I have?") -> Question:
    return Question(
        turn_id="t", conversation="c", text=text, audiences=frozenset({"public"}), speaker="ana", background=background
    )


def fit(
    question: Question, history: Sequence[Exchange], hits: Sequence[Hit], room: int, memory_tokens: int = 10_000
) -> FittedPrompt:
    return fit_prompt(
        question, history, hits, "en", count=tokens, window=room + 50, answer_tokens=50, memory_tokens=memory_tokens
    )


def size(background: Background, history: Sequence[Exchange], hits: Sequence[Hit]) -> int:
    return tokens(answer_prompt(asked(background), history, [each.passage for each in hits], "en"))


HISTORY = [exchange(number) for number in range(12)]
HITS = [hit(number) for number in range(6)]


def test_what_fits_stands_whole_and_costs_two_counts() -> None:
    counted: list[int] = []

    def count(messages: Sequence[BaseMessage]) -> int:
        counted.append(len(messages))
        return tokens(messages)

    made = fit_prompt(asked(), HISTORY, HITS, "en", count=count, window=9000, answer_tokens=400, memory_tokens=1500)
    assert (made.history, made.hits, made.background) == (tuple(HISTORY), tuple(HITS), KNOWN)
    assert made.messages == answer_prompt(asked(), HISTORY, [each.passage for each in HITS], "en")
    assert len(counted) == 2


def test_the_oldest_turns_go_first() -> None:
    made = fit(asked(), HISTORY, HITS, size(KNOWN, HISTORY[-3:], HITS))
    assert (made.history, made.hits, made.background) == (tuple(HISTORY[-3:]), tuple(HITS), KNOWN)


def test_then_summary_and_notes_go() -> None:
    made = fit(asked(), HISTORY[:1], HITS, size(KNOWN, [], HITS) - 1)
    assert (made.hits, made.background) == (tuple(HITS), Background())


def test_then_the_lowest_passages_go() -> None:
    made = fit(asked(), HISTORY, HITS, size(Background(), [], HITS[:2]))
    assert (made.history, made.hits, made.background) == ((), tuple(HITS[:2]), Background())


@pytest.mark.parametrize(
    ("missing", "kept"),
    [
        (1, TEXT.removesuffix(" Then wait.")),
        (4, TEXT.partition("\n- Tell")[0]),
        (7, TEXT.partition("\n")[0]),
        (15, "An employee has 23 days."),
    ],
)
def test_the_only_passage_left_is_cut_after_a_sentence_or_a_line(missing: int, kept: str) -> None:
    made = fit(asked(), HISTORY, HITS, size(Background(), [], HITS[:1]) - missing)
    assert [each.passage.text for each in made.hits] == [kept]
    assert made.hits[0].passage.id == "p0"


def test_a_window_too_small_for_a_sentence_is_said_in_one_line() -> None:
    with pytest.raises(ModelError, match=r"^the question and the instructions [^\n]*model\.window[^\n]*$"):
        fit(asked(), HISTORY, HITS, size(Background(), [], HITS[:1]) - 19)
    with pytest.raises(ModelError):
        fit(asked(text="why " * 5000), HISTORY, HITS, 4000)
    with pytest.raises(ModelError):
        fit(asked(), HISTORY, [], 20)


def test_the_past_takes_no_more_than_its_share_however_large_the_window() -> None:
    share = size(KNOWN, HISTORY[-4:], HITS) - size(Background(), [], HITS)
    made = fit(asked(), HISTORY, HITS, 100_000, share)
    assert (made.history, made.background) == (tuple(HISTORY[-4:]), KNOWN)
    made = fit(asked(), HISTORY, HITS, 100_000, 0)
    assert (made.history, made.background, made.hits) == ((), Background(), tuple(HITS))


def test_a_summary_larger_than_the_share_leaves_its_place_to_the_newest_turns() -> None:
    long = Background(summary="word " * 400)
    made = fit(asked(long), HISTORY, HITS, 100_000, 100)
    assert made.background == Background()
    assert made.history == tuple(HISTORY[-len(made.history) :])
    assert made.history


def test_names_are_counted_where_several_speak() -> None:
    history = [exchange(0, speaker="luis"), exchange(1)]
    room = size(KNOWN, history, HITS)
    assert fit(asked(), history, HITS, room).history == tuple(history)
    assert fit(asked(), history, HITS, room - 1).history == tuple(history[1:])


@settings(max_examples=200, deadline=None)
@given(
    words=st.lists(st.integers(0, 60), max_size=15),
    sentences=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    summary=st.integers(0, 80),
    room=st.integers(0, 1200),
    memory_tokens=st.integers(0, 400),
)
def test_it_fits_whenever_it_can_with_the_newest_turns_and_the_best_passages(
    words: list[int], sentences: list[int], summary: int, room: int, memory_tokens: int
) -> None:
    history = [exchange(number, many) for number, many in enumerate(words)]
    hits = [hit(number, "It is so. " * many) for number, many in enumerate(sentences)]
    known = Background(summary="word " * summary)
    shortest = replace(hits[0], passage=replace(hits[0].passage, text="It is so."))
    try:
        made = fit(asked(known), history, hits, room, memory_tokens)
    except ModelError:
        assert size(Background(), [], [shortest]) > room
        return
    assert tokens(made.messages) <= room
    assert list(made.history) == history[len(history) - len(made.history) :]
    assert [each.passage.id for each in made.hits] == [each.passage.id for each in hits[: len(made.hits)]]
    assert tokens(made.messages) - size(Background(), [], made.hits) <= memory_tokens
    assert made.messages == answer_prompt(
        asked(made.background), made.history, [each.passage for each in made.hits], "en"
    )
    if len(made.hits) < len(hits):
        assert size(Background(), [], hits[: len(made.hits) + 1]) > room
    elif made.hits == tuple(hits) and len(made.history) < len(history):
        more = history[len(history) - len(made.history) - 1 :]
        past = size(made.background, more, hits) - size(Background(), [], hits)
        assert size(made.background, more, hits) > room or past > memory_tokens
