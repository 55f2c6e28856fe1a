"""Converts Word and PowerPoint files to Markdown; runs in the converter's child process."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from defusedxml.ElementTree import fromstring
from markitdown import StreamInfo
from markitdown.converters import PptxConverter

from rag.errors import KnowledgeError
from rag.knowledge.loaders.conversion.word import word

UNPACKED = 300_000_000
"""The most bytes that a file may unpack to; more is a zip bomb or a book of scans."""
RATIO = 200
"""The largest ratio of unpacked to packed size; ordinary XML has 10 to 20, zip bombs have more than this."""
HARMLESS = 20_000_000
"""Unpacked bytes below which the ratio is not checked."""
_OLE = b"\xd0\xcf\x11\xe0"
_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
_SLIDE_MARK = re.compile(r"\s*<!--[^>]*-->\s*")

_Pptx: Any = PptxConverter  # Any: it has no types


def convert(kind: str, content: bytes, _request: Mapping[str, str]) -> tuple[str, str]:
    """The Markdown, and the title in the file's properties."""
    check_archive(kind, content)
    markdown = word(content) if kind == "docx" else _slides(content)
    if not re.search(r"\w", markdown):
        raise KnowledgeError("has no text (it is empty, or its text is in pictures); add the text")
    return markdown, _title(content)


def _slides(content: bytes) -> str:
    """The Markdown of the slides that are shown: hidden ones are left out, as hidden sheets are."""
    from pptx import Presentation

    deck = Presentation(BytesIO(content))
    hidden = [slide.slide_id for slide in deck.slides if slide._element.get("show") in ("0", "false")]
    for entry in list(deck.slides._sldIdLst):
        if entry.id in hidden:
            deck.slides._sldIdLst.remove(entry)
    if hidden:
        shown = BytesIO()
        deck.save(shown)
        content = shown.getvalue()
    result = _Pptx().convert(BytesIO(content), StreamInfo(extension=".pptx"))
    return _SLIDE_MARK.sub("\n\n", _IMAGE.sub("", result.markdown)).strip()


def check_archive(kind: str, content: bytes) -> None:
    """Raises ``KnowledgeError`` for a file that is no OOXML archive, has a password, or looks like a zip bomb."""
    if content.startswith(_OLE):
        raise KnowledgeError(f"is locked by a password or in an old format; save it as .{kind} without a password")
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            # Sizes as the archive's directory declares them: nothing is unpacked before they are checked.
            sizes = [entry.file_size for entry in archive.infolist()]
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise KnowledgeError(f"is damaged, or is not a .{kind} file; open it and save it again") from error
    unpacked = sum(sizes)
    if unpacked > UNPACKED or (unpacked > HARMLESS and unpacked > RATIO * len(content)):
        raise KnowledgeError(
            f"unpacks from {len(content) / 1e6:.1f} MB to {unpacked / 1e6:.0f} MB, as a zip bomb does; it was not opened"
        )


def _title(content: bytes) -> str:
    """The title in the file's properties; "" for titles that a program sets by default."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        if "docProps/core.xml" not in archive.namelist():
            return ""
        try:
            properties = fromstring(archive.read("docProps/core.xml"))
        except Exception:  # noqa: BLE001 - broken properties must not lose the text, which is converted already
            return ""
    title = properties.findtext("{http://purl.org/dc/elements/1.1/}title") or ""
    return "" if re.match(r"(PowerPoint Presentation|Microsoft Word|Document\d*$)", title) else title
