"""PDF to Markdown; runs in the converter's child process."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from io import BytesIO

import pypdfium2
from markitdown import StreamInfo
from markitdown.converters import PdfConverter

from rag.errors import KnowledgeError
from rag.knowledge.loaders.plain import plain, unbroken

LAID_OUT = 100
"""Pages up to which tables are looked for; of longer files the text alone is read, which takes a hundredth of the time."""
PATIENCE = 10
"""Seconds of computing after which the search for tables is given up; it takes a tenth to a third of a second a page."""
_TYPIST = re.compile(r"^(Microsoft \w+ - |untitled|.*\.(docx?|pptx?|xlsx?|indd|tex|pdf)$)", re.IGNORECASE)
"""Titles that a program wrote: a file's name says as much."""


def convert(_kind: str, content: bytes, _request: Mapping[str, str]) -> tuple[str, str]:
    """The text, with tables where the file is short enough, and the title among its properties."""
    document = _opened(content)
    pages, title = len(document), str(document.get_metadata_dict().get("Title", ""))
    text = _laid_out(content) if pages <= LAID_OUT else _text(document)
    if len(re.findall(r"\w", text)) < 2 * pages:
        text = _text(document)
    if not re.search(r"\w", text):
        raise KnowledgeError("has no text, only pictures of it; run OCR on it (for example ocrmypdf) and sync again")
    return plain(unbroken(text.strip()), printed=True), "" if _TYPIST.match(title) else title


def _opened(content: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise KnowledgeError("is locked by a password; save it without one") from error
        raise KnowledgeError("is damaged, or is no PDF; open it and save it again") from error


class _Late(BaseException):
    """Not an ``Exception``: markitdown catches those and starts again."""


def _laid_out(content: bytes) -> str:
    """Text with tables, or nothing if it takes too long."""
    signal.signal(signal.SIGVTALRM, _give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        return PdfConverter().convert(BytesIO(content), StreamInfo(extension=".pdf")).markdown
    except _Late:
        return ""
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _give_up(*_: object) -> None:
    raise _Late


def _text(document: pypdfium2.PdfDocument) -> str:
    return "\n\n".join(page.get_textpage().get_text_bounded() for page in document)
