"""The names of all Redis keys. Keys of one conversation share a hash tag, so that one script can use several of them."""

from __future__ import annotations

import hashlib


class Keys:
    """Names of keys below a prefix; deployments that share a Redis server need different prefixes."""

    __slots__ = ("prefix",)

    def __init__(self, prefix: str = "cotorra") -> None:
        self.prefix = prefix

    def conversation(self, conversation: str, part: str) -> str:
        return f"{self.prefix}:{{{conversation}}}:{part}"

    def queue(self, conversation: str) -> str:
        return self.conversation(conversation, "queue")

    def messages(self, conversation: str) -> str:
        """The hash of queued messages by turn id; the queue holds only the ids."""
        return self.conversation(conversation, "messages")

    def tries(self, conversation: str) -> str:
        """The hash of tries by turn id; a try counts from its beginning, so that a crash counts too."""
        return self.conversation(conversation, "tries")

    def mark(self, conversation: str) -> str:
        """The id of the one entry that the conversation has in the ready stream."""
        return self.conversation(conversation, "mark")

    def lease(self, conversation: str) -> str:
        return self.conversation(conversation, "lease")

    def reply(self, conversation: str, turn_id: str) -> str:
        return self.conversation(conversation, f"reply:{turn_id}")

    def replies(self, conversation: str) -> str:
        """The set of turns that have a reply record, so that deletion finds the records."""
        return self.conversation(conversation, "replies")

    def memory(self, conversation: str) -> str:
        """The hash of recent exchanges; those to fold and the summary stand below it as ``:to-fold`` and ``:summary``."""
        return self.conversation(conversation, "memory")

    def notes(self, speaker: str) -> str:
        """The notes that a person asked the bot to remember, in all conversations. Hashed, because the key names a person."""
        return self.of("notes", hashlib.sha256(speaker.encode()).hexdigest()[:32])

    def notes_of(self, conversation: str) -> str:
        """The hash of turn ids to the people whose notes come from a conversation."""
        return self.conversation(conversation, "notes")

    def handovers(self, conversation: str) -> str:
        """The hash of handovers by turn, and which one is the latest."""
        return self.conversation(conversation, "handovers")

    def seen_of(self, conversation: str) -> str:
        """The sorted set of the conversation's seen keys by time, so that deletion finds them."""
        return self.conversation(conversation, "seen")

    def wishes(self, conversation: str) -> str:
        """The hash of deletion requests: time by speaker. Hashed, because the key outlives the conversation for a day."""
        return self.of("wishes", hashlib.sha256(conversation.encode()).hexdigest()[:32])

    def seen(self, key: str) -> str:
        """The mark of an accepted message. Hashed, because a seen key names people and messages and outlives the conversation."""
        return f"{self.prefix}:seen:{hashlib.sha256(key.encode()).hexdigest()[:32]}"

    @property
    def ready(self) -> str:
        """The stream of conversations with work."""
        return f"{self.prefix}:ready"

    @property
    def waiting(self) -> str:
        """The sorted set of queued turn ids by the time of their acceptance, over all conversations."""
        return f"{self.prefix}:waiting"

    @property
    def arrivals(self) -> str:
        """The pub/sub channel of conversations that got a message while others were waiting in them."""
        return f"{self.prefix}:arrivals"

    @property
    def outbox(self) -> str:
        """The stream of turns and feedback on their way into the log."""
        return f"{self.prefix}:outbox"

    @property
    def aside(self) -> str:
        """The hash of messages set aside after repeated failure, by turn id."""
        return f"{self.prefix}:aside"

    def of(self, *parts: str) -> str:
        return ":".join((self.prefix, *parts))
