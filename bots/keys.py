"""Every Redis key in one place. Keys of one conversation share a hash tag."""

from __future__ import annotations

import hashlib


class Keys:
    """Names of keys below a prefix (one deployment, one prefix)."""

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
        """The hash of begun tries by turn id."""
        return self.conversation(conversation, "tries")

    def mark(self, conversation: str) -> str:
        """The id of the one entry that the conversation has in the ready stream."""
        return self.conversation(conversation, "mark")

    def lease(self, conversation: str) -> str:
        return self.conversation(conversation, "lease")

    def reply(self, conversation: str, turn_id: str) -> str:
        return self.conversation(conversation, f"reply:{turn_id}")

    def replies(self, conversation: str) -> str:
        """The set of turns whose replies are known, so that forgetting finds them."""
        return self.conversation(conversation, "replies")

    def memory(self, conversation: str) -> str:
        """The hash of recent exchanges; those to fold and the summary stand below it as ``:to-fold`` and ``:summary``."""
        return self.conversation(conversation, "memory")

    def notes(self, speaker: str) -> str:
        """What a person asked to be remembered, in every conversation. Hashed: the key names somebody."""
        return self.of("notes", hashlib.sha256(speaker.encode()).hexdigest()[:32])

    def notes_of(self, conversation: str) -> str:
        """The hash of who noted something in a conversation, by turn id."""
        return self.conversation(conversation, "notes")

    def handovers(self, conversation: str) -> str:
        """The hash of wishes for a person by turn, and which is the latest."""
        return self.conversation(conversation, "handovers")

    def seen_of(self, conversation: str) -> str:
        """The seen keys that a conversation left behind, by time, so that forgetting finds them."""
        return self.conversation(conversation, "seen")

    def wishes(self, conversation: str) -> str:
        """The hash of wishes to forget: when, by whose words. Hashed: it outlives the conversation for a day."""
        return self.of("wishes", hashlib.sha256(conversation.encode()).hexdigest()[:32])

    def seen(self, key: str) -> str:
        """Hashed: a seen key names people and messages, and outlives the conversation."""
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
        """The channel that names each conversation into which a message came while others waited there."""
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
