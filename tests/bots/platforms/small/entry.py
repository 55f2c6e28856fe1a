"""The noticeboard's section and its line in the list of platforms."""

from __future__ import annotations

from pydantic import SecretStr

from bots.platforms.entry import PlatformEntry
from rag.settings import Section
from tests.bots.platforms.small.platform import Noticeboard


class NoticeboardSettings(Section):
    """The section ``[noticeboard]``."""

    token: SecretStr | None = None
    internal: tuple[str, ...] = ()
    contact: str = ""


NOTICEBOARD = PlatformEntry(
    name="noticeboard",
    settings=NoticeboardSettings,
    credential="token",
    environment={"NOTICEBOARD_TOKEN": "token"},
    contact=lambda settings: settings.contact,
    handover="the board where people take over",
    build=lambda settings, context: Noticeboard(frozenset(settings.internal), context.handover_place),
)
