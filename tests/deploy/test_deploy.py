"""The container files, as far as they can be checked where no container can be built."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from bots.cli import app
from bots.platforms.entries import PLATFORMS
from bots.platforms.slack.entry import SLACK
from bots.platforms.telegram.entry import TELEGRAM
from bots.settings import load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
STORES = {"redis", "qdrant", "postgres"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as compose sees it once variables have their defaults."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    loaded: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:\?[^}]*\}", "pw", text))
    return loaded


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """Instructions with their arguments, continuation lines joined."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def arguments(dockerfile: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for instruction, rest in dockerfile if instruction == word]


def test_compose_is_what_the_compose_specification_allows(compose: dict[str, Any]) -> None:
    schema = json.loads((Path(__file__).parent / "compose_spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft201909Validator(schema).validate(compose)


def test_every_image_is_pinned(compose: dict[str, Any], dockerfile: list[tuple[str, str]]) -> None:
    images = [service["image"] for service in compose["services"].values()]
    images += [base.split()[0] for base in arguments(dockerfile, "FROM")]
    assert [image for image in images if not re.search(r":v?\d+\.\d+\.?\d*(-[\w.-]+)?$", image)] == []


def test_cotorra_starts_once_its_stores_are_healthy(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("serve", "worker"):
        assert services[name]["depends_on"] == {key: {"condition": "service_healthy"} for key in STORES}
    assert all(services[name]["healthcheck"]["test"][0] == "CMD" for name in STORES)


def test_what_must_last_is_on_declared_volumes(compose: dict[str, Any]) -> None:
    mounted = {name: str(volume).split(":")[0] for name in STORES for volume in compose["services"][name]["volumes"]}
    assert mounted == {name: name for name in STORES}
    assert set(compose["volumes"]) == {"home", *STORES}


def test_redis_keeps_what_it_is_given(compose: dict[str, Any]) -> None:
    command = " ".join(compose["services"]["redis"]["command"])
    for option in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert option in command


def test_the_stores_are_reached_from_nowhere_else(compose: dict[str, Any]) -> None:
    for name in STORES:
        assert compose["services"][name]["networks"] == ["stores"]
        assert "ports" not in compose["services"][name]
    assert compose["networks"]["stores"]["internal"] is True
    assert all(port.startswith("127.0.0.1:") for port in compose["services"]["serve"]["ports"])


def test_any_number_of_workers_share_no_folder(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert "container_name" not in worker
    assert "ports" not in worker
    assert not any(str(volume).startswith("home:") for volume in worker["volumes"])


@pytest.mark.parametrize("name", ["serve", "worker"])
def test_the_containers_environment_is_a_valid_configuration(
    name: str, compose: dict[str, Any], dockerfile: list[tuple[str, str]], tmp_path: Path
) -> None:
    image = dict(re.findall(r"(\w+)=(\S+)", " ".join(arguments(dockerfile, "ENV"))))
    settings = load_settings(PLATFORMS, image | compose["services"][name]["environment"], tmp_path)
    assert settings.redis.url == "redis://redis:6379/0"
    assert settings.qdrant.url == "http://qdrant:6333"
    assert settings.log.url == "postgresql://cotorra:pw@postgres:5432/cotorra"
    assert str(settings.home) == "/var/lib/cotorra"
    assert [str(source.path) for source in settings.knowledge.sources] == ["/knowledge"]


def test_the_example_of_the_environment_names_settings_that_exist(tmp_path: Path) -> None:
    lines = (DEPLOY / ".env.example").read_text(encoding="utf-8").splitlines()
    values = {line.split("=")[0]: "https://x.example" for line in lines if line and not line.startswith("#")}
    settings = load_settings(PLATFORMS, values, tmp_path)
    named = [
        SLACK.section(settings).bot_token,
        SLACK.section(settings).app_token,
        SLACK.section(settings).signing_secret,
    ]
    named += [TELEGRAM.section(settings).bot_token, TELEGRAM.section(settings).webhook_secret]
    assert None not in named
    assert set(values) >= set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["serve", "worker"])
def test_the_commands_exist(name: str, compose: dict[str, Any]) -> None:
    command, *options = compose["services"][name]["command"]
    described = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert described.exit_code == 0
    assert [option for option in options if option.startswith("--") and option not in described.output] == []


def test_the_image_runs_without_privileges(compose: dict[str, Any], dockerfile: list[tuple[str, str]]) -> None:
    last = [word for word, _ in dockerfile]
    assert arguments(dockerfile, "USER") == ["10001"]
    assert last.index("USER") > max(index for index, word in enumerate(last) if word in ("RUN", "COPY"))
    for name in ("serve", "worker"):
        service = compose["services"][name]
        assert (service["cap_drop"], service["read_only"]) == (["ALL"], True)
        assert not service.get("privileged")


def test_the_home_is_a_volume_that_its_user_owns(dockerfile: list[tuple[str, str]]) -> None:
    assert arguments(dockerfile, "VOLUME") == ["/var/lib/cotorra"]
    assert any("install -d -o cotorra" in step and "/var/lib/cotorra" in step for step in arguments(dockerfile, "RUN"))


def test_what_is_copied_exists_and_reaches_the_builder(dockerfile: list[tuple[str, str]]) -> None:
    copies = [rest.split()[:-1] for rest in arguments(dockerfile, "COPY") if not rest.startswith("--from=")]
    copied = {name for names in copies for name in names}
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {name for name in copied if not (ROOT / name).exists()} == set()
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored


def test_the_build_of_torch_is_an_argument_and_no_address_is_written_down(dockerfile: list[tuple[str, str]]) -> None:
    assert arguments(dockerfile, "ARG") == ['PIP_EXTRA_INDEX_URL=""']
    assert "https://" not in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


class Health(BaseHTTPRequestHandler):
    """A service that is as well as ``status`` says."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def health(status: int) -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), type("Health", (Health,), {"status": status}))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_tells_a_well_service_from_a_sick_one(
    code: int, health: HTTPServer, dockerfile: list[tuple[str, str]]
) -> None:
    [check] = arguments(dockerfile, "HEALTHCHECK")
    python, *rest = json.loads(check[check.index("[") :].replace(":8080/", f":{health.server_port}/"))
    assert python == "python"
    assert subprocess.run([sys.executable, *rest], stderr=subprocess.DEVNULL, check=False).returncode == code


def test_every_service_that_answers_is_watched_on_the_port_that_it_opens(compose: Mapping[str, Any]) -> None:
    """The image's health check asks 8080: serve's own default, and what a worker is told."""
    assert compose["services"]["worker"]["environment"]["COTORRA_WORKER__PORT"] == "8080"
    assert "--port" not in compose["services"]["serve"]["command"]
    assert load_settings(PLATFORMS, {}, DEPLOY).port == 8080
