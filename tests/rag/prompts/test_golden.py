"""No prompt changes under the VERSION that a model was trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import pytest
from langchain_core.messages import BaseMessage

from rag.prompts.instructions import VERSION
from tests.rag.prompts.cases import CASES
from tests.rag.prompts.digests import GOLDEN

LISTED = "tests/rag/prompts/digests.py"
RAISE = (
    "What was trained on version {0} would be served another prompt. If the change is meant, raise VERSION in "
    "rag/prompts/instructions.py and add the new version's digests to " + LISTED + "; else take the change back."
)


def digest(messages: Sequence[BaseMessage]) -> str:
    """sha256 of roles and texts. ASCII escapes, so that every sign counts as it is."""
    return hashlib.sha256(json.dumps([[each.type, each.content] for each in messages]).encode()).hexdigest()


def entry(version: str, digests: Mapping[str, str]) -> str:
    """What to add to the table, ready to be copied."""
    lines = "".join(f'        "{case}": "{each}",\n' for case, each in digests.items())
    return f'    "{version}": {{\n{lines}    }},\n'


def complaint(version: str, digests: Mapping[str, str], golden: Mapping[str, Mapping[str, str]]) -> str:
    """What is wrong with the table for prompts of these digests, and what to do; empty where nothing is."""
    pinned = golden.get(version)
    if pinned is None:
        return (
            f"VERSION {version} has no digests. Add them to {LISTED}, and leave the others:\n{entry(version, digests)}"
        )
    if changed := [case for case in pinned if case in digests and digests[case] != pinned[case]]:
        return f"Prompts changed, and VERSION is {version} still: {', '.join(changed)}. {RAISE.format(version)}"
    if pinned.keys() != digests.keys():
        odd = ", ".join(sorted(pinned.keys() ^ digests.keys()))
        return f"The cases differ from {LISTED}: {odd}. A new one needs its digest:\n{entry(version, digests)}"
    return ""


def rendered() -> dict[str, str]:
    return {case: digest(render()) for case, render in CASES.items()}


def test_every_prompt_is_the_one_of_its_version() -> None:
    if wrong := complaint(VERSION, rendered(), GOLDEN):
        pytest.fail(wrong)


def test_every_version_so_far_is_listed_and_none_is_another_under_a_new_number() -> None:
    assert list(GOLDEN) == [str(number) for number in range(1, int(VERSION) + 1)]
    assert len({tuple(each.items()) for each in GOLDEN.values()}) == len(GOLDEN)


def test_a_changed_prompt_asks_for_a_new_version() -> None:
    assert "raise VERSION" in complaint("1", {"answer": "new"}, {"1": {"answer": "old"}})


def test_a_new_version_asks_for_its_digests() -> None:
    assert '    "2": {\n        "answer": "new",\n    },\n' in complaint(
        "2", {"answer": "new"}, {"1": {"answer": "old"}}
    )


def test_a_new_case_asks_for_its_digest() -> None:
    assert ": other. A new one needs its digest" in complaint(
        "1", {"answer": "a", "other": "b"}, {"1": {"answer": "a"}}
    )
    assert complaint("1", {"answer": "a"}, {"1": {"answer": "a"}}) == ""
