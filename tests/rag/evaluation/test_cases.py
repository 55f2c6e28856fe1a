"""A set of questions: every way to write a line, and a name for everything that is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.errors import EvaluationError
from rag.evaluation.cases import Case, Expected, read_questions


def read(folder: Path, *lines: object) -> tuple[Case, ...]:
    file = folder / "set.jsonl"
    written = [line if isinstance(line, bytes) else json.dumps(_judged(line)).encode() for line in lines]
    file.write_bytes(b"\n".join(written))
    return read_questions(file).cases


def _judged(line: object) -> object:
    """A line must say what is expected; most tests here are about something else."""
    return {"expected": None, **line} if isinstance(line, dict) else line


def test_a_line_must_say_what_is_expected(tmp_path: Path) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text('{"question": "How many days off?"}')
    with pytest.raises(EvaluationError, match='line 1: no "expected"; write null'):
        read_questions(file)


def test_a_conversation_ends_with_the_question_and_keeps_what_was_said_before(tmp_path: Path) -> None:
    said = ["How many days off?", "27.", "And for contractors?"]
    [case] = read(tmp_path, {"conversation": said, "expected": {"document": "contractors.md"}, "language": "en"})
    assert (case.question, case.history) == ("And for contractors?", ("How many days off?", "27."))
    assert case.expected == (Expected(document="contractors.md"),)
    assert (case.query.text, case.query.history, case.query.language) == (case.question, case.history, "en")


def test_roles_may_be_named_and_a_question_may_stand_alone(tmp_path: Path) -> None:
    turns = [{"role": "user", "text": "Hi"}, {"role": "assistant", "text": "Hello"}, {"role": "user", "text": "Where?"}]
    named, alone = read(tmp_path, {"conversation": turns}, {"question": "Where?"})
    assert (named.history, alone.history) == (("Hi", "Hello"), ())
    assert named.question == alone.question == "Where?"


def test_the_language_is_the_one_given_or_written_in_the_turn_or_in_what_came_before(tmp_path: Path) -> None:
    cases = read(
        tmp_path,
        {"question": "Where?", "language": "fr"},
        {"question": "¿Cuántos días tengo?"},
        {"conversation": ["¿Cuántos días tengo?", "Tienes 27.", "Ok?"]},
        {"question": "Ok?"},
    )
    assert [case.language for case in cases] == ["fr", "es", "es", "en"]


def test_a_turn_is_looked_for_as_the_chain_does(tmp_path: Path) -> None:
    [case] = read(tmp_path, {"conversation": ["How many?", "Twenty-seven. [1] [2]", " And \x00then? "]})
    assert case.query.history == ("How many?", "Twenty-seven.")
    assert case.query.text == "And  then?"
    assert case.query.language == "en"


@pytest.mark.parametrize("expected", [None, {"answerable": False}])
def test_null_and_not_answerable_say_that_the_documents_do_not_tell(tmp_path: Path, expected: object) -> None:
    [case] = read(tmp_path, {"question": "Who won?", "expected": expected})
    assert (case.answerable, case.expected) == (False, ())


def test_a_question_may_be_answerable_without_a_place(tmp_path: Path) -> None:
    [case] = read(tmp_path, {"question": "Who won?", "expected": {"answerable": True}})
    assert (case.answerable, case.expected) == (True, ())


def test_a_list_of_places_is_a_choice(tmp_path: Path) -> None:
    [case] = read(tmp_path, {"question": "Who?", "expected": [{"source": "kb"}, {"url": "u", "passage": "Ana"}]})
    assert case.expected == (Expected(source="kb"), Expected(url="u", passage="Ana"))


def test_turns_that_begin_alike_are_one_conversation_unless_named_otherwise(tmp_path: Path) -> None:
    first, second, other = read(
        tmp_path,
        {"question": "Hi"},
        {"conversation": ["Hi", "Hello", "Where?"]},
        {"conversation": ["Hi", "Hello", "Where?"], "conversation_id": "7"},
    )
    assert first.conversation == second.conversation != other.conversation


def test_a_mark_at_the_beginning_carriage_returns_and_empty_lines_do_not_matter(tmp_path: Path) -> None:
    lines = read(
        tmp_path,
        b'\xef\xbb\xbf{"question": "\xc2\xbfQu\xc3\xa9?", "expected": null}\r',
        b"",
        b'{"question": "b", "expected": null, "audience": "x"}',
    )
    assert [(case.line, case.question) for case in lines] == [(1, "¿Qué?"), (3, "b")]
    assert lines[1].audiences == frozenset({"x"})


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"\xff{}", "no UTF-8"),
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"question": ' + b"1" * 5000 + b"}", "no JSON"),
        (b'{"question": "\\ud800"}', "surrogate"),
        ([], "no JSON object"),
        ({}, "conversation and question"),
        ({"question": "a", "conversation": ["a"]}, "not both"),
        ({"question": "  "}, "not empty"),
        ({"question": 1}, "must be text"),
        ({"conversation": []}, "list of what was said"),
        ({"conversation": "a"}, "list of what was said"),
        ({"conversation": [{"role": "user", "text": "a"}, {"role": "bot", "text": "b"}]}, "must end with"),
        ({"conversation": [{"role": "system", "text": "a"}]}, "role 'system'"),
        ({"conversation": [{"role": [], "text": "a"}]}, "role"),
        ({"conversation": [{"role": "user", "content": "a"}]}, "'content' is unknown"),
        ({"question": "a", "expcted": None}, "'expcted' is unknown"),
        ({"question": "a", "expected": "page"}, "must name one or more"),
        ({"question": "a", "expected": []}, "empty list"),
        ({"question": "a", "expected": {}}, "must name one or more"),
        ({"question": "a", "expected": {"page": "a"}}, "'page' is unknown"),
        ({"question": "a", "expected": {"document": " "}}, "document is empty"),
        ({"question": "a", "expected": [None]}, "must name one or more"),
        ({"question": "a", "expected": {"answerable": "no"}}, "true or false"),
        ({"question": "a", "expected": {"answerable": False, "source": "kb"}}, "names a place"),
        ({"question": "a", "language": 1}, "language must be text"),
        ({"question": "a", "audience": [1]}, "audience"),
        ({"question": "a", "audience": 7}, "audience"),
    ],
)
def test_a_wrong_line_is_named_with_its_number_and_nothing_is_read(
    tmp_path: Path, line: object, complaint: str
) -> None:
    with pytest.raises(EvaluationError, match=r"set\.jsonl was not used; line 2: ") as caught:
        read(tmp_path, {"question": "good"}, line, {"question": "good"})
    assert complaint in str(caught.value)
    assert "line 1:" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_wrong_line_is_named_up_to_a_bearable_number(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError) as caught:
        read(tmp_path, *[{"question": ""}] * 30)
    assert str(caught.value).count("line ") == 20
    assert str(caught.value).endswith("and 10 more lines")


def test_no_file_and_no_questions_are_one_clear_line_each(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="cannot be read: No such file"):
        read_questions(tmp_path / "none.jsonl")
    with pytest.raises(EvaluationError, match="cannot be read: Is a directory"):
        read_questions(tmp_path)
    with pytest.raises(EvaluationError, match="holds no questions"):
        read(tmp_path, b"", b"  ")
