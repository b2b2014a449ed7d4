"""An operation: one thing a caller can ask for, exposed once. Every surface derives from the same list.

A feature's `contract.py` declares `Operation`s with their request and result classes and lists them in `OPERATIONS`;
its `handlers.py` binds one function to each. Anything odd (file bytes, SSE, health) is a hand-written route instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import Field

from hub.core.access import Scope
from hub.core.model import Model


class Result(Model):
    """What an operation answers. `deduplicated` is true when an earlier call with the same key made it."""

    shown_once: ClassVar[str] = ""  # the field with a secret, if it has one
    deduplicated: bool = Field(default=False, exclude_if=lambda v: not v)

    def settled(self) -> bool:
        """Whether a waiting call (`wait_s`) can answer now; false lets it wait for the stream to grow."""
        return True

    def pointer(self) -> tuple[int, int] | None:
        """(log, seq) of the event from which the operation's `replays` function makes the result again.

        None keeps the result itself for an idempotent repeat.
        """
        return None

    def to_keep(self) -> bytes:
        """JSON kept for an idempotent repeat, without what is `shown_once`.

        The result's own; or an array, from which the operation's `restores` function makes it again.
        """
        return (self.model_copy(update={self.shown_once: None}) if self.shown_once else self).json_bytes()


R = TypeVar("R", bound=Result, covariant=True)
Q = TypeVar("Q", bound="Request[Any]")
R2 = TypeVar("R2", bound=Result)


class Request(Model, Generic[R]):
    """What a caller asks for; `Request[Posted]` is answered by a `Posted`."""


class Done(Result):
    """Nothing to say beyond: it is done."""

    ok: Literal[True] = True


Lock = Literal["none", "room", "hub", "queue", "task", "direct"]


@dataclass(frozen=True, slots=True)
class Operation(Generic[Q, R2]):
    """Name, HTTP route, scope, classes. `lock` is the stream a write is serialised on; GETs and lock none only read."""

    name: str
    http: str
    scope: Scope
    request: type[Q]
    response: type[R2]
    status: int = 200
    lock: Lock = "room"
    method: str = field(init=False)
    path: str = field(init=False)
    reads: bool = field(init=False)
    """Whether it changes nothing, so it may run on a read-only snapshot."""
    waits: bool = field(init=False)
    """Whether its request has `wait_s`."""

    def __post_init__(self) -> None:
        method, path = self.http.split(" ", 1)
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "reads", method == "GET" or self.lock == "none")
        object.__setattr__(self, "waits", "wait_s" in self.request.model_fields)

    def wait_s(self, request: Request[Any]) -> float:
        """How long this request may wait. Asking a request without the field would cost pydantic an exception."""
        waiting: Any = request
        return float(waiting.wait_s or 0) if self.waits else 0.0


AnyOperation = Operation[Any, Any]


class Registry:
    """All operations of a hub, by name and by request class."""

    def __init__(self, operations: Iterable[AnyOperation]) -> None:
        self.all = tuple(operations)
        self.by_name = {op.name: op for op in self.all}
        self.by_request: dict[type[Any], AnyOperation] = {op.request: op for op in self.all}
        if len(self.by_name) != len(self.all) or len(self.by_request) != len(self.all):
            raise RuntimeError("an operation name or request class is used twice")
