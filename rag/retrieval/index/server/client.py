"""A client of a Qdrant server, and what it raises as errors of ours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from qdrant_client import AsyncQdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from rag.errors import ConfigurationError, IndexUnavailable
from rag.settings import QdrantSettings

MISSING, CONFLICT = 404, 409


def connect(settings: QdrantSettings) -> AsyncQdrantClient:
    """A client that has not asked anything yet. Raises ``ConfigurationError`` for an address that is none."""
    if urlsplit(settings.url or "").scheme not in {"http", "https"}:
        raise ConfigurationError("qdrant.url (QDRANT_URL) must begin with http:// or https://")
    # check_compatibility asks for the server's version in the constructor, blocking (qdrant-client 1.20)
    return AsyncQdrantClient(
        url=settings.url,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        timeout=math.ceil(settings.timeout),
        prefer_grpc=False,
        check_compatibility=False,
    )


@contextmanager
def answering(settings: QdrantSettings, collection: str) -> Iterator[None]:
    """Maps what the client raises; neither the key nor credentials in the URL get into a message."""
    try:
        yield
    except UnexpectedResponse as error:
        raise IndexUnavailable(
            trouble(settings, collection, f"answers {error.status_code} {_reason(error)}")
        ) from error
    except ResponseHandlingException as error:
        cause = type(error.source).__name__
        raise IndexUnavailable(trouble(settings, collection, f"does not answer ({cause})")) from error


def trouble(settings: QdrantSettings, collection: str, what: str) -> str:
    """One line about the server, without credentials, that says what to look at."""
    parts = urlsplit(settings.url or "")
    server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return f"Qdrant at {server} {what}; check QDRANT_URL and QDRANT_API_KEY (collection {collection!r})"


def _reason(error: UnexpectedResponse) -> str:
    """The server's own words, or what HTTP calls the status: one short line."""
    try:
        stated = error.structured().get("status", {}).get("error", "")
    except (ValueError, AttributeError):
        stated = ""
    return str(stated or error.reason_phrase).partition("\n")[0][:200]
