"""A load of signed Slack events from a process of its own, retried as Slack retries.

Messages of one conversation are sent one after the other, each after the one before was acknowledged, so that their order
is known; conversations run side by side. Prints one JSON object: for each message when it was due, first sent, acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

TEAM = "T1"
LANES = 16
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0, 5.0, 5.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One direct message. ``number`` counts over the load; ``due`` is seconds after its start."""

    number: int
    conversation: int
    text: str
    ts: str
    due: float

    @property
    def channel(self) -> str:
        return f"D{self.conversation:05d}"

    @property
    def user(self) -> str:
        return f"U{self.conversation:05d}"

    def body(self) -> bytes:
        return json.dumps(
            {
                "type": "event_callback",
                "token": "unused",
                "team_id": TEAM,
                "api_app_id": "A0BENCH",
                "event_id": f"Ev{self.ts}",
                "event_time": int(float(self.ts)),
                "authorizations": [{"team_id": TEAM, "user_id": "UBOT", "is_bot": True}],
                "event": {
                    "type": "message",
                    "channel": self.channel,
                    "channel_type": "im",
                    "user": self.user,
                    "team": TEAM,
                    "text": self.text,
                    "ts": self.ts,
                    "event_ts": self.ts,
                },
            }
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one event; times are seconds since the epoch, ``tries`` counts deliveries."""

    number: int
    channel: str
    ts: str
    first_sent: float
    acknowledged: float | None
    ack_seconds: float
    tries: int


def events(texts: list[str], conversations: int, rate: float, start: float, first: int) -> list[Event]:
    """One event a text, round robin over the conversations from ``first`` on; ``rate`` a second, 0 for all at once."""
    return [
        Event(
            number=number,
            conversation=first + number % conversations,
            text=text,
            ts=f"{start + number * 0.001:.6f}",
            due=number / rate if rate else 0.0,
        )
        for number, text in enumerate(texts)
    ]


def signed(body: bytes, secret: str, retry: int) -> dict[str, str]:
    """Slack's headers for a body, https://docs.slack.dev/authentication/verifying-requests-from-slack."""
    stamp = str(int(time.time()))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {
        "content-type": "application/json",
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": f"v0={digest}",
    }
    if retry:
        headers |= {"x-slack-retry-num": str(retry), "x-slack-retry-reason": "http_error"}
    return headers


class Load:
    """Sends events to one or several receivers; a retry may meet another receiver, as behind a load balancer."""

    def __init__(self, urls: list[str], secret: str) -> None:
        self._urls = urls
        self._secret = secret

    async def run(self, load: list[Event]) -> list[Sent]:
        lanes: list[list[Event]] = [[] for _ in range(LANES)]
        for event in load:
            lanes[event.conversation % LANES].append(event)
        begin = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            sent = await asyncio.gather(*(self._lane(session, lane, begin) for lane in lanes))
        return sorted((one for lane in sent for one in lane), key=lambda one: one.number)

    async def _lane(self, session: aiohttp.ClientSession, lane: list[Event], begin: float) -> list[Sent]:
        done = []
        for event in lane:
            await asyncio.sleep(max(0.0, begin + event.due - time.monotonic()))
            done.append(await self._deliver(session, event))
        return done

    async def _deliver(self, session: aiohttp.ClientSession, event: Event) -> Sent:
        body = event.body()
        first_sent = time.time()
        for retry, pause in enumerate((*RETRY_SECONDS, 0.0)):
            began = time.monotonic()
            if await self._accepted(session, body, retry, event.number):
                now = time.monotonic()
                return _sent(event, first_sent, time.time(), now - began, retry + 1)
            await asyncio.sleep(pause)
        return _sent(event, first_sent, None, 0.0, len(RETRY_SECONDS) + 1)

    async def _accepted(self, session: aiohttp.ClientSession, body: bytes, retry: int, number: int) -> bool:
        url = self._urls[(number + retry) % len(self._urls)]
        try:
            async with session.post(url, data=body, headers=signed(body, self._secret, retry)) as response:
                await response.read()
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


def _sent(event: Event, first: float, acknowledged: float | None, seconds: float, tries: int) -> Sent:
    return Sent(
        number=event.number,
        channel=event.channel,
        ts=event.ts,
        first_sent=first,
        acknowledged=acknowledged,
        ack_seconds=seconds,
        tries=tries,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", action="append", required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--texts", type=Path, required=True, help="a JSON list of questions")
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first conversation")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--start", type=float, required=True, help="the first message's ts; loads must not overlap")
    arguments = parser.parse_args()
    texts: list[Any] = json.loads(arguments.texts.read_text(encoding="utf-8"))
    load = events(texts, arguments.conversations, arguments.rate, arguments.start, arguments.first)
    sent = asyncio.run(Load(arguments.url, arguments.secret).run(load))
    print(json.dumps([asdict(one) for one in sent]))


if __name__ == "__main__":
    main()
