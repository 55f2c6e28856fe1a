"""Every setting with its default and its environment names, read off the settings' own classes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bots.platforms.entries import PLATFORMS
from bots.settings import conventional_names, settings_class

CONVENTIONAL = conventional_names(PLATFORMS)
SETTINGS_CLASS = settings_class(PLATFORMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting. ``default`` is as a page writes it in code, empty for "none" and for an empty text."""

    key: str
    default: str
    required: bool
    environment: frozenset[str]


def every_setting() -> list[Setting]:
    return list(_walk(SETTINGS_CLASS, ()))


def _walk(section: type[BaseModel], place: tuple[str, ...], *, listed: bool = False) -> Iterator[Setting]:
    for name, field in section.model_fields.items():
        here = (*place, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _walk(field.annotation, here)
            continue
        yield _setting(here, field, listed=listed)
        for inner in get_args(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _walk(inner, (*place, f"{name}[]"), listed=True)


def _setting(place: tuple[str, ...], field: FieldInfo, *, listed: bool) -> Setting:
    """An element of a list has no environment name of its own: the whole list has one."""
    own = {f"COTORRA_{'__'.join(place).upper()}"}
    conventional = {name for name, target in CONVENTIONAL.items() if target == place}
    return Setting(
        key=".".join(place),
        default="" if field.is_required() else _written(field.get_default(call_default_factory=True)),
        required=field.is_required(),
        environment=frozenset(set() if listed else own | conventional),
    )


def _written(value: object) -> str:
    """A default as TOML writes it; a text stands without its quotes."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool | tuple | Mapping):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
