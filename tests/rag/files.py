"""Files of every kind that is read, made on the spot."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Sequence
from io import BytesIO

from openpyxl import Workbook
from pptx import Presentation

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_BOXES = (
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" xmlns:v="urn:schemas-microsoft-com:vml"'
)
_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/word/document.xml" ContentType='
    '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
_RELATIONS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Target="word/document.xml" Type='
    '"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>'
)


def docx(*paragraphs: tuple[str, str], before: str = "", padding: int = 0) -> bytes:
    """Paragraphs with their style; ``before`` stands above the XML's root, ``padding`` bytes of zeros lie beside it."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'
        for style, text in paragraphs
    )
    return word_file(body, before=before, padding=padding)


def word_file(body: str, *, notes: str = "", before: str = "", padding: int = 0) -> bytes:
    """A Word file of this XML; ``notes`` is that of its footnotes."""
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    return _zipped(
        {
            "word/_rels/document.xml.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
            f'relationships"><Relationship Id="n1" Type="{relation}" Target="footnotes.xml"/></Relationships>',
            "word/footnotes.xml": f"<w:footnotes {_W}>{notes}</w:footnotes>",
            "[Content_Types].xml": _TYPES,
            "_rels/.rels": _RELATIONS,
            "word/document.xml": f'<?xml version="1.0"?>{before}<w:document {_W} {_BOXES}><w:body>{body}</w:body></w:document>',
            "word/styles.xml": f'<w:styles {_W}><w:style w:type="paragraph" w:styleId="Heading1">'
            f'<w:name w:val="heading 1"/></w:style></w:styles>',
            "word/media/pad.bin": b"\0" * padding,
        }
    )


def _zipped(parts: dict[str, str | bytes]) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return made.getvalue()


def xlsx(sheets: dict[str, Sequence[Sequence[object]]]) -> bytes:
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    made = BytesIO()
    book.save(made)
    return made.getvalue()


def pptx(*slides: tuple[str, str]) -> bytes:
    """Slides with title and text."""
    presentation = Presentation()
    for title, text in slides:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, text
    made = BytesIO()
    presentation.save(made)
    return made.getvalue()


def pdf(*lines: str, title: str = "") -> bytes:
    """One page in Helvetica; without lines it is blank, as a scan is for a reader of text."""
    stream = b"BT /F1 12 Tf 72 720 Td 14 TL %b ET" % b" ".join(b"(%b) Tj T*" % line.encode("cp1252") for line in lines)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        b"<</Title(%b)>>" % title.encode("cp1252"),
    ]
    return _portable(objects, b"<</Size 7/Root 1 0 R/Info 6 0 R>>")


def printed(*pages: Sequence[tuple[float, float, str]], rules: Sequence[str] = (), title: str = "") -> bytes:
    """Pages of lines with their size, distance from the bottom and text (at x = 72, or behind ``x|``), and drawn ``rules``.

    A page without lines has a picture instead.
    """
    numbers = range(4, 4 + 2 * len(pages), 2)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%b]/Count %d>>" % (b" ".join(b"%d 0 R" % number for number in numbers), len(pages)),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for number, lines in zip(numbers, pages, strict=True):
        stream = "\n".join([*(rules if lines else ()), *map(_printed_line, lines)]).encode("cp1252")
        stream = stream or b"q 300 0 0 300 72 300 cm BI /W 1 /H 1 /BPC 8 /CS /G ID x EI Q"
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents %d 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
            % (number + 1)
        )
        objects.append(b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream))
    objects.append(b"<</Title(%b)>>" % title.encode("cp1252"))
    return _portable(objects, b"<</Size %d/Root 1 0 R/Info %d 0 R>>" % (len(objects) + 1, len(objects)))


def _printed_line(line: tuple[float, float, str]) -> str:
    size, height, text = line
    left, _, shown = text.rpartition("|")
    return f"BT /F1 {size} Tf {left or 72} {height} Td ({shown}) Tj ET"


def locked_pdf() -> bytes:
    """One that asks for a password that nobody has."""
    handler = b"<</Filter/Standard/V 1/R 2/O<%b>/U<%b>/P -4>>" % (b"41" * 32, b"42" * 32)
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>", handler]
    return _portable(objects, b"<</Size 4/Root 1 0 R/Encrypt 3 0 R/ID[<00><00>]>>")


def xls(*rows: Sequence[str | float]) -> bytes:
    """A sheet in Excel's second format, the oldest that is read: records without a container."""
    records = [(9, struct.pack("<HH", 2, 0x10))]
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            place = struct.pack("<HH3x", row, column)
            text = cell.encode("cp1252") if isinstance(cell, str) else b""
            value = struct.pack("B", len(text)) + text if isinstance(cell, str) else struct.pack("<d", cell)
            records.append((4 if isinstance(cell, str) else 3, place + value))
    return b"".join(struct.pack("<HH", code, len(data)) + data for code, data in [*records, (10, b"")])


def _portable(objects: Sequence[bytes], trailer: bytes) -> bytes:
    made, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%b\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return made + b"xref\n0 %d\n0000000000 65535 f \n%btrailer%b\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1,
        table,
        trailer,
        len(made),
    )
