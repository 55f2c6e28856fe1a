"""The section ``[slack]`` of the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, SecretStr, field_validator

from rag.settings import Name, Section


class SlackSettings(Section):
    """Slack. HTTP needs ``signing_secret``, Socket Mode needs ``app_token``; both need ``bot_token``."""

    bot_token: SecretStr | None = None
    app_token: SecretStr | None = None
    signing_secret: SecretStr | None = None
    api_url: str = "https://slack.com/api/"
    follow_threads: bool = Field(True, description="answer follow-ups in a joined thread without a new mention")
    quiet_channels: tuple[str, ...] = Field((), description="channel ids where only a mention is answered")
    public_channels: tuple[str, ...] = Field(
        (), description="internal channel ids that guests read: public documents only"
    )
    group_audiences: Mapping[str, str] = Field(default_factory=dict, description="user group id -> audience")
    tenants: Mapping[str, Name] = Field(default_factory=dict, description="workspace id -> tenant")

    @field_validator("api_url")
    @classmethod
    def _ends_in_api(cls, value: str) -> str:
        if not value.endswith("/api/"):
            raise ValueError("ends in /api/")
        return value
