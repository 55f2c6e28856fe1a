"""Parses Telegram's updates into events of the service. Pure functions: no network, no store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from telegram import Chat, Message, MessageEntity, Update, User
from telegram.constants import ChatMemberStatus, ChatType

from bots.messages import ChannelKind, IncomingMessage, Kind, Sender
from bots.platforms.telegram.texts import COMMANDS, REASONS, Reason, say
from bots.queue.replies import LEDGER_SECONDS

_COMMAND = re.compile(r"/(?P<name>[A-Za-z0-9_]{1,32})(?:@(?P<bot>\w+))?(?:\s+(?P<argument>.*))?\s*", re.DOTALL)
_TAP = re.compile(r"f:(?:(?P<vote>[ud])|r:(?P<reason>[wionx])):(?P<turn>[0-9a-f]{16})")


@dataclass(frozen=True, slots=True, kw_only=True)
class BotUser:
    """The bot itself."""

    id: int
    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A chat, or one of its topics (``topic`` 0: none)."""

    chat: int
    topic: int
    private: bool

    @property
    def conversation(self) -> str:
        return f"telegram:{self.chat}:{self.topic}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonTap:
    """Somebody tapped a button under an answer. ``fresh``: the answer is recent enough to be in the ledger."""

    query: str
    place: Place
    message: int
    fresh: bool
    user: int
    language: str | None
    turn_id: str
    up: bool
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The bot was added to a chat or removed from it (in a private chat: unblocked or blocked)."""

    chat: int
    allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMigration:
    """A group became a supergroup."""

    old: int
    new: int


Event = IncomingMessage | ButtonTap | Membership | GroupMigration


def read(update: Update, me: BotUser, now: datetime) -> Event | None:
    """The event in ``update``; None when it is not meant for the bot."""
    if update.message is not None:
        return _message(update.update_id, update.message, me, now)
    if update.edited_message is not None:
        return _edit(update.update_id, update.edited_message, me, now)
    if update.callback_query is not None:
        return _tap(update, now)
    if update.my_chat_member is not None:
        status = update.my_chat_member.new_chat_member.status
        removed = status in (ChatMemberStatus.BANNED, ChatMemberStatus.LEFT)
        return Membership(chat=update.my_chat_member.chat.id, allowed=not removed)
    return None


def place_of(message: Message) -> Place:
    """The place of a message. A thread id counts in topics only: elsewhere it names a chain of replies, no place."""
    topic = message.message_thread_id if message.is_topic_message else None
    return Place(chat=message.chat.id, topic=topic or 0, private=message.chat.type == ChatType.PRIVATE)


def _message(update_id: int, message: Message, me: BotUser, now: datetime) -> Event | None:
    if message.migrate_to_chat_id:
        return GroupMigration(old=message.chat.id, new=message.migrate_to_chat_id)
    if message.migrate_from_chat_id:
        return GroupMigration(old=message.migrate_from_chat_id, new=message.chat.id)
    identity = f"telegram:{message.chat.id}:{message.message_id}"
    seen: tuple[str, ...] = (f"telegram:update:{update_id}", identity)
    if message.media_group_id:  # an album comes as one message a picture; the first, with the caption, stands for it
        seen += (f"telegram:album:{message.chat.id}:{message.media_group_id}",)
    return _read(message, me, now, identity=identity, seen=seen)


def _edit(update_id: int, message: Message, me: BotUser, now: datetime) -> IncomingMessage | None:
    """An edit of a text; other edits (a live location, a command) are ignored."""
    if message.edit_date is None or not (message.text or message.caption):
        return None
    original = f"telegram:{message.chat.id}:{message.message_id}"
    identity = f"{original}:edit:{int(message.edit_date.timestamp())}"
    seen = (f"telegram:update:{update_id}", identity)
    edit = _read(message, me, now, identity=identity, seen=seen, original=original)
    return None if edit is None or edit.command else edit


def _read(
    message: Message, me: BotUser, now: datetime, *, identity: str, seen: tuple[str, ...], original: str = ""
) -> IncomingMessage | None:
    sender = _sender(message)
    if sender is None or message.chat.type not in (ChatType.PRIVATE, ChatType.GROUP, ChatType.SUPERGROUP):
        return None
    language = _language(message.from_user)
    words = _words(message, me)
    attachments = _attachments(message, language)
    if words is None or not (words.text or words.command or attachments):
        return None
    place = place_of(message)
    return IncomingMessage(
        id=identity,
        seen=seen,
        platform="telegram",
        conversation=place.conversation,
        kind=_kind(words, original),
        text=words.text,
        sender=sender,
        channel=_channel(message.chat),
        received_at=now,
        address=_address(place, message, me),
        language=language,
        command=words.command,
        original=original,
        attachments=attachments,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """The words to the bot: a command with its argument, or a text."""

    text: str
    command: str = ""


def _kind(words: _Words, original: str) -> Kind:
    if original:
        return "edit"
    return "command" if words.command else "question"


def _words(message: Message, me: BotUser) -> _Words | None:
    """The words to the bot, or None when the message is not meant for it, as most messages in a group are not."""
    private = message.chat.type == ChatType.PRIVATE
    text = clean(message.text or message.caption or "").strip()
    if (match := _COMMAND.fullmatch(text)) is not None:
        return _command(match, me, private=private)
    stripped, mentioned = _without_mention(message, text, me)
    if not private and not mentioned and not _replies_to_bot(message, me):
        return None
    if mentioned and not stripped and not message.effective_attachment:
        return _Words(text="", command="help")
    return _Words(text=stripped)


def _command(match: re.Match[str], me: BotUser, *, private: bool) -> _Words | None:
    name, bot, argument = match["name"].lower(), match["bot"], match["argument"] or ""
    if bot and bot.lower() != me.username.lower():
        return None
    if name in COMMANDS:
        return _Words(text=argument.strip(), command=name)
    if not private and not bot:  # in a group it may be another bot's
        return None
    # "/etc/hosts, where is it described?" begins like a command too; a lone word is one.
    return _Words(text=match.string.strip()) if argument else _Words(text="", command=name)


def _without_mention(message: Message, text: str, me: BotUser) -> tuple[str, bool]:
    name = f"@{me.username}".lower()
    parsed = message.parse_entities() if message.text else message.parse_caption_entities()
    for entity, part in parsed.items():
        if _is_me(entity, part, name, me):
            return re.sub(re.escape(clean(part)) + r"\s?", "", text, count=1).strip(" ,:\n"), True
    return text, False


def _is_me(entity: MessageEntity, part: str, name: str, me: BotUser) -> bool:
    if entity.type == MessageEntity.MENTION:
        return part.lower() == name
    return entity.type == MessageEntity.TEXT_MENTION and entity.user is not None and entity.user.id == me.id


def _replies_to_bot(message: Message, me: BotUser) -> bool:
    """Whether it replies to the bot. In a topic every message "replies" to the service message that opened the topic."""
    target = message.reply_to_message
    if target is None or target.forum_topic_created is not None or target.from_user is None:
        return False
    return target.from_user.id == me.id


def _sender(message: Message) -> Sender | None:
    """None for bots, messages sent through them, and channel posts. Somebody who writes as a chat has the chat's id."""
    if message.via_bot is not None or message.is_automatic_forward:
        return None
    if message.sender_chat is not None:
        anonymous_admin = message.sender_chat.id == message.chat.id
        return Sender(
            id=str(message.sender_chat.id), name=clean(message.sender_chat.title or ""), admin=anonymous_admin
        )
    if message.from_user is None or message.from_user.is_bot:
        return None
    return Sender(id=str(message.from_user.id), name=clean(message.from_user.full_name))


def _channel(chat: Chat) -> ChannelKind:
    if chat.type == ChatType.PRIVATE:
        return "direct"
    return "public" if chat.username else "private"


def _address(place: Place, message: Message, me: BotUser) -> dict[str, str]:
    address = {"chat": str(place.chat), "topic": str(place.topic), "message": str(message.message_id)}
    if message.reply_to_message is not None and _replies_to_bot(message, me):
        address["reply_to"] = str(message.reply_to_message.message_id)
    if message.chat.username:  # of a person in a private chat, of the group in a public one
        address["username"] = message.chat.username
    return address


def _language(user: User | None) -> str | None:
    """The primary part of Telegram's language tag ("es" of "es-419")."""
    return (clean(user.language_code or "").partition("-")[0].lower() or None) if user is not None else None


def _attachments(message: Message, language: str | None) -> tuple[str, ...]:
    named = message.document or message.audio or message.video or message.animation
    if named is not None and named.file_name:
        return (clean(named.file_name),)
    kinds = (
        ("photo", bool(message.photo)),
        ("animation", message.animation is not None),
        ("document", message.document is not None),
        ("video", message.video is not None or message.video_note is not None),
        ("audio", message.audio is not None),
        ("voice", message.voice is not None),
        ("sticker", message.sticker is not None),
        ("location", message.location is not None),
        ("contact", message.contact is not None),
        ("poll", message.poll is not None),
    )
    return next(((say(language, kind),) for kind, there in kinds if there), ())


def _tap(update: Update, now: datetime) -> ButtonTap | None:
    query = update.callback_query
    if query is None or query.message is None:
        return None
    match = _TAP.fullmatch(query.data or "")
    if match is None:
        return None
    message = query.message
    # Of a message that it no longer stores, Telegram sends chat and id only, with the date 0: no topic, and not fresh.
    full_message = message if isinstance(message, Message) else None
    private = message.chat.type == ChatType.PRIVATE
    return ButtonTap(
        query=query.id,
        place=place_of(full_message) if full_message else Place(chat=message.chat.id, topic=0, private=private),
        message=message.message_id,
        fresh=message.date > now - timedelta(seconds=LEDGER_SECONDS),
        user=query.from_user.id,
        language=_language(query.from_user),
        turn_id=match["turn"],
        up=match["vote"] == "u",
        reason=REASONS[match["reason"]] if match["reason"] else None,
    )


def clean(text: str) -> str:
    """Text that every store takes: no lone surrogates, which are no UTF-8, and no NUL, which PostgreSQL refuses."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")
