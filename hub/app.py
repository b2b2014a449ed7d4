"""Builds a hub from settings: store, dispatch, surfaces, and their life. Which transport serves it is the caller's."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Any, TypeVar, cast

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from hub import features
from hub.core.access import ALL_SCOPES, Principal
from hub.core.call import Call
from hub.core.errors import HubError, InternalError, NotFound
from hub.kernel.agents.handlers import bootstrap
from hub.kernel.files.home import check_home
from hub.log.log import HUB, create_stream, find_stream
from hub.log.tail import Tails
from hub.server import attend, batch, files, health, hooks, sse, timers, websocket
from hub.server.answers import send_problem
from hub.server.auth import Authenticator
from hub.server.clock import HubClock
from hub.server.dispatch import Dispatch
from hub.server.http import HttpOperations
from hub.server.limits import Limits, LimitSettings, Rate
from hub.server.security import EXTENSION, LOOPBACK, Guard, Receive, Scope, Send
from hub.settings import Settings
from hub.storage.blobs import BlobStore, FileLimits
from hub.storage.directory import make_private
from hub.storage.interface import Store, Tx
from hub.storage.search import SearchIndex
from hub.storage.sqlite import SqliteStore

log = logging.getLogger("hub")
LOCAL = "local"
S = TypeVar("S")
SYSTEM = Principal(agent=0, name="hub", kind="script", scopes=ALL_SCOPES, owner=0)
Background = Callable[["HubApp"], AbstractAsyncContextManager[None]]


class HubApp:
    """One hub: `dispatch` for in-process callers, `asgi` for servers. Use `async with hub.running():`."""

    def __init__(
        self, settings: Settings, *, store: Store | None = None, clock: Callable[[], int] | None = None
    ) -> None:
        self.settings = settings
        self.store = store or make_store(settings)
        self._clock = clock or HubClock()
        self.dispatch = Dispatch(
            self.store, features.load_registry(), clock=self._clock, limits=Limits(_limits(settings))
        )
        self.authenticator = Authenticator(self.dispatch)
        self.started_at = time.time()
        self._ready = False
        self._local: Principal | None = None
        self.extra_routes: list[BaseRoute] = []
        self.backgrounds: list[Background] = [*features.workers()]
        self.asgi = self._asgi()

    def _asgi(self) -> Guard:
        self._operations = HttpOperations(self.dispatch, self.authenticator, self.dispatch.registry)
        self._operations.streams["files.share"] = files.Upload(self)
        return Guard(
            self._entry,
            hosts=(*LOOPBACK, *self.settings.hosts),
            origins=(EXTENSION, *self.settings.origins),
            refuse=send_problem,
            begin=self._operations.begin,
        )

    async def _entry(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Operations first (the hot path), everything hand-written after."""
        try:
            if scope["type"] == "http" and self._operations.serves(scope):
                await self._operations(scope, receive, send)
            else:
                await self._pages(scope, receive, send)
        except HubError as error:
            await send_problem(error, scope, receive, send)
        except Exception:
            log.exception("an operation failed in an unexpected way: %s", scope.get("path"))
            await send_problem(
                InternalError("the hub failed unexpectedly; its log has the reason"), scope, receive, send
            )

    def mount(self, routes: Sequence[BaseRoute]) -> None:
        """Add routes (before the hub runs), for example the MCP server's."""
        self.extra_routes += routes

    def add_background(self, background: Background) -> None:
        """Add something that runs as long as the hub: consumers, timers, sessions."""
        self.backgrounds.append(background)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HubApp]:
        """Open the store, start what runs in the background, and shut down in order."""
        make_private(self.settings.home)
        index = SearchIndex(self.settings.home / "search.db")
        self.dispatch.provide(index)
        self.dispatch.provide(self._blobs())
        await self.store.open(features.migrations())
        self.dispatch.service(BlobStore).prepare()
        await self.store.write(self._first_start)
        await check_home(self.store, self.dispatch.service(BlobStore))
        await self._restore()
        routes = [
            *attend.routes(self),
            *sse.routes(self),
            *websocket.routes(self),
            *batch.routes(self),
            *health.routes(self),
            *hooks.routes(self),
            *files.routes(self),
            *self.extra_routes,
        ]
        self._pages = Starlette(routes=routes, exception_handlers={404: _no_route})
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(timers.ticking(self))
                for background in self.backgrounds:
                    await stack.enter_async_context(background(self))
                self._ready = True
                yield self
                self._ready = False
                await self.dispatch.settle()
        finally:
            self._ready = False
            await self.store.drain()
            index.close()

    def _blobs(self) -> BlobStore:
        """Where files' bytes are."""
        limits = FileLimits(self.settings.file_bytes, self.settings.room_files_bytes)
        return BlobStore(self.settings.blobs, limits)

    def _first_start(self, tx: Tx) -> None:
        if find_stream(tx, "hub", "hub") is None:
            made = create_stream(tx, self.system_call(), "hub", "hub")
            assert made.log == HUB, "the hub's own stream must be the first one"

    async def _restore(self) -> None:
        """Time goes on after the newest event; last-seen times survive a restart."""

        def body(tx: Tx) -> tuple[int, dict[int, int]]:
            newest = tx.row("select coalesce(max(last_at), 0) from log")
            assert newest is not None
            return newest[0], {row[0]: row[1] for row in tx.rows("select agent, seen_at from presence")}

        newest_ms, seen = await self.store.read(body)
        if isinstance(self._clock, HubClock):
            self._clock.not_before(newest_ms)
        self.dispatch.presence.restore(seen)

    def system_call(self) -> Call:
        """A call by the hub itself."""
        return Call(
            SYSTEM, self._clock(), secrets.token_bytes, self.dispatch.presence.state, self.dispatch.presence.trace
        )

    @property
    def tails(self) -> Tails:
        """Growth of all streams."""
        return self.dispatch.tails

    def service(self, kind: type[S]) -> S:
        """A long-lived helper of this hub by its class."""
        return self.dispatch.service(kind)

    def provide(self, service: object) -> None:
        """Offer a long-lived helper to others, found by its class."""
        self.dispatch.provide(service)

    async def local_token(self) -> str:
        """A new token with all scopes for the local user's agent."""
        call = self.system_call()
        return await self.store.write(lambda tx: bootstrap(tx, call, LOCAL), locks=(HUB,))

    async def know_local(self, token: str) -> None:
        """Check the local user's token and remember whose it is. Raises Unauthorized."""
        self._local = await self.authenticator.authenticate(token)

    def local_principal(self) -> Principal:
        """The local user's agent, for links made by the process itself. Only after `local_token`."""
        assert self._local is not None, "the local user has no agent yet"
        return self._local

    def idle_for_s(self) -> float:
        """Seconds since anybody called or was connected."""
        return self.dispatch.presence.idle_for_s()

    def not_ready(self) -> str | None:
        if not self._ready:
            return "starting or stopping"
        return self.store.health()

    def stats(self) -> dict[str, Any]:
        """Latencies and counts for operators."""
        return {
            "uptime_s": round(time.time() - self.started_at, 1),
            "operations": self.dispatch.measures.percentiles(),
            "ready": self.not_ready() is None,
            "now_ms": self._clock(),
            "waiting": self.dispatch.tails.waiting(),
        }


def _limits(settings: Settings) -> LimitSettings:
    return LimitSettings(
        reads=Rate(settings.reads_per_s, settings.reads_per_s * 2),
        writes=Rate(settings.writes_per_s, settings.write_burst),
    )


def make_store(settings: Settings) -> Store:
    """The store the settings ask for."""
    if settings.database_url:
        postgres = import_module("hub.storage.postgres")  # only with the extra `postgres`
        return cast("Store", postgres.PostgresStore(settings.database_url))
    return SqliteStore(settings.home)


async def _no_route(request: Any, error: Exception) -> Any:
    return health.Problem(NotFound(f"there is no {request.url.path[:200]}; GET /openapi.json lists all routes"))
