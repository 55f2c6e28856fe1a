"""Office files, PDF and HTML become Markdown in a process of their own, whatever they do to it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from rag.errors import KnowledgeError
from rag.knowledge.loaders.conversion.converter import Converter
from rag.knowledge.loaders.files.folder import read_folder
from rag.knowledge.loaders.kinds import Kind
from rag.knowledge.loaders.sources import Candidate, Unreadable
from rag.settings import SourceSettings
from tests.rag.files import docx, locked_pdf, pdf, pptx, xls, xlsx

_ENTITIES = "".join(f'<!ENTITY e{level} "{f"&e{level - 1};" * 20}">' for level in range(1, 10))
LAUGHS = f'<!DOCTYPE l [<!ENTITY e0 "ha">{_ENTITIES}]>'


@pytest.fixture(scope="module")
def converter() -> Iterator[Converter]:
    converter = Converter()
    yield converter
    converter.close()


def reason(converter: Converter, kind: Kind, content: bytes) -> str:
    with pytest.raises(KnowledgeError) as caught:
        converter.convert(kind, content)
    return str(caught.value)


def test_a_word_file_keeps_its_headings(converter: Converter) -> None:
    content = docx(("Heading1", "Vacaciones"), ("Normal", "Hay 23 días al año."))
    assert converter.convert("docx", content).markdown == "# Vacaciones\n\nHay 23 días al año."


def test_slides_become_sections(converter: Converter) -> None:
    markdown = converter.convert("pptx", pptx(("Plan", "Start in May"), ("Team", "Four people"))).markdown
    assert [line for line in markdown.split("\n") if line and "<!--" not in line] == [
        "# Plan",
        "Start in May",
        "# Team",
        "Four people",
    ]


def test_each_sheet_becomes_a_heading_with_a_table(converter: Converter) -> None:
    content = xlsx({"Prices": [["Plan", "Euro"], ["A|B", 3.0], [None, None]], "Empty": [], "Notes": [["x"]]})
    assert converter.convert("xlsx", content).markdown == (
        "## Prices\n\n| Plan | Euro |\n| --- | --- |\n| A\\|B | 3 |\n\n## Notes\n\nx"
    )


def test_an_old_sheet_is_read_too(converter: Converter) -> None:
    content = xls(("Plan", "Euro"), ("Básico", 3.5))
    assert converter.convert("xls", content).markdown.endswith("| Plan | Euro |\n| --- | --- |\n| Básico | 3.5 |")


def test_a_pdf_gives_its_text_with_broken_words_made_whole(converter: Converter) -> None:
    found = converter.convert(
        "pdf", pdf("The hotel costs 120 euros, for exam-", "ple in Málaga.", title="Travel policy")
    )
    assert found.markdown == "The hotel costs 120 euros, for example in Málaga."
    assert found.title == "Travel policy"


MAIN = """<html><head><title>Guide - Site</title></head><body><nav>Home Products</nav><main><section id="start">
<h1>Guide<a class="headerlink" href="#start">¶</a></h1><p>Read <a href="../a b">this</a>, not <a href="javascript:x()">that</a>,
about snake_case and &lt;div&gt;.</p></section><h2 id="two">Two</h2><table><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2</td>
</tr></table><pre><code class="language-py">x = 1
y = 2</code></pre></main><footer>Imprint</footer></body></html>"""


def test_a_page_keeps_anchors_tables_and_code_and_loses_what_surrounds_it(converter: Converter) -> None:
    found = converter.convert("html", MAIN.encode(), url="https://example.com/docs/guide")
    assert found.title == "Guide - Site"
    assert found.markdown.split("\n\n") == [
        "# Guide {#start}",
        "Read [this](https://example.com/a%20b), not that,\nabout snake_case and \\<div>.",
        "## Two {#two}",
        "| a | b |\n| --- | --- |\n| 1 | 2 |",
        "```py\nx = 1\ny = 2\n```",
    ]


def test_a_page_without_a_marked_main_part_keeps_headings_with_their_anchors(converter: Converter) -> None:
    prose = "<p>" + "The warranty covers every part of the machine for two years after delivery. " * 8 + "</p>"
    page = f"<body><div><h1 id=w>Warranty</h1>{prose}<h2 id=p>Parts</h2>{prose}</div><div>About us</div></body>"
    markdown = converter.convert("html", page.encode()).markdown
    assert [line for line in markdown.split("\n") if line.startswith("#")] == ["# Warranty {#w}", "## Parts {#p}"]


def test_a_page_is_read_in_the_charset_that_it_names(converter: Converter) -> None:
    page = "<html><head><meta charset='iso-8859-1'></head><body><p>El año que viene</p></body></html>"
    assert converter.convert("html", page.encode("latin-1")).markdown == "El año que viene"


@pytest.mark.parametrize(
    ("kind", "content", "why"),
    [
        ("html", b"<body><div id=app></div><script>render()</script></body>", "has no text without JavaScript"),
        ("html", b"<body><img src=x></body>", "has no text at all"),
        ("pdf", pdf(), "run OCR"),
        ("pdf", locked_pdf(), "is locked by a password"),
        ("pdf", b"%PDF-1.4 and then nothing", "is damaged, or is no PDF"),
        ("docx", docx(("Normal", " ")), "has no text"),
        ("docx", b"Dear Sir", "is damaged, or is not a .docx file"),
        ("docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 512, "is locked by a password or in an old format"),
        ("xlsx", xlsx({"Sheet": [[None]]}), "has no cell with a value"),
        ("xls", b"rubbish", "is damaged, locked or no .xls file"),
        ("docx", docx(("Normal", "x"), padding=80_000_000), "as a zip bomb does; it was not opened"),
        ("docx", docx(("Normal", "&e9;"), before=LAUGHS), "cannot be converted"),
        ("html", b"<div>" * 100_000 + b"deep", ""),
    ],
)
def test_what_cannot_be_read_says_so_in_one_line(converter: Converter, kind: Kind, content: bytes, why: str) -> None:
    if why:
        said = reason(converter, kind, content)
        assert why in said
        assert "\n" not in said
    assert converter.convert("html", b"<p>Still here</p>").markdown == "Still here"


def lying_bomb() -> bytes:
    """A hundred megabytes in a few kilobytes, whose archive says that it is a hundred bytes."""
    made = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(docx(("Normal", "x")))) as honest,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in honest.infolist():
            bomb.writestr(
                entry.filename, honest.read(entry) if "document" not in entry.filename else b"A" * 100_000_000
            )
    return made.getvalue().replace((100_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little"))


def test_a_bomb_that_lies_about_its_size_harms_nothing(converter: Converter) -> None:
    assert reason(converter, "docx", lying_bomb())
    assert converter.convert("html", b"<p>Still here</p>").markdown == "Still here"


def test_what_takes_too_long_is_given_up_and_the_next_file_is_read() -> None:
    page = b"<table>" + b"<tr><td>x" * 200_000
    converter = Converter(seconds=1)
    try:
        assert reason(converter, "html", page).startswith("took longer than 1 seconds to convert")
        assert converter.convert("pdf", pdf("Next")).markdown == "Next"
    finally:
        converter.close()


def test_a_converter_that_cannot_start_says_so() -> None:
    assert "the converter did not start" in reason(Converter(memory=50_000_000), "html", b"<p>One</p>")


@pytest.mark.slow
def test_what_needs_too_much_memory_is_given_up_and_the_next_file_is_read() -> None:
    converter = Converter(memory=300_000_000)
    try:
        assert "needs more memory" in reason(converter, "html", b"<main>" + b"<p>word</p>" * 300_000)
        assert converter.convert("html", b"<p>Next</p>").markdown == "Next"
    finally:
        converter.close()


def test_a_closed_converter_starts_again_and_ends_when_it_is_idle() -> None:
    converter = Converter(idle=0.05)
    converter.convert("html", b"<p>One</p>")
    child = converter._process
    assert child is not None
    assert child.wait(timeout=20) is not None
    assert converter.convert("html", b"<p>Two</p>").markdown == "Two"
    converter.close()


def test_a_hostile_file_takes_no_other_of_its_folder_down(tmp_path: Path) -> None:
    (tmp_path / "bomb.docx").write_bytes(docx(("Normal", "x"), padding=80_000_000))
    (tmp_path / "good.docx").write_bytes(docx(("Heading1", "Good"), ("Normal", "Text that is read.")))
    with (tmp_path / "vast.pdf").open("wb") as vast:
        vast.truncate(500_000_000)
    found = list(read_folder(SourceSettings(name="kb", path=tmp_path), tmp_path))
    assert [(each.document, each.reason) for each in found if isinstance(each, Unreadable)] == [
        ("kb/vast.pdf", "has 500.0 MB; at most 50 MB are read")
    ]
    bomb, good = (each for each in found if isinstance(each, Candidate))
    with pytest.raises(KnowledgeError, match="zip bomb"):
        bomb.load()
    assert (good.load().title, good.load().url) == ("Good", "good.docx")
