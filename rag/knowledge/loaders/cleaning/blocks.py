"""Rules for Markdown's parser: lines and blocks of site generators (MkDocs, Docusaurus, Hugo, Jekyll, GitBook, MyST, MDX)."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock

from rag.knowledge.loaders.cleaning.fragments import attributes

_ADMONITION = re.compile(
    r"(?:!!!|\?\?\?\+?)\s*(?P<kind>[\w-]*)[^\"]*(?:\"(?P<title>.*)\")?\s*$|===[+!]?\s+\"(?P<tab>.+)\"\s*$"
)
_COLONS = re.compile(
    r":{3,}\s*(?P<brace>\{[^}]*\})?(?P<kind>[\w-]*)(?P<dotted>(?:\.\w+)+)?\s*(?:\[(?P<label>.*)\])?(?P<rest>.*)$"
)
_SLASHES = re.compile(r"/{3,}(?:\s*(?P<kind>[\w-]+)(?:\s*\|\s*(?P<title>.+))?)?\s*$")
_MODULE = re.compile(
    r"import\s+(?:[\w*${}\s,]{1,400}\s+from\s+)?[\"'][^\"']+[\"']\s*;?\s*$|import\s+[\w*$,\s]*\{\s*$|"
    r"export\s+(?:const|let|var|default|function|class|async|type|interface)\b|export\s*(?:\*|\{)"
)
_TEMPLATES = re.compile(r"(?:(?:\{\{.{0,2000}?\}\}|\{%.{0,2000}?%\}|\{[#*!].{0,2000}?[#*!]\})\s*)+$")
_TEMPLATE = re.compile(
    r"\{\{[<%]?\s*(?P<close>/?)(?P<name>[\w./-]*)(?P<rest>.{0,2000}?)[>%]?\}\}|\{%-?\s*(?P<tag>\w*)(?P<more>.{0,2000}?)%\}"
)
_INSERTED = re.compile(
    r"-{1,2}8<-{1,2}.*$|;-{2,}8<.*$|\[(?:TOC|\[toc\]|\[_TOC_\])\]$|\[toc\]$|\\(?:newpage|pagebreak|clearpage|tableofcontents)\b.*$|"
    r"@\[(?:code|toc)\].*$|::[a-z][\w-]*(?:\[[^\]]*\])?\{[^}]*\}$|\$toc\$$|%%.*%%$",
    re.IGNORECASE,
)
_CODE_TAGS = re.compile(r"\{[{%][<%-]?\s*(?P<name>highlight|code|codeblock|raw|verbatim|comment)\b(?P<rest>[^}]*)\}")
_NOTE = re.compile(r"\[\^(?P<label>[^\]\s]{1,100})\]:[ \t]*(?P<text>.*)$")
_ABBREVIATION = re.compile(r"\*\[(?P<name>[^\]]{1,100})\]:\s*(?P<meaning>.+)$")
_PLAIN_KINDS = frozenset(
    [
        "tabs",
        "tab-set",
        "steps",
        "cards",
        "grid",
        "row",
        "column",
        "columns",
        "block",
        "container",
        "div",
        "card",
        "code-group",
        "details",
    ]
)
"""Containers whose kind is no word for a reader."""
_TAB = ("tab", "tabitem", "accordion", "card", "expand", "collapsible", "step")
_ALT: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}


def use_blocks(parser: MarkdownIt) -> None:
    """Adds the rules to a parser. Notes are collected in ``env["notes"]``: label and Markdown."""
    rules = {
        "indented": _indented,
        "notes": _note,
        "modules": _module,
        "template_code": _template_code,
        "markers": _marker,
    }
    for name, rule in rules.items():
        parser.block.ruler.before("fence", name, rule, _ALT)
    parser.block.ruler.before("html_block", "html_table", _html_table, _ALT)


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].rstrip()


def _starts(state: StateBlock, number: int, characters: str) -> bool:
    """Whether a line is no indented code and begins with one of the characters."""
    start = state.bMarks[number] + state.tShift[number]
    return (
        state.sCount[number] - state.blkIndent < 4 and start < state.eMarks[number] and state.src[start] in characters
    )


def label(text: str) -> str:
    """A label in bold that stays with the text below it: passages keep a line that ends in a colon with the next one."""
    bare = " ".join(text.replace("**", "").split()).strip("*_ ").rstrip(":")
    return "" if not bare else f"**{bare}**" if bare[-1] in ".?!" else f"**{bare}:**"


def _push_label(state: StateBlock, number: int, text: str) -> None:
    if not (content := label(text)):
        return
    state.push("paragraph_open", "p", 1).map = [number, number + 1]
    inline = state.push("inline", "", 0)
    inline.content, inline.map, inline.children = content, [number, number + 1], []
    inline.meta["changed"] = True
    state.push("paragraph_close", "p", -1)


def _indented(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """``!!! note "Title"`` and ``=== "Tab"`` of MkDocs, whose content is indented by four spaces."""
    if not _starts(state, start, "!?=") or (match := _ADMONITION.match(_line(state, start))) is None:
        return False
    if silent:
        return True
    after = _after_indented(state, start + 1, end)
    state.push("container_open", "div", 1).map = [start, after]
    title = match["tab"] or (match["title"] if match["title"] is not None else _word(match["kind"] or ""))
    _push_label(state, start, title)
    _tokenize(state, start + 1, after)
    state.push("container_close", "div", -1)
    state.line = after
    return True


def _after_indented(state: StateBlock, number: int, end: int) -> int:
    after = number
    while number < end:
        if not state.isEmpty(number):
            if state.sCount[number] - state.blkIndent < 4:
                break
            after = number + 1
        number += 1
    return after


def _tokenize(state: StateBlock, start: int, end: int) -> None:
    parent, last = state.parentType, state.lineMax
    state.blkIndent += 4
    state.lineMax = end
    state.parentType = "root"
    state.md.block.tokenize(state, start, end)
    state.blkIndent -= 4
    state.lineMax, state.parentType = last, parent


def _note(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A footnote's definition or an abbreviation's."""
    if not _starts(state, start, "[*"):
        return False
    line = _line(state, start)
    if (short := _ABBREVIATION.match(line)) is not None:
        if not silent:
            _push_text(state, start, f"{short['name']}: {short['meaning']}")
            state.line = start + 1
        return True
    if (match := _NOTE.match(line)) is None:
        return False
    if silent:
        return True
    number, lines = start + 1, [match["text"]]
    while number < end and not (state.isEmpty(number) or _starts(state, number, "[")):
        lines.append(_line(state, number))
        number += 1
    after = _after_indented(state, number, end)
    lines += [state.getLines(each, each + 1, state.blkIndent + 4, False) for each in range(number, max(number, after))]
    state.env.setdefault("notes", {}).setdefault(match["label"].lower(), "\n".join(lines).strip())
    state.line = max(number, after)
    return True


def _push_text(state: StateBlock, number: int, text: str) -> None:
    state.push("paragraph_open", "p", 1).map = [number, number + 1]
    inline = state.push("inline", "", 0)
    inline.content, inline.map, inline.children = text, [number, number + 1], []
    inline.meta["changed"] = True
    state.push("paragraph_close", "p", -1)


def _module(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """``import`` and ``export`` of MDX: up to the line that closes all brackets."""
    if silent or state.level or not _starts(state, start, "ie") or not _MODULE.match(_line(state, start)):
        return False
    depth, number = 0, start
    # each export without an end is read to the limit, so that there may be only a few
    last = min(end, start + 500) if state.env.get("endless_modules", 0) < 20 else start
    while number < last:
        text = re.sub(r"\"[^\"]*\"|'[^']*'", "", _line(state, number))
        depth += len(re.findall(r"[{(\[]", text)) - len(re.findall(r"[})\]]", text))
        number += 1
        following = _line(state, number) if number < end else ""
        if depth <= 0 and not (text.rstrip().endswith(("=", "=>", ",")) and following):
            state.line = number
            return True
    state.env["endless_modules"] = state.env.get("endless_modules", 0) + 1
    # brackets that never close: only the paragraph is code, as MDX would refuse the page
    state.line = next((each for each in range(start, end) if state.isEmpty(each)), end)
    return True


def _template_code(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """``{% highlight %}`` and ``{% raw %}`` around code or text, and ``{% comment %}``, up to their closing tag."""
    if not _starts(state, start, "{") or (match := _CODE_TAGS.match(_line(state, start))) is None:
        return False
    name = match["name"]
    ends = state.env.setdefault("last_ends", {})  # without an end, no further beginning looks for it
    if name not in ends:
        ends[name] = max(state.src.rfind(f"end{name}"), state.src.rfind(f"/{name}"))
    if ends[name] < state.bMarks[start]:
        return False
    closing = re.compile(rf"\{{[{{%][<%-]?\s*(?:/|end){name}\s*[>%-]?[%}}]\}}")
    if (last := next((each for each in range(start, end) if closing.search(_line(state, each))), None)) is None:
        return False
    if silent:
        return True
    if name != "comment":
        _push_code(state, start, last, match, closing)
    state.line = last + 1
    return True


def _push_code(state: StateBlock, start: int, last: int, match: re.Match[str], closing: re.Pattern[str]) -> None:
    text = state.getLines(start, last + 1, state.blkIndent, False)
    body = closing.sub("", text[text.index(match[0]) + len(match[0]) :]).strip("\n")
    if match["name"] in ("raw", "verbatim"):
        token = state.push("raw", "", 0)
        token.content, token.map = body, [start, last + 1]
        return
    token = state.push("fence", "code", 0)
    language = re.match(r"\s*[\"']?(\w+)", match["rest"])
    token.info, token.content, token.markup = (language[1] if language else ""), body + "\n", "```"
    token.map, token.meta = [start, last + 1], {"changed": True}


def _marker(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A line that opens, closes or inserts something; what a reader sees of it stays as a label."""
    if not _starts(state, start, ":/{-;[\\@$%"):
        return False
    line = _line(state, start)
    text = _marker_label(line)
    if text is None:
        return False
    if not silent:
        after = start + 1
        if re.match(r":::\s+[\w.]+\.\w+$", line):  # mkdocstrings: its options are indented
            after = max(after, _after_indented(state, start + 1, end))
        if line.startswith("///"):  # options of a block: "    open: True"
            while (
                after < end
                and state.sCount[after] - state.blkIndent >= 4
                and re.match(r"[\w-]+:\s", _line(state, after))
            ):
                after += 1
        _push_label(state, start, text)
        state.line = after
    return True


def _marker_label(line: str) -> str | None:
    """The label of a marker line, "" for none, or None for another line."""
    if line.startswith(":::"):
        return _colons(line)
    if line.startswith("///"):
        match = _SLASHES.match(line)
        return None if match is None else (match["title"] or _word(match["kind"] or "")).strip()
    if _INSERTED.match(line):
        return ""
    return _templates(line) if line.startswith("{") and _TEMPLATES.match(line) else None


def _colons(line: str) -> str | None:
    match = _COLONS.match(line)
    if match is None:
        return None
    rest = match["rest"].strip().removesuffix(":::").strip()
    values = attributes(f"{match['brace'] or ''} {rest}".replace("{", " ").replace("}", " "))
    title = match["label"] or values.get("title") or values.get("alt-text") or ""
    plain = re.sub(r"\{[^}]*\}|[\w-]+=(?:\"[^\"]*\"|\S+)|:::.*", "", rest).strip()
    if title or plain:
        return title or plain
    if match["dotted"]:
        return ""
    named = re.search(r"^\{\s*\.?(?:callout-)?([\w-]+)", match["brace"] or "")
    return _word(match["kind"] or (named[1] if named else ""))


def _word(kind: str) -> str:
    """The title that a site shows for a kind of box."""
    bare = kind.lower().removeprefix("callout-")
    return (
        ""
        if bare in _PLAIN_KINDS or len(bare) > 20 or bare in ("image", "code", "tab", "moniker", "zone", "toctree")
        else bare.replace("-", " ").capitalize()
    )


def _templates(line: str) -> str:
    labels = [_template_title(match) for match in _TEMPLATE.finditer(line)]
    return " ".join(filter(None, labels))


def _template_title(match: re.Match[str]) -> str:
    rest = match["rest"] or match["more"] or ""
    values = attributes(rest)
    title = next(
        (
            values[key]
            for key in ("title", "label", "header", "summary", "caption", "alt", "name", "tabname")
            if values.get(key)
        ),
        "",
    )
    name = (match["name"] or match["tag"] or "").lower()
    if title or match["close"]:
        return title
    quoted = re.match(r"\s*[\"']([^\"']+)[\"']", rest)
    return quoted[1] if quoted and name in _TAB else ""


def _html_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table, or HTML with indented lines behind an empty one: Markdown ends the block there and shows the rest as code."""
    if not _starts(state, start, "<") or state.sCount[start] - state.blkIndent >= 4:
        return False
    match = re.match(r"<(table|ul|ol|dl|div|section|article|figure|center|p)\b", _line(state, start), re.IGNORECASE)
    if match is None:
        return False
    after = (
        _end_of_element(state, match[1].lower(), start, end)
        if match[1].lower() == "table"
        else _end_of_indented(state, start, end)
    )
    if after is None:
        return False
    if not silent:
        token = state.push("html_block", "", 0)
        token.map, token.content = [start, after], state.getLines(start, after, state.blkIndent, True)
        state.line = after
    return True


def _end_of_element(state: StateBlock, name: str, start: int, end: int) -> int | None:
    # the place of the last closing tag is remembered: without one, no further opening tag looks for it
    if "last_table" not in state.env:
        state.env["last_table"] = state.src.lower().rfind(f"</{name}")
    if state.env["last_table"] < state.bMarks[start]:
        return None
    depth = 0
    for number in range(start, end):
        if state.sCount[number] < state.blkIndent and not state.isEmpty(number):
            return None
        line = _line(state, number).lower()
        depth += line.count(f"<{name}") - line.count(f"</{name}")
        if depth <= 0:
            return number + 1
    return None


def _end_of_indented(state: StateBlock, start: int, end: int) -> int | None:
    """The end of HTML whose indented lines go on behind empty ones; None where Markdown's own rule says the same."""
    number, extended, last = start, False, start
    while number < end:
        if state.isEmpty(number):
            following = next((each for each in range(number, min(end, number + 3)) if not state.isEmpty(each)), None)
            if (
                following is None
                or state.sCount[following] - state.blkIndent < 4
                or not re.match(r"</?[A-Za-z]", _line(state, following))
            ):
                break
            extended, number = True, following
            continue
        if state.sCount[number] < state.blkIndent:
            break
        last = number + 1
        number += 1
    return last if extended else None
