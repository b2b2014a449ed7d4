"""Which function answers which request.

A handler is a synchronous transaction body: load, decide, append, return. An answerer is for the few reads that need
more than rows (search, files): it may await, so it never runs inside a write. A preparer surrounds a write that needs
something to be there before (bytes on disk) and tidies up after it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from hub.core.call import Call
from hub.core.errors import HubError
from hub.core.operation import Operation, Request, Result
from hub.storage.interface import Store, Tx

Q = TypeVar("Q", bound=Request[Any])
R = TypeVar("R", bound=Result)
S = TypeVar("S")
Handler = Callable[[Tx, Call, Any], Any]


class Hub(Protocol):
    """What an answerer sees of the hub."""

    store: Store

    def service(self, kind: type[S]) -> S:
        """A long-lived helper of this hub (an index, a blob store) by its class."""
        ...


Answerer = Callable[[Hub, Call, Any], Awaitable[Any]]
HANDLERS: dict[type[Any], Handler] = {}
ANSWERERS: dict[type[Any], Answerer] = {}
Preparer = Callable[[Hub, Call, Any], AbstractAsyncContextManager[Any]]
PREPARERS: dict[type[Any], Preparer] = {}
Replay = Callable[[Tx, Call, int, int], R]
REPLAYS: dict[type[Any], Callable[[Tx, Call, int, int], Any]] = {}


def handles(operation: Operation[Q, R]) -> Callable[[Callable[[Tx, Call, Q], R]], Callable[[Tx, Call, Q], R]]:
    """Bind a function to an operation; every operation has exactly one."""

    def register(function: Callable[[Tx, Call, Q], R]) -> Callable[[Tx, Call, Q], R]:
        _only_one(operation)
        HANDLERS[operation.request] = function
        return function

    return register


def replays(operation: Operation[Any, R]) -> Callable[[Replay[R]], Replay[R]]:
    """Bind the function that makes an operation's result again from the event it points to (see `Result.pointer`)."""

    def register(function: Replay[R]) -> Replay[R]:
        REPLAYS[operation.request] = function
        return function

    return register


Restore = Callable[[Tx, Call, bytes], R]
RESTORES: dict[type[Any], Callable[[Tx, Call, bytes], Any]] = {}


def restores(operation: Operation[Any, R]) -> Callable[[Restore[R]], Restore[R]]:
    """Bind the function that makes a result again from its `to_keep`, which is a JSON array of what it needs."""

    def register(function: Restore[R]) -> Restore[R]:
        RESTORES[operation.request] = function
        return function

    return register


def answers(
    operation: Operation[Q, R],
) -> Callable[[Callable[[Hub, Call, Q], Awaitable[R]]], Callable[[Hub, Call, Q], Awaitable[R]]]:
    """Bind an async function to a reading operation."""

    def register(function: Callable[[Hub, Call, Q], Awaitable[R]]) -> Callable[[Hub, Call, Q], Awaitable[R]]:
        _only_one(operation)
        assert operation.reads, f"{operation.name} writes: give it a handler"
        ANSWERERS[operation.request] = function
        return function

    return register


def prepares(
    operation: Operation[Q, R],
) -> Callable[
    [Callable[[Hub, Call, Q], AbstractAsyncContextManager[Q]]], Callable[[Hub, Call, Q], AbstractAsyncContextManager[Q]]
]:
    """Bind what surrounds a write: the handler gets the request it yields, and so does the idempotency record."""

    def register(
        function: Callable[[Hub, Call, Q], AbstractAsyncContextManager[Q]],
    ) -> Callable[[Hub, Call, Q], AbstractAsyncContextManager[Q]]:
        PREPARERS[operation.request] = function
        return function

    return register


Note = Callable[[Tx], None]
E = TypeVar("E", bound=HubError)


def leaves(note: Note, refusal: E) -> E:
    """The refusal, with what must be kept of it: its own transaction is undone, `note` runs in one after it."""
    _NOTES[refusal] = note
    return refusal


def note_of(refusal: HubError) -> Note | None:
    """What `leaves` gave the refusal to keep."""
    return _NOTES.get(refusal)


_NOTES: WeakKeyDictionary[HubError, Note] = WeakKeyDictionary()


def function_of(request: type[Any]) -> Callable[..., Any]:
    """The function bound to a request class."""
    return HANDLERS.get(request) or ANSWERERS[request]


def _only_one(operation: Operation[Any, Any]) -> None:
    if operation.request in HANDLERS or operation.request in ANSWERERS:
        raise RuntimeError(f"{operation.name} has two handlers")
