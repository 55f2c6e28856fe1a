"""Renders the prompt of a logged turn again, with the same renderer that serving uses.

Training therefore sees exactly what the model was given.
"""

from __future__ import annotations

from collections.abc import Mapping

from langchain_core.messages import BaseMessage

from rag.prompts.instructions import VERSION, answer_prompt
from rag.text.utterances import cleaned
from rag.types import Background, Exchange, Passage, Question
from tuning.conversations.records import LoggedPassage, LoggedTurn


def prompt_of(turn: LoggedTurn, past: Mapping[str, LoggedTurn]) -> list[BaseMessage] | None:
    """The prompt of a turn. ``past`` holds the turns of its conversation by id.

    It equals the prompt that was sent, byte for byte, except for what the log does not keep: redacted data and people's names.
    Returns None if it cannot be made again, because another version of the renderer made it or a part of it was forgotten.
    """
    if turn.prompt_version != VERSION or not all(recalled in past for recalled in turn.recalled):
        return None
    return answer_prompt(
        _question(turn), [_exchange(past[recalled]) for recalled in turn.recalled], _passages(turn), turn.language
    )


def _question(turn: LoggedTurn) -> Question:
    return Question(
        turn_id=turn.turn_id,
        conversation=turn.conversation,
        # The log holds the question as it was written; the chain cleans it before it renders the prompt.
        text=cleaned(turn.question),
        audiences=frozenset(),
        speaker=turn.speaker,
        language=turn.language,
        background=Background(summary=turn.summary, notes=turn.notes),
    )


def _exchange(turn: LoggedTurn) -> Exchange:
    return Exchange(
        turn_id=turn.turn_id,
        question=turn.question,
        answer=turn.answer,
        asked_at=turn.asked_at,
        speaker=turn.speaker,
        answered=turn.outcome == "answered" and bool(turn.cited),
    )


def _passages(turn: LoggedTurn) -> list[Passage]:
    return [_passage(turn, snapshot, rank) for rank, snapshot in enumerate(turn.passages)]


def _passage(turn: LoggedTurn, snapshot: LoggedPassage, rank: int) -> Passage:
    """The passage of a snapshot. Fields that only the index knows are empty, since no prompt contains them."""
    return Passage(
        id=snapshot.digest,
        document="",
        source=snapshot.source,
        title=snapshot.title,
        headings=snapshot.headings,
        url=snapshot.url,
        text=snapshot.text,
        position=rank,
        language=turn.language,
        audience="",
    )
