"""Handing files over, told once and played through every surface: in-process, HTTP, client, MCP, command line."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import anyio
import httpx2
import pytest
from mcp import Client

from hub.client import HubClient, LocalCaller
from hub.core.caller import Caller
from hub.core.errors import HubError
from hub.features.files import contract as c
from hub.kernel.inbox.contract import PollInbox
from hub.kernel.rooms.contract import CreateRoom, JoinRoom
from hub.server.parse import build
from hub.settings import Settings
from mcp_bridge.serve import Served, serving
from tests.mcp.test_relay import ROOT
from tests.support.surfaces import open_http, open_tools, register

pytestmark = pytest.mark.anyio


class Refused(Exception):
    """The surface said no; the text says why."""


class Person(Protocol):
    """What somebody does with files, whatever the surface."""

    async def put(self, room: str, name: str, content: bytes, text: str) -> str: ...
    async def get(self, room: str, file: str) -> bytes: ...
    async def ls(self, room: str) -> list[tuple[str, int]]: ...
    async def rm(self, room: str, file: str) -> None: ...


class InProcess:
    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def put(self, room: str, name: str, content: bytes, text: str) -> str:
        encoded = base64.b64encode(content).decode()
        fields = {"room": room, "name": name, "content_base64": encoded, "text": text}
        try:
            request = build(c.ShareFile, fields)
        except HubError as error:
            raise Refused(error.detail) from error
        return str((await self._call(request)).id)

    async def get(self, room: str, file: str) -> bytes:
        part = await self._call(c.ReadFile(room=room, file=file, base64=True, max_bytes=c.MOST_READ_BYTES))
        return base64.b64decode(part.content_base64)

    async def ls(self, room: str) -> list[tuple[str, int]]:
        return [(f.name, f.version) for f in (await self._call(c.ListFiles(room=room))).items]

    async def rm(self, room: str, file: str) -> None:
        await self._call(c.DeleteFile(room=room, file=file))

    async def _call(self, request: Any) -> Any:
        try:
            return await self._caller.call(request)
        except HubError as error:
            raise Refused(error.detail) from error


class ByClient(InProcess):
    """The typed client, streaming."""

    def __init__(self, client: HubClient, folder: Path) -> None:
        super().__init__(client)
        self._client = client
        self._folder = folder

    async def put(self, room: str, name: str, content: bytes, text: str) -> str:
        path = self._folder / "upload"
        path.write_bytes(content)
        try:
            return (await self._client.share_file(room, path, name=name, text=text)).id
        except HubError as error:
            raise Refused(error.detail) from error

    async def get(self, room: str, file: str) -> bytes:
        path = self._folder / "download"
        with path.open("wb") as target:
            try:
                await self._client.fetch_file(room, file, target)
            except HubError as error:
                raise Refused(error.detail) from error
        return path.read_bytes()


class ByHttp:
    """Plain HTTP."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def put(self, room: str, name: str, content: bytes, text: str) -> str:
        answer = await self._http.post(f"/v1/rooms/{room}/files", params={"name": name, "text": text}, content=content)
        return str(self._good(answer).json()["id"])

    async def get(self, room: str, file: str) -> bytes:
        return self._good(await self._http.get(f"/v1/rooms/{room}/files/{file}/content")).content

    async def ls(self, room: str) -> list[tuple[str, int]]:
        items = self._good(await self._http.get(f"/v1/rooms/{room}/files")).json()["items"]
        return [(item["name"], item["version"]) for item in items]

    async def rm(self, room: str, file: str) -> None:
        self._good(await self._http.delete(f"/v1/rooms/{room}/files/{file}"))

    def _good(self, answer: httpx2.Response) -> httpx2.Response:
        if answer.status_code >= 400:
            raise Refused(answer.json()["detail"])
        return answer


class ByTools:
    """The MCP tool, and the resource for what is not text."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def put(self, room: str, name: str, content: bytes, text: str) -> str:
        encoded = base64.b64encode(content).decode()
        found = await self._call(action="put", room=room, file=name, base64=encoded, text=text)
        return str(found["file"]["id"])

    async def get(self, room: str, file: str) -> bytes:
        found = await self._call(action="get", room=room, file=file)
        read = await self._client.read_resource(f"room://{room}/files/{found['file']['id']}")
        return base64.b64decode(getattr(read.contents[0], "blob", ""))

    async def ls(self, room: str) -> list[tuple[str, int]]:
        return [(f["name"], f["version"]) for f in (await self._call(action="list", room=room)).get("files", [])]

    async def rm(self, room: str, file: str) -> None:
        await self._call(action="delete", room=room, file=file)

    async def _call(self, **arguments: Any) -> dict[str, Any]:
        result = await self._client.call_tool("file", arguments)
        if result.is_error:
            raise Refused(getattr(result.content[0], "text", ""))
        assert result.structured_content is not None
        return dict(result.structured_content)


class ByCommands:
    """The command line, each time a process of its own."""

    def __init__(self, url: str, token: str, folder: Path) -> None:
        self._env = {**os.environ, "BRIDGE_URL": url, "BRIDGE_TOKEN": token, "PYTHONPATH": str(ROOT)}
        self._folder = folder

    async def put(self, room: str, name: str, content: bytes, text: str) -> str:
        (self._folder / "upload").write_bytes(content)
        out = await self._run("put", room, str(self._folder / "upload"), "--name", name, "--text", text, "--json")
        return str(json.loads(out)["id"])

    async def get(self, room: str, file: str) -> bytes:
        return await self._run("get", room, file, "--output", "-")

    async def ls(self, room: str) -> list[tuple[str, int]]:
        items = json.loads(await self._run("ls", room, "--json"))["items"]
        return [(item["name"], item["version"]) for item in items]

    async def rm(self, room: str, file: str) -> None:
        await self._run("rm", room, file)

    async def _run(self, *arguments: str) -> bytes:
        command = [sys.executable, "-m", "mcp_bridge", "files", *arguments]
        done = await anyio.run_process(command, env=self._env, check=False, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise Refused(done.stderr.decode())
        return done.stdout


class Stage:
    """Makes people on one surface of one hub."""

    def __init__(self, served: Served, surface: str, stack: AsyncExitStack, folder: Path) -> None:
        self._served = served
        self._surface = surface
        self._stack = stack
        self._folder = folder

    async def person(self, name: str) -> tuple[Person, Caller]:
        """Somebody on the surface, and a caller to look behind it."""
        token = await register(self._served, name)
        caller = LocalCaller(self._served.hub.dispatch, await self._served.hub.authenticator.authenticate(token))
        return await self._on_surface(token, caller), caller

    async def _on_surface(self, token: str, caller: Caller) -> Person:
        if self._surface == "in-process":
            return InProcess(caller)
        if self._surface == "client":
            return ByClient(await self._stack.enter_async_context(HubClient(self._served.url, token)), self._folder)
        if self._surface == "commands":
            return ByCommands(self._served.url, token, self._folder)
        http = await open_http(self._stack, self._served, token)
        return ByHttp(http) if self._surface == "http" else ByTools(await open_tools(self._stack, self._served, http))


@pytest.fixture(params=["in-process", "http", "client", "mcp", "commands"])
async def stage(tmp_path: Path, request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Stage]:
    settings = Settings(home=tmp_path / "home", port=0, log_level="error", room_files_bytes=100_000)
    async with serving(settings) as served, AsyncExitStack() as stack:
        yield Stage(served, request.param, stack, tmp_path)


async def test_one_hands_files_over_and_another_gets_exactly_them(stage: Stage) -> None:
    ada, ada_caller = await stage.person("ada")
    ben, ben_caller = await stage.person("ben")
    await ada_caller.call(CreateRoom(room="build", open_to="all"))
    await ben_caller.call(JoinRoom(room="build"))
    binary = bytes(range(256)) * 100
    shared = await ada.put("build", "data.bin", binary, "here is the data")
    await ada.put("build", "naïve notes.md", b"# one", "notes")
    await ben.put("build", "naïve notes.md", b"# two", "mine")
    news = (await ben_caller.call(PollInbox())).messages
    assert [(m.text, m.attachments[:1]) for m in news][:1] == [("here is the data", (shared,))]
    assert await ben.ls("build") == [("naïve notes.md", 2), ("data.bin", 1)]
    assert await ben.get("build", shared) == binary
    assert await ben.get("build", "data.bin") == binary
    assert await ada.get("build", "naïve notes.md") == b"# two"
    with pytest.raises(Refused, match="only who shared a file"):
        await ben.rm("build", "data.bin")
    await ada.rm("build", "data.bin")
    with pytest.raises(Refused, match="not found in room 'build'"):
        await ben.get("build", "data.bin")
    assert await ada.ls("build") == [("naïve notes.md", 2)]


async def test_what_does_not_fit_or_has_a_wrong_name_is_refused_with_the_reason(stage: Stage) -> None:
    ada, caller = await stage.person("ada")
    await caller.call(CreateRoom(room="build"))
    with pytest.raises(Refused, match="give only the last part: 'passwd'"):
        await ada.put("build", "../../etc/passwd", b"x", "no")
    with pytest.raises(Refused, match="room 'elsewhere' not found; you are in: build"):
        await ada.put("elsewhere", "a", b"x", "no")
    await ada.put("build", "a", b"a" * 60_000, "yes")
    with pytest.raises(Refused, match="holds 60,000 of 100,000 bytes"):
        await ada.put("build", "b", b"b" * 60_000, "no")
    assert await ada.ls("build") == [("a", 1)]
