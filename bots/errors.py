"""Errors of the service. An unreachable Redis is an error of ``rag``, ``StoreUnavailable``.

BotsError
├── SettingsError            a wrong setting: key, file, what is allowed
├── AlreadyRunning           another service owns COTORRA_HOME
├── DeliveryError            a reply could not be delivered
│   ├── DeliveryRetry        trying again later may help (network, 5xx, rate limit)
│   └── DeliveryRefused      it will never be (blocked, channel gone, no permission)
└── LeaseLost                another worker took the conversation over
"""

from __future__ import annotations


class BotsError(Exception):
    """Root of the tree. The message says what happened, to which thing, and what to do."""


class SettingsError(BotsError):
    """A wrong setting; the message names the key, the file and what is allowed."""


class AlreadyRunning(BotsError):
    """Another service owns ``COTORRA_HOME``."""


class DeliveryError(BotsError):
    """A reply could not be delivered."""


class DeliveryRetry(DeliveryError):
    """Trying again later may help. ``after``: seconds to wait, where the platform said so.

    ``away``: the platform accepts nothing at the moment, whatever the message, and repeating the call does no harm.
    """

    def __init__(self, message: str, *, after: float | None = None, away: bool = False) -> None:
        super().__init__(message)
        self.after = after
        self.away = away


class DeliveryRefused(DeliveryError):
    """The platform will never deliver this: the user blocked the bot, the channel is gone, a permission is missing."""


class LeaseLost(BotsError):
    """Another worker has this conversation now: stop at once and send nothing more."""
