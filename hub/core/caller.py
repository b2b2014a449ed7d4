"""One way to ask the hub for anything: in-process or over HTTP, for tools, command line, scripts and tests alike."""

from __future__ import annotations

from typing import Protocol, TypeVar

from hub.core.operation import Request, Result

R = TypeVar("R", bound=Result)


class Caller(Protocol):
    """Performs operations as one agent. Raises the HubError the hub answered with."""

    async def call(self, request: Request[R], *, key: str | None = None) -> R:
        """The result of `request`. `key` makes a write idempotent (kept 24 h)."""
        ...
