"""Rules for Markdown's parser: marks within a line (templates, attribute lists, footnotes, wiki links, JSX)."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

from rag.knowledge.loaders.cleaning.fragments import TAG, closing_names, is_markup

_TEMPLATE = re.compile(
    r"\{\{[<%]?-?\s*(?P<name>[\w.-]*)(?P<rest>[^\n]{0,1000}?)\}\}|\{%[^\n]{0,1000}?%\}|\{#(?!\w)[^\n]{0,1000}?#\}|"
    r"\{[*!][^\n]{0,1000}?[*!]\}|\{/\*.{0,4000}?\*/\}|\{\s*(?:\"(?P<double>[^\"{}\n]{0,400})\"|'(?P<single>[^'{}\n]{0,400})')\s*\}",
    re.DOTALL,
)
_ATTRIBUTE = r"(?:[.#][A-Za-z_][\w:.-]*|[A-Za-z_][\w:.-]*=(?:\"[^\"\n]{0,500}\"|'[^'\n]{0,500}'|[^\s\"'{}]{1,500}))"
_LIST = re.compile(rf"\{{:[^{{}}\n]{{0,500}}\}}|\{{\s*{_ATTRIBUTE}(?:\s+{_ATTRIBUTE}){{0,30}}\s*\}}")
_NAME = re.compile(r"[{:\s]#([A-Za-z_][\w:.-]*)|\bid=[\"']?([\w:.-]+)")
_ROLE = re.compile(r"\{[a-z][\w:-]{0,40}\}(?=`)")
_WIKI = re.compile(r"!?\[\[(?P<target>[^\[\]|\n]{1,300})(?:\|(?P<label>[^\[\]\n]{1,300}))?\]\]")
_NOTE = re.compile(r"\[\^(?P<label>[^\]\s]{1,100})\]")
_ALERT = re.compile(r"\[!(?P<kind>[A-Za-z]{2,20})\][+-]?[ \t]*(?P<title>[^\n]*)(?:\n|$)")
_TASK = re.compile(r"\[(?P<done>[ xX])\][ \t]+")
_TEMPLATE_TARGET = re.compile(
    r"\(\s*<?\s*\{[{%][^\n()]{0,500}?[%}]\}[^\s()]{0,200}(?:\s+\"[^\"\n]{0,300}\")?\s*>?\s*\)"
)
_ICON = re.compile(r":(?:material|fontawesome|octicons|simple|fa|fas|fab|far|bi|mdi|icon|bootstrap)[-_:][\w-]{1,80}:")
_MARKED = re.compile(r"(?P<mark>==|\+\+)(?P<text>[^\s=+](?:[^\n=]{0,300}?[^\s=+])?)(?P=mark)")


def use_inlines(parser: MarkdownIt) -> None:
    """Adds the rules to a parser; what they leave out is marked by a token ``dropped``."""
    ruler = parser.inline.ruler
    ruler.before("link", "brackets", _brackets)
    ruler.before("image", "embeds", _embed)
    ruler.before("escape", "templates", _braces)
    ruler.before("emphasis", "inserted", _inserted)
    ruler.before("html_inline", "tags", _tag)
    parser.disable("html_inline")


def _put(state: StateInline, end: int, text: str, silent: bool) -> bool:
    if not silent:
        state.push("dropped", "", 0)
        if text:
            state.push("text", "", 0).content = text
    state.pos = end
    return True


def _plain(state: StateInline, text: str, silent: bool) -> bool:
    if not silent:
        state.pending += text
    state.pos += len(text)
    return True


def _braces(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "{" or state.src.find("}", state.pos, state.pos + 4100) < 0:
        return False
    if (attributes := _LIST.match(state.src, state.pos)) is not None and _is_attached(state, attributes):
        if not silent and (named := _NAME.search(attributes[0])) is not None:
            state.push("name", "", 0).meta = {"name": named[1] or named[2]}
        return _put(state, attributes.end(), "", silent)
    if (role := _ROLE.match(state.src, state.pos)) is not None:
        return _put(state, role.end(), "", silent)
    if (match := _TEMPLATE.match(state.src, state.pos)) is None or _is_formula(state):
        return False
    if (match["double"] is not None or match["single"] is not None) and not state.env.get("mdx"):
        return False
    name = match["name"] or ""
    shown = name.replace("_", " ") if name and not (match["rest"] or "").strip() and "." not in name else ""
    return _put(state, match.end(), match["double"] or match["single"] or shown, silent)


def _is_attached(state: StateInline, match: re.Match[str]) -> bool:
    """Whether an attribute list belongs to something: it has a colon, closes a line, or stands right behind a mark."""
    before, after = state.src[: state.pos][-1:], state.src[match.end() : match.end() + 1]
    return (
        match[0].startswith("{:")
        or before in tuple(')]*_`~"')
        or (after in ("", "\n") and "=" not in match[0])
        or (before in ("", "\n") and after in ("", "\n"))
    )


def _is_formula(state: StateInline) -> bool:
    return bool(re.search(r"(?:[\^_}]|\\[A-Za-z]{1,30})$", state.src[max(0, state.pos - 31) : state.pos]))


def _brackets(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "[":
        return False
    if state.src.find("]", state.pos) < 0:  # or Markdown's own rule would look for it once more at each bracket
        return _plain(state, "[", silent)
    return any(rule(state, silent) for rule in (_wiki, _note, _opening, _span))


def _wiki(state: StateInline, silent: bool) -> bool:
    if (match := _WIKI.match(state.src, state.pos)) is None or state.src[match.end() : match.end() + 1] == "(":
        return False
    label = match["label"] or match["target"].rpartition("/")[2].replace("#", " > ").removeprefix(" > ")
    return _put(state, match.end(), label, silent)


def _embed(state: StateInline, silent: bool) -> bool:
    if state.src.startswith("![", state.pos) and state.src.find("]", state.pos) < 0:
        return _plain(state, "![", silent)
    if not state.src.startswith("![[", state.pos) or (match := _WIKI.match(state.src, state.pos)) is None:
        return False
    return _put(state, match.end(), "", silent)


def _note(state: StateInline, silent: bool) -> bool:
    if (match := _NOTE.match(state.src, state.pos)) is None:
        return False
    label = match["label"].lower()
    if label not in state.env.get("notes", {}) and not label.isdigit():
        return False
    if not silent:
        state.push("note", "", 0).meta = {"label": label}
    state.pos = match.end()
    return True


def _opening(state: StateInline, silent: bool) -> bool:
    """``[!NOTE]`` and ``[x]`` at the beginning of a paragraph."""
    if state.pos != 0:
        return False
    if (match := _ALERT.match(state.src)) is not None:
        title = match["title"].strip() or match["kind"].capitalize()
        return _put(state, match.end(), f"**{title.rstrip(':')}:**\n", silent)
    if (task := _TASK.match(state.src)) is not None and state.env.get("in_item", True):
        return _put(state, task.end(), "\u2610 " if task["done"] == " " else "\u2611 ", silent)
    return False


def _span(state: StateInline, silent: bool) -> bool:
    """``[text]{.class}`` and ``[text]({{ template }})``: the text alone."""
    if state.src.find("]{", state.pos) < 0 and state.src.find("{", state.pos) < 0:
        return False
    end = state.md.helpers.parseLinkLabel(state, state.pos, True)
    if end < 0 or state.src[end + 1 : end + 2] not in ("{", "("):
        return False
    after = (_TEMPLATE_TARGET if state.src[end + 1] == "(" else _LIST).match(state.src, end + 1)
    if after is None:
        return False
    start, last = state.pos + 1, state.posMax
    if not silent:
        state.push("dropped", "", 0)
        state.pos, state.posMax = start, end
        state.md.inline.tokenize(state)
    state.pos, state.posMax = after.end(), last
    return True


def _inserted(state: StateInline, silent: bool) -> bool:
    """Icons by name, ``==marked==`` text, ``++keys++`` and ``^[notes]``."""
    character = state.src[state.pos]
    if character == ":" and (icon := _ICON.match(state.src, state.pos)) is not None:
        return _put(state, icon.end(), "", silent)
    if (
        character in "=+"
        and (marked := _MARKED.match(state.src, state.pos)) is not None
        and not state.src[: state.pos][-1:].isalnum()
    ):
        return _put(state, marked.end(), marked["text"], silent)
    if (
        state.src.startswith("^[", state.pos)
        and state.src.find("]", state.pos) > 0
        and (end := state.md.helpers.parseLinkLabel(state, state.pos + 1, False)) > 0
    ):
        return _put(state, end + 1, f" ({state.src[state.pos + 2 : end].strip()})", silent)
    return False


def _tag(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "<":
        return False
    end = _markup_end(state)
    if end is None:
        placeholder = TAG.match(state.src, state.pos) is not None and state.src.startswith("<", state.pos)
        return _put(state, state.pos + 1, "\\<", silent) if placeholder else False
    if not silent:
        state.push("html_inline", "", 0).content = state.src[state.pos : end]
    state.pos = end
    return True


def _markup_end(state: StateInline) -> int | None:
    source, position = state.src, state.pos
    if source.startswith("<!--", position):
        # the place of the last end is remembered: without one, a comment's beginning is text
        ends = state.env.setdefault("last_comment", {})
        if source not in ends:
            ends[source] = source.rfind("-->")
        last = ends[source]
        return source.index("-->", position + 2) + 3 if last > position + 1 else None
    if source.startswith(("<!", "<?"), position):
        end = source.find(">", position, position + 2000)
        return end + 1 if end > 0 else None
    if (match := TAG.match(source, position)) is None:
        return None
    if "closed" not in state.env:
        state.env["closed"] = closing_names(source)
    return match.end() if is_markup(match, state.env["closed"]) else None
