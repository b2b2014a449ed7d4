"""`doctor`: is everything well, and what to do where it is not."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from desktop_agent.check import look
from hub.client import HubClient
from hub.client.client import locate
from hub.core.errors import HubError
from hub.features.browsers.contract import ListBrowsers
from hub.kernel.agents.contract import GetMe
from hub.sandbox.choose import Engines, engines_for
from hub.sandbox.engine import LANGUAGES
from hub.settings import SettingsError, default_home, load
from mcp_bridge.commands.browser import health_line
from mcp_bridge.commands.common import json_option, show
from mcp_bridge.doctor.check import Check
from mcp_bridge.doctor.handshake import check_installed, retire
from mcp_bridge.doctor.hooks import check_hooks
from mcp_bridge.doctor.installed import entries
from mcp_bridge.doctor.machine import database, port, version_of
from mcp_bridge.doctor.reach import WAYS
from mcp_bridge.setup.clients import CLIENTS, Place
from mcp_bridge.setup.clients import Client as SetUpClient
from mcp_bridge.setup.edit import CannotEdit

OLDEST_SQLITE: Final = (3, 35, 0)


@click.command()
@click.argument("clients", nargs=-1, type=click.Choice(list(CLIENTS)))
@click.option("--desktop", is_flag=True, help="Look at the desktop too: display, permissions, clipboard round trip.")
@json_option
def doctor(as_json: bool, desktop: bool, clients: tuple[str, ...]) -> None:
    """Check versions, data, the hub, and every client set up here, or the CLIENTS named; each problem with its fix.

    A client is checked through the entry in its own file: the server it names is started as that client does it, and a
    message is sent to it and must arrive. Exits with 1 when something is wrong. Changes nothing, except that the first
    handshake may start the local hub.
    """
    checks = asyncio.run(examine(clients))
    if desktop:
        checks += [Check(**asdict(one)) for one in look()]
    show([asdict(check) for check in checks], as_json, lambda: "\n".join(map(_line, checks)))
    if not all(check.fine or check.optional for check in checks):
        raise SystemExit(1)


def _line(check: Check) -> str:
    bad = click.style("○", fg="yellow") if check.optional else click.style("✗", fg="red")
    mark = click.style("✓", fg="green") if check.fine else bad
    return f"{mark} {check.name}: {check.found}" + ("" if check.fine else f"\n    → {check.fix}")


async def examine(clients: Sequence[str] = ()) -> list[Check]:
    """All checks, in order; the later ones need the earlier."""
    checks = [_versions(), _sqlite(), _settings(), _home(), await _sandbox(), _port()]
    steps: list[Callable[[], Awaitable[Check]]] = [_handshake, _hub, _database, _clock, _tabs]
    for step in steps:
        try:
            checks.append(await step())
        except (HubError, OSError, TimeoutError, ValueError, httpx2.HTTPError) as error:
            checks.append(Check(step.__name__.strip("_"), False, str(error), "start the hub: mcp-bridge up"))
    return checks + await check_clients(clients, Place.here())


async def check_clients(named: Sequence[str], place: Place) -> list[Check]:
    """Every entry of the named clients, or of all that are here: started as the client does it."""
    checks: list[Check] = []
    for client in CLIENTS.values():
        if client.name in named or (not named and client.installed(place)):
            checks += await _client(client, place, wanted=client.name in named)
    return checks


async def _client(client: SetUpClient, place: Place, *, wanted: bool) -> list[Check]:
    fix = f"mcp-bridge setup {client.name}"
    try:
        found = list(entries(client, place))
    except CannotEdit as error:
        return [Check(client.name, False, str(error), "correct the file by hand; a backup may be under backups/")]
    if not found:
        here = "is here and" if client.installed(place) else "is"
        return [Check(client.name, False, f"{client.title} {here} not set up", fix, optional=not wanted)]
    version_here = version_of(client)
    way = WAYS[client.name].in_version(version_here).text()
    about = ", ".join(filter(None, [f"{client.title} {version_here}" if version_here else "", way]))
    checks = [await check_installed(one) for one in found]
    checks = [replace(check, found=f"{check.found}; {about}") if check.fine else check for check in checks]
    return checks + await check_hooks(client, place)


def _port() -> Check:
    try:
        return port(load())
    except SettingsError:
        return Check("port", False, "not tested", "correct the settings first", optional=True)


async def _database() -> Check:
    settings = load()
    if settings.database_url:
        return Check("database", True, "PostgreSQL; the hub's readiness says whether it answers")
    return await asyncio.to_thread(database, settings.home)


def _versions() -> Check:
    found = (
        f"multi-agent-bridge {version('multi-agent-bridge')}, mcp {version('mcp')}, Python {platform.python_version()}"
    )
    return Check("versions", sys.version_info >= (3, 11), found, "install Python 3.11 or newer")


def _sqlite() -> Check:
    fine = sqlite3.sqlite_version_info >= OLDEST_SQLITE
    return Check("sqlite", fine, sqlite3.sqlite_version, "use a Python built with SQLite 3.35 or newer")


def _settings() -> Check:
    try:
        settings = load()
    except SettingsError as error:
        return Check("settings", False, str(error), "correct or remove that setting")
    return Check("settings", True, f"host {settings.host}, port {settings.port}")


def _home() -> Check:
    home = Path(os.environ.get("BRIDGE_HOME") or default_home())
    if not home.exists():
        return Check("data", True, f"{home} (made at the first start)")
    if os.name == "posix" and home.stat().st_mode & 0o077:
        return Check("data", False, f"{home} can be read by others", f"chmod 700 {home}")
    free_mb = shutil.disk_usage(home).free // 2**20
    return Check("data", free_mb > 200, f"{home}, {free_mb} MB free", "free disk space, or move BRIDGE_HOME")


async def _sandbox() -> Check:
    """Which engines hold code in on this machine, tested now; a hub with runs on tests them the same way."""
    try:
        engines = Engines(engines_for(load().sandbox))
    except SettingsError:
        return Check("sandbox", False, "not tested", "correct the settings first", optional=True)
    await engines.examine()
    engines.close()
    spoken = ", ".join(f"{language} by {engine}" for language, engine in engines.languages.items())
    found = f"{spoken}; {engines.limits}" if spoken else "nothing can run code here; all else works without it"
    return Check("sandbox", set(LANGUAGES) <= set(engines.languages), found, engines.refusal, optional=True)


async def _handshake() -> Check:
    """A real MCP client through the command that clients are configured with."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_bridge", "mcp", "--name", "doctor"],
        env={**os.environ, "BRIDGE_AUTOJOIN": "0"},
    )
    began = time.perf_counter()
    async with asyncio.timeout(30), Client(stdio_client(parameters)) as client:
        tools = (await client.list_tools()).tools
        answer = await client.call_tool("who", {})
    took_ms = int((time.perf_counter() - began) * 1000)
    await retire(str((answer.structured_content or {}).get("you", "")))
    text = getattr(answer.content[0], "text", "")
    return Check(
        "mcp",
        not answer.is_error,
        f"{len(tools)} tools over stdio, a call and its answer in {took_ms} ms" if not answer.is_error else text,
        "look at hub.log in the data directory; start the hub with `mcp-bridge up`",
    )


async def _hub() -> Check:
    url, token = locate()
    async with HubClient(url, token, tries=1) as client:
        me = await client.call(GetMe())
        ready = await client.http.get("/readyz")
    fine = ready.status_code == 200
    state = json.loads(ready.content)["status"]
    return Check("hub", fine, f"{url}, {state}, you are {me.name}", f"the hub says: {state}; free space or restart it")


async def _tabs() -> Check:
    """Whether the tabs that are online find the parts of their page."""
    async with HubClient(tries=1) as client:
        tabs = [b for b in (await client.call(ListBrowsers())).items if b.presence == "online"]
    lost = [b for b in tabs if b.health is not None and (b.health.missing or b.health.problem)]
    found = "; ".join(f"{b.agent}: {health_line(b)}" for b in lost or tabs) or "no tab has joined"
    return Check("browser", not lost, found, "look at the tab; when the page changed, give selectors in the options")


async def _clock() -> Check:
    """The hub's time against this machine's."""
    url, token = locate()
    async with httpx2.AsyncClient(base_url=url, headers={"authorization": f"Bearer {token}"}) as client:
        stats = (await client.get("/v1/admin/stats")).json()
    off_s = abs(stats["now_ms"] / 1000 - time.time())
    return Check("clock", off_s < 5, f"{off_s:.1f} s apart", "set this machine's clock (NTP) and restart the hub")
