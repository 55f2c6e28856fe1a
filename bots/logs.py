"""Structured logs: events with facts, never a text, a name or a secret."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

_QUIET = ("httpx", "httpcore", "slack_bolt", "slack_sdk", "uvicorn", "alembic", "sqlalchemy")
"""Libraries whose informational lines carry URLs (Telegram's holds the token) or texts."""


def configure(level: str, form: Literal["json", "console"], secrets: Sequence[str] = ()) -> None:
    """Sends structlog's and the libraries' lines to stderr in one form, with every one of ``secrets`` masked."""
    masked = _Mask(secrets)
    render = structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _class_of_exception,
    ]
    structlog.configure(
        processors=[*shared, masked, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[_without_meta, masked, render])
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Mask:
    """Replaces secrets in every value: libraries put the token into URLs, and URLs into warnings."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(sorted(filter(None, secrets), key=len, reverse=True))

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        for name, value in event.items():
            if isinstance(value, str):
                event[name] = self.mask(value)
        return event

    def mask(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _class_of_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """An exception's text may quote a user or a URL with a token: its class and place are kept, the text is not."""
    info = event.pop("exc_info", None)
    error = info if isinstance(info, BaseException) else sys.exc_info()[1] if info else None
    if error is not None:
        event["error"] = type(error).__name__
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None:
            event["at"] = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
    return event


def _without_meta(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.pop("_record", None)
    event.pop("_from_structlog", None)
    return event
