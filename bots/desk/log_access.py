"""The log and the deletion of conversations, for ``cotorra conversations``; deletion goes through the running service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuning.conversations.log import ConversationLog


class LogAccess:
    """Opens the log when a command needs it; ``close`` stops what was started for it."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def log(self) -> ConversationLog:
        """The log, its schema up to date. Raises ``BotsError`` or ``TuningError``."""
        from bots.platforms.entries import PLATFORMS
        from bots.settings import load_settings
        from bots.stores import open_log

        settings = load_settings(PLATFORMS)
        log = asyncio.run(open_log(settings, self._redis_url()))
        log.upgrade()
        self._stack.callback(log.close)
        return log

    def forget(self, conversation: str, speaker: str | None) -> Mapping[str, int]:
        """Deletes in every store, through the running service where there is one. Raises ``BotsError``."""
        from bots.desk import operations, terminal

        request = operations.Forget(conversation=conversation, speaker=speaker)
        return asyncio.run(terminal.call(operations.forget, request))

    def close(self) -> None:
        self._stack.close()

    def _redis_url(self) -> str:
        """Redis of the home: the private server of a running service, or one that is started here and stopped by ``close``."""
        from bots.operations.ownership import Ownership
        from bots.operations.private_redis import PrivateRedis
        from bots.platforms.entries import PLATFORMS
        from bots.settings import load_settings

        settings = load_settings(PLATFORMS)
        if settings.redis.url:
            return settings.redis.url
        private = PrivateRedis(settings.home, settings.redis.appendfsync)
        ownership = Ownership(settings.home)
        # The stack runs backwards: the server stops before the home is free for another process.
        if ownership.try_take():
            self._stack.callback(ownership.release)
            self._stack.callback(private.stop)
        return private.start()
