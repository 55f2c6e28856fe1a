"""What a load became: latencies, and what was lost, said twice, or said in the wrong order, as a reader in Slack saw it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One reply in the loopback Slack; ``states`` are the times at which it changed before the reader's eyes."""

    thread: str
    text: str
    states: tuple[float, ...]
    texts: tuple[str, ...]
    complete: bool

    @property
    def visible_before_final(self) -> int:
        """Different texts that could be read before the last one."""
        seen = [text for text in dict.fromkeys(self.texts) if text.strip()]
        return max(0, len(seen) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Figures of one run; times in milliseconds. ``lost``: acknowledged, but no complete reply when the wait was over."""

    messages: int
    unacknowledged: int
    lost: int
    duplicated: int
    out_of_order: int
    ack_p50_ms: float
    ack_p99_ms: float
    reply_p50_ms: float
    reply_p99_ms: float
    first_text_p50_ms: float
    throughput_per_s: float
    states_before_final_p50: float
    states_before_final_min: int

    def json(self) -> Json:
        return {name: round(value, 2) for name, value in asdict(self).items()}


def replies(messages: Iterable[Json]) -> list[Shown]:
    """The bot's messages, from the loopback's record."""
    return [
        Shown(
            thread=message["thread"],
            text=message["body"],
            states=tuple(state[0] for state in message["states"]),
            texts=tuple(state[1] for state in message["states"]),
            complete=not message["streaming"],
        )
        for message in messages
        if message["user"] == "UBOT"
    ]


def judge(sent: Sequence[Json], shown: Sequence[Shown]) -> Verdict:
    """Compares what was sent with what was shown."""
    by_thread: dict[str, list[Shown]] = defaultdict(list)
    for reply in shown:
        by_thread[reply.thread].append(reply)
    acknowledged = [one for one in sent if one["acknowledged"] is not None]
    complete = {one["ts"]: by_thread[one["ts"]] for one in acknowledged if _complete(by_thread[one["ts"]])}
    acks = [one["ack_seconds"] for one in acknowledged]
    seconds = [_last(complete[one["ts"]]) - one["first_sent"] for one in acknowledged if one["ts"] in complete]
    firsts = [_first(complete[one["ts"]]) - one["first_sent"] for one in acknowledged if one["ts"] in complete]
    states = [max(reply.visible_before_final for reply in found) for found in complete.values()]
    begin = min(one["first_sent"] for one in sent)
    end = max((_last(found) for found in complete.values()), default=begin)
    return Verdict(
        messages=len(sent),
        unacknowledged=len(sent) - len(acknowledged),
        lost=len(acknowledged) - len(complete),
        duplicated=sum(_repeated(found) for found in by_thread.values()),
        out_of_order=_out_of_order(sent, complete),
        ack_p50_ms=1000 * quantile(acks, 0.5),
        ack_p99_ms=1000 * quantile(acks, 0.99),
        reply_p50_ms=1000 * quantile(seconds, 0.5),
        reply_p99_ms=1000 * quantile(seconds, 0.99),
        first_text_p50_ms=1000 * quantile(firsts, 0.5),
        throughput_per_s=len(complete) / (end - begin) if end > begin else 0.0,
        states_before_final_p50=quantile([float(count) for count in states], 0.5),
        states_before_final_min=min(states, default=0),
    )


def quantile(values: Iterable[float], share: float) -> float:
    """The nearest-rank quantile; 0 for no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _complete(found: Sequence[Shown]) -> bool:
    return bool(found) and all(reply.complete for reply in found) and any(reply.text.strip() for reply in found)


def _last(found: Sequence[Shown]) -> float:
    return max(reply.states[-1] for reply in found)


def _first(found: Sequence[Shown]) -> float:
    return min(at for reply in found for at, text in zip(reply.states, reply.texts, strict=True) if text.strip())


def _repeated(found: Sequence[Shown]) -> int:
    """Replies to one message beyond the first. The load's answers are far shorter than a message may be: none is split."""
    return max(0, sum(1 for reply in found if reply.text.strip()) - 1)


def _out_of_order(sent: Sequence[Json], complete: dict[str, list[Shown]]) -> int:
    """Messages answered before an earlier one of the same conversation was."""
    ends: dict[str, float] = defaultdict(float)
    wrong = 0
    for one in sorted(sent, key=lambda one: float(one["ts"])):
        if one["ts"] not in complete:
            continue
        end = _last(complete[one["ts"]])
        wrong += end < ends[one["channel"]]
        ends[one["channel"]] = max(ends[one["channel"]], end)
    return wrong
