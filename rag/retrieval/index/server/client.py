"""Creates the client of a Qdrant server and maps its exceptions to ours."""

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
    """A client that has sent nothing yet. Raises ``ConfigurationError`` for an invalid address."""
    if urlsplit(settings.url or "").scheme not in {"http", "https"}:
        raise ConfigurationError("qdrant.url (QDRANT_URL) must begin with http:// or https://")
    # With check_compatibility the constructor requests the server's version and blocks (qdrant-client 1.20).
    return AsyncQdrantClient(
        url=settings.url,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        timeout=math.ceil(settings.timeout),
        prefer_grpc=False,
        check_compatibility=False,
    )


@contextmanager
def mapped_errors(settings: QdrantSettings, collection: str) -> Iterator[None]:
    """Maps the client's exceptions to ``IndexUnavailable``; messages contain neither the key nor credentials of the URL."""
    try:
        yield
    except UnexpectedResponse as error:
        raise IndexUnavailable(
            server_message(settings, collection, f"answers {error.status_code} {_reason(error)}")
        ) from error
    except ResponseHandlingException as error:
        cause = type(error.source).__name__
        raise IndexUnavailable(server_message(settings, collection, f"does not answer ({cause})")) from error


def server_message(settings: QdrantSettings, collection: str, what: str) -> str:
    """A message about the server in one line, without credentials, that says what to check."""
    parts = urlsplit(settings.url or "")
    server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return f"Qdrant at {server} {what}; check QDRANT_URL and QDRANT_API_KEY (collection {collection!r})"


def _reason(error: UnexpectedResponse) -> str:
    """The server's own reason, or HTTP's phrase for the status, in one line of at most 200 characters."""
    try:
        message = error.structured().get("status", {}).get("error", "")
    except (ValueError, AttributeError):
        message = ""
    return str(message or error.reason_phrase).partition("\n")[0][:200]
