"""Splits documents into passages: along the headings, in whole blocks if they fit, never longer than the embedder reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import NAMESPACE_URL, uuid5

from rag.knowledge.loaders.sources import LoadedDocument
from rag.text.blocks import ITEM, Block, parse
from rag.text.sentences import sentences
from rag.types import Passage

PROSE = 140
"""The most tokens of prose in a passage, about 600 characters: one thought, so that its vector represents it and a citation
points at a short text. On Doc2Dial's training conversations passages of 600 characters contain .76 of the grounding within
3,000 characters shown, passages of 900 characters .74. Code and tables stay whole up to the model's window."""
SHORT = 20
"""A section with fewer tokens is joined with the next one."""

LONGEST_TOKEN = 16
"""The most characters a token may have on average: WordPiece counts a run of any length as one unknown word."""

Fits = Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """Tests whether a text fits below given headings: ``whole`` for code and tables, ``prose`` for other text."""

    whole: Fits
    prose: Fits


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """The blocks under one heading, or under several short ones of the same ``parent`` (None before the first heading)."""

    parent: tuple[str, ...] | None
    headings: tuple[str, ...]
    anchor: str
    blocks: tuple[Block, ...]


def split(document: LoadedDocument, *, window: int, count_tokens: Callable[[str], int]) -> list[Passage]:
    """The passages in reading order. Each has at most ``window`` tokens by ``count_tokens``, title and headings included."""

    def within(room: int) -> Fits:
        # No token is shorter than a character, so most texts fit without being tokenized.
        return lambda text: len(text) <= room or (len(text) <= LONGEST_TOKEN * room and count_tokens(text) <= room)

    def fits_below(headings: tuple[str, ...]) -> _Room:
        # A very long title must leave at least half of the window to the text.
        room = max(window // 2, window - count_tokens(_context(document.title, headings)))
        return _Room(whole=within(room), prose=within(min(PROSE, room)))

    sections = _join_short_sections(
        _sections(parse(document.markdown)), fits_below, lambda text: count_tokens(text) < SHORT
    )
    pieces = ((section, text) for section in sections for text in _pieces(section.blocks, fits_below(section.headings)))
    return [_passage(document, section, text, position) for position, (section, text) in enumerate(pieces)]


def embedding_text(passage: Passage) -> str:
    """The text of a passage that is embedded and matched: its title and headings, then its text."""
    return context(passage) + passage.text


def context(passage: Passage) -> str:
    """Title and headings of a passage, as they precede its embedded text."""
    return _context(passage.title, passage.headings)


def _context(title: str, headings: tuple[str, ...]) -> str:
    # A first heading that repeats the title is not embedded twice.
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
    """Splits at every heading. The first heading of a page, if of level 1, gets no anchor: its link is the page's."""
    path: list[Block] = []
    anchors: dict[str, int] = {}
    start, anchor = 0, ""
    # The additional heading closes the last section.
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


def _anchor(heading: Block, used_slugs: dict[str, int]) -> str:
    """A heading's own id, or the slug that GitHub would give it: accents stay, a repeated slug gets ``-1``."""
    if heading.anchor:
        used_slugs.setdefault(heading.anchor, 0)
        return heading.anchor
    return _slug(heading.text, used_slugs)


def _slug(heading: str, used_slugs: dict[str, int]) -> str:
    slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    times = used_slugs.get(slug, -1) + 1
    used_slugs[slug] = times
    return f"{slug}-{times}" if times else slug


def _join_short_sections(
    sections: Iterator[_Section], fits_below: Callable[[tuple[str, ...]], _Room], is_short: Fits
) -> list[_Section]:
    """Joins a section that is too short with its next sibling, and drops headings without text."""
    result: list[_Section] = []
    for section in sections:
        last = result[-1] if result else None
        if last and last.parent == section.parent and not _is_question(last) and is_short(_text(last.blocks)):
            both = _join(last, section)
            if fits_below(both.headings).prose(_text(both.blocks)):
                result[-1] = both
                continue
        if last and not last.blocks:
            result.pop()
        result.append(section)
    return [section for section in result if section.blocks]


def _is_question(section: _Section) -> bool:
    """Whether a section answers a question: such a section stays alone, so that it is retrieved and cited by itself."""
    return bool(section.headings) and section.headings[-1].endswith("?") and bool(section.blocks)


def _join(first: _Section, second: _Section) -> _Section:
    """Both sections under their parent's headings; their own headings become lines of the text."""
    blocks = tuple(block for section in (first, second) for block in (*_own_heading(section), *section.blocks))
    return replace(first, headings=first.parent or (), blocks=blocks)


def _own_heading(section: _Section) -> tuple[Block, ...]:
    if section.headings == section.parent:
        return ()
    return (Block(kind="text", text=f"**{section.headings[-1]}**"),)


def _text(blocks: Sequence[Block]) -> str:
    return "\n\n".join(block.text for block in blocks)


def _pieces(blocks: Sequence[Block], room: _Room) -> list[str]:
    return _pack(_units(blocks, room), room.prose, "\n\n")


def _units(blocks: Sequence[Block], room: _Room) -> list[str]:
    """Texts that fit, made from blocks. A block stays with the text before it if that ends with a colon."""
    units: list[str] = []
    ends_with_colon = False
    for block in blocks:
        fits = room.whole if block.kind in ("code", "table") else room.prose
        if ends_with_colon and room.whole(f"{units[-1]}\n\n{block.text}"):
            units[-1] += f"\n\n{block.text}"
        else:
            units += [block.text] if fits(block.text) else _split_block(block, room)
        # steps too: below "10." code that is indented as below "9." stands outside of the list
        ends_with_colon = block.kind in ("text", "list", "steps") and block.text.endswith((":", ":**"))
    return units


def _split_block(block: Block, room: _Room) -> list[str]:
    if block.kind in ("list", "steps"):
        return _split_list(block.items, room)
    if block.kind == "code":
        return _split_code(block.text, room.whole)
    if block.kind == "table":
        return _split_table(block.text.split("\n"), room.whole)
    return _prose(block.text, room.prose)


def _split_list(items: Sequence[str], room: _Room) -> list[str]:
    """Packs whole items, so that a step and its code stay together; only an item longer than the window is split itself."""
    texts: list[str] = []
    joins = False
    for item in items:
        whole = room.whole(item)
        if joins and whole and room.prose(f"{texts[-1]}\n{item}"):
            texts[-1] += f"\n{item}"
        else:
            texts += [item] if whole else _split_item(item, room)
        joins = whole
    return texts


def _split_item(item: str, room: _Room) -> list[str]:
    """The blocks of a long item; the first keeps the item's marker, the others lose their indentation."""
    marked = ITEM.match(item)
    marker = marked[0] if marked else ""
    lines = item[len(marker) :].split("\n")
    body = "\n".join([lines[0], *(re.sub(rf"^ {{1,{len(marker)}}}", "", line) for line in lines[1:])])
    inner = _Room(whole=lambda text: room.whole(marker + text), prose=lambda text: room.prose(marker + text))
    first, *rest = _units(parse(body), inner) or [body]
    return [marker + first.replace("\n", "\n" + " " * len(marker)), *rest]


def _split_table(lines: Sequence[str], fits: Fits) -> list[str]:
    """Tables of the rows that fit below the head, each with it; a longer row becomes lines of ``name: value``."""
    before, pieces, rows = "\n".join(lines[:2]) + "\n", list[str](), list[str]()
    for row in lines[2:]:
        if fits(before + row):
            rows.append(row)
            continue
        pieces += _split_framed(rows, before, "", fits)
        pieces += _split_row(_cells(lines[0]), _cells(row), fits)
        rows = []
    return [*pieces, *_split_framed(rows, before, "", fits)]


def _split_row(names: Sequence[str], cells: Sequence[str], fits: Fits) -> list[str]:
    """Parts of a row that is longer than a passage, each with the row's first cell and the names of its columns."""
    labelled = [(f"{name}: " if name else "", cell) for name, cell in zip(names, cells, strict=False) if cell]
    subject = "".join(labelled[0]) + "\n" if len(labelled) > 1 and fits("".join(labelled[0]) * 3) else ""
    parts = [
        subject + name + part
        for name, cell in (labelled[1:] if subject else labelled)
        for part in _prose(cell, lambda text, frame=subject + name: fits(frame + text))  # type: ignore[misc]
    ]
    return parts or ["".join(labelled[0])] if labelled else []


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip().removeprefix("|").removesuffix("|"))]


def _split_code(text: str, fits: Fits) -> list[str]:
    lines = text.split("\n")
    if not lines[0].lstrip().startswith(("```", "~~~")):
        return _split_framed(lines, "", "", fits)
    fence = re.match(r"\s*(`+|~+)", lines[0])
    run = fence[1] if fence else "```"
    body = lines[1:-1] if fence and lines[-1].strip().startswith(run) else lines[1:]
    # a longer fence than the document's tells later that these are parts of one block (rag.text.joining)
    longer = run + run[0]
    return _split_framed(body, lines[0].replace(run, longer, 1) + "\n", f"\n{longer}", fits)


def _split_framed(lines: Sequence[str], before: str, after: str, fits: Fits) -> list[str]:
    """Packs lines and repeats ``before`` and ``after`` around each pack, so that each is a complete code block or table."""

    def fits_framed(text: str) -> bool:
        return fits(before + text + after)

    parts = [part for line in lines for part in ([line] if fits_framed(line) else _halve(line, fits_framed))]
    return [before + text + after for text in _pack(parts, fits_framed, "\n")]


def _prose(text: str, fits: Fits) -> list[str]:
    if fits(text):
        return [text]
    parts = [part for sentence in sentences(text) for part in _halve(sentence, fits)]
    return _pack(parts, fits, " ")


def _halve(text: str, fits: Fits) -> list[str]:
    """Halves a text at the last space before its middle until all parts fit; needed only for sentences of extreme length."""
    if len(text) < 2 or fits(text):
        return [text]
    middle = text.rfind(" ", 1, len(text) // 2 + 1)
    middle = middle if middle > 0 else len(text) // 2
    return [*_halve(text[:middle].rstrip(), fits), *_halve(text[middle:].lstrip(), fits)]


def _pack(parts: Sequence[str], fits: Fits, glue: str) -> list[str]:
    """Joins neighbouring parts as long as they fit."""
    packed: list[str] = []
    for part in parts:
        if packed and fits(packed[-1] + glue + part):
            packed[-1] += glue + part
        else:
            packed.append(part)
    return packed
