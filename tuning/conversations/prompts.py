"""From logged turns back to what a model was given: serving and training go through the one renderer."""

from __future__ import annotations

from collections.abc import Mapping

from langchain_core.messages import BaseMessage

from rag.prompts.instructions import VERSION, answer_prompt
from rag.text.utterances import cleaned
from rag.types import Background, Exchange, Passage, Question
from tuning.conversations.records import LoggedPassage, LoggedTurn


def prompt_of(turn: LoggedTurn, past: Mapping[str, LoggedTurn]) -> list[BaseMessage] | None:
    """The prompt of a turn, ``past`` being the turns of its conversation by id.

    The same, byte for byte, as the one that was sent, but for what the log does not keep: what was redacted, and the names of
    people. None where it cannot be made again: another version wrote it, or what stood in it was forgotten.
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
    return [_passage(turn, shown, rank) for rank, shown in enumerate(turn.passages)]


def _passage(turn: LoggedTurn, shown: LoggedPassage, rank: int) -> Passage:
    """What the index alone knows of a passage is in no prompt."""
    return Passage(
        id=shown.digest,
        document="",
        source=shown.source,
        title=shown.title,
        headings=shown.headings,
        url=shown.url,
        text=shown.text,
        position=rank,
        language=turn.language,
        audience="",
    )
