"""The values of the chain. All are frozen; times are UTC datetimes with a time zone, scores are in [0, 1]."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Literal

Stage = Literal["condense", "retrieve", "answer", "ground"]
Outcome = Literal["answered", "abstained", "small_talk", "wants_person"]
"""The outcome of a question: answered, no answer in the documents, answered in the bot's own words, or a person is wanted."""


TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Bidirectional control characters; an unclosed one also changes the direction of the text after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterRef:
    """The adapter that must answer a turn; only ``tuning`` knows the registry from which it comes."""

    name: str
    path: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a document, as it is indexed, shown and cited.

    ``text``: Markdown without its heading. ``headings``: the headings above it, outermost first. ``url``: a deep link to the
    nearest anchor, or "" if the source has none. ``position``: its number in the document, from 0.
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
        """sha256 (hex) of what a reader sees, which identifies a snapshot."""
        return snapshot_digest(self.title, self.headings, self.url, self.text)


def snapshot_digest(title: str, headings: tuple[str, ...], url: str, text: str) -> str:
    """sha256 (hex) of what a reader of a passage sees."""
    text_of_passage = "\x1f".join((title, *headings, url, text))
    return hashlib.sha256(text_of_passage.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A retrieved passage. ``score`` is calibrated to [0, 1]; ``fused`` is the raw score of the fusion."""

    passage: Passage
    score: float
    fused: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search for passages: a turn within its conversation.

    ``history``: the utterances of both sides before it, oldest first. ``rewritten``: the turn rewritten by a language model as
    a question that can be understood alone, or "". ``language``: ISO 639-1; detected if None.
    """

    text: str
    history: tuple[str, ...] = ()
    rewritten: str = ""
    language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """The result of a search, best hit first. ``score`` in [0, 1] is the probability that the hits answer the turn.

    ``evidence`` holds the features, by name, from which the score was computed; calibrations are trained on them.
    """

    hits: tuple[Hit, ...]
    score: float
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The page that an answer offered to tell about, and its section: what finds it again, and no text of it."""

    document: str
    title: str
    headings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One question and its answer in memory. ``speaker`` distinguishes the people in a group.

    ``answered`` is False if the answer was that the documents do not say. ``audiences`` and ``tenant`` are those of passages
    that the answer may have used; readers who may not read all of them are not shown it again. ``outcome`` is "" where an
    older release stored the exchange; ``offer`` is what its answer offered.
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
    outcome: Outcome | Literal[""] = ""
    offer: Offer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What a prompt contains besides the last turns: ``summary`` of the older ones and ``notes`` of the asker."""

    summary: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One turn to answer. ``audiences`` are those that every reader of the answer may read (never empty)."""

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
    """A numbered source below an answer; the text cites it as ``[number]``."""

    number: int
    passage: Passage
    score: float

    @property
    def title(self) -> str:
        """The titles of page and section, without bidirectional control characters."""
        page, *sections = _named_places(self.passage)
        title = f"{page}: {sections[-1]}" if sections and sections[-1] != page else page
        return TURNING.sub("", title)


def _named_places(passage: Passage) -> tuple[str, ...]:
    """The page's title and the headings; headings alone where the title is only the name of the file."""
    file_name = PurePosixPath(passage.document).stem.replace("-", " ").replace("_", " ")
    is_file_name = passage.title == file_name and passage.title not in passage.headings
    return passage.headings if is_file_name and passage.headings else (passage.title, *passage.headings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete answer. ``text``: Markdown with ``[n]`` citations. ``shown``: all passages that the answerer was given.

    ``recalled``: ids of the earlier turns in the prompt, oldest first. From these, ``shown`` and ``background`` the renderer
    makes the same prompt again. ``dropped``: the number of sentences without a supporting passage. ``interrupted``: writing
    ended early. ``seconds``: wall time of each stage, by name. ``offer``: what an abstention offered to tell.
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
    offer: Offer | None = None

    @property
    def answered(self) -> bool:
        """False if the documents do not say, or if nothing was searched because a person is wanted."""
        return self.outcome not in ("abstained", "wants_person")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The chain has entered a stage; platforms show this as a status."""

    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """More text of the answer, to be appended to what is visible. Markdown; a citation marker is never split."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The last event of every stream. ``answer.text`` is the concatenation of the deltas."""

    answer: Answer


ChainEvent = Progress | Delta | Done
