"""What a summary tells: by selection word for word, by a model where it can."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ModelBusy, ModelUnavailable
from rag.memory.summarising import CHARACTERS, MODEL_CHARACTERS, ModelSummariser, SelectingSummariser, selected
from rag.prompts.instructions import summary_prompt
from rag.types import Exchange, Outcome
from tests.rag.scripted_model import ScriptedModel


def exchange(question: str, answer: str = "", *, answered: bool = True, outcome: Outcome | None = None) -> Exchange:
    return Exchange(
        turn_id="t", question=question, answer=answer, asked_at=datetime(2026, 1, 1, tzinfo=UTC), speaker="ana",
        answered=answered, outcome=outcome or "",
    )  # fmt: skip


def test_a_turn_is_its_question_and_the_first_sentence_of_the_answer() -> None:
    told = selected(
        "", [exchange("How many days do I have?", "According to **Leave**:\n\n> You have 23 days [1]. Ask your lead.")]
    )
    assert told == "How many days do I have? → You have 23 days."


def test_a_sentence_with_the_figure_is_kept_too() -> None:
    answer = "That depends on your contract. Part time has 12 days [1]. Ask in May."
    assert selected("", [exchange("How many?", answer)]) == (
        "How many? → That depends on your contract. Part time has 12 days."
    )


def test_what_was_not_known_is_a_question_and_courtesy_is_nothing() -> None:
    told = [
        exchange("Thanks!", "You're welcome!", outcome="small_talk"),
        exchange("Is there a gym?", "I could not find this.", answered=False),
    ]
    assert selected("", told) == "Is there a gym?"


def test_older_turns_fade_to_their_questions_and_the_oldest_go() -> None:
    told = [
        exchange(f"What is thing {number}?", f"It is the number {number} of all things. " * 2) for number in range(40)
    ]
    lines = selected("", told).splitlines()
    assert lines[-1] == "What is thing 39? → It is the number 39 of all things."
    assert lines[0].startswith("What is thing ")
    assert "→" not in lines[0]
    assert "What is thing 0?" not in "".join(lines)
    whole = ["→" in line for line in lines]
    assert whole == sorted(whole)


def test_a_summary_grows_from_the_one_before_as_from_the_turns_themselves() -> None:
    told = [exchange(f"What is thing {number}?", f"It is number {number}.") for number in range(30)]
    step = ""
    for each in told:
        step = selected(step, [each])
    assert step.splitlines()[-5:] == selected("", told).splitlines()[-5:]
    assert len(step) <= CHARACTERS


def test_what_a_model_wrote_before_is_kept_by_whole_sentences() -> None:
    before = "Ann asked about leave. " + "It was found that many things hold. " * 30
    assert selected(before, [exchange("Why?", "So.")]).splitlines()[0] == "It was found that many things hold."
    assert selected("Ann has 23 days. She starts in May.", []) == "Ann has 23 days.\nShe starts in May."


@given(st.text(max_size=900), st.lists(st.tuples(st.text(max_size=400), st.text(max_size=900)), max_size=8))
def test_whatever_was_said_the_summary_keeps_its_size_and_a_line_for_each_turn(
    before: str, turns: list[tuple[str, str]]
) -> None:
    told = [exchange(question, answer) for question, answer in turns]
    made = selected(before, told)
    assert len(made) <= CHARACTERS
    assert made == selected(before, told)


TURNS = [exchange("How many days do I have?", "You have 23 days.")]
BY_SELECTION = "Before.\nHow many days do I have? → You have 23 days."


async def summarised(*steps: str | Exception, window: int = 2000) -> tuple[str, ScriptedModel]:
    model = ScriptedModel(steps, window=window)
    return await ModelSummariser(model)("Before.", TURNS, "en"), model


async def test_a_model_writes_the_summary_from_the_one_prompt() -> None:
    written, model = await summarised("<think>well</think>They asked about leave. ", "23 days.")
    assert written == "They asked about leave. 23 days."
    [(messages, options)] = model.chat.calls
    assert messages == summary_prompt("Before.", TURNS, "en")
    assert {name: options[name] for name in ("adapter", "max_tokens", "temperature")} == {
        "adapter": None,
        "max_tokens": 200,
        "temperature": 0.0,
    }


@pytest.mark.parametrize("error", [ModelUnavailable("away"), ModelBusy("busy", seconds=3), ValueError("unforeseen")])
async def test_a_model_that_fails_leaves_it_to_selection(error: Exception) -> None:
    assert (await summarised("They ask", error))[0] == BY_SELECTION


async def test_a_model_that_writes_nothing_or_cannot_read_it_all_leaves_it_to_selection() -> None:
    assert (await summarised(" ", "\n"))[0] == BY_SELECTION
    written, model = await summarised("They asked.", window=220)
    assert (written, model.chat.calls) == (BY_SELECTION, [])


async def test_a_model_that_does_not_stop_is_cut_after_a_sentence() -> None:
    written, _ = await summarised("They asked about leave again. " * 200)
    assert len(written) <= MODEL_CHARACTERS
    assert written.endswith("leave again.")
    assert (await summarised("They asked. And then they"))[0] == "They asked."
    assert (await summarised("no sentence at all"))[0] == "no sentence at all"


async def test_selection_is_a_summariser_too() -> None:
    assert await SelectingSummariser()("Before.", TURNS, "en") == BY_SELECTION
