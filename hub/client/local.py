"""The in-process caller: the same interface as `HubClient`, without a socket."""

from __future__ import annotations

from dataclasses import replace
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

    async def call(self, request: Request[R], *, key: str | None = None, reader: str = "") -> R:
        """The result of `request`; raises the HubError that refused it."""
        who = replace(self.principal, reader=reader) if reader else self.principal
        return await self.dispatch.run(who, request, key=key)
