"""Presses of 👍 and 👎: the rating is stored at once; after 👎 a modal asks for a reason and a better answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from bots.platforms.slack.replying.blocks import Block, Press, from_value, plain_text, to_value
from bots.platforms.slack.words import Reason, word
from bots.queue.outbox import FeedbackEntry
from tuning.conversations.records import LoggedFeedback

REASONS = "cotorra_reasons"
"""The modal's ``callback_id``."""

_REASON, _BETTER, _INPUT = "reason", "better_answer", "value"
_BETTER_CHARACTERS = 3000

Store = Callable[[FeedbackEntry], Awaitable[None]]


def read_press(body: Mapping[str, Any]) -> Press | None:
    """The press in a ``block_actions`` payload, or None when the button is not ours."""
    actions = body.get("actions")
    first = actions[0] if isinstance(actions, list) and actions else None
    return from_value(first.get("value")) if isinstance(first, dict) else None


def user_of(body: Mapping[str, Any]) -> str:
    user = body.get("user")
    return str(user.get("id") or "") if isinstance(user, dict) else ""


async def store_press(body: Mapping[str, Any], store: Store) -> Press | None:
    """Stores the rating. None when nothing was rated. Raises ``StoreUnavailable``."""
    press, user = read_press(body), user_of(body)
    if press is None or not press.rating or not user:
        return None
    await store(_entry(press, user))
    return press


async def store_reason(body: Mapping[str, Any], store: Store) -> None:
    """Stores what a submitted modal says. Raises ``StoreUnavailable``."""
    view = body.get("view")
    view = view if isinstance(view, dict) else {}
    press, user = from_value(view.get("private_metadata")), user_of(body)
    if press is not None and user:
        reason, better = _modal_value(view, _REASON), _modal_value(view, _BETTER)
        await store(_entry(press, user, reason=reason, better_answer=better))


def modal(press: Press) -> Block:
    """The view that asks for a reason and a better answer."""
    language = press.language
    options = [{"text": plain_text(word(reason, language)), "value": reason} for reason in get_args(Reason)]
    select = {"type": "static_select", "action_id": _INPUT, "options": options}
    text = {"type": "plain_text_input", "action_id": _INPUT, "multiline": True, "max_length": _BETTER_CHARACTERS}
    return {
        "type": "modal",
        "callback_id": REASONS,
        # A view_submission does not say which message opened the modal: the press travels with the view.
        "private_metadata": to_value(press),
        "title": plain_text(word("title", language)),
        "submit": plain_text(word("submit", language)),
        "close": plain_text(word("cancel", language)),
        "blocks": [
            _input(_REASON, word("reason", language), select),
            _input(_BETTER, word("better", language), text),
        ],
    }


def _input(block: str, label: str, element: Block) -> Block:
    return {"type": "input", "block_id": block, "optional": True, "label": plain_text(label), "element": element}


def _entry(press: Press, user: str, *, reason: str = "", better_answer: str = "") -> FeedbackEntry:
    return FeedbackEntry(
        feedback=LoggedFeedback(
            turn_id=press.turn,
            speaker=user,
            rating=press.rating or "down",
            given_at=datetime.now(UTC),
            reason=reason,
            better_answer=better_answer,
        )
    )


def _modal_value(view: Mapping[str, Any], block: str) -> str:
    """The value of an input of a modal; empty where a part of the path to it is missing."""
    node: Any = view
    for step in ("state", "values", block, _INPUT):
        node = node.get(step) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        return ""
    chosen = node.get("selected_option")
    value = chosen.get("value") if isinstance(chosen, dict) else node.get("value")
    return value if isinstance(value, str) else ""
