"""What the loopback Bot API keeps and answers: calls, messages as they stand, failures."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tests.loopback.telegram_html import Entity, MarkupError, Parsed, check, parse_html, parse_plain

TOKEN = "123456:loopback-token"
BOT = {"id": 123456, "is_bot": True, "first_name": "Cotorra", "username": "CotorraBot"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request as it came."""

    method: str
    params: Mapping[str, Any]
    at: float


@dataclass(slots=True, kw_only=True)
class Shown:
    """A message of the bot. ``states`` are all visible texts that it ever had."""

    chat: int
    id: int
    topic: int
    reply_to: int
    text: str = ""
    entities: tuple[Entity, ...] = ()
    keyboard: list[list[dict[str, str]]] = field(default_factory=list)
    forced_reply: bool = False
    states: list[str] = field(default_factory=list)
    deleted: bool = False

    def data(self) -> list[str]:
        """What the buttons send, in reading order."""
        return [button["callback_data"] for row in self.keyboard for button in row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How a call fails. ``reset`` drops the connection before the call is carried out, ``lost`` after."""

    status: int = 0
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    how: Literal["answer", "reset", "lost"] = "answer"


def bad_request(description: str = "Bad Request: something is wrong") -> Failure:
    return Failure(status=400, description=description)


BLOCKED = Failure(status=403, description="Forbidden: bot was blocked by the user")
FAULT = Failure(status=500, description="Internal Server Error")
RESET = Failure(how="reset")
LOST = Failure(how="lost")


def limited(seconds: float) -> Failure:
    return Failure(
        status=429, description=f"Too Many Requests: retry after {seconds}", parameters={"retry_after": seconds}
    )


def migrated_to(chat: int) -> Failure:
    text = "Bad Request: group chat was upgraded to a supergroup chat"
    return Failure(status=400, description=text, parameters={"migrate_to_chat_id": chat})


class RefusalError(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.description)
        self.failure = failure


RIGHTS = (
    "can_be_edited",
    "is_anonymous",
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
)


def decoded(value: str) -> Any:
    """Parameters come as form fields; objects and lists are JSON in them."""
    if value[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def parsed(params: Mapping[str, Any]) -> Parsed:
    text = params["text"] if isinstance(params["text"], str) else json.dumps(params["text"])
    try:
        found = parse_html(text) if params.get("parse_mode") == "HTML" else parse_plain(text)
    except MarkupError as error:
        raise RefusalError(bad_request(f"Bad Request: can't parse entities: {error}")) from error
    try:
        check(found)
    except MarkupError as error:
        raise RefusalError(bad_request(f"Bad Request: {error}")) from error
    return found


def as_message(shown: Shown) -> dict[str, Any]:
    kind = "private" if shown.chat > 0 else "supergroup"
    message = {"message_id": shown.id, "date": int(time.time()), "chat": {"id": shown.chat, "type": kind}, "from": BOT}
    return {**message, "text": shown.text}


def answer(failure: Failure) -> web.Response:
    body: dict[str, Any] = {"ok": False, "error_code": failure.status, "description": failure.description}
    if failure.parameters:
        body["parameters"] = dict(failure.parameters)
    return web.json_response(body, status=failure.status)


def reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
