"""Fresh addresses for Socket Mode connections: Slack accepts each address once."""

from __future__ import annotations

from types import SimpleNamespace

from aiohttp import ClientSession, TraceConfig, TraceRequestStartParams
from slack_sdk.socket_mode.aiohttp import SocketModeClient


async def forget_used_addresses(client: SocketModeClient) -> None:
    """Makes ``client`` ask for a fresh address before each attempt to connect.

    ``SocketModeClient.connect`` (slack_sdk 3.47) asks only where it holds none: after a failed attempt it would try the
    spent address for ever, and it stops its own monitor while it does.
    """

    async def forget(_session: ClientSession, _context: SimpleNamespace, _request: TraceRequestStartParams) -> None:
        # Runs after connect has read the address for this attempt, so only the next attempt finds none.
        client.wss_uri = None

    trace = TraceConfig()
    trace.on_request_start.append(forget)
    await client.aiohttp_client_session.close()
    client.aiohttp_client_session = ClientSession(trace_configs=[trace])
