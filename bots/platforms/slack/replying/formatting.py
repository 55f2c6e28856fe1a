"""Prepares Markdown for Slack: disarms mentions, and splits long text at paragraphs, lines, sentences or words.

Slack renders standard Markdown itself (``markdown_text`` and the ``markdown`` block; headings, lists, code and tables), so
answers stay Markdown; only sources and labels are written in Slack's own ``mrkdwn``.
"""

from __future__ import annotations

import re

POST_CHARACTERS = 11_000
"""Of one message. Slack's limit is 12,000 for all Markdown of a payload; the rest is for fences and what ``harmless`` adds."""

_JOINER = "\u200b"
_MENTIONS = re.compile(
    r"""(?P<open><|&lt;|&\#0*60;|&\#x0*3c;)(?P<escape>\\?)(?=(?:@|!|\#C))      # <@U1> <!here> <!subteam^S1> <#C1>
      | (?P<at>@|&\#0*64;|&\#x0*40;|&commat;)(?P<at_escape>\\?)(?=(?:here|channel|everyone)\b)""",
    re.IGNORECASE | re.VERBOSE,
)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)
_BREAKS = (re.compile(r"\n\n+"), re.compile(r"\n"), re.compile(r"[.!?…]\s+"), re.compile(r"\s+"))


def harmless(markdown: str) -> str:
    """``markdown`` with every mention as plain text: a zero-width space separates the sign from the name."""
    return _MENTIONS.sub(lambda match: f"{match.group(0)}{_JOINER}", markdown)


def escape(text: str) -> str:
    """``text`` for ``mrkdwn``: control characters as entities, mentions as plain text, in one line."""
    plain = " ".join(text.split())
    return harmless(plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def link(title: str, url: str) -> str:
    """A ``mrkdwn`` link, or the title alone where Slack cannot open the address."""
    label = escape(title) or escape(url)
    if not url.startswith(("http://", "https://")) or len(url) > 2000:
        return label
    target = url.replace("&", "&amp;")
    for sign, code in (("<", "%3C"), (">", "%3E"), ("|", "%7C"), (" ", "%20"), ("\n", "%0A")):
        target = target.replace(sign, code)
    return f"<{target}|{label.replace('|', '¦')}>"


def whole_words(text: str) -> str:
    """``text`` up to its last white space, so that no half word, link or mention is shown while more text comes."""
    for index in range(len(text) - 1, -1, -1):
        if text[index].isspace():
            return text[: index + 1]
    return ""


def cut(text: str, start: int, limit: int = POST_CHARACTERS) -> int:
    """Where a message that begins at ``start`` ends: at a paragraph, line, sentence or word, at most ``limit`` on."""
    if len(text) - start <= limit:
        return len(text)
    window = text[start : start + limit]
    for pattern in _BREAKS:
        ends = [match.end() for match in pattern.finditer(window)]
        # A break in the first half would leave a short message: a break of a lesser kind further on reads better.
        if ends and ends[-1] > limit // 2:
            return start + ends[-1]
    return start + limit


def pieces(text: str, start: int = 0) -> list[tuple[int, int]]:
    """The messages that ``text[start:]`` needs, as offsets. Empty when nothing is left."""
    spans = []
    while start < len(text):
        end = cut(text, start)
        spans.append((start, end))
        start = end
    return spans


def open_fence(text: str) -> str:
    """The line that opened the code block in which ``text`` ends; empty outside code."""
    fence_line = ""
    for match in _FENCE.finditer(text):
        fence, rest = match.groups()
        if not fence_line:
            fence_line = match.group(0).strip()
        elif fence[0] == fence_line[0] and len(fence) >= _fence_width(fence_line) and not rest.strip():
            fence_line = ""
    return fence_line


def _fence_width(line: str) -> int:
    """How many backticks or tildes a fence begins with; the closing fence has at least as many."""
    return len(line) - len(line.lstrip(line[0]))


def standalone(text: str, start: int, end: int) -> str:
    """``text[start:end]`` as a message of its own: a code block that is cut in two is closed and opened again."""
    return f"{reopened(text, start)}{text[start:end]}{closed(text, end)}"


def reopened(text: str, start: int) -> str:
    """The fence that a message which begins at ``start`` must begin with; empty outside code."""
    fence = open_fence(text[:start])
    return f"{fence}\n" if fence else ""


def closed(text: str, end: int) -> str:
    """The fence that a message which ends at ``end`` must end with; empty outside code."""
    fence = open_fence(text[:end])
    if not fence or end == len(text):
        return ""
    mark = fence[: _fence_width(fence)]
    return f"{'' if text[:end].endswith(chr(10)) else chr(10)}{mark}"
