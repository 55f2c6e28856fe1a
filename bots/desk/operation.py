"""Operations: typed functions that a command runs in this process or in the service that owns the home.

An operation takes the service and one request. How request and response cross the socket follows from the annotations, so a
new operation is a function in ``bots/desk/operations.py`` and a command that names it.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Generic, Protocol, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter

S = TypeVar("S")
Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation(Generic[S, Q, R]):
    """One request, one response."""

    name: str
    run: Callable[[S, Q], Awaitable[R]]
    request: TypeAdapter[Q]
    response: TypeAdapter[R]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream(Generic[S, Q, R]):
    """One request, any number of events. A caller that stops early ends the function. ``events``: by name of their class."""

    name: str
    run: Callable[[S, Q], AsyncIterator[R]]
    request: TypeAdapter[Q]
    events: Mapping[str, TypeAdapter[R]]


class Desk(Protocol):
    """Runs operations. Raises the errors of ``bots``, ``rag`` and ``tuning``; over a socket all become ``BotsError``."""

    async def call(self, operation: Operation[Any, Q, R], request: Q) -> R: ...

    def stream(self, operation: Stream[Any, Q, R], request: Q) -> AsyncIterator[R]: ...


class LocalDesk:
    """Runs operations on a service that is open in this process."""

    def __init__(self, service: object) -> None:
        self._service = service

    async def call(self, operation: Operation[Any, Q, R], request: Q) -> R:
        return await operation.run(self._service, request)

    def stream(self, operation: Stream[Any, Q, R], request: Q) -> AsyncIterator[R]:
        return operation.run(self._service, request)


@dataclass(frozen=True, slots=True)
class Operations(Generic[S]):
    """Operations on one kind of service, by name."""

    single: dict[str, Operation[S, Any, Any]] = field(default_factory=dict)
    streaming: dict[str, Stream[S, Any, Any]] = field(default_factory=dict)

    def operation(self, function: Callable[[S, Q], Awaitable[R]]) -> Operation[S, Q, R]:
        """Declares a function with a single response."""
        name, request, response = _signature(function)
        declared = Operation(name=name, run=function, request=TypeAdapter(request), response=TypeAdapter(response))
        self._claim(name)
        self.single[name] = declared
        return declared

    def stream(self, function: Callable[[S, Q], AsyncIterator[R]]) -> Stream[S, Q, R]:
        """Declares a function that yields dataclasses. Each line names the class, since two classes may share their fields."""
        name, request, response = _signature(function)
        # The annotation is AsyncIterator[A | B]: get_args of the union are the classes; a single class has no arguments.
        (event,) = get_args(response)
        kinds = get_args(event) or (event,)
        events = {kind.__name__: TypeAdapter(kind) for kind in kinds}
        declared = Stream(name=name, run=function, request=TypeAdapter(request), events=events)
        self._claim(name)
        self.streaming[name] = declared
        return declared

    def _claim(self, name: str) -> None:
        if name in self.single or name in self.streaming:
            raise ValueError(f"there are two operations called {name}")


def _signature(function: Callable[..., object]) -> tuple[str, Any, Any]:
    """Name, request and response of a function.

    The service's annotation is not evaluated: its classes may be imported for type checkers only.
    """
    signature = inspect.signature(function)
    _, request = signature.parameters.values()
    names = {"request": request.annotation, "response": signature.return_annotation}
    module = inspect.getmodule(function)
    hints = get_type_hints(SimpleNamespace(__annotations__=names), vars(module))
    return function.__name__, hints["request"], hints["response"]
