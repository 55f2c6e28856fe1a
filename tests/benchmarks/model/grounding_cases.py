"""Statements with the passages that support them, from Doc2Dial's agent turns, and the same with something planted.

A statement is a sentence of an agent turn that has a grounding, in a turn without a question, of five words or more, in
which the agent does not speak of itself or of its manners. It *restates* its span if the span has half of its words of
four letters or more (by their first five letters); the others infer, advise, answer the user's own case, or speak of
something else, as crowd workers do. It cites the passages that its span stands in, as our chunker cuts them; four others
of the same document and two of another one are at hand too. Neither rule looks at what the check thinks of it, and a
statement that restates its span but says something else counts against the check as wrongly dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from rag.knowledge.chunking import split
from rag.knowledge.loaders.sources import LoadedDocument
from rag.retrieval.embeddings.models import TextEmbeddings
from rag.text.sentences import sentences
from rag.types import Hit, Passage
from tests.benchmarks.retrieval.data import lines
from tests.benchmarks.retrieval.spans import Places

LEAST = 5
NEAR, FAR = 4, 2
_REFERENCE = re.compile(r"\s*,?\s?\.?s? ?\[\d+ ?\](?: ?,?s(?= ))?")
"""Numbers of a page's links, which some agents copied with the text: they are no citations of ours."""
_OWN = re.compile(
    r"\b(?:I|I'm|I'll|me|my)\b|\b(?:thanks?|thank you|welcome|sorry|glad|hope|great question|good question)\b", re.I
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A statement that cites ``hits[: cited]``. ``kind`` is "" where they support it, else what was planted."""

    statement: str
    document: str
    conversation: str
    hits: tuple[Hit, ...]
    cited: int
    restates: bool
    kind: str = ""
    original: str = ""


@dataclass(frozen=True, slots=True)
class _Cut:
    passage: Passage
    places: frozenset[int]


def documents_of(folder: Path, part: str) -> set[str]:
    """The documents that the turns of a part are grounded in."""
    return {
        span["document"]
        for conversation in lines(folder / "doc2dial" / f"{part}.jsonl")
        for turn in conversation["turns"]
        for span in turn.get("grounding") or ()
    }


def supported(
    folder: Path, part: str, embeddings: TextEmbeddings, *, without: frozenset[str] = frozenset(), seed: int = 20
) -> list[Case]:
    """Every such statement of a part whose document is none of ``without``."""
    rows = {row["id"]: row for row in lines(folder / "doc2dial" / "documents.jsonl")}
    wanted = sorted(documents_of(folder, part) - without)
    cuts = {name: _cut(rows[name], embeddings) for name in wanted}
    random = Random(seed)
    return [
        _case(statement, conversation["id"], turn["grounding"], cuts, random)
        for conversation in lines(folder / "doc2dial" / f"{part}.jsonl")
        for turn in conversation["turns"]
        if _counts(turn) and all(span["document"] in cuts for span in turn["grounding"])
        for statement in sentences(_REFERENCE.sub("", turn["text"]))
        if len(statement.split()) >= LEAST and not _OWN.search(statement)
    ]


def _counts(turn: Mapping[str, Any]) -> bool:
    return turn["role"] == "agent" and bool(turn.get("grounding")) and bool(turn["text"]) and "?" not in turn["text"]


def _cut(row: Mapping[str, Any], embeddings: TextEmbeddings) -> list[_Cut]:
    document = LoadedDocument(
        id=row["id"], source="d", title=row["title"], url="", markdown=row["text"], language="en", audience="public"
    )
    places = Places(row["text"])
    cut = split(document, window=embeddings.window, count_tokens=embeddings.count_tokens)
    return [_Cut(passage, frozenset(places.of(passage.text).values())) for passage in cut]


def _case(
    statement: str,
    conversation: str,
    spans: Sequence[Mapping[str, Any]],
    cuts: Mapping[str, Sequence[_Cut]],
    random: Random,
) -> Case:
    document = spans[0]["document"]
    places = {place for span in spans for place in range(span["start"], span["start"] + len(span["text"].rstrip()))}
    cited = [cut.passage for cut in cuts[document] if len(cut.places & places) >= min(20, len(places) // 2)]
    cited = cited or [max(cuts[document], key=lambda cut: len(cut.places & places)).passage]
    rest = [cut.passage for cut in cuts[document] if cut.passage not in cited]
    foreign = [cut.passage for cut in cuts[random.choice([name for name in sorted(cuts) if name != document])]]
    others = random.sample(rest, min(NEAR, len(rest))) + random.sample(foreign, min(FAR, len(foreign)))
    hits = tuple(Hit(passage=passage, score=0.5) for passage in (*cited, *others))
    return Case(
        statement=statement,
        document=document,
        conversation=conversation,
        hits=hits,
        cited=len(cited),
        restates=_restates(statement, " ".join(span["text"] for span in spans)),
    )


def _restates(statement: str, span: str) -> bool:
    mine, there = (re.findall(r"[a-z]{4,}", text.lower()) for text in (statement, span))
    known = {word[:5] for word in there}
    return bool(mine) and sum(word[:5] in known for word in mine) >= len(mine) / 2


# What is planted

_NUMBER = re.compile(
    r"(?<![\w$.,-])\$?\d[\d,]*(?:\.\d+)?(?![\w-])"
    r"|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty|sixty|ninety)\b"
)
_WORDS = [
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "twelve",
    "fifteen",
    "twenty",
    "thirty",
    "sixty",
    "ninety",
]
_NAME = re.compile(r"(?<=[a-z,] )(?:[A-Z][a-zA-Z-]{2,}|[A-Z]{2,}(?:-\d+)?)(?:(?: of)? [A-Z][a-zA-Z-]+)*")
_DENIED = re.compile(
    r"\b(can|must|will|should|may|is|are|do|does|did|was|were|have|has|could|would)( ?n['’]t| not)\b|\b(cannot|can't)\b",
    re.I,
)
_AFFIRMED = re.compile(r"\b(can|must|will|should|may|is|are|was|were|could|would)\b(?! not)", re.I)
_PLAIN = re.compile(r"\b(you|we|they)\s+(need|want|have|get|receive|qualify|pay)\b", re.I)
_SWAPS = tuple(
    (re.compile(rf"\b{one}\b", re.I), other)
    for pair in (
        ("before", "after"), ("at least", "at most"), ("more than", "less than"), ("if", "unless"), ("all", "some"),
        ("must", "may"), ("within", "after"), ("until", "from"), ("increase", "decrease"), ("with", "without"),
        ("or older", "or younger"), ("any", "no"), ("always", "sometimes"), ("over", "under"), ("up to", "at least"),
        ("only", "not only"), ("higher", "lower"), ("and", "or"), ("earlier", "later"), ("during", "after"),
        ("required", "optional"), ("online", "in person"),
    )
    for one, other in (pair, (pair[1], pair[0]))
    if one not in ("some", "under", "no", "from", "not only", "or", "later", "after")
)  # fmt: skip


def planted(cases: Sequence[Case], seed: int = 21) -> list[Case]:
    """Of each statement one with each thing planted that it has a place for."""
    random = Random(seed)
    common = {word for case in cases for word in re.findall(r"\b[a-z]+\b", case.statement)}
    named = sorted(
        {(name, case.document) for case in cases for name in _NAME.findall(case.statement) if _names(name, common)}
    )
    return [made for case in cases for made in _planted(case, cases, named, random)]


def _names(text: str, common: Collection[str]) -> bool:
    """Capitals that are not just those of a title: no word of it is an ordinary one too."""
    return text.isupper() or not any(word.lower() in common for word in re.split(r"[ -]", text))


def _planted(case: Case, cases: Sequence[Case], named: Sequence[tuple[str, str]], random: Random) -> Iterator[Case]:
    makers: dict[str, Callable[[], str]] = {
        "number": lambda: _number(case.statement, random),
        "name": lambda: _name(case, named, random),
        "negation": lambda: _negation(case.statement, random),
        "condition": lambda: _condition(case.statement, random),
        "other page": lambda: random.choice([one for one in cases if one.document != case.document]).statement,
    }
    for kind, make in makers.items():
        text = make()
        if text and text != case.statement:
            yield replace(case, statement=text, kind=kind, original=case.statement)


def _number(text: str, random: Random) -> str:
    found = list(_NUMBER.finditer(text))
    return _replaced(text, (match := random.choice(found)), _other(match[0], random)) if found else ""


def _other(number: str, random: Random) -> str:
    if number in _WORDS:
        return random.choice([word for word in _WORDS if word != number])
    digits = re.search(r"\d[\d,]*", number)
    value = int(digits[0].replace(",", "")) if digits else 0
    changed = random.choice([value + 1, value + 2, value * 2 + 1, max(0, value - 1), value + 10, value + 5])
    written = f"{changed:,}" if digits and "," in digits[0] else str(changed)
    return number.replace(digits[0], written, 1) if digits else ""


def _name(case: Case, named: Sequence[tuple[str, str]], random: Random) -> str:
    known = {name for name, _ in named}
    found = [match for match in _NAME.finditer(case.statement) if match[0] in known]
    others = [name for name, document in named if document != case.document and name not in case.statement]
    return _replaced(case.statement, random.choice(found), random.choice(others)) if found and others else ""


def _negation(text: str, random: Random) -> str:
    """Denies what was affirmed, and the other way round."""
    if denied := list(_DENIED.finditer(text)):
        match = random.choice(denied)
        verb = match[1] or "can"
        return _replaced(text, match, "" if verb.lower() in ("do", "does", "did") else verb).replace("  ", " ")
    if affirmed := list(_AFFIRMED.finditer(text)):
        match = random.choice(affirmed)
        return _replaced(text, match, "cannot" if match[0].lower() == "can" else f"{match[0]} not")
    plain = _PLAIN.search(text)
    return _replaced(text, plain, f"{plain[1]} do not {plain[2]}") if plain else ""


def _condition(text: str, random: Random) -> str:
    found = [(match, other) for pattern, other in _SWAPS for match in pattern.finditer(text)]
    return _replaced(text, *random.choice(found)) if found else ""


def _replaced(text: str, match: re.Match[str], other: str) -> str:
    other = other.capitalize() if match.start() == 0 else other
    return text[: match.start()] + other + text[match.end() :]
