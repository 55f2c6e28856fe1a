"""Who may read the answer decides what it may use."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bots.conversation.audience import INTERNAL, PUBLIC, KnowsReaders, Readers, readers, terminal_readers
from bots.messages import ChannelKind, IncomingMessage, Sender
from bots.platforms.slack.entry import SLACK
from bots.platforms.slack.readers import slack_readers
from bots.platforms.telegram.entry import TELEGRAM
from bots.platforms.telegram.readers import telegram_readers
from tests.bots.configured import configured

SETTINGS = configured(
    **{
        "slack": {"group_audiences": {"S1": "finance"}, "public_channels": ["CGUESTS"], "tenants": {"T1": "acme"}},
        "telegram": {"chat_audiences": {"-5": ["partners"]}, "chat_tenants": {"-5": "globex"}},
        "audience": {"terminal": ["employees"], "terminal_tenant": "initech"},
    }
)


class Slack:
    def readers(self, message: IncomingMessage) -> Readers:
        return slack_readers(message, SLACK.section(SETTINGS))


class Telegram:
    def readers(self, message: IncomingMessage) -> Readers:
        return telegram_readers(message, TELEGRAM.section(SETTINGS))


PLATFORMS: dict[str, KnowsReaders] = {"slack": Slack(), "telegram": Telegram()}


def audiences(message: IncomingMessage) -> frozenset[str]:
    return readers(message, PLATFORMS).audiences


def tenant(message: IncomingMessage) -> str:
    return readers(message, PLATFORMS).tenant


def message(
    platform: str,
    channel: ChannelKind,
    *,
    guest: bool = False,
    groups: tuple[str, ...] = (),
    place: str = "C1",
    **address: str,
) -> IncomingMessage:
    return IncomingMessage(
        id="m",
        seen=("m",),
        platform=platform,
        conversation="c",
        kind="question",
        text="?",
        sender=Sender(id="U1", guest=guest, groups=groups),
        channel=channel,
        received_at=datetime.now(UTC),
        address={"channel": place, "chat": place, **address},
    )


@pytest.mark.parametrize("channel", ["direct", "private", "public", "ephemeral"])
def test_employees_read_internal_documents_inside(channel: ChannelKind) -> None:
    assert audiences(message("slack", channel)) == INTERNAL


@pytest.mark.parametrize("channel", ["direct", "private", "public", "ephemeral", "shared"])
def test_guests_read_what_is_public(channel: ChannelKind) -> None:
    assert audiences(message("slack", channel, guest=True, groups=("S1",))) == PUBLIC


def test_a_shared_channel_is_public_whoever_asks() -> None:
    assert audiences(message("slack", "shared", groups=("S1",))) == PUBLIC


def test_a_channel_that_guests_read_is_public() -> None:
    assert audiences(message("slack", "private", place="CGUESTS")) == PUBLIC


@pytest.mark.parametrize(("channel", "more"), [("direct", {"finance"}), ("ephemeral", {"finance"}), ("public", set())])
def test_a_user_group_counts_only_where_nobody_else_reads(channel: ChannelKind, more: set[str]) -> None:
    assert audiences(message("slack", channel, groups=("S1", "S9"))) == INTERNAL | more


def test_telegram_is_public_unless_the_chat_is_mapped() -> None:
    assert audiences(message("telegram", "private", place="-4")) == PUBLIC
    assert audiences(message("telegram", "private", place="-5")) == PUBLIC | {"partners"}


def test_the_terminal_reads_what_is_set() -> None:
    assert terminal_readers(SETTINGS.audience).audiences == {"public", "employees"}


def test_what_no_platform_vouches_for_is_public() -> None:
    assert readers(message("pigeon", "direct", team="T1"), PLATFORMS) == Readers(audiences=PUBLIC)


@pytest.mark.parametrize("channel", ["direct", "private", "public", "ephemeral"])
@pytest.mark.parametrize(("team", "belongs_to"), [("T1", "acme"), ("T2", "")])
def test_a_mapped_workspace_reads_its_tenants_documents(channel: ChannelKind, team: str, belongs_to: str) -> None:
    assert tenant(message("slack", channel, team=team, user_team=team)) == belongs_to


def test_where_people_of_another_organisation_read_no_tenants_documents_are_used() -> None:
    assert tenant(message("slack", "shared", team="T1")) == ""
    assert tenant(message("slack", "direct", team="T1", user_team="T2", guest=True)) == ""


def test_a_mapped_chat_and_the_terminal_read_their_tenants_documents() -> None:
    assert tenant(message("telegram", "private", place="-5")) == "globex"
    assert tenant(message("telegram", "private", place="-4")) == ""
    assert terminal_readers(SETTINGS.audience).tenant == "initech"
