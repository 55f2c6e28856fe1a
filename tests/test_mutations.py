"""The hand mutations can be tried: their places are there, and one that no test sees is told from one that dies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants import ROOT, NotJudged, judged, mutated
from tests.mutations import MUTATIONS, Mutation

DOUBLE = Mutation(
    name="twice is thrice", file="double.py", text="2 * number", replacement="3 * number", tests=("test_double.py",)
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name)
def test_a_mutations_text_stands_once_in_its_file_and_its_tests_exist(mutation: Mutation) -> None:
    assert mutated((ROOT / mutation.file).read_text(encoding="utf-8"), mutation)
    assert all((ROOT / test).is_file() for test in mutation.tests)


def test_no_two_mutations_have_one_name() -> None:
    assert len({each.name for each in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize("source", ["", "2 * number, 2 * number"])
def test_a_text_that_is_not_there_exactly_once_is_an_error(source: str) -> None:
    with pytest.raises(NotJudged, match=f"twice is thrice: its text stands {source.count('2 *')} times in double.py"):
        mutated(source, DOUBLE)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program with a test that sees whether it doubles 2, and no other number."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # importing the plugins takes seconds, and it needs none
    (tmp_path / "double.py").write_text("def double(number):\n    return 2 * number  # or a shift\n")
    test = "from double import double\n\n\ndef test_two():\n    assert double(2) == 4\n"
    (tmp_path / "test_double.py").write_text(test)
    return tmp_path


def test_what_a_test_sees_dies_and_what_none_sees_survives_and_the_tree_stays(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unseen = replace(DOUBLE, name="a square", replacement="number * number")

    assert judged([DOUBLE, unseen], tree) == ["a square"]
    assert "died" in capsys.readouterr().out.splitlines()[0]
    assert "2 * number" in (tree / "double.py").read_text()


def test_tests_that_cannot_run_with_a_mutation_judge_nothing(tree: Path) -> None:
    with pytest.raises(NotJudged, match="no syntax: its tests did not run"):
        judged([replace(DOUBLE, name="no syntax", replacement="2 *")], tree)


def test_tests_that_fail_without_a_mutation_judge_nothing(tree: Path) -> None:
    (tree / "test_double.py").write_text("def test_nothing():\n    assert False\n")
    with pytest.raises(NotJudged, match="the tests fail without any mutation"):
        judged([DOUBLE], tree)
