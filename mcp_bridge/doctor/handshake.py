"""Start the bridge the way a client does, from the entry in its file: a handshake, and a message that arrives."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final, TextIO

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from hub.client import HubClient
from hub.core.errors import HubError
from hub.features.messages.contract import PostDirect
from hub.kernel.agents.contract import GetMe, RetireAgent
from mcp_bridge.doctor.check import Check
from mcp_bridge.doctor.installed import Installed, NotSet

LIMIT_S: Final = 30.0
NEEDED: Final = frozenset({"join", "send", "poll"})
HOW_TO_GET_ONE: Final = (
    "make a token (mcp-bridge agents register NAME --kind code) and set {name} where the client is started"
)


class Broken(Exception):
    """What does not work, and its fix."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found)
        self.found, self.fix = found, fix


@dataclass(frozen=True, slots=True)
class Arrived:
    """What was seen: the tools, the agent's name, how long the message took."""

    tools: int
    agent: str
    took_ms: int
    how: str


async def check_installed(found: Installed, environment: Mapping[str, str] | None = None) -> Check:
    """Whether a session of this client would be at the bridge: the installed entry, started and used."""
    name = f"{found.client.name} ({found.scope})"
    try:
        seen = await _use(found, os.environ if environment is None else environment)
    except Broken as broken:
        return Check(name, False, f"{found.path}: {broken.found}", broken.fix)
    return Check(name, True, f"{seen.tools} tools, {seen.how} in {seen.took_ms} ms")


def set_up_again(found: Installed) -> str:
    """The command that writes this entry anew."""
    scope = "" if found.scope == found.client.scopes[0] else f" --scope {found.scope}"
    address = f" --url {found.url}" if found.url else ""
    return f"mcp-bridge setup {found.client.name}{scope}{address}"


async def _use(found: Installed, environment: Mapping[str, str]) -> Arrived:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        try:
            async with asyncio.timeout(LIMIT_S):
                if found.url:
                    return await _over_http(found, environment)
                return await _over_stdio(found, environment, errors)
        except NotSet as error:
            raise Broken(str(error), HOW_TO_GET_ONE.format(name=error.name)) from error
        except TimeoutError:
            raise Broken(f"no answer in {LIMIT_S:.0f} s{_last_line(errors)}", set_up_again(found)) from None
        except Exception as error:  # whatever stops the client's own SDK stops the client
            cause = innermost(error)
            if isinstance(cause, Broken):
                raise cause from None
            said = f"{type(cause).__name__}: {cause}".rstrip(": ")
            raise Broken(f"{said}{_last_line(errors)}", set_up_again(found)) from error


async def _over_stdio(found: Installed, environment: Mapping[str, str], errors: TextIO) -> Arrived:
    passed = found.passed_on(environment)
    program, *arguments = found.command
    if not program:
        raise Broken("the entry has neither a command nor an address", set_up_again(found))
    if shutil.which(program, path=passed.get("PATH", environment.get("PATH"))) is None:
        fix = set_up_again(found) if os.path.isabs(program) else f"put {program} on the PATH, or set up user scope"
        raise Broken(f"{program} is not there", fix)
    remote = bool(passed.get("BRIDGE_URL"))
    if not remote:  # a name of our own; with a token of a remote hub the name is that token's
        arguments = [*arguments, "--name", f"doctor-{found.client.name}"]
    variables = {**passed, "BRIDGE_AUTOJOIN": "0", "BRIDGE_PUSH_SOCKET": "0", "BRIDGE_SESSION": "doctor"}
    parameters = StdioServerParameters(command=program, args=arguments, env=variables)
    async with Client(stdio_client(parameters, errlog=errors)) as session:
        seen = await _converse(session, found)
    if not remote:
        await retire(seen.agent)
    return seen


async def _over_http(found: Installed, environment: Mapping[str, str]) -> Arrived:
    headers = found.headers(environment)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=LIMIT_S))
        try:
            answer = await http.post(found.url, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        except httpx2.TransportError as error:
            raise Broken(f"nothing answers at {found.url}", "start that hub, or correct the address") from error
        if answer.status_code in (401, 403):
            raise Broken(f"{found.url} does not accept the token", HOW_TO_GET_ONE.format(name="BRIDGE_TOKEN"))
        if answer.status_code == 404:
            raise Broken(f"{found.url} is no bridge", "correct the address; it ends with /mcp")
        session = await stack.enter_async_context(Client(streamable_http_client(found.url, http_client=http)))
        return await _converse(session, found)


async def _converse(session: Client, found: Installed) -> Arrived:
    """List the tools, find out who we are, get a message."""
    tools = {tool.name for tool in (await session.list_tools()).tools}
    if not tools >= NEEDED:
        raise Broken("another server answers under the name bridge", f"rename it, then {set_up_again(found)}")
    me = str((await _call(session, "who"))["you"])
    began = time.perf_counter()
    how = await _message(session, me, f"doctor {secrets.token_hex(8)}")
    return Arrived(len(tools), me, int((time.perf_counter() - began) * 1000), how)


async def _message(session: Client, me: str, text: str) -> str:
    """Send a message to this session and see it come; how it was done. Raises Broken."""
    async with HubClient(tries=2) as client:
        if (await client.call(GetMe())).name == me:  # one token for both: write it and read it back
            await _call(session, "join", room="doctor", topic="What doctor says to itself")
            await _call(session, "send", room="doctor", text=text)
            found = await _call(session, "history", room="doctor", limit=5)
            how = "a message was written and read back"
        else:
            try:
                await client.call(PostDirect(agent=me, text=text))
            except HubError as error:
                fix = "give both the same BRIDGE_HOME or BRIDGE_URL; setting the client up again passes them on"
                raise Broken(f"it talks to another hub than this command ({error})", fix) from error
            found = await _call(session, "poll", wait_s=10)
            how = "a message to it arrived"
    if text not in str(found):
        raise Broken("a message to it did not arrive", "restart the hub and look at hub.log in the data directory")
    return how


async def _call(session: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await session.call_tool(tool, arguments)
    if answer.is_error:
        said = " ".join(getattr(part, "text", "") for part in answer.content)
        raise Broken(f"{tool}: {said}", "start the hub with `mcp-bridge up`; hub.log is in the data directory")
    return answer.structured_content or {}


async def retire(agent: str) -> None:
    """Take an agent of ours out of the roster, where it would stay as a ghost."""
    with suppress(HubError):
        async with HubClient(tries=1) as client:
            await client.call(RetireAgent(agent=agent))


def innermost(error: BaseException) -> BaseException:
    """The first error inside groups of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _last_line(errors: TextIO) -> str:
    errors.seek(0)
    said = [line for line in errors.read().splitlines() if line.strip()]
    return f"; it said: {said[-1][:200]}" if said else ""
