"""The handbook tells the whole truth: every setting, command, metric and address, in both languages, and nothing else."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.docs.configuration import CONVENTIONAL, SETTINGS_CLASS, Setting, every_setting
from tests.docs.pages import CHECKOUT, LANGUAGES, Language, Page, every_page, pages

SETTINGS = every_setting()
PAGES = every_page()
NOTHING = {"en": {"none", "empty"}, "es": {"ninguno", "ninguna", "vacío"}}
REQUIRED = {"en": "required", "es": "obligatorio"}

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.path.parent.name}/{page.path.name}")
by_language = pytest.mark.parametrize("language", LANGUAGES)


def test_both_languages_have_the_same_pages() -> None:
    assert list(pages("en")) == list(pages("es"))
    assert len(pages("en")) >= 15


@pytest.mark.parametrize("name", sorted(pages("en")))
def test_a_translation_has_the_same_shape(name: str) -> None:
    assert pages("es")[name].shape() == pages("en")[name].shape()


@by_page
def test_a_page_has_one_title_and_distinct_anchors(page: Page) -> None:
    levels = [level for level, _ in page.headings()]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert len(page.anchors()) == len(levels)


@by_page
def test_links_lead_somewhere(page: Page) -> None:
    for link in page.links():
        file, _, anchor = link.partition("#")
        target = pages(_language(page)).get(file or page.path.name)
        assert target is not None, f"{link} is not a page of the same language"
        assert not anchor or anchor in target.anchors(), f"{link} names no heading"


@by_language
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_a_setting_is_documented_with_its_default_and_environment_names(setting: Setting, language: Language) -> None:
    row = _row(language, setting.key)
    assert len(row) == 5, "key, default, allowed, environment name, meaning"
    _, default, allowed, environment, meaning = row
    assert default in _defaults(setting, language)
    assert setting.environment <= set(re.findall(r"`([A-Z0-9_]+)`", environment))
    assert allowed
    assert meaning


def _row(language: Language, key: str) -> list[str]:
    found = [row for row in pages(language)["configuration.md"].rows() if row[0] == f"`{key}`"]
    assert len(found) == 1, f"{key} has {len(found)} rows in the tables of configuration.md"
    return found[0]


def _defaults(setting: Setting, language: Language) -> set[str]:
    if setting.required:
        return {REQUIRED[language]}
    if setting.key == "knowledge.sources":
        return NOTHING[language]
    return {f"`{setting.default}`"} if setting.default else NOTHING[language]


@by_language
@pytest.mark.parametrize("name", [*CONVENTIONAL, "COTORRA_CONFIG"])
def test_a_conventional_environment_name_is_documented(name: str, language: Language) -> None:
    page = pages(language)["configuration.md"]
    if name in CONVENTIONAL:
        assert [f"`{name}`", f"`{'.'.join(CONVENTIONAL[name])}`"] in page.rows()
    assert name in page.code_spans()


@by_page
def test_no_page_names_a_setting_that_does_not_exist(page: Page) -> None:
    keys = {setting.key for setting in SETTINGS}
    sections = "|".join(
        key for key in SETTINGS_CLASS.model_fields if any(known.startswith(f"{key}.") for known in keys)
    )
    named = {span for span in page.code_spans() if re.fullmatch(rf"({sections})\.[a-z_.\[\]]+", span)}
    assert named <= keys


@by_page
def test_no_page_names_an_environment_variable_that_does_not_exist(page: Page) -> None:
    known = {name for setting in SETTINGS for name in setting.environment} | {"COTORRA_CONFIG"}
    named = set(re.findall(r"\bCOTORRA_[A-Z_]*[A-Z]", "\n".join(page.code())))
    assert named <= known


@by_page
def test_sample_configurations_are_valid(page: Page) -> None:
    for sample in page.fences("toml"):
        SETTINGS_CLASS.model_validate(tomllib.loads(sample))


def commands() -> dict[str, Any]:
    """Every command that does something, by its words after ``cotorra``."""
    from typer.main import get_command

    from bots.cli import app

    return dict(_leaves(get_command(app), ()))


def _leaves(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    inner: Mapping[str, Any] | None = getattr(command, "commands", None)
    if inner is None:
        yield " ".join(words), command
        return
    for name, one in inner.items():
        yield from _leaves(one, (*words, name))


def _options(command: Any) -> set[str]:
    spelled = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return {option for option in spelled if option.startswith("--")} - {"--help"}


@by_language
def test_the_commands_documented_are_the_commands_there_are(language: Language) -> None:
    headings = [heading for _, heading in pages(language)["commands.md"].headings()]
    documented = {heading.removeprefix("cotorra ") for heading in headings if heading.startswith("cotorra ")}
    assert documented == set(commands())


@by_language
def test_each_command_is_documented_with_its_options_and_an_example(language: Language) -> None:
    page = pages(language)["commands.md"]
    for words, command in commands().items():
        section = page.section(f"cotorra {words}")
        example = re.search(r"```sh\n(.+?)```", section, re.DOTALL)
        assert example is not None, f"cotorra {words} has no example"
        assert f"cotorra {words}" in example.group(1)
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", section)) == _options(command), f"options of cotorra {words}"


@by_page
def test_no_page_uses_a_command_that_does_not_exist(page: Page) -> None:
    known = commands()
    prefixes = {" ".join(words.split()[:length]) for words in known for length in (1, 2)}
    for line in page.code():
        for used in re.findall(r"(?:(?<![\w/@.-])|(?<=bin/))cotorra ([a-z]+(?: [a-z]+)?)", line):
            first = used.split()[0]
            assert first in prefixes, f"cotorra {used}"
            assert first in known or used in known or used == first, f"cotorra {used}"


@by_page
def test_no_page_uses_an_option_that_does_not_exist(page: Page) -> None:
    known = {option for command in commands().values() for option in _options(command)} | {"--help"}
    for line in page.code():
        if re.match(r"(.*bin/)?cotorra ", line):
            assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", line)) <= known, line


@by_language
def test_every_metric_is_documented_and_no_other(language: Language) -> None:
    documented = {row[0].strip("`") for row in pages(language)["operating.md"].rows() if row[0].startswith("`cotorra_")}
    assert documented == _registered_metrics()


def _registered_metrics() -> set[str]:
    """Those of a fresh registry; gauges join it when a service starts, so their names are looked for in the code."""
    from bots.metrics import Metrics

    return {
        f"{family.name}_total" if family.type == "counter" else family.name for family in Metrics().registry.collect()
    } | {f"cotorra_{name}" for name in _gauges()}


def _gauges() -> set[str]:
    """First arguments, written out, of every call of something named ``gauge``."""
    return {
        call.args[0].value
        for call in _nodes(ast.Call)
        if getattr(call.func, "attr", getattr(call.func, "id", "")) == "gauge"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def _nodes(kind: type[Any]) -> Iterator[Any]:
    for file in (CHECKOUT / "bots").rglob("*.py"):
        yield from (node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, kind))


@by_language
def test_every_address_is_documented(language: Language) -> None:
    from bots.metrics import Metrics
    from bots.server import service_app

    async def ready() -> dict[str, str]:
        return {}

    own = {route.path for route in service_app([], Metrics(), ready, body_bytes=1).routes}  # type: ignore[attr-defined]
    documented = {row[0].strip("`").split()[-1] for row in pages(language)["operating.md"].rows()}
    assert own | {"/slack/events", "/telegram/webhook"} <= documented


@by_language
def test_every_permission_of_the_slack_app_is_explained(language: Language) -> None:
    manifest = yaml.safe_load((CHECKOUT / "deploy" / "slack-manifest.yaml").read_text(encoding="utf-8"))
    wanted = set(manifest["oauth_config"]["scopes"]["bot"])
    cells = [row[0] for row in pages(language)["slack.md"].rows()]
    explained = {scope for cell in cells for scope in re.findall(r"`([a-z_.]+(?::[a-z.]+)?)`", cell)}
    assert {scope for scope in explained if ":" in scope or scope == "commands"} == wanted


@by_page
def test_files_and_make_commands_that_a_page_names_exist(page: Page) -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    for span in page.code_spans():
        if re.fullmatch(r"deploy/[\w.-]+|CHANGELOG\.md|constraints\.txt|pyproject\.toml", span):
            assert (CHECKOUT / span).is_file(), span
        if target := re.fullmatch(r"make ([a-z-]+)", span):
            assert re.search(rf"^{target.group(1)}:", makefile, re.MULTILINE), span


def _language(page: Page) -> Language:
    return "en" if page.path.parent.name == "en" else "es"
