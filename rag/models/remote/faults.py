"""What went wrong at a server, in one line that says what to do: never what people or the server wrote."""

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
"""Told to the user when a server is busy and does not say for how long."""
LONGEST_SECONDS = 3600.0
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What LangChain and the SDK let through when an answer is JSON of another shape, or none."""
_OVERLONG = ("context length", "context_length", "context window", "context size", "too long", "too large")

_REFUSALS = {
    401: "does not accept the key: set OPENAI_API_KEY to one that it knows",
    403: "does not accept the key: set OPENAI_API_KEY to one that it knows and that may use the model",
    404: "has no such model there: model.servers usually end in /v1",
    429: "has no credit left for the key: see the account that it belongs to",
}

Kind = Literal["down", "busy", "refused", "missing", "unwanted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``down`` and ``busy`` may pass by themselves, ``refused`` and ``missing`` (no such model) not; ``unwanted`` names a
    parameter that the server does not know. ``after``: seconds that the server asked to be left alone for."""

    kind: Kind
    message: str
    after: float | None = None
    parameter: str = ""

    @property
    def passes(self) -> bool:
        return self.kind in ("down", "busy")


class ServerFault(Exception):
    """Carries a fault to where the next attempt is decided."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def fault_of(error: Exception, parameters: Sequence[str] = ()) -> Fault:
    """``parameters``: those of the request that a server may not know."""
    if isinstance(error, openai.APIStatusError):
        return _status_fault(error, parameters)
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
    said = str(error).lower()
    if error.status_code == 413 or any(part in said for part in _OVERLONG):
        return Fault(
            kind="refused",
            message="finds the prompt too long: make model.window what the server was started with, or less",
        )
    unwanted = [name for name in parameters if error.param == name or name in said]
    if unwanted:
        return Fault(kind="unwanted", message=f"does not know the parameter {unwanted[0]}", parameter=unwanted[0])
    return Fault(kind="refused", message=f"refuses the request ({error.status_code}): see that server's log")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds (RFC 9110: a number or a date), where it says something that can be meant."""
    said = headers.get("retry-after", "").strip()
    try:
        seconds = (
            float(said) if said[:1].isdigit() else (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()
        )
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), LONGEST_SECONDS) if math.isfinite(seconds) else None


def verdict(faults: Sequence[tuple[str, Fault]]) -> ModelError:
    """The one error for what went wrong at every server (place and fault), to be raised."""
    told = "; ".join(dict.fromkeys(f"{place} {fault.message}" for place, fault in faults))
    if faults and all(fault.kind == "busy" for _, fault in faults):
        seconds = min(BUSY_SECONDS if fault.after is None else fault.after for _, fault in faults)
        return ModelBusy(told, seconds=max(1.0, seconds))
    if any(fault.passes for _, fault in faults):
        return ModelUnavailable(told)
    return ModelError(told)


def place_of(address: str) -> str:
    """A server as a message may show it: without what stands before @, or after the path."""
    parts = urlsplit(address)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def names_of(models: Sequence[str]) -> str:
    """The models that a server lists, as a message may show them."""
    shown = ["".join(letter for letter in name if letter.isprintable())[:60] for name in models[:5]]
    more = f" and {len(models) - 5} more" if len(models) > 5 else ""
    return ", ".join(shown) + more if shown else "none"
