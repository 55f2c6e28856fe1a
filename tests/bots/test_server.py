"""Health, readiness, metrics and the limit on bodies, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bots.errors import BotsError
from bots.metrics import Metrics
from bots.server import HttpServer, service_app

waiting: dict[str, str] = {}


async def readiness() -> Mapping[str, str]:
    return waiting


async def echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
async def base() -> AsyncIterator[str]:
    metrics = Metrics()
    metrics.accepted("slack", new=True)
    app = service_app([Route("/echo", echo, methods=["POST"])], metrics, readiness, body_bytes=1000)
    server = HttpServer(app, host="127.0.0.1", port=0)
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()
    waiting.clear()


async def test_health_says_that_the_process_lives(base: str) -> None:
    async with httpx.AsyncClient(base_url=base) as client:
        assert (await client.get("/healthz")).status_code == 200


async def test_readiness_names_the_part_that_is_not_ready(base: str) -> None:
    async with httpx.AsyncClient(base_url=base) as client:
        assert (await client.get("/readyz")).status_code == 200
        waiting["redis"] = "does not answer"
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "waiting_for": {"redis": "does not answer"}}


async def test_metrics_are_in_prometheus_form(base: str) -> None:
    async with httpx.AsyncClient(base_url=base) as client:
        text = (await client.get("/metrics")).text
    assert 'cotorra_messages_accepted_total{platform="slack"} 1.0' in text


async def test_an_announced_large_body_is_refused(base: str) -> None:
    async with httpx.AsyncClient(base_url=base) as client:
        assert (await client.post("/echo", content=b"x" * 1000)).text == "1000"
        assert (await client.post("/echo", content=b"x" * 1001)).status_code == 413


async def test_a_body_that_keeps_coming_is_refused(base: str) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    async with httpx.AsyncClient(base_url=base) as client:
        assert (await client.post("/echo", content=endless())).status_code == 413


async def test_a_taken_port_is_one_clear_line(base: str) -> None:
    port = int(base.rsplit(":", 1)[1])
    second = HttpServer(service_app([], Metrics(), readiness, body_bytes=1000), host="127.0.0.1", port=port)
    with pytest.raises(BotsError, match="COTORRA_PORT"):
        await second.start()
