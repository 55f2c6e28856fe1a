"""Settings as they are with every platform, made from values instead of a file."""

from __future__ import annotations

from typing import Any

from bots.platforms.entries import PLATFORMS
from bots.settings import Settings, settings_class


def configured(**values: Any) -> Settings:
    """Values as cotorra.toml names them, or sections that were made already."""
    return settings_class(PLATFORMS)(**values)
