"""Sanitizes a language model's Markdown: only links of the cited passages remain, no images, no live mentions or commands.

Injected text can make a model write anything. So nothing here guesses what the model meant: every form in which an address, an
image, a mention or a command can be written is either copied from a cited passage or turned into plain text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
from typing import Any, Final

from markdown_it import MarkdownIt

from rag.text.addresses import (
    JOINER,
    Address,
    address_key,
    find_addresses,
    host_of,
    is_certain,
    is_possible,
    link_targets,
    visible_text,
)
from rag.types import Passage

# A cheap test comes first: most statements contain none of these and are sent as they are.
_SUSPECT: Final = re.compile(
    r"[<&\\@`~\uff20\ufe6b]|\[(?!\d{1,3}\](?![(:]))|[:./\u3002\uff0e\uff61](?=[\w/\\*])|\+(?=\d)"
)
_CODE = re.compile(
    r"(?=[`~\\ \t])(?:(?P<escape>\\[!-/:-@\[-`{-~])"
    r"|(?P<fence>^(?P<indent>[ \t]*+)(?P<mark>`{3,}+|~{3,}+)[^`\n]*+\n(?:.*?\n)??(?P=indent)(?P=mark)[`~]*+[ \t]*+$)"
    r"|(?P<span>(?<!`)(?P<run>`++)[^\n]*?[^`\n](?P=run)(?!`))"
    r"|(?P<lone>`++|^[ \t]*+~{3,}+))",
    re.DOTALL | re.MULTILINE,
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)
_NEEDLESS = re.compile(r"\\(?=[:/@?=%&])|\\(?=\.\w)|(?<=\w)\\(?=[-_.]\w)")
# Known tags only: "<name>" in a command is a placeholder that readers need, and stays as text.
_TAGS = (
    "a|abbr|audio|b|base|big|blockquote|body|br|button|center|code|del|details|div|em|embed|font|form|h[1-6]|head|hr|html|i|"
    "iframe|img|input|ins|kbd|label|li|link|mark|meta|object|ol|p|picture|pre|q|s|script|small|source|span|strike|strong|style|sub|"
    "summary|sup|svg|table|tbody|td|template|textarea|tg-emoji|tg-spoiler|th|thead|title|tr|u|ul|video"
)
# Bounded, possessive repetitions here and below: an answer full of brackets must not take quadratic time.
_LABEL = r"\[(?P<{0}>(?:[^\[\]\\]|\\.|\[[^\[\]]{{0,200}}+\](?:\([^()\s]{{0,500}}+\))?+){{0,300}}+)\]"
_MARKUP: Final = re.compile(
    r"(?=[\[!<\\ \t>*+-])(?:(?P<definition>^[ \t>*+-]*+\[[^\[\]\n]{1,200}+\]:[ \t]*+\n?[ \t]*+<?"
    r"(?:[a-z][a-z0-9+.-]{1,20}:|//|[\w-]++\.)[^\n]*+)"
    rf"|(?P<image>!{_LABEL.format('alt')}"
    r"(?:[ ]?\([^()\n]{0,2000}+(?:\([^()\n]{0,200}+\)[^()\n]{0,2000}+)?+\)|\[[^\[\]\n]{0,200}+\])?+)"
    rf"|(?P<link>{_LABEL.format('label')}\(\s{{0,20}}+(?:<(?P<angled>[^<>\n]{{0,2000}}+)>|"
    r"(?P<target>(?:[^()\s<>]|\([^()\s]{0,500}+\)){0,2000}+))"
    r"(?:\s++(?:\"[^\"]{0,500}+\"|'[^']{0,500}+'|\([^()]{0,500}+\)))?+\s{0,20}+\))"
    rf"|(?P<reference>{_LABEL.format('named')}[ ]?\[(?!\d{{1,3}}\])[^\[\]\n]{{0,200}}+\])"
    r"|(?P<auto><(?P<within>[a-z][a-z0-9+.-]{1,20}:[^<>|\s]{0,2000}+|[^<>@|\s]{1,64}+@[^<>@|\s]{1,200}+)(?:\|(?P<shown>[^<>\n]{0,500}+))?+>)"
    r"|(?P<call>\\?<(?=[@!\#][^>\s-]))"
    rf"|(?P<tag></?(?:{_TAGS})(?:[\s/][^<>]{{0,2000}}+)?+>)"
    r"|(?P<escape>\\[!-/:-@\[-`{-~]))",
    re.IGNORECASE | re.MULTILINE,
)
_AT = re.compile(r"(?<![\w])([@\uff20\ufe6b])(?=\w)")
_DOTTED = re.compile(r"(?<=[.\u3002\uff0e\uff61])(?=\w)")
_COMMAND = re.compile(r"(?:(?P<first>^[ \t>*+_~-]*+)|(?<![\w/.:<>\u2060]))/(?P<name>\w{1,64})(?![\w/])", re.MULTILINE)
_OPENING = re.compile(r"\\[!-/:-@\[-`{-~]|\[(?!\d{1,3}\](?![(:]))|<(?=[A-Za-z/!?@#])")
_STYLE = re.compile(r"[*~\\]|(?<!\w)_|_(?!\w)")
_EMPTY = re.compile(
    r"(?<!\w)\([\s\"'“”,;]*\)|“\s*”|\"\s*\"|(?<=\S)[ \t]+(?=\)|[.,;!?](?:\s|\Z))|(?<=\S)[ \t]{2,}(?=\S)"
)
_MARKER = re.compile(r"\[\d{1,3}\]")
_STRUCTURE = frozenset("\\`*_[]<>!#~|")
_PLACEHOLDER = re.compile("[\ue000-\uf8ff]")
_END = re.compile(r"[\"'*_)\].,:;!?»”]*(?:\s|\Z|\[\d|>)")
_ROUNDS = 5
_FIRST_PLACEHOLDER = 0xE000
_PLACEHOLDERS = 0x1900
"""Placeholders: private-use characters, each for one piece of Markdown that is final (code, permitted links)."""


def permitted_markdown(markdown: str, passages: Sequence[Passage]) -> str:
    """One statement of a language model, safe to send, given the passages that it cites; empty if nothing remains.

    A link remains if one of the passages contains its target, written as the passage writes it. Of any other link the label
    remains; a bare address is removed. Images are removed. Mentions and commands remain as text that notifies and starts
    nothing. Code remains.
    """
    text = visible_text(markdown)
    return _Statement(passages).sanitized(text) if _SUSPECT.search(text) else text


class _Statement:
    """The work on one statement. Final pieces are stored aside; a placeholder stands for each in the text."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._passage_targets: dict[str, str] | None = None
        self._final: list[str] = []
        self._bare: dict[str, str] = {}
        self._is_suspect = False
        self._targets: set[str] = set()

    def sanitized(self, markdown: str) -> str:
        text = _CODE.sub(self._code, markdown)
        # No real statement has 3,200 pieces of code, and its links need placeholders too.
        if len(self._final) > _PLACEHOLDERS // 2:
            return ""
        text = _NEEDLESS.sub("", _ENTITY.sub(_entity, text))
        text = self._without_calls(self._without_addresses(_MARKUP.sub(self._markup, text)))
        if len(self._final) > _PLACEHOLDERS or self._hides_address(text):
            return ""
        text = _escaped(text)
        # Only removing something leaves empty brackets and double spaces; those of an untouched text are meant.
        if self._restored(text) != markdown:
            text = _EMPTY.sub(_gap, text)
        if not re.search(r"[^\W_]|[\ue000-\uf8ff]", _MARKER.sub("", text)):
            return ""
        restored = self._restored(text)
        return restored if self._parses_as_permitted(restored) else ""

    def _store(self, text: str) -> str:
        self._final.append(text)
        return chr(min(_FIRST_PLACEHOLDER + len(self._final) - 1, _FIRST_PLACEHOLDER + _PLACEHOLDERS - 1))

    def _restored(self, text: str) -> str:
        for _ in range(2):  # twice, since the label of a link may contain code
            text = _PLACEHOLDER.sub(lambda match: self._final[ord(match[0]) - _FIRST_PLACEHOLDER], text)
        return text

    def _code(self, match: re.Match[str]) -> str:
        if match["escape"]:
            return self._store(match[0]) if match[0] == "\\`" else match[0]
        if (
            match["lone"] is not None
        ):  # escaped: it has no partner here and must find none in the statements that follow
            return self._store("".join(f"\\{char}" if char in "`~" else char for char in match["lone"]))
        if match["indent"] and not _stays_within(match["indent"], match[0]):
            return match[0].replace("`", "\\`").replace("~", "\\~")
        # This pattern and CommonMark may disagree about what is code: with brackets in it, the parser has the last word.
        self._is_suspect |= "[" in match[0] or "<" in match[0]
        return self._store(match[0])

    def _passage_address(self, address: str) -> str:
        """The address as a cited passage writes it; empty if none of them contains it."""
        # parsed at the first address only, since most statements have none
        if self._passage_targets is None:
            self._passage_targets = {}
            for passage in self._passages:
                self._passage_targets.update(
                    link_targets("\n".join((passage.text, passage.url, passage.title, *passage.headings)))
                )
        return self._passage_targets.get(address_key(address), "") if self._passage_targets else ""

    def _markup(self, match: re.Match[str]) -> str:
        if match["link"]:
            return self._link(match["label"], match["angled"] or match["target"] or "")
        if match["auto"]:
            return self._auto(match["within"], match["shown"])
        if match["image"] or match["reference"]:
            return self._inside(match["alt"] or match["named"] or "")
        if match["escape"]:
            return match[0]
        if match["call"]:
            return "‹"
        return " " if match["tag"] and match[0][1:3].lower() == "br" else ""

    def _inside(self, label: str) -> str:
        return _MARKUP.sub(self._markup, label)

    def _link(self, label: str, target: str) -> str:
        if not re.search(r"[^\W\d_]|[\ue000-\uf8ff]", label):  # it would look like a citation, or be invisible
            return ""
        permitted = self._passage_address(_NEEDLESS.sub("", target))
        if not permitted:
            return self._inside(label)
        shown = self._label(label, permitted)
        self._targets.add(permitted)
        return self._store(f"[{shown}]({permitted})")

    def _label(self, label: str, target: str) -> str:
        """The label to show for a link. A label that names another host than the target is replaced by the target's host."""
        shown = self._restored(_MARKUP.sub(lambda match: match["label"] or match["alt"] or match["named"] or "", label))
        own = host_of(target) if target.startswith("http") else target.partition(":")[2]
        named_hosts = [each for each in find_addresses(_STYLE.sub("", shown)) if each.is_sure]
        if any(address_key(each.full) != address_key(target) and each.host != own for each in named_hosts):
            return own
        return _escaped(_AT.sub(rf"\1{JOINER}", shown))

    def _auto(self, address: str, shown: str | None) -> str:
        named = address if ":" in address else f"mailto:{address}"
        permitted = self._passage_address(named)
        if not permitted:
            return shown or ""
        self._targets.add(permitted)
        written = permitted if ":" in address else permitted.removeprefix("mailto:")
        return self._store(f"<{written}>" if not shown else f"[{self._label(shown, permitted)}]({permitted})")

    def _without_addresses(self, text: str) -> str:
        """The text without bare addresses; empty if removing some keeps creating others."""
        for _ in range(_ROUNDS):
            before, text = text, self._addresses_replaced(text)
            if text == before:
                return text
        return ""

    def _addresses_replaced(self, text: str) -> str:
        parts, end = [], 0
        for each in find_addresses(text):
            sanitized = self._address(each)
            ends = not sanitized or _END.match(text, each.end)
            parts += [
                text[end : each.start],
                sanitized if ends else f"{sanitized} ",
            ]  # without the space a client would read what follows as part of the address
            end = each.end
        return "".join((*parts, text[end:]))

    def _address(self, bare: Address) -> str:
        if permitted := self._passage_address(bare.full):
            self._targets.add(permitted)
            shown = permitted if bare.kind == "url" else bare.text
            sign = self._store(shown)
            self._bare[sign] = shown
            return sign
        # Perhaps a file, or two sentences without a space: it stays readable, and joiners keep clients from linking it.
        if bare.kind == "bare" and not is_certain(bare.text):
            return _DOTTED.sub(JOINER, bare.text) if is_possible(bare.text) else bare.text
        return ""

    def _without_calls(self, text: str) -> str:
        """The text with mentions and commands that no client acts on."""
        return _COMMAND.sub(self._command, _AT.sub(rf"\1{JOINER}", text))

    def _command(self, match: re.Match[str]) -> str:
        first = match["first"]
        # Within a line a path such as /etc/hosts is no command if a cited passage contains it.
        if first is None and any(f"/{match['name']}" in passage.text for passage in self._passages):
            return match[0]
        return f"{first or ''}/{JOINER}{match['name']}"

    def _hides_address(self, text: str) -> bool:
        """Whether removing emphasis reveals an address that no passage gives: ``exam**ple.c**om`` is one to a reader."""
        shadow = _STYLE.sub("", text)
        if len(shadow) == len(text):
            return False
        shadow = _PLACEHOLDER.sub(lambda match: self._bare.get(match[0], " "), shadow)
        return any(each.is_sure and not self._passage_address(each.full) for each in find_addresses(shadow))

    def _parses_as_permitted(self, markdown: str) -> bool:
        """Whether a CommonMark parser finds no image and only permitted links; checked if code contained brackets."""
        if not self._is_suspect:
            return True
        env: dict[str, Any] = {}
        tokens = [child for token in _PARSER.parse(markdown, env) for child in token.children or ()]
        hrefs = {str(token.attrGet("href")) for token in tokens if token.type == "link_open"}
        return hrefs <= {_PARSER.normalizeLink(target) for target in self._targets} and not any(
            token.type in ("image", "html_inline") for token in tokens
        )


def _gap(match: re.Match[str]) -> str:
    """What remains of empty brackets and quotes: a space if they kept two texts apart, or an address would grow."""
    if match[0].isspace():
        return " " if len(match[0]) > 1 else ""
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    return " " if before.strip() and after.strip() else ""


def _stays_within(indent: str, block: str) -> bool:
    """Whether no line of a code block is indented less than its fence: it would end the list item, and with it the block."""
    return all(line.startswith(indent) or not line.strip() for line in block.split("\n"))


def _escaped(text: str) -> str:
    """The text with brackets and tags escaped, except citation markers."""
    return _OPENING.sub(lambda match: match[0] if len(match[0]) > 1 else f"\\{match[0]}", text)


def _entity(match: re.Match[str]) -> str:
    """The character of an entity, escaped if Markdown would give it a meaning that the entity does not have."""
    char = unescape(match[0])
    if char == "&" or char == match[0]:
        return match[0]
    return f"\\{char}" if char in _STRUCTURE else " " if char.isspace() else visible_text(char)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    parser.validateLink = bool  # type: ignore[method-assign, assignment] # every scheme: clients show links that this parser refuses
    return parser


_PARSER = _parser()
