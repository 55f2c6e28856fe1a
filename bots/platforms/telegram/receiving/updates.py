"""From Telegram's updates to what the service understands. Pure: no network, no store."""

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
class Me:
    """The bot itself."""

    id: int
    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A chat or a topic of it (0: none)."""

    chat: int
    topic: int
    private: bool

    @property
    def conversation(self) -> str:
        return f"telegram:{self.chat}:{self.topic}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tapped:
    """Somebody tapped a button under an answer. ``fresh`` is false for an answer that the ledger may no longer know."""

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
    """The bot was let in or shown the door (in a private chat: unblocked or blocked)."""

    chat: int
    welcome: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """A group became a supergroup."""

    old: int
    new: int


Event = IncomingMessage | Tapped | Membership | Migrated


def read(update: Update, me: Me, now: datetime) -> Event | None:
    """What ``update`` means for the bot; None for what is not addressed to it."""
    if update.message is not None:
        return _message(update.update_id, update.message, me, now)
    if update.edited_message is not None:
        return _edit(update.update_id, update.edited_message, me, now)
    if update.callback_query is not None:
        return _tap(update, now)
    if update.my_chat_member is not None:
        status = update.my_chat_member.new_chat_member.status
        gone = status in (ChatMemberStatus.BANNED, ChatMemberStatus.LEFT)
        return Membership(chat=update.my_chat_member.chat.id, welcome=not gone)
    return None


def place_of(message: Message) -> Place:
    """A thread id counts in topics only: in other groups it names a thread of replies, where nothing can be sent to."""
    topic = message.message_thread_id if message.is_topic_message else None
    return Place(chat=message.chat.id, topic=topic or 0, private=message.chat.type == ChatType.PRIVATE)


def _message(update_id: int, message: Message, me: Me, now: datetime) -> Event | None:
    if message.migrate_to_chat_id:
        return Migrated(old=message.chat.id, new=message.migrate_to_chat_id)
    if message.migrate_from_chat_id:
        return Migrated(old=message.migrate_from_chat_id, new=message.chat.id)
    identity = f"telegram:{message.chat.id}:{message.message_id}"
    seen: tuple[str, ...] = (f"telegram:update:{update_id}", identity)
    if message.media_group_id:  # an album comes as one message a picture; the first, with the caption, stands for it
        seen += (f"telegram:album:{message.chat.id}:{message.media_group_id}",)
    return _read(message, me, now, identity=identity, seen=seen)


def _edit(update_id: int, message: Message, me: Me, now: datetime) -> IncomingMessage | None:
    """An edit of a text; other edits (a location that moves, a command) are answered once and for all."""
    if message.edit_date is None or not (message.text or message.caption):
        return None
    original = f"telegram:{message.chat.id}:{message.message_id}"
    identity = f"{original}:edit:{int(message.edit_date.timestamp())}"
    seen = (f"telegram:update:{update_id}", identity)
    edit = _read(message, me, now, identity=identity, seen=seen, original=original)
    return None if edit is None or edit.command else edit


def _read(
    message: Message, me: Me, now: datetime, *, identity: str, seen: tuple[str, ...], original: str = ""
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
    """What was said to the bot: a command with its argument, or a text."""

    text: str
    command: str = ""


def _kind(words: _Words, original: str) -> Kind:
    if original:
        return "edit"
    return "command" if words.command else "question"


def _words(message: Message, me: Me) -> _Words | None:
    """None when the message is not for the bot: a group talks mostly to itself."""
    private = message.chat.type == ChatType.PRIVATE
    text = clean(message.text or message.caption or "").strip()
    if (found := _COMMAND.fullmatch(text)) is not None:
        return _command(found, me, private=private)
    stripped, mentioned = _without_mention(message, text, me)
    if not private and not mentioned and not _answers(message, me):
        return None
    if mentioned and not stripped and not message.effective_attachment:
        return _Words(text="", command="help")
    return _Words(text=stripped)


def _command(found: re.Match[str], me: Me, *, private: bool) -> _Words | None:
    name, bot, argument = found["name"].lower(), found["bot"], found["argument"] or ""
    if bot and bot.lower() != me.username.lower():
        return None
    if name in COMMANDS:
        return _Words(text=argument.strip(), command=name)
    if not private and not bot:  # in a group it may be another bot's
        return None
    # "/etc/hosts, where is it described?" begins like a command too; a lone word is one.
    return _Words(text=found.string.strip()) if argument else _Words(text="", command=name)


def _without_mention(message: Message, text: str, me: Me) -> tuple[str, bool]:
    name = f"@{me.username}".lower()
    parsed = message.parse_entities() if message.text else message.parse_caption_entities()
    for entity, part in parsed.items():
        if _is_me(entity, part, name, me):
            return re.sub(re.escape(clean(part)) + r"\s?", "", text, count=1).strip(" ,:\n"), True
    return text, False


def _is_me(entity: MessageEntity, part: str, name: str, me: Me) -> bool:
    if entity.type == MessageEntity.MENTION:
        return part.lower() == name
    return entity.type == MessageEntity.TEXT_MENTION and entity.user is not None and entity.user.id == me.id


def _answers(message: Message, me: Me) -> bool:
    """Whether it replies to the bot. In a topic every message "replies" to the service message that opened the topic."""
    replied = message.reply_to_message
    if replied is None or replied.forum_topic_created is not None or replied.from_user is None:
        return False
    return replied.from_user.id == me.id


def _sender(message: Message) -> Sender | None:
    """None for bots, what was sent through them, and channel posts. Who speaks for a chat is known by the chat's id."""
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


def _address(place: Place, message: Message, me: Me) -> dict[str, str]:
    address = {"chat": str(place.chat), "topic": str(place.topic), "message": str(message.message_id)}
    if message.reply_to_message is not None and _answers(message, me):
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
    found = (
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
    return next(((say(language, kind),) for kind, there in found if there), ())


def _tap(update: Update, now: datetime) -> Tapped | None:
    query = update.callback_query
    if query is None or query.message is None:
        return None
    found = _TAP.fullmatch(query.data or "")
    if found is None:
        return None
    message = query.message
    whole = message if isinstance(message, Message) else None
    private = message.chat.type == ChatType.PRIVATE
    return Tapped(
        query=query.id,
        place=place_of(whole) if whole else Place(chat=message.chat.id, topic=0, private=private),
        message=message.message_id,
        fresh=message.date > now - timedelta(seconds=LEDGER_SECONDS),
        user=query.from_user.id,
        language=_language(query.from_user),
        turn_id=found["turn"],
        up=found["vote"] == "u",
        reason=REASONS[found["reason"]] if found["reason"] else None,
    )


def clean(text: str) -> str:
    """Text that every store takes: no lone surrogates, which are no UTF-8, and no NUL, which PostgreSQL refuses."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")
