"""What the structure of files and pages says reaches the reader: spans, hidden parts, notes, boxes, heads, code."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from openpyxl import Workbook
from pptx import Presentation

from rag.knowledge.loaders.conversion.converter import Converter
from rag.knowledge.loaders.conversion.sheets import formatted
from rag.knowledge.loaders.files.folder import read_folder
from rag.knowledge.loaders.sources import Candidate, Unreadable
from rag.settings import SourceSettings
from tests.rag.files import pptx, printed, word_file


@pytest.fixture(scope="module")
def converter() -> Iterator[Converter]:
    converter = Converter()
    yield converter
    converter.close()


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(*parts: str) -> str:
    return f"<w:p>{''.join(parts)}</w:p>"


@pytest.mark.parametrize(
    "middle",
    [
        f'<w:moveFrom w:id="1">{run("in a month")}</w:moveFrom><w:moveTo w:id="2">{run("in ten days")}</w:moveTo>',
        f'<w:del w:id="1"><w:r><w:delText>soon</w:delText></w:r></w:del><w:ins w:id="2">{run("in ten days")}</w:ins>',
        f'<w:smartTag w:element="date">{run("in ten days")}</w:smartTag>',
        f'<w:fldSimple w:instr="DATE">{run("in ten days")}</w:fldSimple>',
        f"<w:sdt><w:sdtContent>{run('in ten days')}</w:sdtContent></w:sdt>",
        f"<w:customXml>{run('in ten days')}</w:customXml>",
        f"<w:r><w:rPr><w:vanish/></w:rPr><w:t>secret</w:t></w:r>{run('in ten days')}",
    ],
)
def test_a_word_file_shows_the_text_that_its_reader_sees(converter: Converter, middle: str) -> None:
    content = word_file(paragraph(run("Receipts come "), middle, run(" at most.")))
    assert converter.convert("docx", content).markdown == "Receipts come in ten days at most."


@pytest.mark.parametrize(
    "box",
    [
        "<mc:AlternateContent><mc:Choice><wps:txbx><w:txbxContent>{}</w:txbxContent></wps:txbx></mc:Choice></mc:AlternateContent>",
        "<mc:AlternateContent><mc:Choice><wps:txbx><w:txbxContent>{0}</w:txbxContent></wps:txbx></mc:Choice><mc:Fallback><w:pict>"
        "<v:textbox><w:txbxContent>{0}</w:txbxContent></v:textbox></w:pict></mc:Fallback></mc:AlternateContent>",
        "<w:pict><v:textbox><w:txbxContent>{}</w:txbxContent></v:textbox></w:pict>",
    ],
)
def test_a_text_box_is_read_once_behind_its_paragraph(converter: Converter, box: str) -> None:
    content = word_file(
        paragraph(run("Before."), f"<w:r>{box.format(paragraph(run('In the box.')))}</w:r>") + paragraph(run("After."))
    )
    assert converter.convert("docx", content).markdown == "Before.\n\nIn the box.\n\nAfter."


def test_a_footnote_stands_behind_its_paragraph_without_a_mark(converter: Converter) -> None:
    notes = f'<w:footnote w:id="2">{paragraph(run("For batteries six months."))}</w:footnote>'
    body = paragraph(run("Two years"), '<w:r><w:footnoteReference w:id="2"/></w:r>', run(".")) + paragraph(run("Next."))
    assert (
        converter.convert("docx", word_file(body, notes=notes)).markdown
        == "Two years.\n\nFor batteries six months.\n\nNext."
    )


def cell(text: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{paragraph(run(text)) if text else '<w:p/>'}</w:tc>"


def test_merged_cells_of_a_word_table_are_filled(converter: Converter) -> None:
    rows = [
        [cell("Shift"), cell("Pay", '<w:gridSpan w:val="2"/>')],
        [cell("Night", '<w:vMerge w:val="restart"/>'), cell("25"), cell("50")],
        [cell("", "<w:vMerge/>"), cell("30"), cell("60")],
    ]
    body = "<w:tbl>" + "".join(f"<w:tr>{''.join(row)}</w:tr>" for row in rows) + "</w:tbl>"
    assert converter.convert("docx", word_file(body)).markdown == (
        "| Shift | Pay | Pay |\n| --- | --- | --- |\n| Night | 25 | 50 |\n| Night | 30 | 60 |"
    )


def test_a_hidden_slide_is_left_out(converter: Converter) -> None:
    deck = Presentation(BytesIO(pptx(("Plan", "Start in May"), ("Old plan", "Start in March"))))
    deck.slides[1]._element.set("show", "0")
    made = BytesIO()
    deck.save(made)
    assert converter.convert("pptx", made.getvalue()).markdown == "# Plan\nStart in May"


def test_a_sheet_keeps_titles_regions_and_formats(converter: Converter) -> None:
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = "Prices"
    rows = [
        ["Price list", None, None],
        [],
        ["Region", "Plan", "Fee"],
        ["North", "Basic", 19.9],
        [None, "Plus", 29.9],
        ["South", "Basic", 0.5],
    ]
    for row in rows:
        sheet.append(row)
    sheet.merge_cells("A1:C1")
    sheet.merge_cells("A4:A5")
    sheet["C4"].number_format = sheet["C5"].number_format = '#,##0.00 "€"'
    sheet["C6"].number_format = "0%"
    sheet["D3"], sheet["D4"] = "Sum", "=SUM(C4:C6)"
    made = BytesIO()
    book.save(made)
    assert converter.convert("xlsx", made.getvalue()).markdown == (
        "## Prices\n\nPrice list\n\n| Region | Plan | Fee | Sum |\n| --- | --- | --- | --- |\n| North | Basic | 19.90 € | (not calculated) |\n"  # noqa: E501
        "| North | Plus | 29.90 € |  |\n| South | Basic | 50 % |  |"
    )


def test_a_head_of_two_rows_becomes_one_and_a_second_table_has_its_own(converter: Converter) -> None:
    book = Workbook()
    sheet = book.worksheets[0]
    for row in [["Team", "2026", None], [None, "Q1", "Q2"], ["Sales", 1, 2], [], ["Desk", "Phone"], ["Billing", 30]]:
        sheet.append(row)
    sheet.merge_cells("B1:C1")
    sheet.merge_cells("A1:A2")
    made = BytesIO()
    book.save(made)
    markdown = converter.convert("xlsx", made.getvalue()).markdown
    assert "| Team | 2026 Q1 | 2026 Q2 |\n| --- | --- | --- |\n| Sales | 1 | 2 |\n\n| Desk | Phone |" in markdown


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (0.125, "0.0%", "12.5 %"),
        (19.9, "[$€-407]#,##0.00", "19.90 €"),
        (5, "$#,##0.00_);($#,##0.00)", "5.00 $"),
        (2.5, '0.0 "kg"', "2.5 kg"),
        (3, "General", 3),
        (7.0, "0", 7.0),
    ],
)
def test_numbers_are_shown_as_in_their_cell(value: float, number_format: str, shown: object) -> None:
    assert formatted(value, number_format) == shown


def test_headings_of_a_pdf_are_known_by_their_size_and_running_heads_go(converter: Converter) -> None:
    first = [(8, 770, "ACME handbook"), (18, 700, "Fleet policy"), (13, 660, "1. Accidents"), (10, 640, "Call the police first, then the desk."),  # noqa: E501
             (13, 600, "2. Fuel cards"), (10, 580, "Every driver gets one fuel card for the car."), (8, 30, "Page 1 of 2")]  # fmt: skip  # noqa: E501
    second = [(8, 770, "ACME handbook"), (10, 700, "It is blocked after two missing receipts."), (8, 30, "Page 2 of 2")]
    assert converter.convert("pdf", printed(first, second)).markdown == (
        "# Fleet policy\n\n## 1. Accidents\n\nCall the police first, then the desk.\n\n## 2. Fuel cards\n\n"
        "Every driver gets one fuel card for the car.\n\nIt is blocked after two missing receipts."
    )


def test_a_table_with_lines_keeps_its_columns(converter: Converter) -> None:
    rules = [f"72 {height} m 372 {height} l S" for height in (700, 680, 660, 640)]
    rules += [f"{left} 640 m {left} 700 l S" for left in (72, 172, 272, 372)]
    rows = [("Plan", "Seats", "Price"), ("A", "5", "10 EUR"), ("B", "10", "20 EUR")]
    lines = [
        (10.0, 686.0 - 20 * row, f"{76 + 100 * column}|{text}")
        for row, texts in enumerate(rows)
        for column, text in enumerate(texts)
    ]
    lines.append((10, 600, "All plans are billed monthly."))
    markdown = converter.convert("pdf", printed(lines, rules=rules)).markdown
    assert "| Plan | Seats | Price |\n| --- | --- | --- |\n| A | 5 | 10 EUR |\n| B | 10 | 20 EUR |" in markdown
    assert markdown.endswith("All plans are billed monthly.")


def test_scanned_pages_are_named_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "memo.pdf").write_bytes(printed([(10, 700, "The memo follows.")], [], [], title="(anonymous)"))
    (candidate,) = read_folder(SourceSettings(name="kb", path=tmp_path), tmp_path)
    assert isinstance(candidate, Candidate)
    document = candidate.load()
    assert (document.title, document.markdown) == ("memo", "The memo follows.")
    assert document.missing.startswith("was read, but pages 2, 3 have only pictures")


@pytest.mark.parametrize("name", ["~$Draft.docx", "~$Plan.xlsx", ".~lock.Plan.xlsx#", "a/~$deck.pptx"])
def test_lock_files_of_office_programs_are_left_out(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"\x05Somebody")
    (tmp_path / "a.md").write_text("# A")
    found = list(read_folder(SourceSettings(name="kb", path=tmp_path), tmp_path))
    assert [each.document for each in found if isinstance(each, Candidate | Unreadable)] == ["kb/a.md"]


def page(converter: Converter, body: str) -> str:
    return converter.convert("html", f"<html><head><title>T</title></head><body>{body}</body></html>".encode()).markdown


MORE = "<p>The travel desk books trains and flights for all employees of the company.</p>"


@pytest.mark.parametrize(
    "box",
    [
        '<aside class="starlight-aside" aria-label="Caution"><p>Mind the gap.</p></aside>',
        '<aside class="admonition warning"><p>Mind the gap.</p></aside>',
        '<aside role="note">Mind the gap.</aside>',
        "<aside>Mind the gap.</aside>",
        '<div class="alert"><p>Mind the gap.</p></div>',
        '<form action="/x"><div><p>Mind the gap.</p></div></form>',
        '<div role="tabpanel" hidden><p>Mind the gap.</p></div>',
        "<details><summary>More</summary><p>Mind the gap.</p></details>",
    ],
)
def test_boxes_within_a_page_are_read(converter: Converter, box: str) -> None:
    assert "Mind the gap." in page(converter, f"<main><h1>Desk</h1>{MORE}{box}{MORE}</main>")


@pytest.mark.parametrize(
    "margin",
    [
        '<aside class="sidebar"><a href="/a">Menu entry</a></aside>',
        '<nav><a href="/a">Menu entry</a></nav>',
        '<aside class="toc"><a href="#a">Menu entry</a></aside>',
        '<form role="search"><label>Menu entry</label><input name="q"></form>',
        "<aside><a href='/a'>Menu entry</a> <a href='/b'>Menu entry</a></aside>",
    ],
)
def test_the_margin_of_a_page_is_left_out(converter: Converter, margin: str) -> None:
    assert "Menu entry" not in page(converter, f"{margin}<main><h1>Desk</h1>{MORE}{MORE}{margin}</main>")


def test_a_page_within_one_form_is_read(converter: Converter) -> None:
    form = f'<form method="post"><input type="hidden" value="x"><div id="content"><h1>Desk</h1>{MORE}<h2>Night trains</h2>{MORE}</div></form>'  # noqa: E501
    assert page(converter, form).startswith("# Desk\n\nThe travel desk")


@pytest.mark.parametrize("start", ["<table>", '<table role="presentation" width="100%">', "<table><tbody>"])
def test_a_layout_table_is_opened_and_its_menu_left_out(converter: Converter, start: str) -> None:
    body = f'{start}<tr><td><a href="/">Home</a><br><a href="/a">Archive</a></td><td><h1>Manual</h1>{MORE}</td></tr></table>'
    assert page(converter, body).startswith("# Manual\n\nThe travel desk")
    assert "Archive" not in page(converter, body)


def test_spanned_cells_of_a_page_are_filled(converter: Converter) -> None:
    body = (
        f"<main>{MORE}<table><tr><th>Region</th><th>Plan</th><th>Fee</th></tr><tr><td rowspan=2>North</td><td>Basic</td><td>1</td></tr>"  # noqa: E501
        "<tr><td>Plus</td><td>2</td></tr><tr><td colspan=2>All</td><td>3</td></tr></table></main>"
    )
    assert "| North | Basic | 1 |\n| North | Plus | 2 |\n| All | All | 3 |" in page(converter, body)


@pytest.mark.parametrize(
    "code",
    [
        "<pre>remote a\nproto udp</pre>",
        '<pre class="syntaxhighlighter-pre" data-language="text">remote a\nproto udp</pre>',
        "<pre><code>remote a<br>proto udp</code></pre>",
        "<pre><code><div class='ec-line'>remote a</div><div class='ec-line'>proto udp</div></code></pre>",
        "<table class='highlighttable'><tr><td class='linenos'><pre>1\n2</pre></td><td><pre>remote a\nproto udp</pre></td></tr></table>",  # noqa: E501
        "<pre><button>Copy</button>remote a\nproto udp</pre>",
    ],
)
def test_code_of_a_page_keeps_its_lines(converter: Converter, code: str) -> None:
    markdown = page(converter, f"<div><h1>VPN</h1>{MORE}{code}{MORE}</div>")
    assert "\nremote a\nproto udp\n```" in markdown
    assert "Copy" not in markdown


@pytest.mark.parametrize(
    ("mark", "note"),
    [
        ('<sup id="r1"><a href="#fn1">1</a></sup>', '<ol><li id="fn1">Not in May. <a href="#r1">↩</a></li></ol>'),
        ('<a class="footnote-ref" href="#fn-1"><sup>1</sup></a>', '<section class="footnotes"><ol><li id="fn-1"><p>Not in May. <a href="#x" role="doc-backlink">↩</a></p></li></ol></section>'),  # noqa: E501
        ('<sup><a href="#cite_note-1">[1]</a></sup>', '<ol class="references"><li id="cite_note-1"><a href="#cite_ref-1">↑</a> Not in May.</li></ol>'),  # noqa: E501
    ],
)  # fmt: skip
def test_footnotes_of_a_page_lose_their_marks(converter: Converter, mark: str, note: str) -> None:
    markdown = page(converter, f"<main><h1>Desk</h1><p>Trains are paid{mark}.</p>{MORE}{note}</main>")
    assert markdown.startswith("# Desk\n\nTrains are paid.\n\nNot in May.\n\nThe travel desk")
    assert not any(sign in markdown for sign in ("[1]", "↩", "↑"))
