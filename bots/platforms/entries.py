"""The list of platforms, for the service, ``doctor`` and the configuration. A new platform is a folder and a line here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bots.platforms.entry import PlatformEntry
from bots.platforms.slack.entry import SLACK
from bots.platforms.telegram.entry import TELEGRAM

PLATFORMS: Sequence[PlatformEntry[Any]] = (SLACK, TELEGRAM)
