"""The configuration, read once: cotorra.toml (or the file in COTORRA_CONFIG) and the environment, which wins."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails

from bots.errors import SettingsError
from rag.settings import (
    EmbeddingSettings,
    KnowledgeSettings,
    MemorySettings,
    ModelSettings,
    Name,
    QdrantSettings,
    RetrievalSettings,
    Section,
)
from tuning.settings import LogSettings

CONVENTIONAL = {
    "SLACK_BOT_TOKEN": ("slack", "bot_token"),
    "SLACK_APP_TOKEN": ("slack", "app_token"),
    "SLACK_SIGNING_SECRET": ("slack", "signing_secret"),
    "SLACK_API_URL": ("slack", "api_url"),
    "TELEGRAM_BOT_TOKEN": ("telegram", "bot_token"),
    "TELEGRAM_WEBHOOK_URL": ("telegram", "webhook_url"),
    "TELEGRAM_WEBHOOK_SECRET": ("telegram", "webhook_secret"),
    "TELEGRAM_API_URL": ("telegram", "api_url"),
    "REDIS_URL": ("redis", "url"),
    "QDRANT_URL": ("qdrant", "url"),
    "QDRANT_API_KEY": ("qdrant", "api_key"),
    "DATABASE_URL": ("log", "url"),
    "OPENAI_BASE_URL": ("model", "servers"),
    "OPENAI_API_KEY": ("model", "api_key"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("tracing", "endpoint"),
}
"""Environment names that the platforms and stores are known by, and the key that each one sets."""


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


class RedisSettings(Section):
    """The stores of inbox, replies and memory. ``url`` is REDIS_URL; without one a private server runs in COTORRA_HOME."""

    url: str | None = Field(None, repr=False)
    prefix: str = Field("cotorra", pattern=r"^[A-Za-z0-9_.-]{1,32}$")
    appendfsync: Literal["always", "everysec"] = Field("always", description="of the private server")


class LimitSettings(Section):
    """What one person, one conversation and one message may ask of the service."""

    user_per_minute: int = Field(12, ge=1, le=100000)
    conversation_per_minute: int = Field(30, ge=1, le=100000)
    message_characters: int = Field(4000, ge=100, le=100000)
    body_bytes: int = Field(1_000_000, ge=10_000, le=50_000_000)


class WorkerSettings(Section):
    """How messages are worked off."""

    concurrency: int = Field(16, ge=1, le=1024, description="conversations answered at once by one process")
    lease_seconds: float = Field(15, ge=1, le=600)
    tries: int = Field(3, ge=1, le=20)
    drain_seconds: float = Field(20, ge=0, le=600)
    port: int = Field(0, ge=0, le=65535, description="health and metrics of `cotorra worker`; 0 picks a free one")


class HandoverSettings(Section):
    """Where a conversation goes whose asker wants a person. Without ``slack_channel`` people are told ``telegram.contact``."""

    slack_channel: str = Field("", description="id of the channel where people take over, for example C0123456789")
    silent_hours: float = Field(12, gt=0, le=720, description="until the bot answers again if nobody resumes it")


class TracingSettings(Section):
    """OpenTelemetry. ``endpoint`` is OTEL_EXPORTER_OTLP_ENDPOINT; without one nothing is traced."""

    endpoint: str | None = Field(None, description="an OTLP/HTTP collector, for example http://127.0.0.1:4318")
    sample: float = Field(1.0, ge=0, le=1, description="share of conversations' turns that are traced")


class AudienceSettings(Section):
    """Which audiences, and which tenant's documents, the embedded channels give."""

    terminal: tuple[str, ...] = ("public", "employees")
    terminal_tenant: Name | Literal[""] = ""


class Settings(Section):
    """Everything that can be set."""

    home: Path = Field(Path(".cotorra"), validate_default=True)
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    knowledge: KnowledgeSettings = KnowledgeSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    model: ModelSettings = ModelSettings()
    memory: MemorySettings = MemorySettings()
    qdrant: QdrantSettings = QdrantSettings()
    redis: RedisSettings = RedisSettings()
    log: LogSettings = LogSettings()
    slack: SlackSettings = SlackSettings()
    telegram: TelegramSettings = TelegramSettings()
    limits: LimitSettings = LimitSettings()
    worker: WorkerSettings = WorkerSettings()
    audience: AudienceSettings = AudienceSettings()
    handover: HandoverSettings = HandoverSettings()
    tracing: TracingSettings = TracingSettings()

    @field_validator("home")
    @classmethod
    def _home_is_absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    def needs_home(self) -> bool:
        """Whether this process must own ``home``: it does as long as a store is embedded."""
        return not (self.redis.url and self.qdrant.url)

    def secrets(self) -> tuple[str, ...]:
        """Everything that must never be printed."""
        hidden = (
            self.slack.bot_token,
            self.slack.app_token,
            self.slack.signing_secret,
            self.telegram.bot_token,
            self.telegram.webhook_secret,
            self.qdrant.api_key,
            self.model.api_key,
        )
        passwords = (
            urlsplit(url).password
            for url in (self.redis.url, self.log.url, self.qdrant.url, *self.model.servers)
            if url
        )
        return (*(one.get_secret_value() for one in hidden if one is not None), *filter(None, passwords))


Location = tuple[str, ...]


def load_settings(environ: Mapping[str, str] = os.environ, directory: Path | None = None) -> Settings:
    """Reads file and environment. Raises ``SettingsError`` with one line: key, where it was set, what is allowed."""
    file = Path(environ.get("COTORRA_CONFIG") or (directory or Path.cwd()) / "cotorra.toml")
    if "COTORRA_CONFIG" in environ and not file.is_file():
        raise SettingsError(f"COTORRA_CONFIG names {file}, which is not a file; correct it or unset it")
    values = _read_file(file)
    origins: dict[Location, str] = {}
    for name, location, value in _from_environment(environ):
        _put(values, location, value)
        origins[location] = f"environment variable {name}"
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error.errors()[0], origins, file)) from error


def _read_file(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{file} cannot be read as TOML: {error}") from error
    for source in values.get("knowledge", {}).get("sources", []):
        if isinstance(source, dict) and isinstance(source.get("path"), str):
            source["path"] = str((file.parent / Path(source["path"]).expanduser()).resolve())
    return values


def _from_environment(environ: Mapping[str, str]) -> list[tuple[str, Location, Any]]:
    found: list[tuple[str, Location, Any]] = [
        (name, location, environ[name]) for name, location in CONVENTIONAL.items() if environ.get(name)
    ]
    for name, value in environ.items():
        if not name.startswith("COTORRA_") or name == "COTORRA_CONFIG" or name.startswith("COTORRA_TEST_"):
            continue
        location = tuple(name.removeprefix("COTORRA_").lower().split("__"))
        found.append((name, location, _parse(location, value)))
    return found


def _parse(location: Location, value: str) -> Any:
    """Lists and tables are written in TOML's own notation; everything else stays a string that pydantic converts."""
    if value.startswith(("[", "{")):
        try:
            return tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{'.'.join(location)} in the environment is no TOML value: {error}") from error
    return value


def _put(values: dict[str, Any], location: Location, value: Any) -> None:
    for part in location[:-1]:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"{part} in the configuration file must be a table")
        values = inner
    values[location[-1]] = value


def _explain(detail: ErrorDetails, origins: Mapping[Location, str], file: Path) -> str:
    location = tuple(str(part) for part in detail["loc"])
    key = ".".join(location) or "the configuration"
    origin = next((name for place, name in origins.items() if _concerns(place, location)), str(file))
    if detail["type"] == "extra_forbidden":
        return f"{key} ({origin}): there is no such setting; the handbook's configuration page lists them all"
    wanted = detail["msg"].removeprefix("Value error, ")
    return f"{key} ({origin}): {wanted[0].lower()}{wanted[1:]}"


def _concerns(place: Location, location: Location) -> bool:
    """Whether what was set at ``place`` is part of what is wrong at ``location``, or holds it."""
    shared = min(len(place), len(location))
    return place[:shared] == location[:shared]


def without_password(url: str) -> str:
    """A URL as it may be shown: user, password and query left out."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
