"""What ``doctor`` found out about one thing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check. ``advice`` says what to do; where all is well it is empty, or tells what could be had besides."""

    name: str
    ok: bool
    fact: str
    advice: str = ""
