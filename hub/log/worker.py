"""What a worker sees of the hub: a consumer of the log that acts on the world and reports by an ordinary transaction.

A feature's `worker.py` lists its workers in `WORKERS`; they run as long as the hub does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from hub.core.call import Call
from hub.log.tail import Tails
from hub.storage.interface import Store

S = TypeVar("S")


class Host(Protocol):
    """The hub, for a worker."""

    store: Store
    settings: Any  # hub.settings.Settings, which is above this layer

    @property
    def tails(self) -> Tails: ...

    def service(self, kind: type[S]) -> S:
        """A long-lived helper of this hub by its class."""
        ...

    def provide(self, service: object) -> None:
        """Offer a long-lived helper to others, found by its class."""
        ...

    def system_call(self) -> Call:
        """A call by the hub itself, now."""
        ...


Worker = Callable[[Host], AbstractAsyncContextManager[None]]
