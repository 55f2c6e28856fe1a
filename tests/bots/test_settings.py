"""The configuration: file and environment, and one line for whatever is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from bots.errors import SettingsError
from bots.platforms.entries import PLATFORMS
from bots.platforms.slack.entry import SLACK
from bots.settings import LimitSettings, Settings, conventional_names, load_settings, settings_class, without_password

CONVENTIONAL = conventional_names(PLATFORMS)
TOML = """
port = 9000
[[knowledge.sources]]
name = "manual"
path = "manual"
audience = "employees"
[memory]
turns = 3
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "cotorra.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(environ: dict[str, str], folder: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(PLATFORMS, environ, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_needs_to_be_configured(tmp_path: Path) -> None:
    settings = load_settings(PLATFORMS, {}, tmp_path)
    assert (settings.port, settings.redis.url, settings.model.kind) == (8080, None, "extractive")
    assert settings.home == Path.cwd() / ".cotorra"  # absolute: servers and sockets in it outlive a change of folder


def test_the_file_is_read_and_source_paths_are_relative_to_it(tmp_path: Path) -> None:
    write(tmp_path, TOML)
    settings = load_settings(PLATFORMS, {}, tmp_path)
    assert settings.memory.turns == 3
    assert settings.knowledge.sources[0].path == tmp_path / "manual"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    write(tmp_path, TOML)
    settings = load_settings(PLATFORMS, {"COTORRA_PORT": "9001", "COTORRA_MEMORY__TURNS": "5"}, tmp_path)
    assert (settings.port, settings.memory.turns) == (9001, 5)


@pytest.mark.parametrize("name", sorted(CONVENTIONAL))
def test_conventional_names_reach_their_keys(name: str, tmp_path: Path) -> None:
    value = {"SLACK_API_URL": "http://127.0.0.1:1/api/", "TELEGRAM_API_URL": "http://127.0.0.1:1/bot"}.get(name, "x")
    section, key = CONVENTIONAL[name]
    found = getattr(getattr(load_settings(PLATFORMS, {name: value}, tmp_path), section), key)
    expected = (value,) if isinstance(found, tuple) else value
    assert (found.get_secret_value() if hasattr(found, "get_secret_value") else found) == expected


def test_several_servers_stand_behind_one_name(tmp_path: Path) -> None:
    environ = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1, https://b.example/v1", "COTORRA_MODEL__KIND": "openai"}
    assert load_settings(PLATFORMS, environ, tmp_path).model.servers == (
        "http://127.0.0.1:1/v1",
        "https://b.example/v1",
    )


def test_a_server_or_key_that_lies_about_chooses_nothing(tmp_path: Path) -> None:
    environ = {"OPENAI_BASE_URL": "not an address", "OPENAI_API_KEY": "sk-1"}
    assert load_settings(PLATFORMS, environ, tmp_path).model.kind == "extractive"


@pytest.mark.parametrize("servers", ["", "localhost:8000"])
def test_a_server_is_needed_where_one_shall_answer(servers: str, tmp_path: Path) -> None:
    environ = {"COTORRA_MODEL__KIND": "openai", "OPENAI_BASE_URL": servers}
    with pytest.raises(SettingsError, match=r"environment variable .*model\.servers.*http://"):
        load_settings(PLATFORMS, environ, tmp_path)


def test_lists_and_tables_in_the_environment_are_toml(tmp_path: Path) -> None:
    environ = {"COTORRA_SLACK__QUIET_CHANNELS": '["C1", "C2"]', "COTORRA_SLACK__GROUP_AUDIENCES": '{S1 = "finance"}'}
    slack = SLACK.section(load_settings(PLATFORMS, environ, tmp_path))
    assert slack.quiet_channels == ("C1", "C2")
    assert slack.group_audiences == {"S1": "finance"}


def test_a_wrong_value_in_the_file_names_key_file_and_what_is_allowed(tmp_path: Path) -> None:
    file = write(tmp_path, "[model]\nkind = 'magic'\n")
    said = refusal({}, tmp_path)
    assert "model.kind" in said
    assert str(file) in said
    assert "extractive" in said


def test_a_wrong_value_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    said = refusal({"COTORRA_MEMORY__TURNS": "many"}, tmp_path)
    assert "COTORRA_MEMORY__TURNS" in said
    assert "integer" in said


@pytest.mark.parametrize("name", ["COTORRA_TYPO", "COTORRA_MEMORY__TURN"])
def test_a_misspelt_setting_is_an_error(name: str, tmp_path: Path) -> None:
    assert "there is no such setting" in refusal({name: "1"}, tmp_path)


def test_broken_toml_is_one_line_with_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "[model\n")
    assert str(file) in refusal({}, tmp_path)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    assert "COTORRA_CONFIG" in refusal({"COTORRA_CONFIG": str(tmp_path / "absent.toml")}, tmp_path)


def test_a_scalar_where_a_table_belongs_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "memory = 3\n")
    assert "memory" in refusal({"COTORRA_MEMORY__TURNS": "5"}, tmp_path)


@pytest.mark.parametrize("environ", [{"SLACK_API_URL": "https://slack.test"}, {"TELEGRAM_API_URL": "https://t.test/"}])
def test_platform_urls_are_checked(environ: dict[str, str], tmp_path: Path) -> None:
    assert "ends in" in refusal(environ, tmp_path)


def test_secrets_never_show_in_a_repr() -> None:
    settings = load_settings(
        PLATFORMS, {"SLACK_BOT_TOKEN": "xoxb-hidden", "REDIS_URL": "redis://u:hidden@h/0"}, Path("/nonexistent")
    )
    assert "hidden" not in repr(settings)
    assert set(settings.secrets()) == {"xoxb-hidden", "hidden"}


def test_a_url_is_shown_without_its_password() -> None:
    assert without_password("redis://user:secret@host:6379/0") == "redis://host:6379/0"


def test_the_home_is_owned_unless_redis_and_qdrant_are_elsewhere() -> None:
    assert Settings().needs_home()
    elsewhere = load_settings(PLATFORMS, {"REDIS_URL": "redis://h", "QDRANT_URL": "http://h"}, Path("/nonexistent"))
    assert not elsewhere.needs_home()


def test_trusted_proxies_are_addresses_and_networks(tmp_path: Path) -> None:
    given = {"COTORRA_HTTP__TRUSTED_PROXIES": '["10.0.0.0/8", "127.0.0.1", "fd00::/8"]'}
    trusted = load_settings(PLATFORMS, given, tmp_path).http.trusted_proxies
    assert [str(network) for network in trusted] == ["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"]
    wrong = refusal({"COTORRA_HTTP__TRUSTED_PROXIES": '["10.0.0.1/8"]'}, tmp_path)
    assert "COTORRA_HTTP__TRUSTED_PROXIES" in wrong
    assert "network" in wrong


def test_a_new_setting_is_one_field_of_its_section() -> None:
    """Its default, its check and its place in the line about a wrong value follow from the field."""

    class Widened(LimitSettings):
        pauses: int = Field(3, ge=1)

    class Everything(settings_class(PLATFORMS)):  # type: ignore[misc]
        limits: Widened = Widened()

    assert Everything.model_validate({"limits": {"pauses": "5"}}).limits.pauses == 5
    with pytest.raises(ValidationError, match=r"limits\.pauses"):
        Everything.model_validate({"limits": {"pauses": 0}})
