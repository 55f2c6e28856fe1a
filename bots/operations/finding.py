"""The result of one check of ``doctor``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check. ``advice`` says what to do; with ``ok`` it is empty or names an option that could be used."""

    name: str
    ok: bool
    fact: str
    advice: str = ""
