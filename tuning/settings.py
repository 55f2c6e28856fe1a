"""Settings of the learning side: where the conversation log is, and how long it keeps turns."""

from __future__ import annotations

from pydantic import Field

from rag.settings import Section


class LogSettings(Section):
    """The conversation log. ``url`` is DATABASE_URL; without one it is SQLite in COTORRA_HOME."""

    enabled: bool = True
    url: str | None = Field(None, repr=False)
    retention_days: float = Field(365, gt=0, le=36500)
    redact: bool = Field(True, description="replace personal data before a turn is written")
