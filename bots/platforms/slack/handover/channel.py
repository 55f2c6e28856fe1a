"""The Slack channel in which people are asked to take a conversation over: posts, button presses, recovery after a crash."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from bots.conversation.audience import INTERNAL, PUBLIC, Readers
from bots.conversation.handover.case import Case
from bots.conversation.handover.state import Handover, HandoverStore, redrawing, resumption
from bots.errors import SettingsError
from bots.messages import IncomingMessage
from bots.platforms.slack.calls import REFUSALS, CallError, SlackCalls
from bots.platforms.slack.directory import Directory
from bots.platforms.slack.handover.blocks import case_blocks, headline, read_button, stub_blocks
from bots.platforms.slack.identity import Identity
from bots.platforms.slack.replying.posting import CLOCK_SKEW_SECONDS, PATIENCE
from bots.platforms.slack.settings import SlackSettings

METADATA = "cotorra_handover"
_PAGE_MESSAGES = 200
_MAX_PAGES = 5
_UNCHANGEABLE_CODES = frozenset(
    {"message_not_found", "cant_update_message", "cant_delete_message", "edit_window_closed"}
)


class SlackHandover:
    """``HandoverChannel`` in Slack; ``place`` is the channel's id. Raises ``DeliveryRetry`` and ``DeliveryRefused``."""

    def __init__(
        self,
        place: str,
        *,
        settings: SlackSettings,
        calls: SlackCalls,
        identity: Identity,
        directory: Directory,
        store: HandoverStore,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.place = place
        self._settings = settings
        self._calls = calls
        self._identity = identity
        self._directory = directory
        self._store = store
        self._now = now

    async def readers(self) -> Readers:
        """The same rules as for any other channel of the workspace."""
        team = (await self._identity.bot()).team
        if await self._directory.channel(team, self.place) == "shared":
            return Readers(audiences=PUBLIC)
        public = self.place in self._settings.public_channels
        return Readers(audiences=PUBLIC if public else INTERNAL, tenant=self._settings.tenants.get(team, ""))

    async def post(self, case: Case) -> str:
        try:
            answer = await self._calls(
                "chat.postMessage",
                channel=self.place,
                patience=PATIENCE,
                text=headline(case.handover),
                blocks=case_blocks(case),
                metadata={"event_type": METADATA, "event_payload": {"turn_id": case.handover.turn_id}},
                unfurl_links=False,
                unfurl_media=False,
            )
        except CallError as error:
            raise error.delivery() from error
        return str(answer.get("ts") or "")

    async def find(self, turn: str, since: datetime) -> str | None:
        """Searches the bot's posts since ``since``, at most 1,000 messages; needs the history scopes and membership."""
        user, cursor = (await self._identity.bot()).user, ""
        for _ in range(_MAX_PAGES):
            try:
                page = await self._calls(
                    "conversations.history",
                    channel=self.place,
                    patience=PATIENCE,
                    oldest=f"{since.timestamp() - CLOCK_SKEW_SECONDS:.6f}",
                    include_all_metadata="true",
                    limit=_PAGE_MESSAGES,
                    cursor=cursor or None,
                )
            except CallError as error:
                # None and not "": the post may exist, so it must not be sent a second time.
                if error.conclusive:
                    return None
                raise error.delivery() from error
            for message in page.get("messages") or ():
                if message.get("user") == user and _turn_of(message) == turn:
                    return str(message["ts"])
            cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                return ""
        return ""

    async def redraw(self, handover: Handover) -> None:
        try:
            await self._calls(
                "chat.update",
                channel=handover.place,
                patience=PATIENCE,
                ts=handover.post,
                text=headline(handover),
                blocks=stub_blocks(handover),
                metadata={"event_type": METADATA, "event_payload": {"turn_id": handover.turn_id}},
            )
        except CallError as error:
            if error.code not in _UNCHANGEABLE_CODES:
                raise error.delivery() from error

    async def remove(self, place: str, post: str) -> None:
        if not post:
            return
        try:
            await self._calls("chat.delete", channel=place, patience=PATIENCE, ts=post)
        except CallError as error:
            if error.code not in _UNCHANGEABLE_CODES:
                raise error.delivery() from error

    async def message_for_press(self, body: Mapping[str, Any]) -> IncomingMessage | None:
        """The message that a press of the button stands for; None for other payloads. Raises ``StoreUnavailable``.

        Everybody who sees the channel may press. A press on a post that is out of date updates the post.
        """
        button, user = read_button(body), str(_table(body.get("user")).get("id") or "")
        if button is None or not user or _table(body.get("channel")).get("id") != self.place:
            return None
        handover = await self._store.find(button.conversation, button.turn)
        if handover is None:
            return None
        if handover.stage == "closed":
            return redrawing(handover, self._now())
        return resumption(handover, user, self._now())

    async def check(self) -> Mapping[str, str]:
        """For ``doctor``: the channel's name, and whether outsiders read it. Raises ``SettingsError`` or ``DeliveryError``."""
        try:
            answer = await self._calls("conversations.info", patience=PATIENCE, channel=self.place)
        except CallError as error:
            if not error.conclusive:
                raise error.delivery() from error
            raise SettingsError(_advice(self.place, error.code)) from error
        channel = _table(answer.get("channel"))
        if channel.get("is_archived"):
            raise SettingsError(_advice(self.place, "is_archived"))
        if channel.get("is_member") is False:
            raise SettingsError(_advice(self.place, "not_in_channel"))
        facts = {"channel": f"#{channel.get('name') or self.place}"}
        if await self.readers() == Readers(audiences=PUBLIC):
            facts["read by"] = "people from outside too"
        return facts


def _advice(place: str, code: str) -> str:
    if code in REFUSALS - {"not_in_channel"}:
        return f"handover.slack_channel ({place}): Slack says {code}; correct the id, or invite the bot to the channel"
    if code == "not_in_channel":
        return f"handover.slack_channel ({place}): the bot is not in it; write /invite and the bot's name there"
    return f"handover.slack_channel ({place}): Slack says {code}; install the app again with deploy/slack-manifest.yaml"


def _turn_of(message: Mapping[str, Any]) -> str:
    metadata = _table(message.get("metadata"))
    ours = metadata.get("event_type") == METADATA
    return str(_table(metadata.get("event_payload")).get("turn_id") or "") if ours else ""


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
