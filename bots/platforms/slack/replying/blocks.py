"""Block Kit of an answer: its text, numbered sources, feedback buttons, the share button.

Limits (docs.slack.dev, 2026): 50 blocks a message, 3,000 characters a text object, 10 elements a context block, 2,000
characters a button's value, 12,000 for all Markdown of a payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bots.messages import OutgoingReply
from bots.platforms.slack.replying.formatting import escape, link
from bots.platforms.slack.words import word
from rag.prompts.sentences import dated
from rag.types import Source

Block = dict[str, Any]
Richness = Literal["native", "plain", "text"]
"""How much of Block Kit a workspace accepts: native feedback buttons, ordinary buttons, or text without blocks."""

RICHNESS_LEVELS: tuple[Richness, ...] = ("native", "plain", "text")
FEEDBACK = "cotorra_feedback"
SHARE = "cotorra_share"
METADATA = "cotorra_reply"
_CONTEXT_CHARACTERS = 2900
_TITLE_CHARACTERS = 200
# Of the 50 blocks of a message; the text and the buttons need their share.
_SOURCE_BLOCKS = 20


@dataclass(frozen=True, kw_only=True)
class Press:
    """The value of a button: the turn, its conversation, and the rating that the button stands for."""

    turn: str
    conversation: str
    rating: Literal["up", "down", ""] = ""
    language: str = "en"


_PRESSES: TypeAdapter[Press] = TypeAdapter(Press)


def to_value(press: Press) -> str:
    """The press as a button's value (JSON, far below Slack's 2,000 characters)."""
    return _PRESSES.dump_json(press).decode()


def from_value(value: object) -> Press | None:
    """The press in a button's value; None for a value that is not ours."""
    try:
        return _PRESSES.validate_json(value) if isinstance(value, str) else None
    except ValidationError:
        return None


def metadata(turn: str) -> dict[str, Any]:
    """Metadata of a post, by which it is recognised as the reply to a turn when its id was lost in a crash."""
    return {"event_type": METADATA, "event_payload": {"turn_id": turn}}


def body(markdown: str) -> list[Block]:
    return [{"type": "markdown", "text": markdown}] if markdown else []


def footer(reply: OutgoingReply, conversation: str, richness: Richness = "native") -> list[Block]:
    """The blocks below the text of an answer: sources and feedback buttons. A notice has none."""
    if reply.kind == "notice" or richness == "text":
        return []
    make = _native if richness == "native" else _plain
    return [*sources(reply.sources, reply.language), make(reply, conversation)]


def sources(cited: Sequence[Source], language: str) -> list[Block]:
    """Numbered links, several to a context block."""
    titles = [dated(source.title[:_TITLE_CHARACTERS], source.passage, language) for source in cited]
    lines = [f"{source.number}. {link(title, source.passage.url)}" for source, title in zip(cited, titles, strict=True)]
    if not lines:
        return []
    groups = [f"*{escape(word('sources', language))}*"]
    for line in lines:
        if len(groups[-1]) + len(line) >= _CONTEXT_CHARACTERS:
            groups.append(line)
        else:
            groups[-1] += f"\n{line}"
    return [{"type": "context", "elements": [{"type": "mrkdwn", "text": text}]} for text in groups[:_SOURCE_BLOCKS]]


def share(reply: OutgoingReply, conversation: str) -> Block:
    """The button that shares an ephemeral answer with the channel."""
    press = Press(turn=reply.turn_id, conversation=conversation, language=reply.language)
    button = _button(SHARE, word("share", reply.language), to_value(press))
    return {"type": "actions", "elements": [button]}


def plain_text(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def _native(reply: OutgoingReply, conversation: str) -> Block:
    up, down = _values(reply, conversation)
    good, bad = word("good", reply.language), word("bad", reply.language)
    element = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK,
        "positive_button": {"text": plain_text("👍"), "value": up, "accessibility_label": good},
        "negative_button": {"text": plain_text("👎"), "value": down, "accessibility_label": bad},
    }
    return {"type": "context_actions", "elements": [element]}


def _plain(reply: OutgoingReply, conversation: str) -> Block:
    up, down = _values(reply, conversation)
    return {
        "type": "actions",
        "elements": [_button(f"{FEEDBACK}_up", "👍", up), _button(f"{FEEDBACK}_down", "👎", down)],
    }


def _values(reply: OutgoingReply, conversation: str) -> tuple[str, str]:
    shared = {"turn": reply.turn_id, "conversation": conversation, "language": reply.language}
    return to_value(Press(rating="up", **shared)), to_value(Press(rating="down", **shared))


def _button(action: str, label: str, value: str) -> Block:
    return {"type": "button", "action_id": action, "text": plain_text(label), "value": value}
