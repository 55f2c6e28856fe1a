"""A Git repository as a source."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rag.errors import KnowledgeError
from rag.knowledge.loaders.sources import Candidate, LoadedDocument, Unreadable, discover
from rag.settings import SourceSettings

DATE = {"GIT_COMMITTER_DATE": "2024-05-06T07:08:09+00:00"}


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    command = ["git", *identity, *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env={**os.environ, **DATE})


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "docs").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "trunk")
    (folder / "docs" / "a.md").write_text("# First")
    (folder / "readme.md").write_text("# Readme")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


def loaded(cache: Path, **options: str) -> list[LoadedDocument]:
    source = SourceSettings.model_validate({"name": "kb", **options})
    return [each.load() for each in discover(source, cache) if isinstance(each, Candidate)]


def test_a_repository_is_cloned_and_followed(repository: Path, tmp_path: Path) -> None:
    cache, address = tmp_path / "cache", f"file://{repository}"
    first = loaded(cache, git=address)
    assert [(each.id, each.title) for each in first] == [("kb/docs/a.md", "First"), ("kb/readme.md", "Readme")]
    assert first[0].updated_at is None, "which commit changed a file is not known"
    (repository / "docs" / "b.md").write_text("# Second")
    (repository / "readme.md").unlink()
    git(repository, "add", ".")
    git(repository, "commit", "-q", "--amend", "-m", "rewritten")
    assert [each.title for each in loaded(cache, git=address)] == ["First", "Second"]


def test_a_skipped_file_is_named_as_in_the_repository(repository: Path, tmp_path: Path) -> None:
    (repository / "docs" / "empty.md").touch()
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "two")
    source = SourceSettings(name="kb", git=f"file://{repository}", folder="docs")
    (skipped,) = (each for each in discover(source, tmp_path / "cache") if isinstance(each, Unreadable))
    assert (skipped.path, skipped.document) == ("docs/empty.md", "kb/empty.md")


def test_a_branch_and_a_folder_of_a_repository_on_this_machine(repository: Path, tmp_path: Path) -> None:
    git(repository, "checkout", "-q", "-b", "next")
    (repository / "docs" / "a.md").write_text("# Next")
    git(repository, "commit", "-qam", "two")
    git(repository, "checkout", "-q", "trunk")
    (document,) = loaded(tmp_path / "cache", git=str(repository), branch="next", folder="docs")
    assert (document.id, document.title) == ("kb/a.md", "Next")


def test_where_git_cannot_tell_what_it_ignores_nothing_is_read(repository: Path, tmp_path: Path) -> None:
    (repository / ".gitignore").write_text("private/")
    (repository / "private").mkdir()
    (repository / "private" / "n.md").write_text("# The vault")
    assert "The vault" not in [each.title for each in loaded(tmp_path / "cache", path=str(repository))]
    (repository / ".git" / "HEAD").write_text("no head")
    with pytest.raises(KnowledgeError, match=r"git cannot tell which files of .* it ignores"):
        loaded(tmp_path / "cache", path=str(repository))


def test_what_a_crash_left_in_the_cache_is_mended(repository: Path, tmp_path: Path) -> None:
    cache, address = tmp_path / "cache", f"file://{repository}"
    loaded(cache, git=address)
    (home,) = cache.iterdir()
    (home / ".git" / "index.lock").touch()
    (home / ".git" / "shallow.lock").touch()
    (home / "stray.md").write_text("# Stray")
    assert len(loaded(cache, git=address)) == 2
    (home / ".git" / "HEAD").unlink()
    assert len(loaded(cache, git=address)) == 2


def test_a_repository_that_is_gone_fails_as_a_whole_and_shows_no_password(repository: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    loaded(cache, git=f"file://{repository}")
    shutil.rmtree(repository)
    with pytest.raises(
        KnowledgeError, match=r"source 'kb': git fetch of file:.* failed .*check address, branch and access"
    ):
        loaded(cache, git=f"file://{repository}")
    with pytest.raises(KnowledgeError) as caught:
        loaded(cache, git="https://user:hunter2@127.0.0.1:9/x.git")
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)


@pytest.mark.parametrize("address", ["--upload-pack=touch x", "ext::sh -c touch% x", "nowhere", "ftp://example.com/x"])
def test_an_address_that_git_would_run_or_nobody_knows_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(KnowledgeError, match="git of 'kb' is no address that is fetched"):
        loaded(tmp_path / "cache", git=address)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"branch": "--all"}, "which is no name of a branch"),
        ({"branch": "missing"}, "couldn't find remote ref missing"),
        ({"folder": "missing"}, "folder of 'kb' is 'missing'"),
        ({"folder": "../.."}, "folder of 'kb' is '../..'"),
    ],
)
def test_a_branch_or_folder_that_is_not_there_is_named(
    repository: Path, tmp_path: Path, options: dict[str, str], why: str
) -> None:
    with pytest.raises(KnowledgeError, match=why):
        loaded(tmp_path / "cache", git=f"file://{repository}", **options)


def test_hooks_and_filters_of_a_repository_are_not_run(repository: Path, tmp_path: Path) -> None:
    cache, address = tmp_path / "cache", f"file://{repository}"
    loaded(cache, git=address)
    (home,) = cache.iterdir()
    hook = home / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    (repository / "c.md").write_text("# C")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "three")
    assert len(loaded(cache, git=address)) == 3
    assert not (tmp_path / "ran").exists()
