"""The entry of a platform in the list of platforms. Every command reads that list, so nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from rag.settings import Section

if TYPE_CHECKING:
    from bots.platforms.base import Platform, PlatformContext

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlatformEntry(Generic[S]):
    """Makes a platform part of the configuration, the service, ``doctor`` and readiness.

    ``settings`` is the class of the section called ``name``; the platform is connected where its key ``credential`` is set.
    ``environment`` maps conventional names of variables to keys of the section. ``contact`` says how to reach a person.
    ``handover`` is the description of the setting ``handover.{name}_channel``; empty where the platform has no such channel.
    """

    name: str
    settings: type[S]
    credential: str
    build: Callable[[S, PlatformContext], Platform]
    environment: Mapping[str, str] = field(default_factory=dict)
    contact: Callable[[S], str] = lambda _: ""
    handover: str = ""

    def section(self, settings: Section) -> S:
        """The platform's own part of all settings."""
        section = getattr(settings, self.name)
        if not isinstance(section, self.settings):
            raise TypeError(f"the section {self.name} is a {type(section).__name__}, not a {self.settings.__name__}")
        return section

    def connected(self, settings: Section) -> bool:
        """Whether the platform has its credential."""
        return getattr(self.section(settings), self.credential) is not None

    @property
    def credential_name(self) -> str:
        """The environment variable or key that sets the credential, for messages to people."""
        key = (name for name, place in self.environment.items() if place == self.credential)
        return next(key, f"{self.name}.{self.credential}")
