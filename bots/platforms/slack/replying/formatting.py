"""Markdown on its way to Slack: nothing in it may call anybody, and it is cut only where a reader would cut it.

Slack renders standard Markdown itself (``markdown_text`` and the ``markdown`` block; headings, lists, code and tables), so
text stays Markdown; only furniture (sources, labels) is written in Slack's own ``mrkdwn``.
"""

from __future__ import annotations

import re

POST_CHARACTERS = 11_000
"""Of one message, below Slack's 12,000 for all Markdown of a payload: room for fences and for what ``harmless`` adds."""

_JOINER = "\u200b"
_CALLS = re.compile(
    r"""(?P<open><|&lt;|&\#0*60;|&\#x0*3c;)(?P<escape>\\?)(?=(?:@|!|\#C))      # <@U1> <!here> <!subteam^S1> <#C1>
      | (?P<at>@|&\#0*64;|&\#x0*40;|&commat;)(?P<at_escape>\\?)(?=(?:here|channel|everyone)\b)""",
    re.IGNORECASE | re.VERBOSE,
)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)
_BORDERS = (re.compile(r"\n\n+"), re.compile(r"\n"), re.compile(r"[.!?…]\s+"), re.compile(r"\s+"))


def harmless(markdown: str) -> str:
    """``markdown`` with every mention made into plain text: a zero-width space parts the sign from the name."""
    return _CALLS.sub(lambda match: f"{match.group(0)}{_JOINER}", markdown)


def escape(text: str) -> str:
    """``text`` for ``mrkdwn``: control characters as entities, mentions as plain text, one line."""
    plain = " ".join(text.split())
    return harmless(plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def link(title: str, url: str) -> str:
    """A ``mrkdwn`` link, or the title alone where the address cannot be followed from Slack."""
    label = escape(title) or escape(url)
    if not url.startswith(("http://", "https://")) or len(url) > 2000:
        return label
    target = url.replace("&", "&amp;")
    for sign, code in (("<", "%3C"), (">", "%3E"), ("|", "%7C"), (" ", "%20"), ("\n", "%0A")):
        target = target.replace(sign, code)
    return f"<{target}|{label.replace('|', '¦')}>"


def whole_words(text: str) -> str:
    """``text`` up to the last blank, so that no word, link or mention is shown by halves while more is coming."""
    for index in range(len(text) - 1, -1, -1):
        if text[index].isspace():
            return text[: index + 1]
    return ""


def cut(text: str, start: int, limit: int = POST_CHARACTERS) -> int:
    """Where a message that begins at ``start`` ends: at a paragraph, line, sentence or word, at most ``limit`` on."""
    if len(text) - start <= limit:
        return len(text)
    window = text[start : start + limit]
    for border in _BORDERS:
        ends = [match.end() for match in border.finditer(window)]
        if ends and ends[-1] > limit // 2:
            return start + ends[-1]
    return start + limit


def pieces(text: str, start: int = 0) -> list[tuple[int, int]]:
    """The messages that ``text[start:]`` needs, as offsets. Empty when nothing is left."""
    found = []
    while start < len(text):
        end = cut(text, start)
        found.append((start, end))
        start = end
    return found


def open_fence(text: str) -> str:
    """The line that opened the code block in which ``text`` ends, or nothing."""
    opened = ""
    for match in _FENCE.finditer(text):
        fence, rest = match.groups()
        if not opened:
            opened = match.group(0).strip()
        elif fence[0] == opened[0] and len(fence) >= len(opened) - len(opened.lstrip(opened[0])) and not rest.strip():
            opened = ""
    return opened


def standalone(text: str, start: int, end: int) -> str:
    """``text[start:end]`` as a message of its own: a code block cut in two is closed and opened again."""
    return f"{reopened(text, start)}{text[start:end]}{closed(text, end)}"


def reopened(text: str, start: int) -> str:
    """What a message that begins at ``start`` must begin with."""
    fence = open_fence(text[:start])
    return f"{fence}\n" if fence else ""


def closed(text: str, end: int) -> str:
    """What a message that ends at ``end`` must end with."""
    fence = open_fence(text[:end])
    if not fence or end == len(text):
        return ""
    mark = fence[: len(fence) - len(fence.lstrip(fence[0]))]
    return f"{'' if text[:end].endswith(chr(10)) else chr(10)}{mark}"
