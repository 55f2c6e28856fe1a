"""``cotorra doctor``: tries every configured connection and says what to do about those that fail."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError

from bots.bootstrap import open_answering, open_platforms
from bots.errors import AlreadyRunning, BotsError
from bots.library.library import sources
from bots.metrics import Metrics
from bots.operations.finding import Finding
from bots.operations.language_models import examine_models
from bots.operations.ownership import Ownership, control_socket
from bots.platforms.base import Platform
from bots.platforms.entries import PLATFORMS
from bots.platforms.entry import PlatformEntry
from bots.settings import Settings, without_password
from bots.stores import database_url, open_stores
from rag.errors import KnowledgeError, RagError, StoreUnavailable
from rag.knowledge.loaders.connectors import loader_class
from rag.settings import SourceSettings
from rag.store.client import connect, store_errors, text
from tuning.errors import TuningError

OLDEST_REDIS = (6, 2)


async def examine(settings: Settings, platforms: Sequence[PlatformEntry[Any]] = PLATFORMS) -> Sequence[Finding]:
    """All checks, causes before effects: a home that cannot be written explains every failure after it."""
    findings = [_home(settings), *_sources(settings), *await examine_models(settings.model, settings.port)]
    if settings.redis.url:
        findings.append(await _redis(settings.redis.url))
    if not findings[0].ok:
        return findings
    ownership = Ownership(settings.home)
    try:
        # Owning the home is the only way to open the embedded index; a running service already has it open.
        ownership.take()
    except AlreadyRunning:
        findings.append(await _running(control_socket(settings.home)))
        findings.extend(await _stores(settings, platforms, adopt=True))
        return findings
    try:
        findings.extend(await _stores(settings, platforms, adopt=False))
        findings.append(await _answering(settings))
    finally:
        ownership.release()
    return findings


def _home(settings: Settings) -> Finding:
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Written for real: os.access does not notice a file system that is full.
        probe = settings.home / ".doctor"
        probe.write_text("", encoding="utf-8")
        probe.unlink()
    except OSError as error:
        return Finding(
            name="home",
            ok=False,
            fact=f"{settings.home}: {error.strerror}",
            advice="make it writable or set COTORRA_HOME to a folder that is",
        )
    return Finding(name="home", ok=True, fact=str(settings.home))


def _sources(settings: Settings) -> list[Finding]:
    configured = sources(settings.knowledge)
    if not configured:
        return [
            Finding(
                name="knowledge",
                ok=False,
                fact="no source of documents",
                advice="add a [[knowledge.sources]] section with name and path to cotorra.toml",
            )
        ]
    return [_source(source) for source in configured]


def _source(source: SourceSettings) -> Finding:
    """Whether a source can probably be read; nothing is read or downloaded."""
    fault, advice = _fault(source)
    return Finding(name=f"source {source.name}", ok=not fault, fact=fault or source.place, advice=advice)


def _fault(source: SourceSettings) -> tuple[str, str]:
    if source.path is not None:
        return _path_fault(source.path)
    if source.git is not None:
        if shutil.which("git") is None:
            return f"{source.place} needs git, which is not installed", "install it"
        return "", ""
    if source.url is not None:
        return _url_fault(source)
    try:
        loader_class(source)
    except KnowledgeError as error:
        fact, _, advice = str(error).partition("; ")
        return fact, advice
    return "", ""


def _path_fault(path: Path) -> tuple[str, str]:
    if not path.exists():
        return f"{path} does not exist", "correct knowledge.sources.path in cotorra.toml"
    if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK):
        return f"{path} may not be read", "let the user that runs Cotorra read it"
    return "", ""


def _url_fault(source: SourceSettings) -> tuple[str, str]:
    parts = urlsplit(source.url or "")
    if parts.scheme in ("http", "https") and parts.hostname:
        return "", ""
    return (
        f"{source.place} is no address of a site",
        "correct knowledge.sources.url: it begins with https:// and names a host",
    )


async def _redis(url: str) -> Finding:
    """Checks version, eviction and persistence of a Redis server: a wrong one would lose accepted messages."""
    redis = connect(url)
    where = without_password(url)
    try:
        with store_errors(f"{where} was not examined"):
            info = await redis.info()
            fault = redis_fault(info, await _eviction(redis), await _persists(redis))
    except StoreUnavailable as error:
        return _failed("redis", error)
    finally:
        await redis.aclose()
    version = info["redis_version"]
    return Finding(name="redis", ok=not fault, fact=f"{where}, version {version}", advice=fault)


async def _eviction(redis: Redis) -> str:
    """The eviction policy, from INFO: hosted servers often forbid CONFIG."""
    info = await redis.info("memory")
    return str(info.get("maxmemory_policy", "noeviction"))


async def _persists(redis: Redis) -> bool:
    """Whether the server writes to its disk: an append-only file, or snapshots."""
    persistence = await redis.info("persistence")
    if persistence.get("aof_enabled"):
        return True
    try:
        configured = await redis.config_get("save")
    except (
        RedisError
    ):  # CONFIG is often forbidden on hosted servers; a snapshot since the start (not -1) proves the same
        return int(persistence.get("rdb_last_bgsave_time_sec", -1)) >= 0
    return any(text(value) for value in configured.values())


def redis_fault(info: dict[str, object], policy: str, persists: bool) -> str:
    """The fault of a server and what to do about it; empty for a server that we can use."""
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    if version < OLDEST_REDIS:
        return "it is too old: Redis 6.2 or newer is needed"
    if policy != "noeviction":
        return (
            f"it evicts keys under pressure ({policy}), which loses accepted messages: set maxmemory-policy noeviction"
        )
    if not persists:
        return "it keeps nothing on disk, which loses accepted messages at a restart: set appendonly yes"
    return ""


async def _running(socket: Path) -> Finding:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_unix_connection(str(socket)), 5)
        writer.close()
    except (OSError, TimeoutError):
        return Finding(
            name="service",
            ok=False,
            fact="a Cotorra process owns the home but is not ready",
            advice="wait until /readyz answers 200, which says what it waits for",
        )
    return Finding(name="service", ok=True, fact="running; its /readyz covers index and model")


async def _stores(settings: Settings, entries: Sequence[PlatformEntry[Any]], *, adopt: bool) -> list[Finding]:
    """Checks the stores, and every platform that has credentials."""
    findings: list[Finding] = []
    try:
        async with open_stores(settings, adopt=adopt) as stores:
            findings.append(Finding(name="stores", ok=True, fact=without_password(database_url(settings))))
            platforms = open_platforms(settings, stores, Metrics(), lambda: False, entries)
            for name, platform in platforms.items():
                findings.append(await _checked(name, platform.check))
            for entry in entries:
                if settings.handover.channel(entry.name):
                    findings.append(await _handover(entry, platforms))
            # Not started, but a check may have opened connections.
            for platform in platforms.values():
                await platform.close()
    except (BotsError, TuningError, RagError) as error:
        findings.append(_failed("stores", error))
    return findings


async def _handover(entry: PlatformEntry[Any], platforms: Mapping[str, Platform]) -> Finding:
    platform = platforms.get(entry.name)
    if platform is not None and platform.handover is not None:
        return await _checked("handover", platform.handover.check)
    key = f"handover.{entry.name}_channel"
    return Finding(
        name="handover",
        ok=False,
        fact=f"{key} is set, but {entry.name.capitalize()} is not connected",
        advice=f"set {entry.credential_name}, or unset {key}",
    )


async def _checked(name: str, check: Callable[[], Awaitable[Mapping[str, str]]]) -> Finding:
    try:
        facts = await check()
    except (BotsError, StoreUnavailable) as error:
        return _failed(name, error)
    return Finding(name=name, ok=True, fact=", ".join(f"{key} {value}" for key, value in facts.items()))


async def _answering(settings: Settings) -> Finding:
    try:
        async with open_stores(settings) as stores, open_answering(settings, stores, Metrics()) as answering:
            count = await answering.search.passages()
    except (BotsError, TuningError, RagError) as error:
        return _failed("index and model", error)
    advice = "" if count else "run `cotorra sync`"
    return Finding(name="index and model", ok=count > 0, fact=f"{count} passages", advice=advice)


def _failed(name: str, error: Exception) -> Finding:
    fact, _, advice = str(error).partition("; ")
    return Finding(name=name, ok=False, fact=fact, advice=advice or "see the handbook's troubleshooting page")
