"""Serving a hub: uvicorn around the app, the files that let clients find it, clean shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import json
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvicorn

from hub.app import HubApp
from hub.core.errors import HubError
from hub.running import FILE
from hub.server.coalesce import CoalescingWebSocket
from hub.server.logs import configure_logs
from hub.server.straight import StraightHttp
from hub.server.websocket import PING_S
from hub.settings import Settings
from hub.storage.directory import make_private
from hub.storage.interface import StoreError

GRACE_S = 10


@dataclass(frozen=True, slots=True)
class Served:
    """A hub that answers: where, and as whom the local user calls it."""

    hub: HubApp
    url: str
    token: str


class HubServer(uvicorn.Server):
    """uvicorn with shutdown decided by us, so that data is safe before the process ends."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answering = asyncio.Event()
        self._over = asyncio.Event()

    def end(self) -> None:
        """Stop answering, gracefully; `serve` returns when that is done."""
        self.should_exit = True
        self._over.set()

    async def main_loop(self) -> None:
        """Until `end`. uvicorn looks ten times a second whether it should stop; an idle hub sleeps."""
        await self.on_tick(0)
        await self._over.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answering.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


def bind(settings: Settings) -> socket.socket:
    """The listening socket. Raises StoreError with what to do when the address is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        try:
            made.bind((settings.host, settings.port))
        except OSError:
            if not settings.fallback_port:
                raise
            made.bind((settings.host, 0))
        made.listen(2048)
    except OSError as error:
        made.close()
        raise StoreError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
            "Is another hub running there? Choose another port with --port (0 picks a free one)"
        ) from error
    return made


def url_of(settings: Settings, port: int) -> str:
    """The address clients on this machine use."""
    host = settings.host
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        host = "127.0.0.1" if address.is_unspecified else host
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.tls_cert else 'http'}://{host}:{port}"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its user can read, in one step."""
    part = path.with_name(path.name + f".{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)


def compose(settings: Settings) -> HubApp:
    """The hub with everything that hangs on it."""
    from mcp_bridge.parts import add_parts

    hub = HubApp(settings)
    add_parts(hub)
    return hub


@contextlib.asynccontextmanager
async def serving(settings: Settings, hub: HubApp | None = None) -> AsyncIterator[Served]:
    """A hub on a socket, with its files written; drained and closed at the end."""
    settings.check_exposure()
    make_private(settings.home)
    configure_logs(settings.log_level)
    hub = hub or compose(settings)
    async with hub.running():
        listener = bind(settings)
        url = url_of(settings, listener.getsockname()[1])
        token = await _own_token(hub, settings.home)
        server = HubServer(_config(hub, settings))
        task = asyncio.create_task(server.serve([listener]))
        try:
            await server.answering.wait()
            write_private(
                settings.home / FILE,
                json.dumps({"url": url, "pid": os.getpid(), "version": version("multi-agent-bridge")}),
            )
            gc.collect()
            gc.freeze()  # what was loaded at start is never garbage: full collections stalled the loop for 30 ms
            gc.set_threshold(20_000, 50, 50)
            yield Served(hub, url, token)
        finally:
            (settings.home / FILE).unlink(missing_ok=True)
            hub.dispatch.drain()
            server.end()
            await task
            listener.close()


def _config(hub: HubApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        hub.asgi,
        loop="none",
        http=StraightHttp,
        ws=CoalescingWebSocket,
        ws_max_size=1024 * 1024,
        ws_per_message_deflate=False,
        ws_ping_interval=PING_S,
        proxy_headers=settings.behind_proxy,
        server_header=False,
        date_header=False,
        access_log=False,
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
    )


async def _own_token(hub: HubApp, home: Path) -> str:
    """The local user's token from its file; a new one when it is missing or not valid any more."""
    path = home / "token"
    with contextlib.suppress(OSError):
        token = path.read_text("utf-8").strip()
        with contextlib.suppress(HubError):
            await hub.know_local(token)
            return token
    token = await hub.local_token()
    write_private(path, token)
    await hub.know_local(token)
    return token


def run(settings: Settings, started: Callable[[Served], None]) -> None:
    """Serve until SIGINT or SIGTERM; `started` is told once the hub answers."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(name, stop.set)
        async with serving(settings) as served:
            started(served)
            await _until(stop, served, settings.idle_stop_s)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main())


async def _until(stop: asyncio.Event, served: Served, idle_stop_s: float) -> None:
    """Wait for the signal, or until nobody was there for `idle_stop_s` (0: never)."""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(idle_stop_s / 4, 15) if idle_stop_s else None):
                await stop.wait()
        if idle_stop_s and served.hub.idle_for_s() > idle_stop_s:
            return


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows
        return None
    return uvloop.new_event_loop
