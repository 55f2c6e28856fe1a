"""Converts PDF files to Markdown; runs in the converter's child process."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from io import BytesIO

import pypdfium2
from markitdown import StreamInfo
from markitdown.converters import PdfConverter

from rag.errors import KnowledgeError
from rag.knowledge.loaders.plain import plain, rejoin_words

LAYOUT_PAGES = 100
"""Files with more pages are read without tables, which takes a hundredth of the time."""
LAYOUT_SECONDS = 10
"""CPU seconds for the search for tables; it needs 0.1 to 0.3 seconds a page."""
_PROGRAM_TITLE = re.compile(
    r"^(Microsoft \w+ - |untitled|\W*(?:anonymous|unspecified|none|null|document\d*|unknown|no title|sin título)\W*$|.*\.(docx?|pptx?|xlsx?|indd|tex|pdf|odt|rtf)$)",  # noqa: E501
    re.IGNORECASE,
)
"""Titles that a program set by default; the file's name says as much."""


def convert(_kind: str, content: bytes, _request: Mapping[str, str]) -> tuple[str, str, str]:
    """The text (with headings and tables if the file is short enough), the title in its properties, and what is missing."""
    document = _open(content)
    pages, title = len(document), str(document.get_metadata_dict().get("Title", ""))
    text = _text_with_layout(content, document) if pages <= LAYOUT_PAGES else _plain_text(document)
    if not re.search(r"\w", text):
        raise KnowledgeError("has no text, only pictures of it; run OCR on it (for example ocrmypdf) and sync again")
    return text, "" if _PROGRAM_TITLE.match(title.strip()) else title, _without_text(document)


def _without_text(document: pypdfium2.PdfDocument) -> str:
    """Names the pages that have pictures but no text, as scanned ones do; "" if there are none."""
    numbers = [str(number) for number, page in enumerate(document, 1) if _is_scanned(page)]
    if not numbers:
        return ""
    shown = ", ".join(numbers[:20]) + (" and more" if len(numbers) > 20 else "")
    which = f"page {shown} has" if len(numbers) == 1 else f"pages {shown} have"
    return f"was read, but {which} only pictures of text; run OCR on it (for example ocrmypdf) and sync again"


def _is_scanned(page: pypdfium2.PdfPage) -> bool:
    if re.search(r"\w", page.get_textpage().get_text_bounded()):
        return False
    return next(page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE], max_depth=3), None) is not None


def _open(content: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise KnowledgeError("is locked by a password; save it without one") from error
        raise KnowledgeError("is damaged, or is no PDF; open it and save it again") from error


def _text_with_layout(content: bytes, document: pypdfium2.PdfDocument) -> str:
    """Text with headings and tables, or the bare text where the layout takes too long or misses much of it."""
    bare = _text(document)
    # CPU time instead of wall time: on a busy machine a file must not lose its tables.
    signal.signal(signal.SIGVTALRM, _raise_timeout)
    signal.setitimer(signal.ITIMER_VIRTUAL, LAYOUT_SECONDS)
    try:
        text = _layout(content)
    except _LayoutTimeout:
        text = ""
    except Exception:  # noqa: BLE001 - a file that pdfminer refuses still has its bare text
        text = ""
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return text if _letters(text) >= 0.6 * _letters(bare) and _letters(text) else _plain(bare)


def _layout(content: bytes) -> str:
    from rag.knowledge.loaders.conversion.layout import read_layout

    layout = read_layout(content)
    if layout.has_tables or layout.has_headings:
        return layout.markdown
    # Tables without lines are found by markitdown alone
    tables = PdfConverter().convert(BytesIO(content), StreamInfo(extension=".pdf")).markdown
    return _plain(tables) if re.search(r"^\|.*\|\n\|[ :|-]+\|$", tables, re.MULTILINE) else layout.markdown


def _letters(text: str) -> int:
    return len(re.findall(r"\w", text))


def _plain(text: str) -> str:
    return plain(rejoin_words(text.strip()), printed=True)


class _LayoutTimeout(BaseException):
    """Not an ``Exception``: markitdown catches those and would start again with another method."""


def _raise_timeout(*_: object) -> None:
    raise _LayoutTimeout


def _plain_text(document: pypdfium2.PdfDocument) -> str:
    return _plain(_text(document))


def _text(document: pypdfium2.PdfDocument) -> str:
    return "\n\n".join(page.get_textpage().get_text_bounded() for page in document)
