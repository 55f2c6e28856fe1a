"""Documents to passages: along the headings, whole blocks where they fit, never more than the embedder reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import NAMESPACE_URL, uuid5

from rag.knowledge.loaders.sources import LoadedDocument
from rag.text.blocks import Block, parse
from rag.text.sentences import sentences
from rag.types import Passage

PROSE = 140
"""Tokens of prose in a passage at most, some 600 characters: one thought, so that its vector stands for it and a citation
points at something short. On Doc2Dial's training conversations 600 characters find .76 of the grounding in 3,000 shown, 900
find .74. Code and tables stay whole up to the model's window."""
SHORT = 20
"""Tokens below which a section joins the one after it."""

LONGEST_TOKEN = 16
"""Characters a token of a passage on average at most: WordPiece reads a run of any length as one unknown word."""

Fits = Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """What fits below some headings: what must stay ``whole``, and ``prose``."""

    whole: Fits
    prose: Fits


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """What stands under one heading, or under several short ones of the same ``parent`` (None before the first)."""

    parent: tuple[str, ...] | None
    headings: tuple[str, ...]
    anchor: str
    blocks: tuple[Block, ...]


def split(document: LoadedDocument, *, window: int, count_tokens: Callable[[str], int]) -> list[Passage]:
    """The passages in reading order; each with title and headings is at most ``window`` tokens as ``count_tokens`` counts."""

    def within(room: int) -> Fits:
        return lambda text: len(text) <= room or (len(text) <= LONGEST_TOKEN * room and count_tokens(text) <= room)

    def fits_below(headings: tuple[str, ...]) -> _Room:
        room = max(window // 2, window - count_tokens(_context(document.title, headings)))
        return _Room(whole=within(room), prose=within(min(PROSE, room)))

    sections = _joined(_sections(parse(document.markdown)), fits_below, lambda text: count_tokens(text) < SHORT)
    pieces = ((section, text) for section in sections for text in _pieces(section.blocks, fits_below(section.headings)))
    return [_passage(document, section, text, position) for position, (section, text) in enumerate(pieces)]


def embedding_text(passage: Passage) -> str:
    """What is embedded and matched: a passage in the light of its page and headings."""
    return context(passage) + passage.text


def context(passage: Passage) -> str:
    """Title and headings as they stand above an embedded text."""
    return _context(passage.title, passage.headings)


def _context(title: str, headings: tuple[str, ...]) -> str:
    path = headings if headings[:1] == (title,) else (title, *headings)
    return " > ".join(path) + "\n\n"


def _passage(document: LoadedDocument, section: _Section, text: str, position: int) -> Passage:
    return Passage(
        id=str(uuid5(NAMESPACE_URL, f"{document.id}#{position}")),
        document=document.id,
        source=document.source,
        title=document.title,
        headings=section.headings,
        url=f"{document.url}#{section.anchor}" if document.url and section.anchor else document.url,
        text=text,
        position=position,
        language=document.language,
        audience=document.audience,
        tenant=document.tenant,
        updated_at=document.updated_at,
    )


def _sections(blocks: Sequence[Block]) -> Iterator[_Section]:
    """Cuts at every heading. A page's first heading of level 1 needs no anchor: it is the page."""
    path: list[Block] = []
    anchors: dict[str, int] = {}
    start, anchor = 0, ""
    for index, block in enumerate([*blocks, Block(kind="heading", text="", level=1)]):
        if block.kind != "heading":
            continue
        headings = tuple(heading.text for heading in path)
        parent = headings[:-1] if headings else None
        yield _Section(parent=parent, headings=headings, anchor=anchor, blocks=tuple(blocks[start:index]))
        path = [*(heading for heading in path if heading.level < block.level), block]
        anchor = _anchor(block, anchors)
        if len(anchors) == 1 and block.level == 1:
            anchor = ""
        start = index + 1


def _anchor(heading: Block, taken: dict[str, int]) -> str:
    """The id that a page gives a heading, or the slug that GitHub gives it: accents stay, a second one gets ``-1``."""
    if heading.anchor:
        taken.setdefault(heading.anchor, 0)
        return heading.anchor
    return _slug(heading.text, taken)


def _slug(heading: str, taken: dict[str, int]) -> str:
    slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    times = taken.get(slug, -1) + 1
    taken[slug] = times
    return f"{slug}-{times}" if times else slug


def _joined(
    sections: Iterator[_Section], fits_below: Callable[[tuple[str, ...]], _Room], is_short: Fits
) -> list[_Section]:
    """Joins a section that is too short to stand alone with its next sibling; drops headings with nothing below."""
    kept: list[_Section] = []
    for section in sections:
        last = kept[-1] if kept else None
        if last and last.parent == section.parent and not _asks(last) and is_short(_text(last.blocks)):
            both = _join(last, section)
            if fits_below(both.headings).prose(_text(both.blocks)):
                kept[-1] = both
                continue
        if last and not last.blocks:
            kept.pop()
        kept.append(section)
    return [section for section in kept if section.blocks]


def _asks(section: _Section) -> bool:
    """A question and its answer are found and cited by themselves, however short."""
    return bool(section.headings) and section.headings[-1].endswith("?") and bool(section.blocks)


def _join(first: _Section, second: _Section) -> _Section:
    """Both under their parent's headings, each with its own as a line of the text."""
    blocks = tuple(block for section in (first, second) for block in (*_own_heading(section), *section.blocks))
    return replace(first, headings=first.parent or (), blocks=blocks)


def _own_heading(section: _Section) -> tuple[Block, ...]:
    if section.headings == section.parent:
        return ()
    return (Block(kind="text", text=f"**{section.headings[-1]}**"),)


def _text(blocks: Sequence[Block]) -> str:
    return "\n\n".join(block.text for block in blocks)


def _pieces(blocks: Sequence[Block], room: _Room) -> list[str]:
    return _packed(_units(blocks, room), room.prose, "\n\n")


def _units(blocks: Sequence[Block], room: _Room) -> list[str]:
    """Blocks as texts that fit; what a sentence with a colon announces stays with it."""
    units: list[str] = []
    announced = False
    for block in blocks:
        fits = room.whole if block.kind in ("code", "table") else room.prose
        if announced and room.whole(f"{units[-1]}\n\n{block.text}"):
            units[-1] += f"\n\n{block.text}"
        else:
            units += [block.text] if fits(block.text) else _split_block(block, fits)
        announced = block.kind == "text" and block.text.endswith((":", ":**"))
    return units


def _split_block(block: Block, fits: Fits) -> list[str]:
    if block.kind in ("list", "steps"):
        return _packed([part for item in block.items for part in _prose(item, fits)], fits, "\n")
    if block.kind == "code":
        return _split_code(block.text, fits)
    if block.kind == "table":
        head, body = block.text.split("\n")[:2], block.text.split("\n")[2:]
        return _framed(body, "\n".join(head) + "\n", "", fits)
    return _prose(block.text, fits)


def _split_code(text: str, fits: Fits) -> list[str]:
    lines = text.split("\n")
    if not lines[0].lstrip().startswith(("```", "~~~")):
        return _framed(lines, "", "", fits)
    fence = re.match(r"\s*(`+|~+)", lines[0])
    body = lines[1:-1] if fence and lines[-1].strip().startswith(fence[1]) else lines[1:]
    return _framed(body, lines[0] + "\n", "\n" + (fence[1] if fence else "```"), fits)


def _framed(lines: Sequence[str], before: str, after: str, fits: Fits) -> list[str]:
    """Packs lines between the same first and last one, so that each piece is a code block or a table of its own."""

    def fits_framed(text: str) -> bool:
        return fits(before + text + after)

    parts = [part for line in lines for part in ([line] if fits_framed(line) else _halved(line, fits_framed))]
    return [before + text + after for text in _packed(parts, fits_framed, "\n")]


def _prose(text: str, fits: Fits) -> list[str]:
    if fits(text):
        return [text]
    parts = [part for sentence in sentences(text) for part in _halved(sentence, fits)]
    return _packed(parts, fits, " ")


def _halved(text: str, fits: Fits) -> list[str]:
    """Halves at the space nearest to the middle until all fit; only a sentence without an end comes here."""
    if len(text) < 2 or fits(text):
        return [text]
    middle = text.rfind(" ", 1, len(text) // 2 + 1)
    middle = middle if middle > 0 else len(text) // 2
    return [*_halved(text[:middle].rstrip(), fits), *_halved(text[middle:].lstrip(), fits)]


def _packed(parts: Sequence[str], fits: Fits, glue: str) -> list[str]:
    """As many neighbours together as fit."""
    packed: list[str] = []
    for part in parts:
        if packed and fits(packed[-1] + glue + part):
            packed[-1] += glue + part
        else:
            packed.append(part)
    return packed
