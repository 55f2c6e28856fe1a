"""From Slack's payloads to what was said: pure functions that shrug at whatever has another shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bots.messages import Kind

Payload = Mapping[str, Any]
Command = Literal["new", "forget", "help", "sources", "person"]

_SPOKEN = (None, "file_share", "thread_broadcast")
"""Subtypes that are a person's words; every other one is a join, a topic, a bot, a reminder."""

_WORDS: dict[str, Command] = {
    "new": "new", "nuevo": "new", "nueva": "new", "forget": "forget", "olvida": "forget", "olvidar": "forget",
    "help": "help", "ayuda": "help", "sources": "sources", "fuentes": "sources", "person": "person", "persona": "person",
}  # fmt: skip

_MENTION = re.compile(r"<@([UWB][A-Z0-9]+)(?:\|[^>]*)?>")
_MARKUP = re.compile(r"<(?P<sign>[#!]?)(?P<target>[^|>]*)(?:\|(?P<label>[^>]*))?>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Something a person wrote, edited or deleted where the bot can see it.

    ``mentioned``: the bot is named. ``others``: somebody else is. ``direct``: a direct message to the bot.
    ``changed_at`` tells one edit of a message from the next.
    """

    kind: Kind
    team: str
    channel: str
    ts: str
    thread: str
    user: str
    user_team: str
    text: str
    mentioned: bool
    others: bool
    direct: bool
    event: str
    attachments: tuple[str, ...] = ()
    changed_at: str = ""

    @property
    def message_id(self) -> str:
        """The identity of the message in Slack, whatever happened to it."""
        return f"slack:{self.team}:{self.channel}:{self.ts}"

    @property
    def root(self) -> str:
        return self.thread or self.ts


def heard(body: Payload, bot: str) -> Heard | None:
    """What an Events API payload says, or None when no person said anything to be heard."""
    event = _table(body.get("event"))
    if event.get("type") not in ("message", "app_mention"):
        return None
    match event.get("subtype"):
        case "message_changed":
            return _edited(body, event, bot)
        case "message_deleted":
            return _deleted(body, event, bot)
        case subtype if subtype in _SPOKEN:
            return _said(body, event, event, bot, "question")
    return None


def command(text: str) -> tuple[Command, str] | None:
    """The command that a text consists of, with its argument (``forget all``), or None."""
    words = text.strip().removeprefix("/").split()
    if not words or len(words) > 2 or words[0].lower() not in _WORDS:
        return None
    name = _WORDS[words[0].lower()]
    if len(words) == 2 and not (name == "forget" and words[1].lower() in ("all", "todo", "todos")):
        return None
    return name, " ".join(words[1:])


def _edited(body: Payload, event: Payload, bot: str) -> Heard | None:
    """An edit by a person; Slack also sends one for every link that it unfurls, with the same text."""
    message, before = _table(event.get("message")), _table(event.get("previous_message"))
    if message.get("subtype") == "tombstone":  # a message under which replies stand: it was deleted, they remain
        return _deleted(body, event, bot)
    if message.get("text") == before.get("text") or message.get("subtype") not in _SPOKEN:
        return None
    return _said(body, event, message, bot, "edit", changed_at=_text(_table(message.get("edited")).get("ts")))


def _deleted(body: Payload, event: Payload, bot: str) -> Heard | None:
    before = {**_table(event.get("previous_message"))}
    before["ts"] = event.get("deleted_ts") or before.get("ts")
    return _said(body, event, before, bot, "deletion")


def _said(body: Payload, event: Payload, message: Payload, bot: str, kind: Kind, changed_at: str = "") -> Heard | None:
    user, channel, ts = (_text(value) for value in (message.get("user"), event.get("channel"), message.get("ts")))
    if not (user and channel and ts) or message.get("bot_id") or user in (bot, "USLACKBOT"):
        return None
    raw = _text(message.get("text"))
    mentioned = {found.group(1) for found in _MENTION.finditer(raw)}
    team = team_of(body)
    thread = _text(message.get("thread_ts"))
    return Heard(
        kind=kind,
        team=team,
        channel=channel,
        ts=ts,
        thread="" if thread == ts else thread,
        user=user,
        user_team=_text(message.get("user_team") or message.get("team")) or team,
        text=readable(raw, bot),
        mentioned=event.get("type") == "app_mention" or bot in mentioned,
        others=bool(mentioned - {bot}),
        direct=event.get("channel_type") == "im" or channel.startswith("D"),
        event=_text(body.get("event_id")),
        attachments=tuple(_names(message.get("files"))),
        changed_at=changed_at or _text(event.get("event_ts")),
    )


def team_of(body: Payload) -> str:
    """The workspace that the app is installed in; in a Slack Connect channel the sender's may be another."""
    authorizations = body.get("authorizations")
    first = _table(authorizations[0]) if isinstance(authorizations, list) and authorizations else {}
    team = body.get("team")
    own = team.get("id") if isinstance(team, dict) else None
    return _text(first.get("team_id") or body.get("team_id") or own)


def readable(text: str, bot: str = "") -> str:
    """Slack's markup as a person reads it, without the bot's own mention."""
    words = _MENTION.sub(lambda found: "" if found.group(1) == bot else f"@{found.group(1)}", text)
    words = _MARKUP.sub(_plain, words)
    return words.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()


def _plain(found: re.Match[str]) -> str:
    sign, target, label = found.group("sign"), found.group("target"), found.group("label")
    if sign == "#":
        return f"#{label or target}"
    if sign == "!":
        return label or f"@{target.split('^')[0]}"
    return target if not label or label in target else f"{label} ({target})"


def _names(files: Any) -> list[str]:
    found = [_table(file) for file in files] if isinstance(files, list) else []
    return [_text(file.get("name") or file.get("title")) or "?" for file in found]


def _table(value: Any) -> Payload:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def well_formed(body: Any) -> bool:
    """Whether a payload is of a kind that we listen to, with the outline that bolt (1.30) relies on."""
    payload, event, view = _table(body), _table(_table(body).get("event")), _table(_table(body).get("view"))
    match payload.get("type"):
        case "event_callback":
            needed = (event.get("type"), event.get("subtype", ""))
        case "block_actions":
            return _are_actions(payload.get("actions"))
        case "view_submission":
            needed = (view.get("callback_id"), "")
        case "url_verification":
            needed = (payload.get("challenge"), "")
        case kind:
            needed = (payload.get("command"), "" if kind is None else None)
    return all(isinstance(value, str) for value in needed)


def _are_actions(actions: Any) -> bool:
    return isinstance(actions, list) and bool(actions) and all(_is_action(action) for action in actions)


def _is_action(action: Any) -> bool:
    return isinstance(action, dict) and all(
        isinstance(action.get(key), str) for key in ("action_id", "block_id", "type")
    )
