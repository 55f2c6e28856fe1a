"""Reads sources through LangChain's document loaders: Confluence, Notion, Google Drive, S3 and others."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from rag.errors import KnowledgeError
from rag.knowledge.loaders.cleaning.page import clean_page
from rag.knowledge.loaders.documents import Candidate, LoadedDocument, fingerprint
from rag.knowledge.loaders.pages import first_heading
from rag.language import detect
from rag.settings import SourceSettings
from rag.text.characters import normalized

if TYPE_CHECKING:
    from langchain_core.document_loaders import BaseLoader
    from langchain_core.documents import Document

SHARED = 6
"""The shortest run of characters of an option that a message must not contain."""
_ORIGINS = ("source", "url", "link", "file_path", "path", "id", "page_id")
"""Metadata keys that name the document to which a piece belongs, the most usual first."""
_TITLES = ("title", "name", "subject", "Title")
_LINKS = ("url", "link", "webUrl", "source")
_TIMES = ("when", "updated", "updated_at", "last_modified", "last_edited_time", "modified", "moddate", "date")
LARGEST = 10_000_000


def read_connector(source: SourceSettings) -> Iterator[Candidate]:
    """The loader's documents, each joined from its pieces in their order. Blocks.

    Raises ``KnowledgeError`` when the loader cannot be created or fails, so that a partial list never removes documents.
    """
    # All pieces first: those of one document may be apart, and after a failure no part of the list may count.
    pieces: dict[str, list[Document]] = {}
    try:
        for number, document in enumerate(_create_loader(source).lazy_load(), 1):
            pieces.setdefault(_origin(document.metadata, number), []).append(document)
    except KnowledgeError:
        raise
    # ``from None``: a chained traceback would show the loader's message, which may contain a secret of the options.
    except Exception as error:  # noqa: BLE001 - a library's errors have no common root, and the source as a whole failed
        raise KnowledgeError(
            f"source {source.name!r}: {source.loader} failed ({_safe_message(error, source)}); check its options and the service "
            "behind it"
        ) from None
    for origin, parts in pieces.items():
        yield _candidate(source, origin, parts)


def _create_loader(source: SourceSettings) -> BaseLoader:
    loader = loader_class(source)
    try:
        return loader(**source.options)
    except Exception as error:  # noqa: BLE001 - as above: pydantic, TypeError, a missing package
        raise KnowledgeError(
            f"source {source.name!r}: {source.loader} does not start ({_safe_message(error, source)}); "
            "check options of the source"
        ) from None


def loader_class(source: SourceSettings) -> type[BaseLoader]:
    """Imports the class that the source's ``loader`` names. Raises ``KnowledgeError``."""
    from langchain_core.document_loaders import BaseLoader

    module, _, name = (source.loader or "").rpartition(".")
    try:
        loader = getattr(importlib.import_module(module), name, None) if module else None
    except ImportError as error:
        raise KnowledgeError(
            f"knowledge.sources: loader of {source.name!r} is {source.loader!r}, which cannot be imported ({error}); install "
            "its package, or correct the name"
        ) from error
    if not (isinstance(loader, type) and issubclass(loader, BaseLoader)):
        raise KnowledgeError(
            f"knowledge.sources: loader of {source.name!r} is {source.loader!r}, which is no document loader of LangChain; "
            "write for example langchain_community.document_loaders.ConfluenceLoader"
        )
    return loader


def _safe_message(error: Exception, source: SourceSettings) -> str:
    """The message of an exception without any text of the options, because one of them may be a secret.

    Libraries shorten, escape and encode their arguments. So if the message still shares ``SHARED`` characters with an option,
    only the exception's class is named. Of pydantic's errors the input is left out.
    """
    kind = type(error).__name__
    if isinstance(error, ValidationError):
        errors = error.errors(include_input=False)
        text = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'options'}: {one['msg']}" for one in errors)
    else:
        text = " ".join(str(error).split())
    # Longest first: replacing a short option inside a longer one would leave the rest of the longer one visible.
    secrets = sorted(_texts(source.options), key=len, reverse=True)
    for secret in secrets:
        text = text.replace(secret, "…")
    return kind if any(_shares(secret, text) for secret in secrets) else f"{kind}: {text}"[:300]


def _shares(secret: str, message: str) -> bool:
    """Whether a message contains a secret or a part of ``SHARED`` characters."""
    if len(secret) <= SHARED:
        return secret in message
    return any(secret[start : start + SHARED] in message for start in range(len(secret) - SHARED + 1))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str) and len(value) >= 4:
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _origin(metadata: Mapping[str, object], number: int) -> str:
    return next((str(metadata[key]) for key in _ORIGINS if metadata.get(key)), str(number))


def _candidate(source: SourceSettings, origin: str, parts: list[Document]) -> Candidate:
    markdown = "\n\n".join(part.page_content for part in parts).replace("\x00", "").encode(errors="replace").decode()
    facts = (_first(parts, _TITLES), _link(parts), origin)
    digest = hashlib.sha256(markdown.encode()).digest()

    def load() -> LoadedDocument:
        if not markdown.strip():
            raise KnowledgeError("has no text; add some, or leave it out")
        if len(markdown) > LARGEST:
            raise KnowledgeError(f"has {len(markdown) / 1e6:.1f} million characters; at most 10 million are read")
        page = clean_page(markdown)
        return LoadedDocument(
            id=f"{source.name}/{_printable(origin)}",
            source=source.name,
            title=normalized(facts[0])
            or page.title
            or first_heading(page.markdown)
            or origin.rstrip("/").rpartition("/")[2],
            url=facts[1],
            markdown=page.markdown,
            language=source.language or detect(page.markdown),
            audience=source.audience,
            tenant=source.tenant,
            updated_at=_time(_first(parts, _TIMES)) or page.date,
        )

    return Candidate(
        document=f"{source.name}/{_printable(origin)}", fingerprint=fingerprint(source, digest, *facts), load=load
    )


def _printable(origin: str) -> str:
    return " ".join(origin.encode(errors="backslashreplace").decode().split())


def _first(parts: list[Document], keys: tuple[str, ...]) -> str:
    values = (
        value for key in keys for part in parts if isinstance(value := part.metadata.get(key), str) and value.strip()
    )
    return next((" ".join(value.split()) for value in values), "")


def _link(parts: list[Document]) -> str:
    links = (_first(parts, (key,)) for key in _LINKS)
    return next((link for link in links if link.startswith(("https://", "http://"))), "")


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
