"""Facts about people, channels and user groups that decide audiences; cached in memory and in Redis for ten minutes.

Where Slack refuses to tell (a missing scope, an unknown user), the person counts as a guest in a shared channel: the answer
is public. Where it cannot tell at the moment (a limit, a 5xx, no network), the message waits: an answer to too narrow an
audience would be stored and would stay the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis

from bots.errors import DeliveryRetry
from bots.keys import Keys
from bots.messages import ChannelKind, IncomingMessage
from bots.platforms.slack.calls import CallError, SlackCalls
from rag.errors import StoreUnavailable
from rag.store.client import store_errors

CACHE_SECONDS = 600
_PATIENCE = 2.0
_MEMORY_ENTRIES = 10_000
# Shared within an Enterprise organisation counts too: people of other workspaces read the channel.
_SHARED = ("is_ext_shared", "is_pending_ext_shared", "is_org_shared", "is_shared")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """The facts about a user that we need. ``language`` is two letters, empty where Slack gives no locale."""

    name: str
    guest: bool
    admin: bool
    language: str


Groups = dict[str, tuple[str, ...]]
"""User group id -> ids of its members."""


class Directory:
    """Looks up people, channels and, ``with_groups``, user groups."""

    def __init__(self, calls: SlackCalls, redis: Redis, keys: Keys, *, with_groups: bool) -> None:
        self._calls = calls
        self._with_groups = with_groups
        self._people = _Cache(redis, keys, "user", TypeAdapter(Person))
        self._channels = _Cache(redis, keys, "channel", TypeAdapter(ChannelKind))
        self._groups = _Cache(redis, keys, "groups", TypeAdapter(Groups))

    async def resolve(self, message: IncomingMessage) -> IncomingMessage:
        """The message with the facts about its sender and channel. Raises ``DeliveryRetry`` while Slack cannot tell."""
        person, channel = await asyncio.gather(self._sender(message), self._channel(message))
        private = channel in ("direct", "ephemeral") and not person.guest
        # The audience of a user group counts only where nobody else reads the answer: elsewhere the call is saved.
        groups = await self._groups_of(message) if self._with_groups and private else ()
        sender = replace(message.sender, name=person.name, guest=person.guest, admin=person.admin, groups=groups)
        address = {**message.address, "language": person.language}
        language = person.language if message.kind == "command" else message.language
        return replace(message, sender=sender, channel=channel, address=address, language=language or None)

    async def language(self, team: str, user: str) -> str:
        """The language of a person's Slack, as two letters; empty when unknown."""
        try:
            return (await self._people.get(f"{team}:{user}", lambda: self._ask_user(team, user))).language
        except CallError:
            return ""

    async def _sender(self, message: IncomingMessage) -> Person:
        team, user = message.address.get("team", ""), message.sender.id
        try:
            person = await self._people.get(f"{team}:{user}", lambda: self._ask_user(team, user))
        except CallError as error:
            _retry_unless_conclusive(error)
            return Person(name="", guest=True, admin=False, language="")
        # In a Slack Connect channel the sender's workspace may be another one than the one that installed the app.
        foreign = message.address.get("user_team", team) not in ("", team)
        return replace(person, guest=person.guest or foreign)

    async def _channel(self, message: IncomingMessage) -> ChannelKind:
        if message.channel in ("direct", "ephemeral"):
            return message.channel
        return await self.channel(message.address.get("team", ""), message.address.get("channel", ""))

    async def channel(self, team: str, channel: str) -> ChannelKind:
        """Who reads a channel; ``shared`` where Slack refuses to tell. Raises ``DeliveryRetry`` while it cannot tell."""
        try:
            return await self._channels.get(f"{team}:{channel}", lambda: self._ask_channel(channel))
        except CallError as error:
            _retry_unless_conclusive(error)
            return "shared"

    async def _groups_of(self, message: IncomingMessage) -> tuple[str, ...]:
        try:
            groups = await self._groups.get(message.address.get("team", ""), self._ask_groups)
        except CallError as error:
            _retry_unless_conclusive(error)
            return ()
        return tuple(group for group, members in groups.items() if message.sender.id in members)

    async def _ask_user(self, team: str, user: str) -> Person:
        answer = await self._calls("users.info", patience=_PATIENCE, user=user, include_locale="true")
        return _person(_table(answer.get("user")), team)

    async def _ask_channel(self, channel: str) -> ChannelKind:
        answer = await self._calls("conversations.info", patience=_PATIENCE, channel=channel)
        return _channel_kind(_table(answer.get("channel")))

    async def _ask_groups(self) -> Groups:
        answer = await self._calls("usergroups.list", patience=_PATIENCE, include_users="true")
        groups = [_table(group) for group in answer.get("usergroups") or ()]
        return {str(group.get("id")): tuple(map(str, group.get("users") or ())) for group in groups}


class _Cache(Generic[Value]):
    """Values by name: from this process, else from Redis, else from Slack. Without Redis a look-up costs a call, no more."""

    def __init__(self, redis: Redis, keys: Keys, kind: str, adapter: TypeAdapter[Value]) -> None:
        self._redis = redis
        self._keys = keys
        self._kind_name = kind
        self._adapter = adapter
        self._memory: dict[str, tuple[float, Value]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, name: str, ask: Callable[[], Awaitable[Value]]) -> Value:
        """Raises what ``ask`` raises; failures are not cached. Concurrent look-ups of one name cost one call."""
        entry = self._memory.get(name)
        if entry is not None and entry[0] > time.monotonic():
            return entry[1]
        try:
            async with self._locks.setdefault(name, asyncio.Lock()):
                entry = self._memory.get(name)
                if entry is None or entry[0] <= time.monotonic():
                    entry = self._cache_in_memory(name, await self._fetch(name, ask))
        finally:
            # Those that wait hold the lock object itself, so the table need not grow with every name ever looked up.
            self._locks.pop(name, None)
        return entry[1]

    async def _fetch(self, name: str, ask: Callable[[], Awaitable[Value]]) -> Value:
        value = await self._load(name)
        if value is None:
            value = await ask()
            await self._save(name, value)
        return value

    def _cache_in_memory(self, name: str, value: Value) -> tuple[float, Value]:
        # Emptying all costs one look-up a person; an order of use would cost a write at every look-up.
        if len(self._memory) >= _MEMORY_ENTRIES:
            self._memory.clear()
        # Half of the time in Redis: a value read from there near its end would otherwise live for almost twice as long.
        self._memory[name] = (time.monotonic() + CACHE_SECONDS / 2, value)
        return self._memory[name]

    async def _load(self, name: str) -> Value | None:
        try:
            with store_errors("Slack is asked again"):
                raw = await self._redis.get(self._key(name))
            return None if raw is None else self._adapter.validate_json(raw)
        except (StoreUnavailable, ValidationError):
            return None

    async def _save(self, name: str, value: Value) -> None:
        with suppress(StoreUnavailable), store_errors("Slack is asked again"):
            await self._redis.set(self._key(name), self._adapter.dump_json(value), ex=CACHE_SECONDS)

    def _key(self, name: str) -> str:
        return self._keys.of("slack", self._kind_name, name)


def _retry_unless_conclusive(error: CallError) -> None:
    if not error.conclusive:
        raise DeliveryRetry(f"Slack cannot tell who reads the answer: {error}", after=error.after, away=True) from error


def _person(user: Mapping[str, Any], team: str) -> Person:
    profile = _table(user.get("profile"))
    name = profile.get("display_name") or profile.get("real_name") or user.get("real_name") or user.get("name") or ""
    # An empty table means that Slack told nothing: such a person is a guest.
    outside = user.get("team_id") not in (team, None, "") or not user
    guest = any(user.get(flag) for flag in ("is_restricted", "is_ultra_restricted", "is_stranger")) or outside
    admin = not guest and any(user.get(flag) for flag in ("is_admin", "is_owner", "is_primary_owner"))
    return Person(name=str(name), guest=guest, admin=admin, language=str(user.get("locale") or "")[:2])


def _channel_kind(channel: Mapping[str, Any]) -> ChannelKind:
    if not channel or any(channel.get(flag) for flag in _SHARED):
        return "shared"
    if channel.get("is_im"):
        return "direct"
    return "private" if channel.get("is_private") or channel.get("is_mpim") or channel.get("is_group") else "public"


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
