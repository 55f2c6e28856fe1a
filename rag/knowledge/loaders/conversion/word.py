"""Converts Word files to Markdown; runs in the converter's child process.

Text that the library would leave out (moved text, text boxes, smart tags) is put where a reader sees it. Headers and footers
stay out: they stand on each page.
"""

from __future__ import annotations

import zipfile
from io import BytesIO

import mammoth
from bs4 import BeautifulSoup
from lxml import etree
from markitdown.converter_utils.docx.pre_process import pre_process_docx

from rag.knowledge.loaders.conversion.html import markdown_of
from rag.knowledge.loaders.conversion.structure import prepare

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_CHOICES = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_UNWRAPPED = tuple(
    _W + name for name in ("moveTo", "smartTag", "customXml", "fldSimple", "dir", "bdo", "ruby", "rubyBase")
)
_REMOVED = tuple(_W + name for name in ("moveFrom", "rt", "rubyPr"))
_PARTS = ("word/document.xml", "word/footnotes.xml", "word/endnotes.xml")
_STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
u => em
"""


def word(content: bytes) -> str:
    """The Markdown of a document: with tracked changes accepted, and each note behind the paragraph that refers to it."""
    document = pre_process_docx(BytesIO(_visible(content)))  # formulas become text
    page = mammoth.convert_to_html(document, style_map=_STYLES).value
    soup = BeautifulSoup(page, "lxml")
    for picture in soup.find_all("img"):  # embedded pictures are megabytes of base64
        picture.attrs = {"alt": picture.get("alt") or ""}
    for link in soup.find_all("a"):
        if not link.get_text(strip=True) and not link.get("href"):
            link.unwrap()
    prepare(soup)
    return markdown_of(soup)


def _visible(content: bytes) -> bytes:
    """The file with its text where the library reads it."""
    result = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as archive, zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as copy:
        for entry in archive.infolist():
            data = archive.read(entry)
            copy.writestr(entry.filename, _rewritten(data) if entry.filename in _PARTS else data)
    return result.getvalue()


def _rewritten(data: bytes) -> bytes:
    root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False))
    for element in list(root.iter(*_REMOVED)):
        _remove(element)
    for run in list(root.iter(_W + "r")):
        hidden = run.find(f"{_W}rPr/{_W}vanish")
        if hidden is not None and hidden.get(_W + "val") not in ("0", "false"):
            _remove(run)
    _place_boxes(root)
    for element in list(root.iter(*_UNWRAPPED)):
        _unwrap(element)
    rewritten: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True, standalone=True)
    return rewritten


def _place_boxes(root: etree._Element) -> None:
    """Puts the paragraphs of each text box behind the paragraph to which it is anchored."""
    for box in list(root.iter(_W + "txbxContent")):
        paragraph = next(box.iterancestors(_W + "p"), None)
        if paragraph is None or next(box.iterancestors(_W + "txbxContent"), None) is not None:
            continue
        choices = next(box.iterancestors(_CHOICES), None)
        if next(box.iterancestors(_FALLBACK), None) is not None and choices is not None and len(choices) > 1:
            continue  # the same box once more, for older programs
        for child in reversed(list(box)):
            paragraph.addnext(child)
    for choices in list(root.iter(_CHOICES)):
        if next(choices.iter(_W + "txbxContent"), None) is not None:
            _remove(choices)


def _remove(element: etree._Element) -> None:
    if (parent := element.getparent()) is not None:
        parent.remove(element)


def _unwrap(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is None:
        return
    place = parent.index(element)
    for child in reversed(list(element)):
        parent.insert(place + 1, child)
    parent.remove(element)
