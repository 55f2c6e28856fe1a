"""A folder as a source, or one file."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import yaml

from rag.errors import KnowledgeError
from rag.knowledge.blocks import parse
from rag.knowledge.loaders.documents import Candidate, LoadedDocument, Unreadable, fingerprint, printable, reason
from rag.language import LANGUAGES, detect
from rag.settings import SourceSettings

LARGEST = 10_000_000
"""Bytes; a page of this size is a dump, not a page."""
BEGINNING = 4000
"""Characters in which front matter and title stand."""


def read_folder(source: SourceSettings, folder: Path) -> Iterator[Candidate | Unreadable]:
    """Every document of a folder (or the one file that it is), in the order of paths; blocking."""
    root, paths = _paths(source, folder)
    for path in paths:
        relative = path.relative_to(root)
        if any(part.startswith(".") for part in relative.parts) or path.is_dir():
            continue
        try:
            yield _candidate(source, root, path)
        except Exception as error:  # noqa: BLE001 - a loop of links, a parser's limit: the other pages are read
            yield Unreadable(path=printable(str(path)), reason=reason(error), document=printable(_id(source, relative)))


def _paths(source: SourceSettings, folder: Path) -> tuple[Path, list[Path]]:
    if folder.is_file():
        return folder.parent, [folder]
    if not folder.is_dir():
        raise KnowledgeError(
            f"knowledge.sources: path of {source.name!r} is {folder}, which does not exist; correct the path, or "
            "remove the source"
        )
    try:
        return folder, sorted(folder.glob(source.glob or "**/*.md"))
    except (ValueError, NotImplementedError) as error:
        raise KnowledgeError(
            f"knowledge.sources: glob of {source.name!r} is {source.glob!r}: {error}; write for example **/*.md"
        ) from error


def _candidate(source: SourceSettings, root: Path, path: Path) -> Candidate:
    relative = path.relative_to(root)
    if printable(str(relative)) != str(relative):
        raise KnowledgeError("has a name that is not UTF-8; rename it")
    if not path.resolve().is_relative_to(root.resolve()):
        raise KnowledgeError("is a link that leaves the source's folder")
    content = _read(path)
    return Candidate(
        document=_id(source, relative),
        fingerprint=fingerprint(source, content, relative.as_posix()),
        load=lambda: _load(source, relative, path),
    )


def _load(source: SourceSettings, relative: Path, path: Path) -> LoadedDocument:
    named, markdown = _front_matter(_text(_read(path)))
    return LoadedDocument(
        id=_id(source, relative),
        source=source.name,
        title=named or _title(markdown) or path.stem.replace("-", " ").replace("_", " "),
        url=_url(source.base_url, relative),
        markdown=markdown,
        language=source.language or _language(relative, markdown),
        audience=source.audience,
        tenant=source.tenant,
        updated_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
    )


def _read(path: Path) -> bytes:
    if path.suffix.lower() not in (".md", ".markdown"):
        raise KnowledgeError("is not Markdown (.md); only Markdown is read")
    if not stat.S_ISREG((found := path.stat()).st_mode):  # reading a pipe would wait for ever
        raise KnowledgeError("is no regular file")
    if (size := found.st_size) > LARGEST:
        raise KnowledgeError(f"has {size / 1e6:.1f} MB; at most {LARGEST // 1_000_000} MB are read")
    return path.read_bytes()


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig").replace("\x00", "")
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"is not UTF-8 (byte {error.start}); save it as UTF-8") from error


def _front_matter(text: str) -> tuple[str, str]:
    """Title named above the page (or empty), and the page without its front matter."""
    text = text.replace("\r\n", "\n")
    if not text.startswith("---\n"):
        return "", text
    matter, fence, rest = text[4:BEGINNING].partition("\n---\n")
    if not fence:
        return "", text
    try:
        fields = yaml.safe_load(matter)
    except Exception:  # noqa: BLE001 - PyYAML lets out what int(), a dict or the depth of nesting raise
        return "", text
    if not isinstance(fields, dict):
        return "", text
    title = fields.get("title")
    return " ".join(title.split()) if isinstance(title, str) else "", rest + text[BEGINNING:]


def _title(markdown: str) -> str:
    return next((block.text for block in parse(markdown[:BEGINNING]) if block.level == 1), "")


def _id(source: SourceSettings, relative: Path) -> str:
    return f"{source.name}/{relative.as_posix()}"


def _url(base: str, relative: Path) -> str:
    if not base:
        return relative.as_posix()
    return base.rstrip("/") + "/" + quote(relative.with_suffix("").as_posix())


def _language(relative: Path, markdown: str) -> str:
    """A folder named after a language decides (``docs/es/…``, ``pt-BR/…``); elsewhere the text does."""
    codes = (part.lower().replace("_", "-").split("-")[0] for part in relative.parts[:-1])
    return next((code for code in codes if code in LANGUAGES), None) or detect(markdown)
