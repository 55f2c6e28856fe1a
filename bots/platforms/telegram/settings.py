"""The section ``[telegram]`` of the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, SecretStr, field_validator

from rag.settings import Name, Section


class TelegramSettings(Section):
    """Telegram. Long polling by default; with ``webhook_url`` a webhook, for which ``webhook_secret`` is compulsory."""

    bot_token: SecretStr | None = None
    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None
    api_url: str = "https://api.telegram.org/bot"
    drafts: bool = Field(False, description="stream with sendMessageDraft in private chats")
    chat_audiences: Mapping[str, tuple[str, ...]] = Field(default_factory=dict, description="chat id -> audiences")
    chat_tenants: Mapping[str, Name] = Field(default_factory=dict, description="chat id -> tenant")
    contact: str = Field(
        "", description="how to reach a person: shown by /start, by /help and when the bot does not know"
    )

    @field_validator("api_url")
    @classmethod
    def _ends_in_bot(cls, value: str) -> str:
        if not value.endswith("/bot"):
            raise ValueError("ends in /bot; the token follows")
        return value
