"""What a folder holds beside good files: encodings, links, pipes, locked folders, ignored files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rag.errors import KnowledgeError
from rag.knowledge.loaders.encoding import decode, decode_page
from rag.knowledge.loaders.files.walk import matcher, walk
from rag.knowledge.loaders.plain import plain
from rag.knowledge.loaders.sources import Candidate, LoadedDocument, Unreadable, discover
from rag.settings import SourceSettings


def source(path: Path, **options: str) -> SourceSettings:
    return SourceSettings.model_validate({"name": "kb", "path": path, **options})


def found(path: Path, **options: str) -> list[Candidate | Unreadable]:
    return list(discover(source(path, **options), path.parent / "cache"))


def loaded(path: Path, **options: str) -> list[LoadedDocument]:
    return [each.load() for each in found(path, **options) if isinstance(each, Candidate)]


def refused(path: Path, **options: str) -> dict[str, str]:
    return {each.document: each.reason for each in found(path, **options) if isinstance(each, Unreadable)}


SPANISH = "El año pasado la señora Muñoz pidió vacaciones. ¿Cuántos días? Veintitrés."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (SPANISH, "utf-8-sig"),
        (SPANISH, "utf-16"),
        (SPANISH, "utf-32"),
        (SPANISH, "latin-1"),
        ("Price: 5 € – a “special” offer for everybody", "cp1252"),
        ("año", "latin-1"),
        ("Этот документ описывает порядок предоставления отпусков.", "cp1251"),
        ("Ez a dokumentum a szabadságok kiadásának rendjét írja le, a hűségidőről és a szerződésről szól.", "cp1250"),
    ],
)
def test_text_is_read_in_the_encoding_that_it_has(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_broken_byte_does_not_change_the_encoding_of_a_text() -> None:
    text = 3 * SPANISH
    assert decode(text.encode() + b"\xf1") == text + "\ufffd"


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n\xff\xfe", bytes(range(256)) * 8, b"\xff\xfe\x00", b"\x1f\x8b\x08\x00\xff\xee"]
)
def test_what_is_no_text_is_refused_with_a_cure(content: bytes) -> None:
    with pytest.raises(KnowledgeError, match=r"is not UTF-8 .*; save it as UTF-8"):
        decode(content)


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        (b"<meta charset=latin1>\xf1", "", "ñ"),
        (b"<meta charset=hex>\xc3\xb1", "", "ñ"),
        (b"<meta charset=utf-8>El a\xf1o pasado", "", "El año pasado"),
        (b"<meta charset=latin1>\xc3\xb1", "utf-8", "ñ"),
        ("\ufeff<meta charset=latin1>ñ".encode(), "latin1", "ñ"),
    ],
)
def test_a_page_names_its_charset_and_may_be_wrong(content: bytes, charset: str, text: str) -> None:
    assert decode_page(content, charset).rpartition(">")[2] == text


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("Title\n=====\n\nText", "Title\n=====\n\nText"),
        ("One\ntwo\n-----\nthree", "One\ntwo\n\n-----\nthree"),
        ("    Indented letter\n\tmore", "Indented letter\n   more"),
        ("<!-- shown -->\n[1]: a note", "\\<!-- shown -->\n\\[1]: a note"),
        ("a < b\r\nc\fd", "a < b\nc\nd"),
    ],
)
def test_plain_text_says_the_same_as_markdown(text: str, markdown: str) -> None:
    assert plain(text) == markdown


def test_a_text_file_in_latin_1_becomes_a_document(tmp_path: Path) -> None:
    (tmp_path / "normas.txt").write_bytes(SPANISH.encode("latin-1"))
    (document,) = loaded(tmp_path, base_url="https://e.com/d")
    assert (document.title, document.markdown, document.language) == ("normas", SPANISH, "es")
    assert document.url == "https://e.com/d/normas.txt"


def test_an_unchanged_file_has_the_same_fingerprint_and_each_setting_that_matters_another(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# A\n\nText")

    def fingerprint(**options: str) -> str:
        (candidate,) = found(tmp_path, **options)
        assert isinstance(candidate, Candidate)
        return candidate.fingerprint

    first = fingerprint()
    page.touch()
    assert fingerprint() == first
    settings = [{"audience": "x"}, {"tenant": "x"}, {"base_url": "https://e.com"}, {"language": "es"}]
    assert len({first, *(fingerprint(**each) for each in settings)}) == 5
    page.write_text("# A\n\nText!")
    assert fingerprint() != first


def test_a_file_that_changes_between_finding_and_loading_waits_for_the_next_sync(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A")
    (candidate,) = found(tmp_path)
    (tmp_path / "a.md").write_text("# B")
    assert isinstance(candidate, Candidate)
    with pytest.raises(KnowledgeError, match="the next sync reads it"):
        candidate.load()


def test_language_and_tenant_of_the_source_reach_the_document(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Vacation\n\nThe holidays are long.")
    (document,) = loaded(tmp_path, language="fr", tenant="acme")
    assert (document.language, document.tenant) == ("fr", "acme")


def test_links_pipes_and_empty_files_get_a_line_each_and_pictures_none(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "pay.md").write_text("# Pay")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "out.md").symlink_to(tmp_path / "secret" / "pay.md")
    (folder / "self").symlink_to(folder)
    (folder / "empty.txt").write_text(" \n")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "tool.py").write_text("print()")
    os.mkfifo(folder / "pipe.pdf")
    assert found(folder, glob="**/*.html") == found(folder, glob="x/*.md")
    assert refused(folder) == {
        "kb/empty.txt": "is empty; fill it, or remove it",
        "kb/out.md": "is a link that leaves the source's folder",
        "kb/out/": "is a link that leaves the source's folder",
        "kb/pipe.pdf": "is no regular file",
    }


def test_a_folder_that_cannot_be_looked_into_stands_for_all_below_it(tmp_path: Path) -> None:
    (tmp_path / "open.md").write_text("# Open")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(45):
        os.mkdir("d" * 100, dir_fd=descriptor)
        inner = os.open("d" * 100, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    ((prefix, why),) = refused(tmp_path).items()
    assert prefix.startswith("kb/ddd")
    assert prefix.endswith("d/")
    assert why.startswith("cannot be looked into: File name too long")
    assert [each.id for each in loaded(tmp_path)] == ["kb/open.md"]


@pytest.mark.parametrize(
    ("pattern", "paths", "others"),
    [
        ("**/*.md", ["a.md", "x/y/a.md"], ["a.txt", "a.md/b"]),
        ("*.md", ["a.md"], ["x/a.md"]),
        ("public/**", ["public/a", "public/x/y"], ["private/a"]),
        ("x?[ab]/[!c]*", ["x1a/d"], ["x1c/d", "x1a/c"]),
        ("a+(b).md", ["a+(b).md"], ["aab.md"]),
    ],
)
def test_globs_stay_within_names_and_cross_folders_where_asked(
    pattern: str, paths: list[str], others: list[str]
) -> None:
    assert all(matcher(pattern).fullmatch(path) for path in paths)
    assert not any(matcher(pattern).fullmatch(path) for path in others)


def test_files_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b.md", "a/z.md", "a-1.md", "a/b/c.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert [path for path, _ in walk(tmp_path, frozenset())] == ["a/b/c.md", "a/z.md", "a-1.md", "b.md"]


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_what_a_checkout_ignores_is_left_out_unless_it_is_tracked_or_named_itself(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("drafts/\n*.txt\n")
    (tmp_path / "drafts").mkdir()
    for name in ("tracked.txt", "new.md", "scratch.txt", "drafts/a.md"):
        (tmp_path / name).write_text(f"This is {name}.")
    git(tmp_path, "add", "--force", "tracked.txt")
    assert [each.id for each in loaded(tmp_path)] == ["kb/new.md", "kb/tracked.txt"]
    assert [each.id for each in loaded(tmp_path / "drafts")] == ["kb/a.md"]
