"""The results of loaders: candidates (not loaded yet), loaded documents, and unreadable ones with their reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from rag.errors import KnowledgeError
from rag.settings import SourceSettings

LAYOUT = 2
"""Part of every fingerprint: raise it when reading or converting changes, so that the next sync reads everything again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDocument:
    """One document. ``id`` is the source's name and the path; ``url`` is a link without an anchor, or the path without a base.

    ``missing`` says which part of it could not be read; "" if all was.
    A heading of ``markdown`` may end in ``{#name}``: its anchor on the page at ``url``.
    """

    id: str
    source: str
    title: str
    url: str
    markdown: str
    language: str
    audience: str
    tenant: str = ""
    updated_at: datetime | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A document that was skipped, with the reason. ``document`` is its id; an id that ends in ``/`` means all below it."""

    path: str
    reason: str
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A document that exists but is not loaded. ``fingerprint`` (hex) changes whenever the result of ``load`` would.

    ``load`` blocks (it parses or converts). It raises ``KnowledgeError`` for a document that cannot be read.
    """

    document: str
    fingerprint: str
    load: Callable[[], LoadedDocument]


def fingerprint(source: SourceSettings, content: bytes, *facts: str) -> str:
    """sha256 (hex) of the content and of all settings and facts that decide what is loaded from it."""
    settings = [LAYOUT, source.audience, source.tenant, source.base_url, source.language, *facts]
    digest = hashlib.sha256(json.dumps(settings).encode())
    digest.update(content)
    return digest.hexdigest()


def reason(error: Exception) -> str:
    """The reason why something cannot be read, in one line."""
    if isinstance(error, KnowledgeError):
        return str(error)
    return (isinstance(error, OSError) and error.strerror) or f"{type(error).__name__}: {error}"


def printable(name: str) -> str:
    """A file's name with its bytes that are not UTF-8 escaped."""
    return name.encode(errors="backslashreplace").decode()
