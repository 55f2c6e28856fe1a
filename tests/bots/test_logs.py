"""Log lines: facts in one form, and never a secret, a text or a traceback. Each test logs in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

TOKEN = "xoxb-very-secret"


def printed(program: str, *, form: str = "json", level: str = "info", secrets: tuple[str, ...] = (TOKEN,)) -> str:
    """What ``program`` writes to stderr."""
    begin = f"""
import asyncio, logging
import structlog
from bots import logs
logs.configure({level!r}, {form!r}, {secrets!r})
log = structlog.get_logger()
"""
    done = subprocess.run([sys.executable, "-c", begin + program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


def lines(program: str, **how: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed(program, **how).splitlines()]


def test_a_line_is_json_with_event_level_time_and_facts() -> None:
    [line] = lines("log.info('ready', port=8080, platforms=['slack'])")
    assert (line["event"], line["level"], line["port"], line["platforms"]) == ("ready", "info", 8080, ["slack"])
    assert line["timestamp"].endswith("Z")


def test_what_libraries_log_has_the_same_form() -> None:
    [line] = lines("logging.getLogger('docling').warning('slow %s', 'page')")
    assert (line["event"], line["level"]) == ("slow page", "warning")


def test_lines_below_the_level_are_not_written() -> None:
    assert lines("log.info('x'); logging.getLogger('a').info('x'); log.error('y')", level="error")[0]["event"] == "y"


@pytest.mark.parametrize("library", ["httpx", "slack_bolt.App", "uvicorn.error", "sqlalchemy.engine"])
def test_talkative_libraries_are_heard_from_warnings_on(library: str) -> None:
    program = f"logging.getLogger({library!r}).info('POST /bot{TOKEN}'); logging.getLogger({library!r}).warning('w')"
    assert [line["event"] for line in lines(program)] == ["w"]


@pytest.mark.parametrize(
    "call",
    [
        f"log.info('calling https://api/bot{TOKEN}/getMe')",
        f"log.info('call', url='https://api/bot{TOKEN}/getMe')",
        f"log.info('call', urls=['https://api/bot{TOKEN}/getMe'], seen={{'at': '{TOKEN}'}})",
        f"logging.getLogger('x').warning('GET %s', 'https://api/bot{TOKEN}/getMe')",
    ],
)
@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_masked_wherever_they_stand(call: str, form: str) -> None:
    text = printed(call, form=form)
    assert TOKEN not in text
    assert "***" in text


def test_a_secret_within_another_is_masked_with_it() -> None:
    assert "xoxb" not in printed(f"log.info('{TOKEN}-and-more')", secrets=(TOKEN, f"{TOKEN}-and-more"))


RAISES = """
def fail():
    raise ValueError("what somebody wrote")
try:
    fail()
except ValueError as caught:
    error = caught
    {inside}
{after}
"""


@pytest.mark.parametrize(
    ("inside", "after"),
    [
        ("log.exception('failed')", ""),
        ("log.error('failed', exc_info=True)", ""),
        ("logging.getLogger('x').exception('failed')", ""),
        ("kept = caught", "log.error('failed', exc_info=kept)"),
        ("kept = caught", "logging.getLogger('x').error('failed', exc_info=kept)"),
    ],
)
@pytest.mark.parametrize("form", ["json", "console"])
def test_of_an_exception_class_and_place_are_written_but_not_its_words(inside: str, after: str, form: str) -> None:
    text = printed(RAISES.format(inside=inside, after=after), form=form)
    assert "somebody" not in text
    assert "Traceback" not in text
    assert "ValueError" in text
    assert "<string>:" in text


def test_a_task_that_fails_unseen_does_not_give_its_words_away() -> None:
    program = """
async def fail():
    raise ValueError("what somebody wrote")
async def main():
    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    del task
asyncio.run(main())
"""
    [line] = lines(program)
    assert (line["event"], line["error"]) == ("Task exception was never retrieved", "ValueError")
    assert "somebody" not in json.dumps(line)
