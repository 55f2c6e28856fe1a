"""Structured logs: events with facts, never a message's text, a person's name or a secret."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

_QUIET = ("httpx", "httpcore", "slack_bolt", "slack_sdk", "uvicorn", "alembic", "sqlalchemy", "docket")
"""Libraries whose informational lines hold URLs (Telegram's contains the token) or texts."""


def configure(level: str, form: Literal["auto", "json", "console"], secrets: Sequence[str] = ()) -> None:
    """Sends the lines of structlog and of libraries to stderr in one format, with all ``secrets`` masked.

    ``auto`` means text on a terminal and JSON elsewhere.
    """
    for_terminal = form == "console" or (form == "auto" and sys.stderr.isatty())
    mask_secrets = _Mask(secrets)
    render = structlog.dev.ConsoleRenderer() if for_terminal else structlog.processors.JSONRenderer()
    # The mask comes after these and before the renderer, so that no value is added unmasked.
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _class_of_exception,
    ]
    structlog.configure(
        processors=[*shared, mask_secrets, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _first_line], processors=[_without_meta, mask_secrets, render]
        )
    )
    # force: a library that was imported before may have set a handler, whose lines would not be masked.
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Mask:
    """Replaces secrets in every value: libraries put the token into URLs, and URLs into warnings."""

    def __init__(self, secrets: Sequence[str]) -> None:
        # Longest first: a secret that contains another one must be masked whole.
        self._secrets = tuple(sorted(filter(None, secrets), key=len, reverse=True))

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {name: self.mask(value) for name, value in event.items()}

    def mask(self, value: object) -> object:
        match value:
            case str():
                return reduce(lambda text, secret: text.replace(secret, "***"), self._secrets, value)
            case Mapping():
                return {str(name): self.mask(inner) for name, inner in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.mask(inner) for inner in value]
            case None | bool() | int() | float():
                return value
        return self.mask(repr(value))


def _class_of_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replaces an exception by its class and place: its text may quote a user or a URL with a token."""
    error = _error(event.pop("exc_info", None))
    if error is not None:
        event["error"] = type(error).__name__
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None:
            event["at"] = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
    return event


def _error(info: object) -> BaseException | None:
    """The exception in ``exc_info``: an exception, a result of ``sys.exc_info``, or True for the current one."""
    match info:
        case BaseException():
            return info
        case (_, BaseException() as error, _):
            return error
    return sys.exc_info()[1] if info else None


def _first_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Cuts a library's message after its first line: asyncio adds the repr of a task, with the text of its exception."""
    event["event"] = str(event["event"]).partition("\n")[0]
    return event


def _without_meta(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.pop("_record", None)
    event.pop("_from_structlog", None)
    return event
