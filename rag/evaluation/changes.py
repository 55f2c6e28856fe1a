"""Other settings of retrieval for one run, as ``--compare`` names them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from rag.errors import ConfigurationError
from rag.settings import RetrievalSettings

SECTION = "retrieval."


def read_changes(written: Sequence[str]) -> dict[str, str]:
    """``retrieval.candidates=80`` as key and value. Raises ``ConfigurationError``."""
    changes: dict[str, str] = {}
    for one in written:
        key, sign, value = one.partition("=")
        if not sign or not value:
            raise ConfigurationError(f"{one} is no change of a setting; write retrieval.candidates=80, for example")
        if not key.startswith(SECTION):
            raise ConfigurationError(f"{key} cannot be compared: only settings of retrieval change without a new index")
        changes[key] = value
    return changes


def changed(settings: RetrievalSettings, changes: Mapping[str, str]) -> RetrievalSettings:
    """The settings with these changes. Raises ``ConfigurationError`` with the key and what is allowed."""
    values = {key.removeprefix(SECTION): _value(value) for key, value in changes.items()}
    try:
        return RetrievalSettings.model_validate({**settings.model_dump(), **values})
    except ValidationError as error:
        detail = error.errors()[0]
        key = SECTION + ".".join(map(str, detail["loc"]))
        if detail["type"] == "extra_forbidden":
            raise ConfigurationError(f"{key}: there is no such setting") from error
        raise ConfigurationError(f"{key}: {detail['msg'].removeprefix('Value error, ')}") from error


def _value(written: str) -> Any:
    """TOML where it is TOML (a list, a truth value); else the text, which pydantic converts (``.6``)."""
    try:
        return tomllib.loads(f"value = {written}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return written
