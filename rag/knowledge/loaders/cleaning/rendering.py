"""Writes a parsed page as Markdown again. Blocks without foreign marks keep their source, letter for letter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from markdown_it.token import Token

from rag.knowledge.loaders.cleaning.blocks import label
from rag.knowledge.loaders.cleaning.fragments import TAG, Sink, fenced, fragment

DEEPEST = 60
"""Levels of nesting that are written anew; a deeper block keeps its source without tags."""
_FOREIGN = frozenset({"html_inline", "image", "note", "dropped"})
_CHANGED = frozenset({"html_block", "container_open", "raw"})
_BADGE = re.compile(
    r"badge|shields\.io|/workflows/|status\.svg|coveralls|codecov|travis-ci|img\.shields|button", re.IGNORECASE
)
_DIRECTIVE = re.compile(
    r"\{(?P<kind>note|tip|warning|important|caution|danger|hint|attention|error|seealso|admonition|dropdown|tab-item|card|versionadded"
    r"|versionchanged|deprecated|todo|topic|sidebar|tab-set|grid|grid-item-card)\}\s*(?P<title>.*)$"
)
_HIDDEN_DIRECTIVES = re.compile(r"\{(?:toctree|contents|include|image|figure|eval-rst|index|tableofcontents|raw)\}")
_SPECIAL = frozenset("<*_`[]|\\~")


@dataclass(slots=True, kw_only=True)
class Writer:
    """Writes blocks. ``lines`` is the source, ``notes`` the Markdown of each footnote, ``closed`` the names of closing tags."""

    lines: Sequence[str]
    notes: dict[str, str]
    closed: frozenset[str]
    used: list[str] = field(default_factory=list)
    _pending: list[str] = field(default_factory=list)

    def page(self, tokens: Sequence[Token]) -> Iterator[str]:
        """The blocks in order, each with the notes that it refers to; notes without a reference are last."""
        for start, end in spans(tokens, 0, len(tokens)):
            block = self._top(tokens, start, end)
            if block.strip():
                yield block
            yield from self._take_notes()
        rest = [name for name in self.notes if name not in self.used]
        yield from (self.notes[name] for name in rest if self.notes[name].strip())

    def _take_notes(self) -> Iterator[str]:
        for name in self._pending:
            if self.notes.get(name, "").strip():
                yield self.notes[name]
        self._pending = []

    def _top(self, tokens: Sequence[Token], start: int, end: int) -> str:
        first, last = tokens[start].map or (0, 0)
        source = "\n".join(self.lines[first:last]).strip("\n").rstrip()
        if not any(_is_changed(tokens[index]) for index in range(start, end)):
            return source
        if any(tokens[index].level >= DEEPEST for index in range(start, end)):
            return fragment(source, self.closed)
        return "\n\n".join(self._blocks(tokens, start, end))

    def _blocks(self, tokens: Sequence[Token], start: int, end: int) -> list[str]:
        blocks = (self._block(tokens, first, last) for first, last in spans(tokens, start, end))
        return [block for block in blocks if block.strip()]

    def _block(self, tokens: Sequence[Token], start: int, end: int) -> str:  # noqa: PLR0911
        token = tokens[start]
        if token.type == "heading_open":
            text = self._inline(tokens[start + 1], one_line=True)
            names = [each.meta["name"] for each in tokens[start + 1].children or () if each.type == "name"]
            anchor = f" {{#{names[0]}}}" if names else ""
            return f"{'#' * int(token.tag[1:])} {text}{anchor}" if text else ""
        if token.type == "paragraph_open":
            return "" if _is_badges(tokens[start + 1]) else self._inline(tokens[start + 1])
        if token.type in ("bullet_list_open", "ordered_list_open"):
            return self._list(tokens, start, end)
        if token.type == "blockquote_open":
            body = "\n\n".join(self._blocks(tokens, start + 1, end - 1))
            return "\n".join(f"> {line}".rstrip() for line in body.split("\n")) if body else ""
        if token.type == "container_open":
            return "\n\n".join(self._blocks(tokens, start + 1, end - 1))
        if token.type == "table_open":
            return self._table(tokens[start:end])
        return self._leaf(token)

    def _leaf(self, token: Token) -> str:
        if token.type == "fence":
            return self._fence(token)
        if token.type == "code_block":
            return fenced(token.content).strip("\n")
        if token.type == "html_block":
            return fragment(token.content, self.closed)
        return "---" if token.type == "hr" else token.content

    def _fence(self, token: Token) -> str:
        info = token.info.strip()
        if _HIDDEN_DIRECTIVES.match(info):
            return ""
        if (match := _DIRECTIVE.match(info)) is not None:
            return directive(match["kind"], match["title"], token.content)
        return f"{token.markup}{info}\n{token.content.removesuffix(chr(10))}\n{token.markup}" if token.content else ""

    def _list(self, tokens: Sequence[Token], start: int, end: int) -> str:
        number = int(tokens[start].attrGet("start") or 1)
        items = []
        tight = any(tokens[index].type == "paragraph_open" and tokens[index].hidden for index in range(start, end))
        for first, last in spans(tokens, start + 1, end - 1):
            marker = "- " if tokens[start].type == "bullet_list_open" else f"{number}. "
            blocks = self._blocks(tokens, first + 1, last - 1)
            number += 1
            if blocks:
                items.append(_item(marker, _joined(blocks, tight=tight)))
        return ("\n" if tight else "\n\n").join(items)

    def _table(self, tokens: Sequence[Token]) -> str:
        rows: list[list[str]] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(self._inline(token, one_line=True).replace("|", "\\|"))
        lines = [f"| {' | '.join(row)} |" for row in rows]
        return "\n".join([lines[0], f"| {' | '.join(['---'] * len(rows[0]))} |", *lines[1:]]) if rows else ""

    def _inline(self, token: Token, *, one_line: bool = False) -> str:
        text = self._written(token.children or [], one_line=one_line)
        text = re.sub(r"[ \t]{2,}", " ", re.sub(r"[ \t]*\n[ \t]*", "\n", text))
        return re.sub(r"\s+", " ", text).strip() if one_line else re.sub(r"\n{3,}", "\n\n", text).strip()

    def _written(self, children: Sequence[Token], *, one_line: bool) -> str:
        sink, index = Sink(inline=True), 0
        while index < len(children):
            token = children[index]
            if token.type == "link_open":
                last = next(
                    (at for at in range(index + 1, len(children)) if children[at].type == "link_close"), len(children)
                )
                sink.text(_link(token, self._written(children[index + 1 : last], one_line=one_line)))
                index = last
            elif token.type == "html_inline":
                if (tag := TAG.fullmatch(token.content)) is not None:
                    sink.tag(tag)
            else:
                sink.text(self._text(token, in_code=sink.is_code, one_line=one_line))
            index += 1
        return sink.result()

    def _text(self, token: Token, *, in_code: bool, one_line: bool) -> str:
        if token.type == "note":
            name = token.meta["label"]
            if name not in self.used:
                self.used.append(name)
                self._pending.append(name)
            return ""
        if token.type in ("softbreak", "hardbreak"):
            return " " if one_line else "\n"
        if token.type == "code_inline":
            return _code(token)
        if token.type == "text_special" and not in_code:
            return _special(token)
        if token.type in ("em_open", "em_close", "strong_open", "strong_close"):
            return token.markup
        return (
            ""
            if token.type in ("dropped", "name")
            else " ".join(token.content.split())
            if token.type == "image"
            else token.content
        )


def spans(tokens: Sequence[Token], start: int, end: int) -> Iterator[tuple[int, int]]:
    """The blocks between two places: each from its opening token to behind its closing one."""
    depth, first = 0, start
    for index in range(start, end):
        depth += tokens[index].nesting
        if depth == 0:
            yield first, index + 1
            first = index + 1


def directive(kind: str, title: str, content: str) -> str:
    """A box that MyST writes as a code block: its title and its text, without its options."""
    body = re.sub(r"\A(?:\s*:[\w-]+:[^\n]*\n)+|\A---\n(?:[^\n]*\n)*?---\n", "", content)
    named = kind in (
        "admonition",
        "dropdown",
        "tab-item",
        "card",
        "topic",
        "sidebar",
        "tab-set",
        "grid",
        "grid-item-card",
    )
    return f"{label(title or ('' if named else kind.capitalize()))}\n\n{body.strip()}".strip()


def _is_changed(token: Token) -> bool:
    if token.type in _CHANGED or token.meta.get("changed"):
        return True
    if token.type == "fence":
        return token.info.lstrip().startswith("{") and bool(
            _DIRECTIVE.match(token.info.strip()) or _HIDDEN_DIRECTIVES.match(token.info.strip())
        )
    children = token.children or ()
    links = sum(each.type == "link_open" for each in children)
    return (
        links > 0 and (token.content.count("](") < links or any(each.markup == "autolink" for each in children))
    ) or any(each.type in _FOREIGN or (each.type == "text_special" and each.info == "entity") for each in children)


def _is_badges(inline: Token) -> bool:
    """Whether a paragraph has nothing but pictures of a state, such as those of a build."""
    children = [
        each
        for each in inline.children or ()
        if each.type not in ("softbreak", "hardbreak", "link_open", "link_close", "dropped")
    ]
    pictures = [each for each in children if each.type == "image"]
    rest = [
        each for each in children if each.type != "image" and not (each.type == "text" and not each.content.strip())
    ]
    return bool(pictures) and not rest and all(_BADGE.search(str(each.attrGet("src") or "")) for each in pictures)


def _item(marker: str, text: str) -> str:
    indent = "\n" + " " * len(marker)
    return marker + re.sub(r"\n(?=[^\n])", lambda _: indent, text)


def _joined(blocks: Sequence[str], *, tight: bool) -> str:
    """Blocks of a list item; in a tight list a nested list follows its paragraph at once."""
    text = blocks[0]
    for block in blocks[1:]:
        nested = tight and re.match(r"(?:[-*+]|\d+[.)]) ", block)
        text += ("\n" if nested else "\n\n") + block
    return text


def _link(token: Token, text: str) -> str:
    target = str(token.attrGet("href") or "")
    if token.markup == "autolink":
        return target.removeprefix("mailto:")
    if not text.strip():
        return ""
    return f"[{text}]({target})"


def _code(token: Token) -> str:
    content = token.content
    padded = f" {content} " if content.startswith("`") or content.endswith("`") else content
    return f"{token.markup}{padded}{token.markup}"


def _special(token: Token) -> str:
    if token.info != "entity":
        return token.markup
    if token.content == "\xa0":
        return " "
    return "\\" + token.content if token.content in _SPECIAL else token.content
