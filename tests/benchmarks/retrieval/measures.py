"""What a system finds: SciFact, Doc2Dial and the FastAPI documentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from tests.benchmarks.retrieval import data
from tests.benchmarks.retrieval.data import Expected, Grounded
from tests.benchmarks.retrieval.figures import Json, each, mean, ndcg, together
from tests.benchmarks.retrieval.spans import Places
from tests.benchmarks.retrieval.systems import Shown, System

CHARACTERS = 600
"""Of the text that is shown, for each k of Doc2Dial's recall@k."""
DEPTHS = (1, 5, 10)
DEEP = 20
"""Hits asked for where as many as are needed are looked at."""

Say = Callable[[str], None]


async def scifact(system: System, folder: Path, say: Say) -> Json:
    """nDCG@10 of the abstracts, each ranked by its first hit."""
    pages, claims = data.scifact(folder)
    taken = await _load(system, pages, say)
    gains: list[float] = []
    for claim in claims:
        found = [shown.path for shown in await system.find(claim.asked, DEEP)]
        gains.append(ndcg(list(dict.fromkeys(found)), claim.relevant))
    return together(mean("ndcg10", gains), taken)


async def doc2dial(system: System, folder: Path, say: Say, part: str = "dev") -> Json:
    """Whether the first k times 600 characters shown contain an end of the span that grounds the next answer."""
    pages, texts, turns = data.doc2dial(folder, part)
    taken = await _load(system, pages, say)
    documents = {path: Places(text) for path, text in texts.items()}
    needed, characters, placed = [], 0, 0
    for turn in turns:
        shown = cut(await system.find(turn.asked, DEEP), CHARACTERS * max(DEPTHS))
        needed.append(characters_until(turn, shown, documents))
        characters += sum(len("".join(hit.text.split())) for hit in shown)
        placed += sum(len(documents[hit.path].of(hit.text)) for hit in shown)
    found = [[float(cost < CHARACTERS * depth) for depth in DEPTHS] for cost in needed]
    figures = each(found, [f"recall{depth}" for depth in DEPTHS])
    return together(figures, {"placed": round(placed / max(1, characters), 4)}, taken)


def cut(hits: Sequence[Shown], characters: int) -> list[Shown]:
    """The hits as far as so many characters go, the last one cut off."""
    kept: list[Shown] = []
    for hit in hits:
        if characters <= 0:
            break
        kept.append(Shown(path=hit.path, text=hit.text[:characters], anchor=hit.anchor))
        characters -= len(hit.text)
    return kept


def characters_until(turn: Grounded, hits: Sequence[Shown], documents: dict[str, Places]) -> float:
    """Characters shown before the first or the last one of the span; infinite where neither is."""
    before = 0
    for hit in hits:
        if hit.path == turn.path:
            ends = {turn.start, turn.end - 1}
            at = [offset for offset, place in documents[hit.path].of(hit.text).items() if place in ends]
            if at:
                return before + min(at)
        before += len(hit.text)
    return float("inf")


async def fastapi(system: System, folder: Path, say: Say) -> Json:
    """Whether an expected page, and the expected section of it, is among the first five hits."""
    pages, questions = data.fastapi(folder)
    taken = await _load(system, pages, say)
    found = {question: await system.find(question.asked, 5) for question in questions}
    return together(*(_recalled(language, found) for language in data.LANGUAGES), taken)


def _recalled(language: str, found: dict[Expected, list[Shown]]) -> Json:
    mine = {question: hits for question, hits in found.items() if question.language == language}
    figures = mean(f"{language}_recall5", [float(_has_page(question, hits)) for question, hits in mine.items()])
    if not any(hit.anchor for hits in mine.values() for hit in hits):
        return figures
    exact = {question: hits for question, hits in mine.items() if question.section}
    section = mean(f"{language}_section_recall5", [float(_has_section(*pair)) for pair in exact.items()])
    return together(section, figures)


def _has_page(question: Expected, hits: Sequence[Shown]) -> bool:
    return any(hit.path in question.pages for hit in hits)


def _has_section(question: Expected, hits: Sequence[Shown]) -> bool:
    return any((hit.path, hit.anchor) == (question.pages[0], question.section) for hit in hits)


async def _load(system: System, pages: Sequence[data.Page], say: Say) -> Json:
    started = perf_counter()
    passages = await system.load(pages)
    seconds = perf_counter() - started
    say(f"  {len(pages)} pages as {passages} passages in {seconds:.0f} s")
    return {"passages": passages, "load_s": round(seconds, 1)}
