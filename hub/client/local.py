"""The in-process caller: the same interface as `HubClient`, without a socket."""

from __future__ import annotations

from typing import Protocol, TypeVar

from hub.core.access import Principal
from hub.core.operation import Request, Result

R = TypeVar("R", bound=Result)


class Runs(Protocol):
    """What performs operations in this process: the hub's dispatch."""

    async def run(self, principal: Principal, request: Request[R], *, key: str | None = None) -> R: ...


class LocalCaller:
    """Calls operations of a hub in this process as one principal."""

    def __init__(self, dispatch: Runs, principal: Principal) -> None:
        self.dispatch = dispatch
        self.principal = principal

    async def call(self, request: Request[R], *, key: str | None = None) -> R:
        """The result of `request`; raises the HubError that refused it."""
        return await self.dispatch.run(self.principal, request, key=key)
