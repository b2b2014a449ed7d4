"""Which function answers which request. A handler is a synchronous body: load, decide, append, return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hub.core.call import Call
from hub.core.operation import Operation, Request, Result
from hub.storage.interface import Tx

Q = TypeVar("Q", bound=Request[Any])
R = TypeVar("R", bound=Result)
Handler = Callable[[Tx, Call, Any], Any]
HANDLERS: dict[type[Any], Handler] = {}
Locks = Callable[[Tx, Call, Any], list[int]]


def handles(operation: Operation[Q, R]) -> Callable[[Callable[[Tx, Call, Q], R]], Callable[[Tx, Call, Q], R]]:
    """Bind a function to an operation; every operation has exactly one."""

    def register(function: Callable[[Tx, Call, Q], R]) -> Callable[[Tx, Call, Q], R]:
        if operation.request in HANDLERS:
            raise RuntimeError(f"{operation.name} has two handlers")
        HANDLERS[operation.request] = function
        return function

    return register
