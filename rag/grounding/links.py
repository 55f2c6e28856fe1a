"""What a language model wrote, as it may be sent: it links only where the passages that it cites link, and it calls nobody.

A model can be talked into anything by what it reads. So nothing here asks what the model meant: every form in which an address,
an image, a mention or a command can stand is either taken from the cited passage, as that has it, or made plain text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
from typing import Any, Final

from markdown_it import MarkdownIt

from rag.text.addresses import JOINER, Address, addresses, found, host_of, is_certain, is_possible, key, seen
from rag.types import Passage

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
_TAGS = (
    "a|abbr|audio|b|base|big|blockquote|body|br|button|center|code|del|details|div|em|embed|font|form|h[1-6]|head|hr|html|i|"
    "iframe|img|input|ins|kbd|label|li|link|mark|meta|object|ol|p|picture|pre|q|s|script|small|source|span|strike|strong|style|sub|"
    "summary|sup|svg|table|tbody|td|template|textarea|tg-emoji|tg-spoiler|th|thead|title|tr|u|ul|video"
)
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
_KEPT = re.compile("[\ue000-\uf8ff]")
_END = re.compile(r"[\"'*_)\].,:;!?»”]*(?:\s|\Z|\[\d|>)")
_ROUNDS = 5
_FIRST = 0xE000
_HOLDS = 0x1900
"""Private characters that stand for what is settled: code, and links that may be sent."""


def permitted(markdown: str, passages: Sequence[Passage]) -> str:
    """One statement of a language model as it may be sent, given the passages that it cites; "" where nothing is left.

    A link stays where its target stands in one of the passages, and is written as it stands there; of any other the label
    stays, and a bare address goes. Images never stay. Mentions and commands stay to be read, and call nobody. Code stays.
    """
    text = seen(markdown)
    return _Statement(passages).sent(text) if _SUSPECT.search(text) else text


class _Statement:
    """One statement on its way: what is settled is kept aside, one character in the text stands for each."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._known: dict[str, str] | None = None
        self._kept: list[str] = []
        self._bare: dict[str, str] = {}
        self._odd = False
        self._targets: set[str] = set()

    def sent(self, markdown: str) -> str:
        text = _CODE.sub(self._code, markdown)
        if len(self._kept) > _HOLDS // 2:
            return ""
        text = _NEEDLESS.sub("", _ENTITY.sub(_entity, text))
        text = self._quiet(self._settled(_MARKUP.sub(self._markup, text)))
        if len(self._kept) > _HOLDS or self._hides(text):
            return ""
        text = _escaped(text)
        if self._restored(text) != markdown:
            text = _EMPTY.sub(lambda match: " " if match[0].isspace() and len(match[0]) > 1 else "", text)
        if not re.search(r"[^\W_]|[\ue000-\uf8ff]", _MARKER.sub("", text)):
            return ""
        restored = self._restored(text)
        return restored if self._holds(restored) else ""

    def _keep(self, text: str) -> str:
        self._kept.append(text)
        return chr(min(_FIRST + len(self._kept) - 1, _FIRST + _HOLDS - 1))

    def _restored(self, text: str) -> str:
        for _ in range(2):  # code may stand in the label of a link
            text = _KEPT.sub(lambda match: self._kept[ord(match[0]) - _FIRST], text)
        return text

    def _code(self, match: re.Match[str]) -> str:
        if match["escape"]:
            return self._keep(match[0]) if match[0] == "\\`" else match[0]
        if match["lone"] is not None:  # without a partner here: it must find none in what follows
            return self._keep("".join(f"\\{char}" if char in "`~" else char for char in match["lone"]))
        if match["indent"] and not _stays_within(match["indent"], match[0]):
            return match[0].replace("`", "\\`").replace("~", "\\~")
        self._odd |= "[" in match[0] or "<" in match[0]
        return self._keep(match[0])

    def _permits(self, address: str) -> str:
        """The address as a cited passage has it, or nothing."""
        if self._known is None:
            self._known = {}
            for passage in self._passages:
                self._known.update(addresses("\n".join((passage.text, passage.url, passage.title, *passage.headings))))
        return self._known.get(key(address), "") if self._known else ""

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
        if not re.search(r"[^\W\d_]|[\ue000-\uf8ff]", label):  # it would look like a citation, or like nothing
            return ""
        known = self._permits(_NEEDLESS.sub("", target))
        if not known:
            return self._inside(label)
        shown = self._label(label, known)
        self._targets.add(known)
        return self._keep(f"[{shown}]({known})")

    def _label(self, label: str, target: str) -> str:
        """What is shown of a link: never another host than the one that it leads to."""
        shown = self._restored(_MARKUP.sub(lambda match: match["label"] or match["alt"] or match["named"] or "", label))
        own = host_of(target) if target.startswith("http") else target.partition(":")[2]
        told = [each for each in found(_STYLE.sub("", shown)) if each.is_sure]
        if any(key(each.full) != key(target) and each.host != own for each in told):
            return own
        return _escaped(_AT.sub(rf"\1{JOINER}", shown))

    def _auto(self, address: str, shown: str | None) -> str:
        named = address if ":" in address else f"mailto:{address}"
        known = self._permits(named)
        if not known:
            return shown or ""
        self._targets.add(known)
        written = known if ":" in address else known.removeprefix("mailto:")
        return self._keep(f"<{written}>" if not shown else f"[{self._label(shown, known)}]({known})")

    def _settled(self, text: str) -> str:
        """No address is left in the text, nor is one that appears where another went."""
        for _ in range(_ROUNDS):
            before, text = text, self._plain(text)
            if text == before:
                return text
        return ""

    def _plain(self, text: str) -> str:
        parts, done = [], 0
        for each in found(text):
            sent = self._address(each)
            ends = not sent or _END.match(text, each.end)
            parts += [
                text[done : each.start],
                sent if ends else f"{sent} ",
            ]  # what is glued to an address is read as its part
            done = each.end
        return "".join((*parts, text[done:]))

    def _address(self, bare: Address) -> str:
        if known := self._permits(bare.full):
            self._targets.add(known)
            shown = known if bare.kind == "url" else bare.text
            sign = self._keep(shown)
            self._bare[sign] = shown
            return sign
        if bare.kind == "bare" and not is_certain(bare.text):
            return _DOTTED.sub(JOINER, bare.text) if is_possible(bare.text) else bare.text
        return ""

    def _quiet(self, text: str) -> str:
        """Mentions and commands as mere words."""
        return _COMMAND.sub(self._command, _AT.sub(rf"\1{JOINER}", text))

    def _command(self, match: re.Match[str]) -> str:
        first = match["first"]
        if first is None and any(f"/{match['name']}" in passage.text for passage in self._passages):
            return match[0]
        return f"{first or ''}/{JOINER}{match['name']}"

    def _hides(self, text: str) -> bool:
        """Whether another address shows once styles are gone: one that was split, or goes on where a known one ends."""
        shadow = _STYLE.sub("", text)
        if len(shadow) == len(text):
            return False
        shadow = _KEPT.sub(lambda match: self._bare.get(match[0], " "), shadow)
        return any(each.is_sure and not self._permits(each.full) for each in found(shadow))

    def _holds(self, markdown: str) -> bool:
        """Whether the grammar finds no other link and no image, where code might not be what it looks like."""
        if not self._odd:
            return True
        env: dict[str, Any] = {}
        tokens = [child for token in _PARSER.parse(markdown, env) for child in token.children or ()]
        led = {str(token.attrGet("href")) for token in tokens if token.type == "link_open"}
        return led <= {_PARSER.normalizeLink(target) for target in self._targets} and not any(
            token.type in ("image", "html_inline") for token in tokens
        )


def _stays_within(indent: str, block: str) -> bool:
    """Whether no line of a code block stands left of its fence, where the list that holds both would end."""
    return all(line.startswith(indent) or not line.strip() for line in block.split("\n"))


def _escaped(text: str) -> str:
    """Text that opens no link, no definition and no tag; the markers of citations stay."""
    return _OPENING.sub(lambda match: match[0] if len(match[0]) > 1 else f"\\{match[0]}", text)


def _entity(match: re.Match[str]) -> str:
    """The character that it stands for, as a character: what it would be in the grammar it must not become."""
    char = unescape(match[0])
    if char == "&" or char == match[0]:
        return match[0]
    return f"\\{char}" if char in _STRUCTURE else " " if char.isspace() else seen(char)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    parser.validateLink = bool  # type: ignore[method-assign, assignment] # every link: what this one leaves out, another may show
    return parser


_PARSER = _parser()
