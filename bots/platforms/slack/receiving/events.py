"""Parses Slack's payloads into utterances. Pure functions: no network, no store; None for payloads of another shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bots.messages import Kind

Payload = Mapping[str, Any]
Command = Literal["new", "forget", "help", "sources", "person"]

_PERSON_SUBTYPES = (None, "file_share", "thread_broadcast")
"""Subtypes of messages that a person wrote; the others are joins, topics, bots, reminders."""

_WORDS: dict[str, Command] = {
    "new": "new", "nuevo": "new", "nueva": "new", "forget": "forget", "olvida": "forget", "olvidar": "forget",
    "help": "help", "ayuda": "help", "sources": "sources", "fuentes": "sources", "person": "person", "persona": "person",
}  # fmt: skip

_MENTION = re.compile(r"<@([UWB][A-Z0-9]+)(?:\|[^>]*)?>")
_MARKUP = re.compile(r"<(?P<sign>[#!]?)(?P<target>[^|>]*)(?:\|(?P<label>[^>]*))?>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """A message that a person wrote, edited or deleted in a place that the bot can read.

    ``mentioned``: the text names the bot. ``others``: it names somebody else. ``direct``: a direct message to the bot.
    ``changed_at`` differs from one edit of a message to the next.
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
        """The identity of the message in Slack; edits and a deletion do not change it."""
        return f"slack:{self.team}:{self.channel}:{self.ts}"

    @property
    def root(self) -> str:
        return self.thread or self.ts


def parse_event(body: Payload, bot: str) -> Utterance | None:
    """The utterance in an Events API payload, or None when it holds no message of a person."""
    event = _table(body.get("event"))
    if event.get("type") not in ("message", "app_mention"):
        return None
    match event.get("subtype"):
        case "message_changed":
            return _edit_utterance(body, event, bot)
        case "message_deleted":
            return _deletion_utterance(body, event, bot)
        case subtype if subtype in _PERSON_SUBTYPES:
            return _utterance(body, event, event, bot, "question")
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


def _edit_utterance(body: Payload, event: Payload, bot: str) -> Utterance | None:
    """An edit by a person. Slack sends the same event, with unchanged text, for every link that it unfurls."""
    message, before = _table(event.get("message")), _table(event.get("previous_message"))
    if message.get("subtype") == "tombstone":  # a message under which replies stand: it was deleted, they remain
        return _deletion_utterance(body, event, bot)
    if message.get("text") == before.get("text") or message.get("subtype") not in _PERSON_SUBTYPES:
        return None
    return _utterance(body, event, message, bot, "edit", changed_at=_text(_table(message.get("edited")).get("ts")))


def _deletion_utterance(body: Payload, event: Payload, bot: str) -> Utterance | None:
    before = {**_table(event.get("previous_message"))}
    before["ts"] = event.get("deleted_ts") or before.get("ts")
    return _utterance(body, event, before, bot, "deletion")


def _utterance(
    body: Payload, event: Payload, message: Payload, bot: str, kind: Kind, changed_at: str = ""
) -> Utterance | None:
    user, channel, ts = (_text(value) for value in (message.get("user"), event.get("channel"), message.get("ts")))
    # A bot that answered bots, or Slack's own notices, could talk to itself for ever.
    if not (user and channel and ts) or message.get("bot_id") or user in (bot, "USLACKBOT"):
        return None
    raw = _text(message.get("text"))
    mentioned = {match.group(1) for match in _MENTION.finditer(raw)}
    team = team_of(body)
    thread = _text(message.get("thread_ts"))
    return Utterance(
        kind=kind,
        team=team,
        channel=channel,
        ts=ts,
        thread="" if thread == ts else thread,
        user=user,
        user_team=_text(message.get("user_team") or message.get("team")) or team,
        text=visible_text(raw, bot),
        mentioned=event.get("type") == "app_mention" or bot in mentioned,
        others=bool(mentioned - {bot}),
        # An app_mention carries no channel_type; ids of direct channels begin with D.
        direct=event.get("channel_type") == "im" or channel.startswith("D"),
        event=_text(body.get("event_id")),
        attachments=tuple(_names(message.get("files"))),
        changed_at=changed_at or _text(event.get("event_ts")),
    )


def team_of(body: Payload) -> str:
    """The workspace in which the app is installed; in a Slack Connect channel the sender's may be another one."""
    authorizations = body.get("authorizations")
    first = _table(authorizations[0]) if isinstance(authorizations, list) and authorizations else {}
    team = body.get("team")
    own = team.get("id") if isinstance(team, dict) else None
    return _text(first.get("team_id") or body.get("team_id") or own)


def visible_text(text: str, bot: str = "") -> str:
    """The text as a person sees it: Slack's markup resolved, the bot's own mention removed."""
    words = _MENTION.sub(lambda match: "" if match.group(1) == bot else f"@{match.group(1)}", text)
    words = _MARKUP.sub(_plain, words)
    # The ampersand last: "&amp;lt;" is what a person sees as "&lt;".
    return words.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()


def _plain(match: re.Match[str]) -> str:
    sign, target, label = match.group("sign"), match.group("target"), match.group("label")
    if sign == "#":
        return f"#{label or target}"
    if sign == "!":
        return label or f"@{target.split('^')[0]}"
    return target if not label or label in target else f"{label} ({target})"


def _names(files: Any) -> list[str]:
    tables = [_table(file) for file in files] if isinstance(files, list) else []
    return [_text(file.get("name") or file.get("title")) or "?" for file in tables]


def _table(value: Any) -> Payload:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def well_formed(body: Any) -> bool:
    """Whether a payload is of a kind that we handle and has the fields that bolt (1.30) reads without a check."""
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
