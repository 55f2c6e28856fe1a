"""A service ends when it is told to, whatever its platforms are doing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from bots.platforms.slack.settings import SlackSettings
from bots.service import Service
from bots.settings import RedisSettings
from tests.bots.configured import configured

NOBODY = "ws://127.0.0.1:9/nobody-listens-here"


async def test_a_slack_that_never_lets_us_connect_does_not_keep_the_service_from_ending(
    redis_url: str, tmp_path: Path
) -> None:
    asked = asyncio.Event()

    async def call(request: web.Request) -> web.Response:
        if request.match_info["method"] == "apps.connections.open":
            asked.set()
        return web.json_response({"ok": True, "url": NOBODY, "user_id": "U1", "bot_id": "B1", "team_id": "T1"})

    slack = web.Application()
    slack.router.add_post("/api/{method}", call)
    async with TestServer(slack) as server:
        settings = configured(
            home=tmp_path,
            redis=RedisSettings(url=redis_url, prefix="test-stopping"),
            slack=SlackSettings(
                bot_token=SecretStr("xoxb-1"), app_token=SecretStr("xapp-1"), api_url=str(server.make_url("/api/"))
            ),
        )
        stop = asyncio.Event()
        service = Service(settings, host="127.0.0.1", port=0, receive=True, work=False)
        running = asyncio.create_task(service.run(stop))
        async with asyncio.timeout(20):
            await asked.wait()
            stop.set()
            await running
