"""What a loopback Slack knows: people, channels, messages with everything that was ever visible of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
BOT_USER = "UBOT"
BOT_ID = "BBOT"
TEAM = "T1"


class ApiError(Exception):
    """An ``ok: false`` answer."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True, kw_only=True)
class Call:
    """One call of the Web API, as it arrived."""

    method: str
    arguments: Json
    at: float
    token: str


@dataclass(slots=True, kw_only=True)
class Message:
    """A message. ``body`` is its visible Markdown, ``furniture`` every block that is not Markdown.

    ``states`` holds (time, body, furniture types) after each change, as a reader would have seen it.
    """

    channel: str
    ts: str
    thread: str
    user: str
    body: str = ""
    furniture: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    streaming: bool = False
    streamed: bool = False
    states: list[tuple[float, str, tuple[str, ...]]] = field(default_factory=list)

    def seen(self) -> None:
        self.states.append((time.time(), self.body, tuple(block["type"] for block in self.furniture)))

    def to_json(self) -> Json:
        found: Json = {"type": "message", "ts": self.ts, "thread_ts": self.thread, "user": self.user, "text": self.body}
        if self.user == BOT_USER:
            found["bot_id"] = BOT_ID
        if self.metadata is not None:
            found["metadata"] = self.metadata
        return found


class Workspace:
    """People and channels come into being when they are named, unless they are ``missing``."""

    def __init__(self) -> None:
        self.users: dict[str, Json] = {}
        self.channels: dict[str, Json] = {}
        self.usergroups: list[Json] = []
        self.missing: set[str] = set()
        self.messages: dict[tuple[str, str], Message] = {}
        self.ephemerals: list[Json] = []
        self.responses: list[tuple[str, Json]] = []
        self.views: list[Json] = []
        self.prompts: list[Json] = []
        self.titles: list[Json] = []
        self.statuses: list[Json] = []
        self.calls: list[Call] = []
        self._last = 0

    def ts(self) -> str:
        """A timestamp that nobody had before, by this server's clock."""
        self._last = max(self._last + 1, int(time.time() * 1_000_000))
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"

    def user(self, name: str) -> Json:
        if name in self.missing:
            raise ApiError("user_not_found")
        known = self.users.setdefault(name, {})
        return {"id": name, "team_id": TEAM, "real_name": f"Name of {name}", "locale": "en-US", **known}

    def channel(self, name: str) -> Json:
        if name in self.missing:
            raise ApiError("channel_not_found")
        known = self.channels.setdefault(name, {})
        kind = {"is_im": True} if name.startswith("D") else {"is_private": True} if name.startswith("G") else {}
        return {"id": name, "is_channel": not kind, "is_archived": False, **kind, **known}

    def writable(self, name: str) -> Json:
        channel = self.channel(name)
        if channel["is_archived"]:
            raise ApiError("is_archived")
        if channel.get("closed_to_bot"):
            raise ApiError("not_in_channel")
        return channel

    def message(self, channel: str, ts: str) -> Message:
        found = self.messages.get((channel, ts))
        if found is None:
            raise ApiError("message_not_found")
        return found

    def add(self, message: Message) -> Message:
        self.messages[(message.channel, message.ts)] = message
        message.seen()
        return message

    def thread(self, channel: str, root: str) -> list[Message]:
        """The messages of a thread, oldest first."""
        found = [m for (place, _), m in self.messages.items() if place == channel and root in (m.thread, m.ts)]
        return sorted(found, key=lambda message: message.ts)

    def replies(self, channel: str, root: str) -> list[Message]:
        """The bot's own messages in a thread."""
        return [message for message in self.thread(channel, root) if message.user == BOT_USER]

    def methods(self) -> list[str]:
        return [call.method for call in self.calls]
