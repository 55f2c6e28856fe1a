"""An answer that streams by, as statements: sentences, headings, code blocks and tables, each with its markers.

A statement comes out as soon as nothing that follows can change it. What waits is bounded and is looked at once, so that
neither unclosed code nor an endless sentence makes it slow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rag.text.sentences import STARTS, is_border

Kind = Literal["sentence", "heading", "code", "table"]

LONGEST = 2000
"""Characters of a sentence: one that goes on is cut there, and no passage supports what is left of it."""
LONGEST_BLOCK = 32_000
"""Characters of a code block or a table. What is longer is no quote of a passage, and is not kept."""
LOOK = 12
"""Characters of a line that tell what it is: the numbers of a list have nine digits at most."""
BLANK = 200
"""Spaces and line breaks that are waited through."""

_ONE = r"\[\d{1,3}(?:[ \t]{0,4}[,;][ \t]{0,4}\d{1,3})*\](?![(:])"
MARKER = re.compile(rf"(?<!\\){_ONE}")
_MARKERS = re.compile(rf"(?:[ \t]{{0,4}}{_ONE})*")
_LINE_OF_MARKERS = re.compile(rf"\s*(?:{_ONE}[ \t,.]*)+(?:\n|\Z)")
_MAYBE_LINE_OF_MARKERS = re.compile(rf"\s*(?:{_ONE}[ \t,.]*)*(?:\[[\d,; \t]*)?\Z")
_SPAN = re.compile(r"(?<!`)(`++).+?(?<!`)\1(?!`)", re.DOTALL)
_EVENT = re.compile(r"(?P<ticks>`+)|(?P<end>[.!?…。！？]+[\"'”’»)*_]*)|(?P<line>\n)")
_UNDECIDED = re.compile(r"[ \t]*(?:\[[\d,; \t]{0,20}\]?|[\"'“‘«(\[*_`¿¡]*)\Z")
_LINE = re.compile(
    r"(?P<blank>[ \t]*\n)"
    r"|[ \t>]*(?P<fence>`{3,}(?=[^`\n]*(?:\n|\Z))|~{3,})"
    r"|(?P<table> {0,3}\|)"
    r"|(?P<heading> {0,3}#{1,6}[ \t]+)"
    r"|(?P<rule> {0,3}(?:-[ \t]*){3,}\n)"
    r"|(?P<item>[ \t>]*(?:[-*+•]|\d{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?)"
    r"|(?P<quote>(?: {0,3}>[ \t]?)+)"
    r"|(?P<prose>[ \t]*)"
)
_ENDED = re.compile(rf"[.!?…:。！？][\"'”’»)*_]*(?:\s{{0,4}}{_ONE})*\s*\Z")
_NOD = re.compile(
    r"\W*(?:yes|no|s[ií]|correct|right|exactly|indeed|of course|sure|certainly|absolutely|that['’]?s (?:right|correct)"
    r"|correcto|exacto|exactamente|claro(?: que s[ií])?|por supuesto|as[ií] es|ok(?:ay)?|de acuerdo)\W*",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A unit of an answer, as it was written. ``before`` stands between it and the last one: spaces, lines, a bullet."""

    kind: Kind
    before: str
    text: str
    item: bool = False

    @cached_property
    def cited(self) -> tuple[int, ...]:
        """The numbers of its markers, each once. Those within code are none."""
        text = self.text.rpartition("\n\n")[2] if self.kind == "code" else _SPAN.sub("", self.text)
        found = [int(number) for marker in MARKER.findall(text) for number in re.findall(r"\d+", marker)]
        return tuple(dict.fromkeys(found)) if self.kind != "code" or _LINE_OF_MARKERS.match(text) else ()

    @cached_property
    def bare(self) -> str:
        """Its text without markers, Markdown and line breaks kept."""
        if self.kind == "code":
            return self.text.rpartition("\n\n")[0] if self.cited else self.text
        shown, at = [], 0
        for code in _SPAN.finditer(self.text):
            shown += [_unmarked(self.text[at : code.start()]), code[0]]
            at = code.end()
        return "".join([*shown, _unmarked(self.text[at:])]).strip()

    def marked(self, cited: Sequence[int]) -> str:
        """Its text with markers of ``cited`` (from 0 on): as they were written if they are the same, else at its end."""
        numbers = tuple(index + 1 for index in cited)
        if numbers == self.cited:
            return MARKER.sub(_single, self.text) if self.kind == "sentence" else self.text
        markers = "".join(f"[{number}]" for number in numbers)
        if not markers:
            return self.bare
        return f"{self.bare}\n\n{markers}" if self.kind in ("code", "table") else f"{self.bare} {markers}"

    @property
    def leads(self) -> bool:
        """It announces or names what follows."""
        return self.kind == "heading" or (self.kind == "sentence" and self.bare.rstrip("*_ ").endswith((":", "：")))

    @property
    def nods(self) -> bool:
        """It says yes or no to what the next one says."""
        return self.kind == "sentence" and len(self.bare) < 40 and _NOD.fullmatch(self.bare) is not None


def _single(marker: re.Match[str]) -> str:
    """[1, 2] as [1][2]."""
    return "".join(f"[{number}]" for number in re.findall(r"\d+", marker[0]))


def _unmarked(text: str) -> str:
    return re.sub(rf"[ \t]{{0,4}}(?<!\\){_ONE}", "", text)


class Statements:
    """Feed it the pieces of one answer in order; ``finish`` gives what was held back."""

    def __init__(self) -> None:
        self._found: list[Statement] = []
        self._rest = ""
        self._at = 0  # up to where the rest was looked at
        self._fresh = True  # a line begins there
        self._before = ""
        self._kind: Kind = "sentence"
        self._item = False
        self._fence = ""
        self._lines: list[str] = []
        self._size = 0
        self._closed: Statement | None = None  # a block that a line of markers may follow

    def feed(self, piece: str) -> list[Statement]:
        """The statements that are complete after this piece."""
        found: list[Statement] = []
        for start in range(0, len(piece), LONGEST):  # however much comes at once, little waits at any time
            self._rest += piece[start : start + LONGEST].replace("\r", "")
            self._read(final=False)
            found += self._taken()
        return found

    def finish(self) -> list[Statement]:
        """The last ones."""
        self._read(final=True)
        if self._lines:
            self._close()
        self._settle()
        self._cut(len(self._rest))
        return self._taken()

    def _read(self, *, final: bool) -> None:
        while self._rest and self._step(final=final):
            pass

    def _taken(self) -> list[Statement]:
        found, self._found = self._found, []
        return found

    def _step(self, *, final: bool) -> bool:
        """Reads on. False where that takes more text."""
        if self._closed:
            return self._after_block(final=final)
        if self._lines:
            return self._block_line(final=final)
        if self._fresh:
            return self._line(final=final)
        return self._sentence(final=final) or self._too_long()

    # Lines

    def _line(self, *, final: bool) -> bool:
        if not final and "\n" not in self._rest[self._at : self._at + BLANK] and self._is_short():
            return False
        match = _LINE.match(self._rest, self._at)
        if match is None or match.lastgroup == "prose":
            self._go_on(match[0] if match else "")
        elif match.lastgroup in ("fence", "table"):
            self._open(match)
        else:
            self._cut(self._at)
            self._prefix(match[0], item=match.lastgroup == "item")
            self._kind = "heading" if match.lastgroup == "heading" else "sentence"
            self._fresh = match.lastgroup in ("blank", "rule", "quote")
        return True

    def _is_short(self) -> bool:
        return len(self._rest) - self._at < BLANK and len(self._rest[self._at :].lstrip(" \t>")) < LOOK

    def _prefix(self, text: str, *, item: bool) -> None:
        self._before = re.sub(r"\n(?:[ \t]*\n){2,}", "\n\n", (self._before + text)[-BLANK:])
        self._rest = self._rest[len(text) :]
        self._item = item

    def _go_on(self, indent: str) -> None:
        """A line of prose: the sentence goes on there, unless it was complete."""
        self._fresh = False
        if not self._at:
            self._prefix(indent, item=self._item and "\n\n" not in self._before)
        elif not MARKER.match(self._rest, self._at + len(indent)) and self._is_over(self._at + len(indent)):
            self._cut(self._at)
            self._kind = "sentence"

    def _is_over(self, following: int) -> bool:
        if self._kind == "heading":
            return True
        return bool(_ENDED.search(self._rest, 0, self._at) and STARTS.match(self._rest, following))

    # Code and tables

    def _open(self, match: re.Match[str]) -> None:
        self._cut(self._at)
        self._kind = "code" if match["fence"] else "table"
        self._fence = match["fence"] or ""
        self._size = 0
        self._lines = [""]

    def _block_line(self, *, final: bool) -> bool:
        end = self._rest.find("\n", self._at) + 1
        if not end:
            self._at = len(self._rest)
            if not final and self._at < LONGEST_BLOCK:
                return False
            end = self._at
        if self._kind == "table" and not self._rest.lstrip(" ").startswith("|"):
            self._close()
            return True
        line, self._rest, self._at = self._rest[:end], self._rest[end:], 0
        first = len(self._lines) == 1
        self._size += len(line)
        self._lines.append(line if self._size <= LONGEST_BLOCK else "")
        if self._kind == "code" and not first and self._closes(line):
            self._close()
        return True

    def _closes(self, line: str) -> bool:
        bare = line.strip(" \t>\n")
        return bare.startswith(self._fence) and not bare.strip(self._fence[0])

    def _close(self) -> None:
        written = "".join(self._lines)
        text = written.rstrip("\n")
        self._closed = Statement(kind=self._kind, before=self._before, text=text, item=self._item)
        self._before = written[len(text) :]
        self._lines, self._kind, self._item = [], "sentence", False
        self._fresh, self._at = True, 0

    def _after_block(self, *, final: bool) -> bool:
        if not final and len(self._rest) < BLANK and _MAYBE_LINE_OF_MARKERS.match(self._rest):
            return False
        self._settle()
        return True

    def _settle(self) -> None:
        """Gives out a block, with the markers below it."""
        if (block := self._closed) is None:
            return
        self._closed = None
        if markers := _LINE_OF_MARKERS.match(self._rest):
            text = f"{block.text}\n\n{markers[0].strip()}"
            block = Statement(kind=block.kind, before=block.before, text=text, item=block.item)
            self._rest, self._before = self._rest[markers.end() :], "\n"
        self._found.append(block)

    # Sentences

    def _sentence(self, *, final: bool) -> bool:
        event = _EVENT.search(self._rest, self._at)
        if event is None:
            self._at = len(self._rest)
            return False
        self._at = event.start()
        if event.end() == len(self._rest) and not final and not event["line"]:
            return False
        if event["line"]:
            self._at, self._fresh = event.end(), True
            return True
        return self._code(event, final=final) if event["ticks"] else self._end(event, final=final)

    def _code(self, event: re.Match[str], *, final: bool) -> bool:
        """Past a span of code; ticks without a partner in their paragraph open none."""
        paragraph = self._rest.find("\n\n", event.end())
        stop = len(self._rest) if paragraph < 0 else paragraph
        closed = re.compile(rf"(?<!`){event[0]}(?!`)").search(self._rest, event.end(), stop)
        if closed and (final or closed.end() < len(self._rest)):
            self._at = closed.end()
        elif final or paragraph >= 0 or len(self._rest) > LONGEST:
            self._at = event.end()
        else:
            return False
        return True

    def _end(self, event: re.Match[str], *, final: bool) -> bool:
        """Past a full stop and its markers; what follows tells whether a sentence ends there."""
        markers = _MARKERS.match(self._rest, event.end())
        stop = markers.end() if markers else event.end()
        if not final and _UNDECIDED.match(self._rest, stop):
            return False
        if self._is_border(event.end(), stop):
            self._cut(stop)
        else:
            self._at = stop
        return True

    def _is_border(self, end: int, stop: int) -> bool:
        follows = self._rest[stop : stop + BLANK].lstrip(" \t")[:LOOK]
        if self._kind == "heading" or not follows or follows[0] == "\n":
            return False
        if self._rest[end - 1] in "。！？":
            return True
        separate = stop > end or self._rest[stop] in " \t"
        shown = self._rest[max(0, end - LOOK) : end]
        return separate and is_border(f"{shown} {follows}", 0, len(shown))

    def _too_long(self) -> bool:
        if len(self._rest) <= LONGEST:
            return False
        space = self._rest.rfind(" ", 0, LONGEST)
        self._cut(space if space > 0 else LONGEST)
        return True

    def _cut(self, stop: int) -> None:
        """Gives out what was read so far as a statement."""
        written, self._rest, self._at = self._rest[:stop], self._rest[stop:], 0
        text = written.strip()
        if text:
            before = self._before + written[: len(written) - len(written.lstrip())]
            self._found.append(Statement(kind=self._kind, before=before, text=text, item=self._item))
            self._before = written[len(written.rstrip()) :]
        else:
            self._before += written
            if self._item:  # one without text
                self._before, self._item = "\n" * min(2, self._before.count("\n")), False
        if text:
            blanks = len(self._rest) - len(self._rest.lstrip(" \t"))
            self._before, self._rest = self._before + self._rest[:blanks], self._rest[blanks:]
