"""A worker process for the kill test: ``python -m tests.bots.platforms.handover_worker REDIS_URL PREFIX SLACK_API_URL``."""

from __future__ import annotations

import sys

import uvloop
from pydantic import SecretStr

from bots.bootstrap import build_handovers
from bots.conversation.answers import Rules
from bots.conversation.commands import Commands
from bots.conversation.forgetting import Forgetting
from bots.conversation.guard import Guard
from bots.conversation.handle import Conversations
from bots.keys import Keys
from bots.metrics import Metrics
from bots.platforms.slack.platform import SlackPlatform
from bots.platforms.slack.settings import SlackSettings
from bots.queue.inbox import Inbox
from bots.queue.outbox import Outbox
from bots.queue.replies import ReplyLedger
from bots.queue.worker import Worker
from bots.settings import HandoverSettings, LimitSettings, WorkerSettings
from rag.chain import ConversationalChain
from rag.memory.conversation import ConversationMemory
from rag.settings import MemorySettings, RetrievalSettings
from rag.store.client import connect
from rag.turn import Turns
from tests.bots.platforms.handover_scene import CHANNEL
from tests.loopback.slack import APP_TOKEN, BOT_TOKEN
from tests.rag.fakes import FakeAnswerer, FakeFinder
from tests.rag.heard import wishes

SETTINGS = WorkerSettings(lease_seconds=1, tries=20)


async def main(url: str, prefix: str, api_url: str) -> None:
    keys, metrics = Keys(prefix), Metrics()
    slack = SlackSettings(bot_token=SecretStr(BOT_TOKEN), app_token=SecretStr(APP_TOKEN), api_url=api_url)
    async with connect(url) as redis:
        inbox, ledger = Inbox(redis, keys, SETTINGS), ReplyLedger(redis, keys)
        memory = ConversationMemory(redis, MemorySettings(), keys.memory)
        forgetting = Forgetting(redis, keys, memory=memory, inbox=inbox, ledger=ledger)
        feedback = Outbox(redis, keys).post
        platform = SlackPlatform(
            slack, redis=redis, keys=keys, ledger=ledger, feedback=feedback, handover_channel=CHANNEL
        )
        conversations = Conversations(
            platforms={"slack": platform},
            ledger=ledger,
            memory=memory,
            turns=Turns(
                ConversationalChain(FakeFinder({}), FakeAnswerer(), RetrievalSettings(), wishes=wishes()), memory
            ),
            guard=Guard(redis, keys, LimitSettings()),
            commands=Commands(memory=memory, ledger=ledger, forgetting=forgetting),
            forgetting=forgetting,
            inbox=inbox,
            handovers=build_handovers(
                HandoverSettings(),
                {"slack": platform},
                redis=redis,
                keys=keys,
                inbox=inbox,
                memory=memory,
                metrics=metrics,
            ),
            metrics=metrics,
            rules=Rules(audiences=lambda _: frozenset({"public"})),
        )
        await Worker(inbox, conversations.handle, conversations.apologise, SETTINGS, metrics).run()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:4]))
