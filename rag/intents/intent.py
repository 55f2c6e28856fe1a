"""Intents: what a turn may want besides the documents, and the seam of what recognises it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

Courtesy = Literal["greeting", "thanks", "goodbye", "acknowledgement"]
Talk = Literal["talk_before", "talk_repeat", "talk_summary"]
AboutBot = Literal["bot_identity", "bot_abilities", "bot_sources"]
NotesIntent = Literal["notes_remember", "notes_list", "notes_forget"]
Intent = Courtesy | Talk | AboutBot | NotesIntent | Literal["person", "offer_yes", "more"]
Group = Literal["courtesy", "talk", "about_bot", "notes", "person", "offer_yes"]

NONE = "none"
"""The label of an ordinary question."""

GROUPS: Mapping[Intent, Group] = {
    **dict.fromkeys(get_args(Courtesy), "courtesy"),
    **dict.fromkeys(get_args(Talk), "talk"),
    **dict.fromkeys(get_args(AboutBot), "about_bot"),
    **dict.fromkeys(get_args(NotesIntent), "notes"),
    "person": "person",
    "offer_yes": "offer_yes",
    "more": "offer_yes",
}
INTENTS: tuple[Intent, ...] = tuple(GROUPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A recognised intent. ``language`` (ISO 639-1) where the wording belongs to one language only, else ""."""

    intent: Intent
    language: str = ""


class IntentClassifier(Protocol):
    """Seam: recognises intents."""

    async def classify(self, text: str, vector: Sequence[float] | None = None) -> Heard | None:
        """The intent of a message, or None for a question. ``vector``: the text's embedding, if it is known already.

        A doubtful message is a question. Raises ``ModelError`` if the text cannot be embedded.
        """


class OnlyQuestions:
    """Takes every message for a question: what serves where nothing recognises intents."""

    async def classify(self, text: str, vector: Sequence[float] | None = None) -> Heard | None:  # noqa: ARG002
        """None."""
        return None
