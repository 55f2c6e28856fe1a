"""Changes of retrieval settings for one run of an evaluation, as given with ``--compare``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from rag.errors import ConfigurationError
from rag.settings import RetrievalSettings

SECTION = "retrieval."


def read_changes(arguments: Sequence[str]) -> dict[str, str]:
    """Parses arguments like ``retrieval.candidates=80`` into keys and values. Raises ``ConfigurationError``."""
    changes: dict[str, str] = {}
    for one in arguments:
        key, sign, value = one.partition("=")
        if not sign or not value:
            raise ConfigurationError(f"{one} is no change of a setting; write retrieval.candidates=80, for example")
        if not key.startswith(SECTION):
            raise ConfigurationError(f"{key} cannot be compared: only settings of retrieval change without a new index")
        changes[key] = value
    return changes


def apply_changes(settings: RetrievalSettings, changes: Mapping[str, str]) -> RetrievalSettings:
    """The settings with the changes applied. Raises ``ConfigurationError`` with the key and the allowed values."""
    values = {key.removeprefix(SECTION): _value(value) for key, value in changes.items()}
    try:
        return RetrievalSettings.model_validate({**settings.model_dump(), **values})
    except ValidationError as error:
        detail = error.errors()[0]
        key = SECTION + ".".join(map(str, detail["loc"]))
        if detail["type"] == "extra_forbidden":
            raise ConfigurationError(f"{key}: there is no such setting") from error
        raise ConfigurationError(f"{key}: {detail['msg'].removeprefix('Value error, ')}") from error


def _value(text: str) -> Any:
    """The value as TOML (lists, booleans); if it is not TOML (``.6``), the text, which pydantic converts."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text
