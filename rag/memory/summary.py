"""The running summary as it is stored, who may read it, and whose words it may hold."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import TypeAdapter, ValidationError

from rag.types import Exchange

log = logging.getLogger(__name__)

NAMES = 200
"""Turns and speakers that a summary names; beyond, it counts as holding everybody's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSummary:
    """``text`` may hold words of ``turns`` and ``speakers``, and what ``audiences`` of ``tenants`` may read."""

    text: str = ""
    language: str = ""
    audiences: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()

    def readable(self, audiences: Collection[str], tenant: str) -> bool:
        """Whether those may read all of it."""
        return set(self.audiences) <= set(audiences) and set(self.tenants) <= {"", tenant}

    def may_hold(self, turn_id: str) -> bool:
        return turn_id in self.turns or len(self.turns) >= NAMES

    def with_turns(self, exchanges: Sequence[Exchange]) -> RunningSummary:
        """Named after what is folded into it; its text is still the old one."""
        return replace(
            self,
            audiences=_joined(self.audiences, (one for each in exchanges for one in each.audiences)),
            tenants=_joined(self.tenants, (each.tenant for each in exchanges)),
            turns=_joined(self.turns, (each.turn_id for each in exchanges))[-NAMES:],
            speakers=_joined(self.speakers, (each.speaker for each in exchanges))[:NAMES],
        )

    def joined(self, later: RunningSummary) -> RunningSummary:
        """Both, where two conversations became one."""
        return RunningSummary(
            text="\n".join(filter(None, (self.text, later.text))),
            language=later.language or self.language,
            audiences=_joined(self.audiences, later.audiences),
            tenants=_joined(self.tenants, later.tenants),
            turns=_joined(self.turns, later.turns)[-NAMES:],
            speakers=_joined(self.speakers, later.speakers)[:NAMES],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToFold:
    """A summary and the turns that it does not hold yet, oldest first; ``raw`` and ``stored`` as they stand in Redis."""

    raw: bytes
    summary: RunningSummary
    exchanges: tuple[Exchange, ...]
    stored: Mapping[bytes, bytes]

    def for_readers(self, audiences: Collection[str], tenant: str) -> ToFold:
        """What those may read of it."""
        return replace(
            self,
            summary=self.summary if self.summary.readable(audiences, tenant) else RunningSummary(),
            exchanges=tuple(readable(self.exchanges, audiences, tenant)),
        )

    def for_the_newest(self) -> ToFold:
        """What may be read by those who read the newest turn: they are who is shown the summary from now on.

        A place whose readers became fewer starts anew: with what they may not read, none of it could be shown again.
        """
        known = [each for each in self.exchanges if each.audiences]
        if not known:
            return replace(self, exchanges=())
        return self.for_readers(known[-1].audiences, known[-1].tenant)

    def told(self) -> list[Exchange]:
        """The exchanges as a summary gets them: where several people speak, each question with a number for its speaker.

        Numbers, not names: the summary goes into the log, where nobody is named.
        """
        everybody = _joined(self.summary.speakers, (each.speaker for each in self.exchanges))
        if len(everybody) < 2:
            return list(self.exchanges)
        numbers = {speaker: number for number, speaker in enumerate(everybody, 1)}
        return [replace(each, question=f"({numbers[each.speaker]}) {each.question}") for each in self.exchanges]


def readable(exchanges: Iterable[Exchange], audiences: Collection[str], tenant: str) -> list[Exchange]:
    """The exchanges that may be shown to those who may read ``audiences`` and belong to ``tenant``.

    One of version 0.2 or earlier tells no audiences: what its answer may have used is unknown, so it is left out.
    """
    allowed = set(audiences)
    return [
        each
        for each in exchanges
        if each.audiences and allowed.issuperset(each.audiences) and each.tenant in ("", tenant)
    ]


def dumped(summary: RunningSummary) -> bytes:
    return _SUMMARIES.dump_json(summary) if summary.text else b""


def loaded(raw: bytes | str | None) -> RunningSummary:
    """An empty one for what another version wrote."""
    try:
        return _SUMMARIES.validate_json(raw) if raw else RunningSummary()
    except ValidationError as error:
        log.warning("a summary in memory cannot be read and is left out (%d errors)", error.error_count())
        return RunningSummary()


def _joined(first: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """Each name once, in the order of its first coming."""
    return tuple(dict.fromkeys((*first, *more)))


_SUMMARIES: TypeAdapter[RunningSummary] = TypeAdapter(RunningSummary)
