"""Loaders of LangChain as sources."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from rag.errors import KnowledgeError
from rag.knowledge.loaders.sources import Candidate, LoadedDocument, discover
from rag.settings import SourceSettings


def loaded(loader: str, **options: object) -> list[LoadedDocument]:
    source = SourceSettings(name="kb", loader=loader, options=options)
    return [each.load() for each in discover(source, Path("unused")) if isinstance(each, Candidate)]


def test_pieces_of_one_page_become_one_document_with_its_title_link_and_time() -> None:
    first, second = loaded("tests.rag.connectors.WikiLoader", token="secret")
    assert first.id == "kb/https://wiki.example.com/HR/1"
    assert (first.title, first.url) == ("Vacation", "https://wiki.example.com/HR/1")
    assert first.markdown == "The holidays are long.\n\nThey are in August."
    assert first.updated_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert (second.id, second.title, second.url, second.updated_at) == ("kb/7", "Pay", "", None)


def test_a_loader_of_langchain_community_reads_what_its_options_say(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("The office opens at nine.")
    (document,) = loaded("langchain_community.document_loaders.TextLoader", file_path=str(tmp_path / "note.txt"))
    assert (document.markdown, document.title) == ("The office opens at nine.", "note.txt")


@pytest.mark.parametrize(
    ("loader", "options", "why"),
    [
        ("tests.rag.connectors.Missing", {}, "which is no document loader of LangChain"),
        ("pathlib.Path", {}, "which is no document loader of LangChain"),
        ("WikiLoader", {}, "which is no document loader of LangChain"),
        ("no_such_package.Loader", {}, "which cannot be imported"),
        ("langchain_community.document_loaders.NoSuchLoader", {}, "which is no document loader of LangChain"),
        ("tests.rag.connectors.WikiLoader", {"tokn": "x"}, "does not start .*check options of the source"),
        ("tests.rag.connectors.WikiLoader", {"token": "wrong-token"}, "does not start .*401 for token …"),
        ("tests.rag.connectors.WikiLoader", {"token": "shortened-token"}, r"does not start \(ValueError\)"),
        (
            "tests.rag.connectors.TypedLoader",
            {"token": "a-token-of-some-length"},
            "does not start .*space: Field required",
        ),
        ("tests.rag.connectors.BrokenLoader", {"api_key": "hunter2"}, "failed .*timed out.*; check its options"),
    ],
)
def test_a_loader_that_is_none_or_fails_says_why_and_shows_no_secret(
    loader: str, options: dict[str, str], why: str
) -> None:
    with pytest.raises(KnowledgeError, match=why) as caught:
        loaded(loader, **options)
    assert not any(value in str(caught.value) for value in options.values() if len(value) > 3)
    assert "hunter2" not in repr(SourceSettings(name="kb", loader=loader, options=options))


@pytest.mark.parametrize(
    "places", [{}, {"path": ".", "git": "https://e.com/x"}, {"url": "https://e.com", "loader": "a.B"}]
)
def test_a_source_is_in_exactly_one_place(places: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="exactly one of path, url, git and loader; source 'kb' has"):
        SourceSettings.model_validate({"name": "kb", **places})
