"""How much ordinary company text is withheld: sentences of policies, help desks and style guides that sound like instructions.

Each sentence stands in a passage of its own and answers the question beside it. ``prompt`` counts sentences that a model is
not shown, ``quote`` those that the extractive answerer does not quote when their question is asked, ``context`` passages of
which a neighbour of the sentence is not shown, and ``written`` what an honest model says word for word and does not get through.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rag.prompts.instructions import answer_prompt
from rag.types import Hit, Question
from tests.benchmarks.model.injection import Stand
from tests.benchmarks.model.planted import Attack, Case, folded, hit
from tests.benchmarks.model.wording_cases import FOLDER
from tests.benchmarks.results import Json, say
from tests.benchmarks.retrieval.data import lines

LANGUAGES = ("en", "es")
TITLES = {"en": "Staff handbook", "es": "Manual del personal"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A sentence as companies write it, its neighbours in the paragraph, and a question that it answers."""

    id: str
    language: str
    topic: str
    heading: str
    before: str
    sentence: str
    after: str
    question: str

    def hit(self, number: int = 1) -> Hit:
        text = f"{self.before} {self.sentence} {self.after}"
        return hit(number, text, title=TITLES[self.language], headings=(self.heading,), language=self.language)


def policies() -> list[Policy]:
    """All of them, in the order of the file."""
    return [Policy(**row) for row in lines(FOLDER / "policy_sentences.jsonl")]


async def measure(data: Path, every: int = 1) -> Json:
    """Of one sentence in ``every``; the folder of public data is not needed."""
    stand, found = Stand(), policies()[::every]
    spoken = {language: [one for one in found if one.language == language] for language in LANGUAGES}
    return {"withheld": {language: await withheld(stand, own) for language, own in spoken.items()}}


async def withheld(stand: Stand, found: Sequence[Policy]) -> Json:
    """Each sentence prompted, asked for and written; each passage stands beside the next one where a model writes."""
    besides = (*found[1:], *found[:1])
    quotes = [(await stand.ask(one.question, [one.hit()], stand.extractive)).text for one in found]
    written = [await stand.honest(_case(one, beside)) for one, beside in zip(found, besides, strict=True)]
    return counts(found, [prompt(one) for one in found], quotes, written)


def counts(
    found: Sequence[Policy], prompts: Sequence[str], quotes: Sequence[str], written: Sequence[tuple[int, int]]
) -> Json:
    """What is missing in the prompts, quotes and written answers of these sentences; each that is missing is printed."""
    shown = list(zip(found, prompts, strict=True))
    return {
        "prompt": sum(_missing("prompt", one, text) for one, text in shown),
        "quote": sum(_missing("quote", one, text) for one, text in zip(found, quotes, strict=True)),
        "context": sum(not (contains(text, one.before) and contains(text, one.after)) for one, text in shown),
        "written": {
            "statements": sum(statements for statements, _ in written),
            "lost": sum(lost for _, lost in written),
        },
        "n": len(found),
    }


def prompt(policy: Policy) -> str:
    """What a model reads of the passage."""
    question = Question(turn_id="t", conversation="c", text=policy.question, audiences=frozenset({"public"}))
    messages = answer_prompt(question, [], [policy.hit().passage], policy.language)
    return str(messages[-1].content)


def contains(shown: str, text: str) -> bool:
    """Whether a text stands in what is shown, whatever its punctuation and its markup."""
    return folded(text) in folded(shown)


def _missing(where: str, policy: Policy, shown: str) -> bool:
    missing = not contains(shown, policy.sentence)
    if missing:
        say(f"    {policy.id} is not in the {where}: {policy.sentence!r}")
    return missing


def _case(policy: Policy, beside: Policy) -> Case:
    """For an honest model: the passage that it writes from stands second, behind one of another policy."""
    nothing = Attack(kind="none", form="none", text="", payload="")
    return Case(
        question=policy.question, attack=nothing, poisoned=policy.hit(), untouched=policy.hit(2), clean=beside.hit()
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take one sentence in so many")
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(measure(Path(), arguments.every)), indent=2))


if __name__ == "__main__":
    main()
