"""A folder of Markdown as a source."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from rag.errors import KnowledgeError
from rag.knowledge.loaders.sources import LoadedDocument, Unreadable, discover
from rag.settings import SourceSettings


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, **options: str) -> tuple[list[LoadedDocument], list[Unreadable]]:
    documents: list[LoadedDocument] = []
    unreadable: list[Unreadable] = []
    for found in discover(SourceSettings(name="kb", path=path, **options), path.parent / "cache"):
        if isinstance(found, Unreadable):
            unreadable.append(found)
            continue
        try:
            documents.append(found.load())
        except KnowledgeError as error:
            unreadable.append(Unreadable(path=found.document, reason=str(error), document=found.document))
    return documents, unreadable


def test_pages_come_in_the_order_of_their_paths_with_title_link_and_language(tmp_path: Path) -> None:
    write(tmp_path, "es/memoria y más.md", "# La *memoria*\n\nTexto.")
    write(tmp_path, "en/slack.md", "---\ntitle: 'Slack: set-up'\n---\n# Other\n\nText.")
    write(tmp_path, "getting-started.md", "This page explains how to start the service and where it is.")
    documents, unreadable = read(tmp_path, base_url="https://help.example.com/kb")
    assert not unreadable
    assert [(each.id, each.title, each.url, each.language) for each in documents] == [
        ("kb/en/slack.md", "Slack: set-up", "https://help.example.com/kb/en/slack", "en"),
        ("kb/es/memoria y más.md", "La memoria", "https://help.example.com/kb/es/memoria%20y%20m%C3%A1s", "es"),
        ("kb/getting-started.md", "getting started", "https://help.example.com/kb/getting-started", "en"),
    ]
    assert documents[0].markdown.startswith("# Other")
    assert documents[0].updated_at is None, "the time of a file is that of its copy"


@pytest.mark.parametrize(
    ("matter", "day"),
    [
        ("---\ntitle: Pay\nlastmod: 2026-05-03\n---\n", 3),
        ("---\nlast_updated: '2026-05-04T10:00:00Z'\n---\n", 4),
        ("+++\nupdated = 2026-05-05\n+++\n", 5),
    ],
)
def test_a_page_may_say_when_it_was_changed(tmp_path: Path, matter: str, day: int) -> None:
    write(tmp_path, "pay.md", f"{matter}# Pay\n\nText.")
    assert datetime.date(read(tmp_path)[0][0].updated_at or datetime.now(UTC)) == date(2026, 5, day)


@pytest.mark.parametrize(
    "text",
    [
        "---\ndate: 2026-05-03\n---\n# Pay",
        "# Pay\n\nupdated: 2026-05-03",
        "---\nupdated: 2026-13-45\n---\n# Pay",
        "---\nupdated: soon",
    ],
)
def test_what_is_no_date_of_a_change_gives_none(tmp_path: Path, text: str) -> None:
    write(tmp_path, "pay.md", text)
    assert read(tmp_path)[0][0].updated_at is None


def test_without_a_base_the_link_is_the_path(tmp_path: Path) -> None:
    write(tmp_path, "es/slack.md", "# Slack")
    assert read(tmp_path)[0][0].url == "es/slack.md"


def test_one_file_is_a_source_too(tmp_path: Path) -> None:
    path = write(tmp_path, "faq.md", "\ufeff# Preguntas\r\n\r\n¿Qué es esto? Una página en español.\x00")
    (document,), _ = read(path)
    assert (document.id, document.title, document.language) == ("kb/faq.md", "Preguntas", "es")
    assert "\x00" not in document.markdown


def test_one_bad_file_does_not_take_the_others_down(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "# Good")
    write(tmp_path, "binary.md", b"\x89PNG\xff\xfe")
    write(tmp_path, "gone.md", "x").unlink()
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere")
    with write(tmp_path, "huge.md", "").open("r+b") as huge:
        huge.truncate(10_000_001)
    documents, unreadable = read(tmp_path)
    assert [each.title for each in documents] == ["Good"]
    reasons = {Path(each.path).name: each.reason for each in unreadable}
    assert reasons["binary.md"].startswith("is not UTF-8 (byte 0)")
    assert reasons["huge.md"] == "has 10.0 MB; at most 10 MB are read"
    assert reasons["gone.md"]
    assert {each.document for each in unreadable} == {"kb/binary.md", "kb/huge.md", "kb/gone.md"}


def test_what_is_no_page_at_all_does_not_take_the_others_down(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "# Good")
    (tmp_path / "loop.md").symlink_to("loop.md")
    os.mkfifo(tmp_path / "pipe.md")
    with open(os.fsencode(tmp_path) + b"/\xff.md", "w") as file:  # noqa: PTH123 - pathlib knows no bytes
        file.write("# Named by nobody")
    documents, unreadable = read(tmp_path)
    assert [each.title for each in documents] == ["Good"]
    assert [each.document for each in unreadable] == ["kb/loop.md", "kb/pipe.md", "kb/\\udcff.md"]
    assert [each.reason for each in unreadable[1:]] == ["is no regular file", "has a name that is not UTF-8; rename it"]


def test_links_out_of_the_folder_are_refused_and_hidden_folders_skipped(tmp_path: Path) -> None:
    secret = write(tmp_path, "secret.md", "# Salaries")
    folder = tmp_path / "docs"
    write(folder, ".git/notes.md", "# Hidden")
    write(folder, "page.md", "# Page")
    (folder / "link.md").symlink_to(secret)
    (folder / "inside.md").symlink_to(folder / "page.md")
    documents, unreadable = read(folder)
    assert [each.id for each in documents] == ["kb/inside.md", "kb/page.md"]
    assert [each.reason for each in unreadable] == ["is a link that leaves the source's folder"]


def test_other_kinds_are_left_out_unless_the_glob_names_them(tmp_path: Path) -> None:
    write(tmp_path, "logo.png", b"\x89PNG")
    assert read(tmp_path) == ([], [])
    (unreadable,) = read(tmp_path, glob="**/*.png")[1]
    assert unreadable.reason.startswith("is of a kind that is not read; read are Markdown, MDX, HTML,")
    assert read(tmp_path / "logo.png")[1][0].document == "kb/logo.png"


@pytest.mark.parametrize(
    "matter",
    [
        "---\ntitle: [1\n---\n",
        "---\n- a\n---\n",
        "---\ntitle: 2025-99-99\n---\n",
        "---\nx",
        '---\nx: !!int ""\n---\n',
        "---\nx: !!bool z\n---\n",
        "---\nx: !!timestamp z\n---\n",
        "---\n" + "[" * 3000 + "\n---\n",
    ],
)
def test_front_matter_that_is_none_is_no_obstacle(tmp_path: Path, matter: str) -> None:
    write(tmp_path, "a.md", matter + "\n# A title\n")
    (document,), _ = read(tmp_path)
    assert "# A title" in document.markdown
    assert len(matter) > 100 or document.title == "A title"


def test_a_source_that_is_not_there_names_the_setting_and_the_cure(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match=r"knowledge.sources: path of 'kb' is .*/none, .*correct the path"):
        read(tmp_path / "none")
    with pytest.raises(KnowledgeError, match="glob of 'kb'"):
        read(tmp_path, glob="/etc/*")


@pytest.mark.parametrize(
    ("text", "encodings"),
    [
        ("问题,答案\n产品价格是多少？,一百元。\n", ("gb2312", "gb18030")),
        ("問題,答案\n產品的價格是多少？,一百元。我們的客服人員會在三天內處理您的申請\n", ("big5",)),
        ("質問,回答\n送料はいくらですか？,五百円です。営業時間は九時から五時までです。\n", ("shift_jis", "euc_jp")),
        ("질문,답변\n배송은 얼마나 걸리나요? 보통 이틀에서 사흘 정도 걸립니다.\n", ("euc_kr",)),
        ("Сколько стоит доставка? Доставка бесплатная для всех заказов, офис открыт с девяти.\n", ("cp1251", "koi8-r")),
        ("¿Cuánto cuesta el envío? Nada: está incluido en el precio señalado.\n", ("cp1252",)),
        ("Größe über Öffnungszeiten, täglich geöffnet.\n", ("cp1252",)),
    ],
)
def test_text_in_older_encodings_is_read(tmp_path: Path, text: str, encodings: tuple[str, ...]) -> None:
    for encoding in encodings:
        write(tmp_path, f"{encoding}.txt", text.encode(encoding))
    documents, unreadable = read(tmp_path)
    assert [document.markdown.replace("\\", "").split() for document in documents] == [text.split()] * len(encodings)
    assert unreadable == []


def test_bytes_of_no_known_encoding_are_skipped_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", bytes(range(0x80, 0x100)) * 3)
    documents, unreadable = read(tmp_path)
    assert documents == []
    assert "save it as UTF-8" in unreadable[0].reason


def test_a_page_of_mdx_is_read_and_its_front_matter_gives_the_date(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.mdx",
        "---\ntitle: Install\nupdated: 2026-01-02\n---\nimport X from 'y';\n\n<X>\n\nRun it{' '}now.\n\n</X>\n",
    )
    (document,), _ = read(tmp_path)
    assert (document.title, document.markdown.strip()) == ("Install", "Run it now.")
    assert document.updated_at is not None
    assert document.updated_at.date().isoformat() == "2026-01-02"
