"""Maps errors of a server to faults: one line that says what to do, without text of the conversation or the server."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import urlsplit

import openai

from rag.errors import ModelBusy, ModelError, ModelUnavailable

BUSY_SECONDS = 10.0
"""The wait that a user is told when a busy server sends no Retry-After."""
LONGEST_SECONDS = 3600.0
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""Exceptions that LangChain and the SDK raise for a response that is no JSON or has another shape."""
_PROMPT_TOO_LONG = ("context length", "context_length", "context window", "context size", "too long", "too large")

_REFUSALS = {
    401: "does not accept the key: set OPENAI_API_KEY to one that it knows",
    403: "does not accept the key: set OPENAI_API_KEY to one that it knows and that may use the model",
    404: "has no such model there: model.servers usually end in /v1",
    429: "has no credit left for the key: see the account that it belongs to",
}

Kind = Literal["down", "busy", "refused", "missing", "unwanted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One failed request. ``down`` and ``busy`` are temporary; ``refused`` and ``missing`` (no such model) are not.

    ``unwanted``: the server does not know ``parameter``. ``after``: seconds from the server's Retry-After header.
    """

    kind: Kind
    message: str
    after: float | None = None
    parameter: str = ""

    @property
    def passes(self) -> bool:
        return self.kind in ("down", "busy")


class ServerFault(Exception):
    """Carries a fault to ``Failover``, which decides about the next attempt."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def fault_of(error: Exception, parameters: Sequence[str] = ()) -> Fault:
    """The fault for an exception. ``parameters``: names of the request's optional parameters."""
    if isinstance(error, openai.APIStatusError):
        return _status_fault(error, parameters)
    # Before APIConnectionError, of which APITimeoutError is a subclass.
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return Fault(kind="down", message="did not answer in time")
    if isinstance(error, openai.APIConnectionError):
        return Fault(kind="down", message="cannot be reached, or broke the connection")
    if isinstance(error, openai.APIError):
        return Fault(kind="down", message="reported an error while it wrote")
    return Fault(kind="down", message="answered with something that is no chat completion")


def _status_fault(error: openai.APIStatusError, parameters: Sequence[str]) -> Fault:
    status = error.status_code
    if status in (400, 413, 422):
        return _request_fault(error, parameters)
    # OpenAI answers 429 for an account without credit too; no retry helps there.
    if status == 429 and error.code != "insufficient_quota":
        return Fault(kind="busy", message="has too much to do (429)", after=_retry_after(error.response.headers))
    if status in (408, 409, 425) or (status >= 500 and status != 501):
        return Fault(kind="down", message=f"failed ({status})", after=_retry_after(error.response.headers))
    message = _REFUSALS.get(status, "refuses the request: see its log")
    if status < 400:
        message = "sends requests elsewhere: give model.servers the address itself"
    what, _, cure = message.partition(": ")
    return Fault(kind="missing" if status == 404 else "refused", message=f"{what} ({status}): {cure}")


def _request_fault(error: openai.APIStatusError, parameters: Sequence[str]) -> Fault:
    text = str(error).lower()
    if error.status_code == 413 or any(part in text for part in _PROMPT_TOO_LONG):
        return Fault(
            kind="refused",
            message="finds the prompt too long: make model.window what the server was started with, or less",
        )
    # OpenAI names the parameter in a field of the error, other servers only in its text.
    unwanted = [name for name in parameters if error.param == name or name in text]
    if unwanted:
        return Fault(kind="unwanted", message=f"does not know the parameter {unwanted[0]}", parameter=unwanted[0])
    return Fault(kind="refused", message=f"refuses the request ({error.status_code}): see that server's log")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds (RFC 9110: a number or a date), at most an hour; None for other values."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = (
            float(text) if text[:1].isdigit() else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        )
    except (ValueError, TypeError):
        return None
    # A header such as 1e999 becomes infinite.
    return min(max(seconds, 0.0), LONGEST_SECONDS) if math.isfinite(seconds) else None


def verdict(faults: Sequence[tuple[str, Fault]]) -> ModelError:
    """One error that names the fault of every server, for the caller to raise."""
    message = "; ".join(dict.fromkeys(f"{place} {fault.message}" for place, fault in faults))
    if faults and all(fault.kind == "busy" for _, fault in faults):
        seconds = min(BUSY_SECONDS if fault.after is None else fault.after for _, fault in faults)
        return ModelBusy(message, seconds=max(1.0, seconds))
    if any(fault.passes for _, fault in faults):
        return ModelUnavailable(message)
    return ModelError(message)


def place_of(address: str) -> str:
    """A server's address for messages: without user, password, query and fragment."""
    parts = urlsplit(address)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def names_of(models: Sequence[str]) -> str:
    """Up to five of the models that a server lists, for messages: printable characters, 60 of each name."""
    visible = ["".join(letter for letter in name if letter.isprintable())[:60] for name in models[:5]]
    more = f" and {len(models) - 5} more" if len(models) > 5 else ""
    return ", ".join(visible) + more if visible else "none"
