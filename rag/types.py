"""The values that travel through the chain. All are frozen; times are aware UTC datetimes, scores are in [0, 1]."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Stage = Literal["condense", "retrieve", "answer", "ground"]
Outcome = Literal["answered", "abstained", "small_talk", "wants_person"]
"""What became of a question: answered, not told by the documents, mere courtesy, or the asker wants a person."""


TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Controls that turn the direction of writing, also beyond the text that they stand in where they are not closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterRef:
    """The adapter that a turn must be answered with; only ``tuning`` knows where it comes from."""

    name: str
    path: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a document, as it is indexed, shown and cited.

    ``text`` is Markdown without the heading line; ``headings`` is the path of headings above it, outermost first;
    ``url`` is a deep link to the nearest anchor, or empty where the source has none.
    """

    id: str
    document: str
    source: str
    title: str
    headings: tuple[str, ...]
    url: str
    text: str
    position: int
    language: str
    audience: str
    tenant: str = ""
    updated_at: datetime | None = None

    @property
    def digest(self) -> str:
        """sha256 of what a reader sees: the identity of a snapshot."""
        return snapshot_digest(self.title, self.headings, self.url, self.text)


def snapshot_digest(title: str, headings: tuple[str, ...], url: str, text: str) -> str:
    """sha256 of what a reader of a passage sees, in hex."""
    shown = "\x1f".join((title, *headings, url, text))
    return hashlib.sha256(shown.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A passage that was found. ``score`` is calibrated to [0, 1]; ``fused`` is the rank fusion's raw figure."""

    passage: Passage
    score: float
    fused: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What passages are looked for: a turn and the conversation that it stands in.

    ``history`` is what both sides said before it, oldest first; ``rewritten`` is the turn as a question that stands alone,
    where a language model wrote one; ``language`` (ISO 639-1) is detected if not given.
    """

    text: str
    history: tuple[str, ...] = ()
    rewritten: str = ""
    language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """What was found, best first. ``score`` in [0, 1] is how likely the hits answer the turn in its conversation.

    ``evidence`` is what the score was made from, by the name of each figure: what a calibration learns from.
    """

    hits: tuple[Hit, ...]
    score: float
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One question and its answer, as memory keeps them. ``speaker`` tells people in a group apart; ``answered`` is False
    where the answer was that the documents do not say.

    ``audiences`` and ``tenant`` are those that the answer may have used: who may not read all of them is not shown it again.
    """

    turn_id: str
    question: str
    answer: str
    asked_at: datetime
    speaker: str
    speaker_name: str = ""
    answered: bool = True
    audiences: tuple[str, ...] = ()
    tenant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What is known beside the last turns: ``summary`` of the older ones, ``notes`` on who asks."""

    summary: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One turn to answer. ``audiences`` is what everyone who can read the answer may read (never empty)."""

    turn_id: str
    conversation: str
    text: str
    audiences: frozenset[str]
    tenant: str = ""
    speaker: str = ""
    speaker_name: str = ""
    language: str | None = None
    adapter: AdapterRef | None = None
    background: Background = Background()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A numbered source under an answer. ``number`` is the one that the text cites as ``[number]``."""

    number: int
    passage: Passage
    score: float

    @property
    def title(self) -> str:
        """Page and section, as a reader would name them."""
        last = self.passage.headings[-1] if self.passage.headings else ""
        title = self.passage.title if last in ("", self.passage.title) else f"{self.passage.title}: {last}"
        return TURNING.sub("", title)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer. ``text`` is Markdown with ``[n]`` citations; ``shown`` is every passage that the answerer saw.

    ``recalled`` are the turns of the past that stood in the prompt (ids, oldest first): with ``shown`` and ``background``, the
    one renderer makes the same prompt again. ``dropped`` counts sentences that no passage supported; ``interrupted`` when
    writing ended early. ``seconds`` holds the wall time of each stage by its name.
    """

    text: str
    outcome: Outcome
    language: str
    sources: tuple[Source, ...] = ()
    shown: tuple[Hit, ...] = ()
    model: str = ""
    adapter: str | None = None
    recalled: tuple[str, ...] = ()
    background: Background = Background()
    dropped: int = 0
    interrupted: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        """False when the documents did not say, or nobody looked because a person is wanted."""
        return self.outcome not in ("abstained", "wants_person")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The chain entered a stage; platforms show it as a status."""

    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """More text of the answer, to be appended to what was shown. Markdown, never half a citation marker."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The last event of every stream. ``answer.text`` is the concatenation of the deltas."""

    answer: Answer


ChainEvent = Progress | Delta | Done
