"""Who people and channels are, as far as audiences need it; cached in memory and in Redis for ten minutes.

What Slack will not tell (a missing scope, an unknown user) is taken for a guest in a shared channel: the answer is public.
What it cannot tell now (a limit, a 5xx, no network) is waited for: a public answer, once stored, would stay the answer.
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
_SHARED = ("is_ext_shared", "is_pending_ext_shared", "is_org_shared", "is_shared")

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user, as far as we need to know one."""

    name: str
    guest: bool
    admin: bool
    language: str


Groups = dict[str, tuple[str, ...]]
"""User group id -> ids of its members."""


class Directory:
    """Looks people, channels and (``with_groups``) user groups up."""

    def __init__(self, calls: SlackCalls, redis: Redis, keys: Keys, *, with_groups: bool) -> None:
        self._calls = calls
        self._with_groups = with_groups
        self._people = _Cache(redis, keys, "user", TypeAdapter(Person))
        self._channels = _Cache(redis, keys, "channel", TypeAdapter(ChannelKind))
        self._groups = _Cache(redis, keys, "groups", TypeAdapter(Groups))

    async def resolve(self, message: IncomingMessage) -> IncomingMessage:
        """The message with its sender and channel as they are. Raises ``DeliveryRetry`` while Slack cannot tell."""
        person, channel = await asyncio.gather(self._sender(message), self._channel(message))
        alone = channel in ("direct", "ephemeral") and not person.guest
        groups = await self._groups_of(message) if self._with_groups and alone else ()
        sender = replace(message.sender, name=person.name, guest=person.guest, admin=person.admin, groups=groups)
        address = {**message.address, "language": person.language}
        spoken = person.language if message.kind == "command" else message.language
        return replace(message, sender=sender, channel=channel, address=address, language=spoken or None)

    async def language(self, team: str, user: str) -> str:
        """The language of a person's Slack, as two letters, or nothing."""
        try:
            return (await self._people.get(f"{team}:{user}", lambda: self._ask_user(team, user))).language
        except CallError:
            return ""

    async def _sender(self, message: IncomingMessage) -> Person:
        team, user = message.address.get("team", ""), message.sender.id
        try:
            person = await self._people.get(f"{team}:{user}", lambda: self._ask_user(team, user))
        except CallError as failed:
            _wait_unless_conclusive(failed)
            return Person(name="", guest=True, admin=False, language="")
        foreign = message.address.get("user_team", team) not in ("", team)
        return replace(person, guest=person.guest or foreign)

    async def _channel(self, message: IncomingMessage) -> ChannelKind:
        if message.channel in ("direct", "ephemeral"):
            return message.channel
        return await self.channel(message.address.get("team", ""), message.address.get("channel", ""))

    async def channel(self, team: str, channel: str) -> ChannelKind:
        """Who reads a channel; ``shared`` where Slack will not tell. Raises ``DeliveryRetry`` while it cannot."""
        try:
            return await self._channels.get(f"{team}:{channel}", lambda: self._ask_channel(channel))
        except CallError as failed:
            _wait_unless_conclusive(failed)
            return "shared"

    async def _groups_of(self, message: IncomingMessage) -> tuple[str, ...]:
        try:
            groups = await self._groups.get(message.address.get("team", ""), self._ask_groups)
        except CallError as failed:
            _wait_unless_conclusive(failed)
            return ()
        return tuple(group for group, members in groups.items() if message.sender.id in members)

    async def _ask_user(self, team: str, user: str) -> Person:
        answer = await self._calls("users.info", patience=_PATIENCE, user=user, include_locale="true")
        return _person(_table(answer.get("user")), team)

    async def _ask_channel(self, channel: str) -> ChannelKind:
        answer = await self._calls("conversations.info", patience=_PATIENCE, channel=channel)
        return _kind(_table(answer.get("channel")))

    async def _ask_groups(self) -> Groups:
        answer = await self._calls("usergroups.list", patience=_PATIENCE, include_users="true")
        found = [_table(group) for group in answer.get("usergroups") or ()]
        return {str(group.get("id")): tuple(map(str, group.get("users") or ())) for group in found}


class _Cache(Generic[Found]):
    """Values by name: first in this process, then in Redis, then from Slack. Redis being away only costs a call."""

    def __init__(self, redis: Redis, keys: Keys, what: str, adapter: TypeAdapter[Found]) -> None:
        self._redis = redis
        self._keys = keys
        self._what = what
        self._adapter = adapter
        self._near: dict[str, tuple[float, Found]] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def get(self, name: str, ask: Callable[[], Awaitable[Found]]) -> Found:
        """Raises what ``ask`` raises; failures are not kept. Many who ask at once cost one call."""
        held = self._near.get(name)
        if held is not None and held[0] > time.monotonic():
            return held[1]
        try:
            async with self._asking.setdefault(name, asyncio.Lock()):
                held = self._near.get(name)
                if held is None or held[0] <= time.monotonic():
                    held = self._remember(name, await self._fetch(name, ask))
        finally:
            self._asking.pop(name, None)
        return held[1]

    async def _fetch(self, name: str, ask: Callable[[], Awaitable[Found]]) -> Found:
        found = await self._far(name)
        if found is None:
            found = await ask()
            await self._keep(name, found)
        return found

    def _remember(self, name: str, found: Found) -> tuple[float, Found]:
        if len(self._near) >= _MEMORY_ENTRIES:
            self._near.clear()
        # Half of the time in Redis, so that what lies there is not stretched to twice its age for long.
        self._near[name] = (time.monotonic() + CACHE_SECONDS / 2, found)
        return self._near[name]

    async def _far(self, name: str) -> Found | None:
        try:
            with store_errors("Slack is asked again"):
                raw = await self._redis.get(self._key(name))
            return None if raw is None else self._adapter.validate_json(raw)
        except (StoreUnavailable, ValidationError):
            return None

    async def _keep(self, name: str, found: Found) -> None:
        with suppress(StoreUnavailable), store_errors("Slack is asked again"):
            await self._redis.set(self._key(name), self._adapter.dump_json(found), ex=CACHE_SECONDS)

    def _key(self, name: str) -> str:
        return self._keys.of("slack", self._what, name)


def _wait_unless_conclusive(failed: CallError) -> None:
    if not failed.conclusive:
        raise DeliveryRetry(
            f"Slack cannot tell who reads the answer: {failed}", after=failed.after, away=True
        ) from failed


def _person(user: Mapping[str, Any], team: str) -> Person:
    profile = _table(user.get("profile"))
    name = profile.get("display_name") or profile.get("real_name") or user.get("real_name") or user.get("name") or ""
    outside = user.get("team_id") not in (team, None, "") or not user
    guest = any(user.get(flag) for flag in ("is_restricted", "is_ultra_restricted", "is_stranger")) or outside
    admin = not guest and any(user.get(flag) for flag in ("is_admin", "is_owner", "is_primary_owner"))
    return Person(name=str(name), guest=guest, admin=admin, language=str(user.get("locale") or "")[:2])


def _kind(channel: Mapping[str, Any]) -> ChannelKind:
    if not channel or any(channel.get(flag) for flag in _SHARED):
        return "shared"
    if channel.get("is_im"):
        return "direct"
    return "private" if channel.get("is_private") or channel.get("is_mpim") or channel.get("is_group") else "public"


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
