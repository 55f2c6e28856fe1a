"""What every loader gives: documents, those that wait to be loaded, and those that cannot be read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from rag.errors import KnowledgeError
from rag.settings import SourceSettings

LAYOUT = 1
"""Part of every fingerprint: raise it when reading or converting changes, and the next sync reads everything anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDocument:
    """One document. ``id`` is source name and path, ``url`` a link (or the path, without a base), without an anchor.

    A heading of ``markdown`` may end in ``{#name}``: the anchor that it has where ``url`` leads.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """What was left out, and why. ``document`` is the id it would have; one that ends in ``/`` stands for all below."""

    path: str
    reason: str
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A document that is there. ``fingerprint`` (hex) changes when ``load`` would give something else.

    ``load`` blocks (it parses or converts) and raises ``KnowledgeError`` for a document that cannot be read.
    """

    document: str
    fingerprint: str
    load: Callable[[], LoadedDocument]


def fingerprint(source: SourceSettings, content: bytes, *facts: str) -> str:
    """sha256 of the content and of all else that decides what is loaded from it."""
    settings = [LAYOUT, source.audience, source.tenant, source.base_url, source.language, *facts]
    digest = hashlib.sha256(json.dumps(settings).encode())
    digest.update(content)
    return digest.hexdigest()


def reason(error: Exception) -> str:
    """Why something cannot be read, in one line."""
    if isinstance(error, KnowledgeError):
        return str(error)
    return (isinstance(error, OSError) and error.strerror) or f"{type(error).__name__}: {error}"


def printable(name: str) -> str:
    """A name with what is not UTF-8 in it escaped."""
    return name.encode(errors="backslashreplace").decode()
