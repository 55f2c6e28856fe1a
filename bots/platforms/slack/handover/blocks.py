"""Block Kit of the handover post: who wants a person, what was said before, and the button that resumes the bot.

Limits (docs.slack.dev, 2026): 3,000 characters a section, 2,000 a button's value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bots.conversation.handover.case import Case, ShownExchange
from bots.conversation.handover.state import Handover, Whereabouts
from bots.platforms.slack.replying.blocks import Block, plain_text
from bots.platforms.slack.replying.formatting import escape, link
from bots.platforms.slack.words import Word, word

RESUME = "cotorra_handover_resume"
RELAY = "cotorra_handover_relay"
"""Reserved for a button that will send a person's answer into the conversation."""

_SECTION_CHARACTERS = 2900


@dataclass(frozen=True, kw_only=True)
class ResumeButton:
    """The value of the button, as JSON."""

    conversation: str
    turn: str


_BUTTON: TypeAdapter[ResumeButton] = TypeAdapter(ResumeButton)


def read_button(body: Mapping[str, Any]) -> ResumeButton | None:
    """The button that a ``block_actions`` payload reports, or None for a button that is not ours."""
    actions = body.get("actions")
    first = actions[0] if isinstance(actions, list) and actions and isinstance(actions[0], dict) else {}
    try:
        return _BUTTON.validate_json(str(first.get("value") or ""))
    except ValidationError:
        return None


def case_blocks(case: Case) -> list[Block]:
    """The post that asks people to take the conversation over."""
    language = case.handover.asked.language
    parts = [_section(headline(case.handover))]
    if case.question:
        parts.append(_section(f"*{word('question', language)}*\n{escape(case.question)}"))
    if case.summary:
        parts.append(_section(f"*{word('summary', language)}*\n{escape(case.summary)}"))
    if case.exchanges:
        parts.append(_section(f"*{word('last', language)}*"))
        parts += [_section(_exchange(exchange, language)) for exchange in case.exchanges]
    return [*parts, *_resume_blocks(case.handover)]


def stub_blocks(handover: Handover) -> list[Block]:
    """The post after its details were removed: who asked, where, and how the handover ended."""
    language = handover.asked.language
    if handover.stage == "open":
        return [_section(headline(handover)), _note(word("text_deleted", language)), *_resume_blocks(handover)]
    return [_section(headline(handover)), _note(_ending(handover))]


def _ending(handover: Handover) -> str:
    key: Word = handover.ended or "nobody_came"
    sentence = word(key, handover.asked.language)
    return f"{sentence} <@{handover.by}>" if handover.ended == "resumed" and handover.by.isalnum() else sentence


def _resume_blocks(handover: Handover) -> list[Block]:
    language = handover.asked.language
    value = _BUTTON.dump_json(ResumeButton(conversation=handover.conversation, turn=handover.turn_id)).decode()
    button = {"type": "button", "action_id": RESUME, "text": plain_text(word("resume", language)), "value": value}
    seconds, written = int(handover.until.timestamp()), handover.until.strftime("%Y-%m-%d %H:%M UTC")
    # Slack shows the date in each reader's own time zone; the text after the bar is for clients that cannot.
    date = f"<!date^{seconds}^{{date_short_pretty}} {{time}}|{written}>"
    return [{"type": "actions", "elements": [button]}, _note(f"{word('silent_until', language)} {date}.")]


def headline(handover: Handover) -> str:
    """Who wants a person, and where. A notification shows this line only."""
    language, where = handover.asked.language, handover.where
    open_link = f" ({link(word('open', language), where.url)})" if where.url else ""
    return f"{_who(handover)} {word('wants_person', language)}: {_place(handover)}{open_link}"


def _who(handover: Handover) -> str:
    sender = handover.asked.sender
    if handover.asked.platform == "slack" and sender.id.isalnum():
        return f"<@{sender.id}>"
    return " ".join(filter(None, (f"*{escape(sender.name) or '?'}*", escape(_bracketed(handover.where)))))


def _bracketed(where: Whereabouts) -> str:
    return f"({where.person})" if where.person else ""


def _place(handover: Handover) -> str:
    asked = handover.asked
    platform = asked.platform.capitalize()
    channel = asked.address.get("channel", "")
    if asked.platform == "slack" and asked.channel not in ("direct", "ephemeral") and channel.isalnum():
        return f"{platform}, <#{channel}>"
    private = asked.channel in ("direct", "ephemeral")
    return f"{platform}, {word('in_private', asked.language)}" if private else platform


def _exchange(exchange: ShownExchange, language: str | None) -> str:
    who = f"*{escape(exchange.who)}:* " if exchange.who else "• "
    answer = word("withheld", language) if exchange.answer is None else escape(exchange.answer)
    return f"{who}{escape(exchange.question)}\n> {answer}"


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:_SECTION_CHARACTERS]}}


def _note(text: str) -> Block:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text[:_SECTION_CHARACTERS]}]}
