"""The loopback Slack as a process of its own, as the benchmark drives it."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import ClientSession

from tests.loopback.slack import BOT_TOKEN


async def test_the_loopback_slack_runs_as_a_process_and_shows_what_was_visible() -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.loopback.slack", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{(await server.stdout.readline()).split()[-1].decode()}"
        async with ClientSession(url, headers={"Authorization": f"Bearer {BOT_TOKEN}"}) as session:
            await _talk(session)
    finally:
        server.terminate()
        await server.wait()


async def _talk(session: ClientSession) -> None:
    async def call(method: str, **arguments: object) -> dict[str, str]:
        answer: dict[str, str] = await (await session.post(f"/api/{method}", json=arguments)).json()
        return answer

    started = await call("chat.startStream", channel="D1", thread_ts="1.1", markdown_text="a ")
    await call("chat.appendStream", channel="D1", ts=started["ts"], markdown_text="b ")
    await call("chat.stopStream", channel="D1", ts=started["ts"], markdown_text="c")
    again = await call("chat.appendStream", channel="D1", ts=started["ts"], markdown_text="d")
    assert again["error"] == "message_not_in_streaming_state"
    await session.post("/_control/fault", json={"method": "chat.delete", "code": "nope"})
    assert (await call("chat.delete", channel="D1", ts=started["ts"]))["error"] == "nope"
    (message,) = await (await session.get("/_control/messages")).json()
    assert [body for _, body, _ in message["states"]] == ["a ", "a b ", "a b c"]
