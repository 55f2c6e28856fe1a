"""The configuration, read once from cotorra.toml (or the file in COTORRA_CONFIG) and the environment, which wins."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import Field, IPvAnyNetwork, SecretStr, ValidationError, create_model, field_validator, model_validator
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

Location = tuple[str, ...]

STORES: Mapping[str, Location] = {
    "REDIS_URL": ("redis", "url"),
    "QDRANT_URL": ("qdrant", "url"),
    "QDRANT_API_KEY": ("qdrant", "api_key"),
    "DATABASE_URL": ("log", "url"),
    "OPENAI_BASE_URL": ("model", "servers"),
    "OPENAI_API_KEY": ("model", "api_key"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("tracing", "endpoint"),
}
"""Conventional environment names of stores and servers, and the key that each one sets; platforms add their own."""


class PlatformSection(Protocol):
    """The part of a platform in the configuration (``bots.platforms.entry.PlatformEntry``)."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> type[Section]: ...

    @property
    def environment(self) -> Mapping[str, str]: ...

    @property
    def handover(self) -> str: ...


class RedisSettings(Section):
    """Redis, for inbox, replies and memory. ``url`` is REDIS_URL; without it a private server runs in COTORRA_HOME."""

    url: str | None = Field(None, repr=False)
    prefix: str = Field("cotorra", pattern=r"^[A-Za-z0-9_.-]{1,32}$")
    appendfsync: Literal["always", "everysec"] = Field("always", description="of the private server")


class LimitSettings(Section):
    """Limits for one person, one conversation and one message."""

    user_per_minute: int = Field(12, ge=1, le=100000)
    conversation_per_minute: int = Field(30, ge=1, le=100000)
    message_characters: int = Field(4000, ge=100, le=100000)
    body_bytes: int = Field(1_000_000, ge=10_000, le=50_000_000)


class HttpSettings(Section):
    """HTTP behind proxies."""

    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(
        (), description="addresses and networks whose X-Forwarded-For and X-Forwarded-Proto are believed"
    )


class WorkerSettings(Section):
    """The worker that answers messages."""

    concurrency: int = Field(16, ge=1, le=1024, description="conversations answered at once by one process")
    lease_seconds: float = Field(15, ge=1, le=600)
    tries: int = Field(3, ge=1, le=20)
    drain_seconds: float = Field(20, ge=0, le=600)
    port: int = Field(0, ge=0, le=65535, description="health and metrics of `cotorra worker`; 0 picks a free one")


class HandoverSettings(Section):
    """Handover to a person, in ``{platform}_channel``; each platform with such channels has that key.

    Where none is set, people are told how to reach a person.
    """

    silent_hours: float = Field(12, gt=0, le=720, description="until the bot answers again if nobody resumes it")

    def channel(self, platform: str) -> str:
        """The id of a platform's channel; empty where none is set."""
        return str(getattr(self, f"{platform}_channel", ""))

    @model_validator(mode="after")
    def _is_one_channel(self) -> HandoverSettings:
        channels = [key for key in type(self).model_fields if key.endswith("_channel") and getattr(self, key)]
        if len(channels) > 1:
            raise ValueError(f"people are asked in one channel: set one of {' and '.join(channels)}")
        return self


class TracingSettings(Section):
    """OpenTelemetry. ``endpoint`` is OTEL_EXPORTER_OTLP_ENDPOINT; without one nothing is traced."""

    endpoint: str | None = Field(None, description="an OTLP/HTTP collector, for example http://127.0.0.1:4318")
    sample: float = Field(1.0, ge=0, le=1, description="share of conversations' turns that are traced")


class AudienceSettings(Section):
    """Audiences and tenant of the terminal."""

    terminal: tuple[str, ...] = ("public", "employees")
    terminal_tenant: Name | Literal[""] = ""


class Settings(Section):
    """All settings."""

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
    limits: LimitSettings = LimitSettings()
    http: HttpSettings = HttpSettings()
    worker: WorkerSettings = WorkerSettings()
    audience: AudienceSettings = AudienceSettings()
    handover: HandoverSettings = HandoverSettings()
    tracing: TracingSettings = TracingSettings()

    @field_validator("home")
    @classmethod
    def _home_is_absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    def needs_home(self) -> bool:
        """Whether this process must own ``home``, because a store is embedded."""
        return not (self.redis.url and self.qdrant.url)

    def secrets(self) -> tuple[str, ...]:
        """All secrets of the configuration, which no output may contain; passwords in URLs too."""
        passwords = (
            urlsplit(url).password
            for url in (self.redis.url, self.log.url, self.qdrant.url, *self.model.servers)
            if url
        )
        return (*_secrets(self), *filter(None, passwords))


def _secrets(section: Section) -> Iterator[str]:
    for _, value in section:
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, Section):
            yield from _secrets(value)


def settings_class(platforms: Sequence[PlatformSection]) -> type[Settings]:
    """``Settings`` with a section for each platform, and with its key in ``handover`` where it has such channels."""
    channels: dict[str, Any] = {
        f"{platform.name}_channel": (str, Field("", description=platform.handover))
        for platform in platforms
        if platform.handover
    }
    handover = create_model("HandoverSettings", __base__=HandoverSettings, **channels)
    sections: dict[str, Any] = {platform.name: (platform.settings, platform.settings()) for platform in platforms}
    return create_model("Settings", __base__=Settings, handover=(handover, handover()), **sections)


def conventional_names(platforms: Sequence[PlatformSection]) -> dict[str, Location]:
    """Conventional environment names, and the key that each one sets."""
    from_platforms = {name: (one.name, key) for one in platforms for name, key in one.environment.items()}
    # The stores last: a platform cannot take over a name such as REDIS_URL.
    return {**from_platforms, **STORES}


def load_settings(
    platforms: Sequence[PlatformSection], environ: Mapping[str, str] = os.environ, directory: Path | None = None
) -> Settings:
    """Reads file and environment. Raises ``SettingsError`` with one line: key, where it was set, what is allowed."""
    file = Path(environ.get("COTORRA_CONFIG") or (directory or Path.cwd()) / "cotorra.toml")
    if "COTORRA_CONFIG" in environ and not file.is_file():
        raise SettingsError(f"COTORRA_CONFIG names {file}, which is not a file; correct it or unset it")
    values = _read_file(file)
    origins: dict[Location, str] = {}
    for name, location, value in _from_environment(environ, conventional_names(platforms)):
        _put(values, location, value)
        origins[location] = f"environment variable {name}"
    try:
        return settings_class(platforms).model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error.errors()[0], origins, file)) from error


def _read_file(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{file} cannot be read as TOML: {error}") from error
    # Relative to the file, not to the folder in which the command happens to run.
    for source in values.get("knowledge", {}).get("sources", []):
        if isinstance(source, dict) and isinstance(source.get("path"), str):
            source["path"] = str((file.parent / Path(source["path"]).expanduser()).resolve())
    return values


def _from_environment(
    environ: Mapping[str, str], conventional: Mapping[str, Location]
) -> list[tuple[str, Location, Any]]:
    values: list[tuple[str, Location, Any]] = [
        (name, location, environ[name]) for name, location in conventional.items() if environ.get(name)
    ]
    for name, value in environ.items():
        if not name.startswith("COTORRA_") or name == "COTORRA_CONFIG" or name.startswith("COTORRA_TEST_"):
            continue
        # Two underscores part section and key, because keys contain single ones.
        location = tuple(name.removeprefix("COTORRA_").lower().split("__"))
        values.append((name, location, _parse(location, value)))
    return values


def _parse(location: Location, value: str) -> Any:
    """Lists and tables are parsed as TOML; other values stay strings, which pydantic converts."""
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
    origin = next((name for place, name in origins.items() if _overlaps(place, location)), str(file))
    if detail["type"] == "extra_forbidden":
        return f"{key} ({origin}): there is no such setting; the handbook's configuration page lists them all"
    rule = detail["msg"].removeprefix("Value error, ")
    return f"{key} ({origin}): {rule[0].lower()}{rule[1:]}"


def _overlaps(place: Location, location: Location) -> bool:
    """Whether one of the two keys contains the other: then the setting at ``place`` explains an error at ``location``."""
    shared = min(len(place), len(location))
    return place[:shared] == location[:shared]


def without_password(url: str) -> str:
    """A URL as it may be shown: user, password and query left out."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
