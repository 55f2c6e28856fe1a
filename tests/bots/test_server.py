"""Health, readiness, metrics and the limit on bodies, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bots.errors import BotsError
from bots.metrics import Metrics
from bots.server import HttpServer, LateApp, service_app

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


class Upload(Route):
    """A route with a limit of its own."""

    body_bytes = 3000


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = service_app(
        [Route("/seen", seen), *options.pop("routes", ())], Metrics(), readiness, body_bytes=1000, **options
    )
    server = HttpServer(app, host="127.0.0.1", port=0)
    await server.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
            yield client
    finally:
        await server.stop()


async def seen(request: Request) -> Response:
    return PlainTextResponse(f"{request.url.scheme} {request.client.host if request.client else ''}")


async def test_a_route_may_bring_its_own_limit() -> None:
    late = LateApp(lambda: "nothing")
    late.bind(Starlette(routes=[Upload("/upload", echo, methods=["POST"]), Route("/form", echo, methods=["POST"])]))
    routes = [Upload("/big", echo, methods=["POST"]), Route("/small", echo, methods=["POST"])]
    async with served(routes=routes, mounts={"/console": late}) as client:
        for path, limit in (("/big", 3000), ("/small", 1000), ("/console/upload", 3000), ("/console/form", 1000)):
            assert (await client.post(path, content=b"x" * limit)).text == str(limit)
            assert (await client.post(path, content=b"x" * (limit + 1))).status_code == 413


async def test_what_is_mounted_late_says_so_until_it_is_bound() -> None:
    late = LateApp(lambda: "the model and the index are being opened")
    async with served(mounts={"/console": late}) as client:
        early = await client.get("/console/reviews")
        assert (early.status_code, early.headers["retry-after"]) == (503, "5")
        assert early.text == "Not ready yet: the model and the index are being opened.\n"
        assert (await client.get("/healthz")).status_code == 200
        late.bind(Starlette(routes=[Route("/reviews", seen)]))
        assert (await client.get("/console/reviews")).status_code == 200


FORWARDED = {"x-forwarded-proto": "https", "x-forwarded-for": "198.51.100.9, 203.0.113.7, 127.0.0.2"}


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        ((), "http 127.0.0.1"),
        (("10.0.0.0/8",), "http 127.0.0.1"),
        (("127.0.0.1/32",), "https 127.0.0.2"),
        (("127.0.0.0/8", "10.0.0.0/8"), "https 203.0.113.7"),
    ],
)
async def test_forwarded_protocol_and_address_are_believed_from_trusted_proxies_only(
    trusted: tuple[str, ...], expected: str
) -> None:
    """The first address is what the asker may have made up: the proxy nearest to them appended theirs."""
    async with served(trusted_proxies=trusted) as client:
        assert (await client.get("/seen", headers=FORWARDED)).text == expected


async def test_a_redirect_keeps_https_behind_a_trusted_proxy() -> None:
    late = LateApp(lambda: "nothing")
    async with served(trusted_proxies=("127.0.0.0/8",), mounts={"/console": late}) as client:
        answer = await client.get("/console", headers=FORWARDED)
    assert answer.headers["location"].startswith("https://")
