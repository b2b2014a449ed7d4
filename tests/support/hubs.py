"""Hubs for tests: in-process with a settable clock, and callers for any agent over either surface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from hub.app import LOCAL, HubApp
from hub.client import HubClient, LocalCaller
from hub.core.caller import Caller
from hub.kernel.agents.contract import RegisterAgent
from hub.settings import Settings
from hub.storage.interface import Store


class Clock:
    """A clock that moves only when told (plus one millisecond per look, so that order is visible)."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def advance(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


class TestHub:
    """A running hub and callers into it."""

    __test__ = False

    def __init__(self, app: HubApp, clock: Clock, surface: str, local_token: str) -> None:
        self.app = app
        self.clock = clock
        self.surface = surface
        self.local_token = local_token
        self.tokens: dict[str, str] = {LOCAL: local_token}
        self._stack = AsyncExitStack()

    async def caller(self, token: str) -> Caller:
        """A caller with this token over the hub's surface."""
        if self.surface == "in-process":
            return LocalCaller(self.app.dispatch, await self.app.authenticator.authenticate(token))
        return await self._stack.enter_async_context(self.client(token))

    def client(self, token: str, **kw: Any) -> HubClient:
        """An HTTP client over the in-process ASGI transport."""
        transport = httpx2.ASGITransport(app=self.app.asgi)
        return HubClient("http://127.0.0.1", token, transport=transport, tries=kw.pop("tries", 1), **kw)

    async def local(self) -> Caller:
        """The local user, who may do everything."""
        return await self.caller(self.local_token)

    async def agent(self, name: str, kind: str = "script", scopes: tuple[str, ...] | None = None) -> Caller:
        """A new agent and a caller for it."""
        local = await self.local()
        made = await local.call(RegisterAgent.model_validate({"name": name, "kind": kind, "scopes": scopes}))
        assert made.token is not None
        self.tokens[name] = made.token
        return await self.caller(made.token)

    async def close(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def running_hub(
    home: Path,
    *,
    surface: str = "in-process",
    clock: Clock | None = None,
    store: Store | None = None,
    **settings: Any,
) -> AsyncIterator[TestHub]:
    """A hub over a data directory, closed afterwards."""
    clock = clock or Clock()
    defaults: dict[str, Any] = {"writes_per_s": 1e6, "write_burst": 1e6, "reads_per_s": 1e6, "sandbox": "off"}
    app = HubApp(Settings(home=home, **{**defaults, **settings}), clock=clock, store=store)
    async with app.running():
        hub = TestHub(app, clock, surface, await app.local_token())
        try:
            yield hub
        finally:
            await asyncio.shield(hub.close())
