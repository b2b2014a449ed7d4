"""A board's day, told once and played through plain HTTP, the client, MCP tools and the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest
from click.testing import CliRunner
from mcp import Client

from hub.client import HubClient
from hub.core.errors import HubError
from hub.features.kanban import contract as c
from hub.kernel.rooms.contract import CreateRoom, JoinRoom
from hub.settings import Settings
from mcp_bridge.cli import cli
from mcp_bridge.serve import Served, serving
from tests.features.kanban.test_parallel import must_be_the_fold
from tests.support.surfaces import open_http, open_tools, register

pytestmark = pytest.mark.anyio
Seen = Any  # an answer as the surface gives it, a dict


class Refused(Exception):
    """The surface said no; the text says why, the first argument is the error's code."""


class Mate(Protocol):
    """What somebody does on a board, whatever the surface. Answers hold at least id, version, column, assignee."""

    async def add(self, title: str, **fields: Any) -> Seen: ...
    async def move(self, card: Seen, column: str) -> Seen: ...
    async def claim(self, card: Seen) -> Seen: ...
    async def take(self) -> Seen | None: ...
    async def comment(self, card: Seen, text: str) -> Seen: ...
    async def check(self, card: Seen, item: int) -> Seen: ...
    async def archive(self, card: Seen) -> Seen: ...
    async def titles(self) -> list[tuple[str, str]]: ...
    async def past(self, card: Seen) -> list[tuple[str, str]]: ...


class ByHttp:
    """Plain requests, as any language would make them."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def _do(self, method: str, path: str, **body: Any) -> Any:
        answer = await self._http.request(method, f"/v1/rooms/build/{path}", json=body or None)
        found: Seen = answer.json()
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            raise Refused(found["code"], found["detail"])
        return found

    async def add(self, title: str, **fields: Any) -> Seen:
        return await self._do("POST", "cards", title=title, **fields)

    async def move(self, card: Seen, column: str) -> Seen:
        return await self._do("POST", f"cards/{card['id']}/move", version=card["version"], column=column)

    async def claim(self, card: Seen) -> Seen:
        return await self._do("POST", f"cards/{card['id']}/claim")

    async def take(self) -> Seen | None:
        return (await self._do("POST", "board/take"))["card"]

    async def comment(self, card: Seen, text: str) -> Seen:
        return await self._do("POST", f"cards/{card['id']}/comments", text=text)

    async def check(self, card: Seen, item: int) -> Seen:
        return await self._do("POST", f"cards/{card['id']}/checklist/{item}", version=card["version"])

    async def archive(self, card: Seen) -> Seen:
        return await self._do("PATCH", f"cards/{card['id']}", version=card["version"], archived=True)

    async def titles(self) -> list[tuple[str, str]]:
        return [(card["column"], card["title"]) for card in (await self._do("GET", "board"))["cards"]]

    async def past(self, card: Seen) -> list[tuple[str, str]]:
        found = await self._do("GET", f"cards/{card['id']}/history")
        return [(change["by"], change["what"]) for change in found["items"]]


class ByClient:
    """Typed requests through the Python client."""

    def __init__(self, client: HubClient) -> None:
        self._client = client

    async def _do(self, kind: type[Any], **fields: Any) -> Any:
        try:
            return (await self._client.call(kind.model_validate({"room": "build", **fields}))).model_dump()
        except HubError as error:
            raise Refused(error.code, error.detail) from error

    async def add(self, title: str, **fields: Any) -> Seen:
        return await self._do(c.AddCard, title=title, **fields)

    async def move(self, card: Seen, column: str) -> Seen:
        return await self._do(c.MoveCard, card=card["id"], version=card["version"], column=column)

    async def claim(self, card: Seen) -> Seen:
        return await self._do(c.ClaimCard, card=card["id"])

    async def take(self) -> Seen | None:
        return (await self._do(c.TakeNext))["card"]

    async def comment(self, card: Seen, text: str) -> Seen:
        return await self._do(c.CommentCard, card=card["id"], text=text)

    async def check(self, card: Seen, item: int) -> Seen:
        return await self._do(c.CheckItem, card=card["id"], version=card["version"], item=item)

    async def archive(self, card: Seen) -> Seen:
        return await self._do(c.UpdateCard, card=card["id"], version=card["version"], archived=True)

    async def titles(self) -> list[tuple[str, str]]:
        return [(card["column"], card["title"]) for card in (await self._do(c.GetBoard))["cards"]]

    async def past(self, card: Seen) -> list[tuple[str, str]]:
        return [(change["by"], change["what"]) for change in (await self._do(c.ReadHistory, card=card["id"]))["items"]]


class ByTool:
    """The MCP tool `board`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def _do(self, action: str, **fields: Any) -> Seen:
        result = await self._client.call_tool("board", {"action": action, "room": "build", **fields})
        if result.is_error:
            text = str(getattr(result.content[0], "text", ""))
            raise Refused(text.rpartition("[")[2].rstrip("]"), text)
        assert result.structured_content is not None
        return result.structured_content

    async def _card(self, action: str, **fields: Any) -> Seen:
        return {"assignee": None} | (await self._do(action, **fields))["card"]

    async def add(self, title: str, **fields: Any) -> Seen:
        lines = [item["text"] for item in fields.pop("checklist", [])]
        return await self._card("add", title=title, checklist=lines, **fields)

    async def move(self, card: Seen, column: str) -> Seen:
        return await self._card("move", card=card["id"], version=card["version"], column=column)

    async def claim(self, card: Seen) -> Seen:
        return await self._card("claim", card=card["id"])

    async def take(self) -> Seen | None:
        return (await self._do("take")).get("card")

    async def comment(self, card: Seen, text: str) -> Seen:
        return await self._card("comment", card=card["id"], text=text)

    async def check(self, card: Seen, item: int) -> Seen:
        return await self._card("check", card=card["id"], version=card["version"], item=item)

    async def archive(self, card: Seen) -> Seen:
        return await self._card("archive", card=card["id"], version=card["version"])

    async def titles(self) -> list[tuple[str, str]]:
        return [(card["column"], card["title"]) for card in (await self._do("see")).get("cards", [])]

    async def past(self, card: Seen) -> list[tuple[str, str]]:
        return [(e["by"], e["what"]) for e in (await self._do("history", card=card["id"]))["history"]]


class ByCommand:
    """`mcp-bridge board …`, run beside the hub (tests/commands shows the command line as a process)."""

    def __init__(self, url: str, token: str) -> None:
        self._env = {"BRIDGE_URL": url, "BRIDGE_TOKEN": token}

    async def _do(self, action: str, *arguments: str) -> Any:
        done = await asyncio.to_thread(
            CliRunner().invoke, cli, ["board", action, "build", *arguments, "--json"], env=self._env
        )
        if done.exit_code == 1:
            text = done.stderr.strip()
            raise Refused(text.rpartition("[")[2].rstrip("]"), text)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    async def add(self, title: str, **fields: Any) -> Seen:
        options = []
        for name, value in fields.items():
            for one in value if isinstance(value, list) else [value]:
                name_of = {"checklist": "item", "blocked_by": "blocked-by"}.get(name, name)
                options += [f"--{name_of}", one["text"] if isinstance(one, dict) else one]
        return await self._do("add", title, *options)

    async def move(self, card: Seen, column: str) -> Seen:
        return await self._do("move", card["id"], column, "--version", str(card["version"]))

    async def claim(self, card: Seen) -> Seen:
        return await self._do("claim", card["id"])

    async def take(self) -> Seen | None:
        return (await self._do("take"))["card"]

    async def comment(self, card: Seen, text: str) -> Seen:
        return await self._do("comment", card["id"], text)

    async def check(self, card: Seen, item: int) -> Seen:
        return await self._do("check", card["id"], str(item), "--version", str(card["version"]))

    async def archive(self, card: Seen) -> Seen:
        return await self._do("update", card["id"], "--archive", "--version", str(card["version"]))

    async def titles(self) -> list[tuple[str, str]]:
        return [(card["column"], card["title"]) for card in (await self._do("show"))["cards"]]

    async def past(self, card: Seen) -> list[tuple[str, str]]:
        return [(change["by"], change["what"]) for change in (await self._do("history", card["id"]))["items"]]


class Stage:
    """Ada and Ben in a room, on one surface."""

    def __init__(self, served: Served, surface: str, stack: AsyncExitStack) -> None:
        self.served, self._surface, self._stack = served, surface, stack

    async def mate(self, name: str, role: str) -> Mate:
        token = await register(self.served, name)
        client = await self._stack.enter_async_context(HubClient(self.served.url, token))
        await client.call(JoinRoom(room="build", role=role))
        if self._surface == "client":
            return ByClient(client)
        if self._surface == "command":
            return ByCommand(self.served.url, token)
        http = await open_http(self._stack, self.served, token)
        return ByHttp(http) if self._surface == "http" else ByTool(await open_tools(self._stack, self.served, http))


@pytest.fixture(params=["http", "client", "mcp", "command"])
async def stage(tmp_path: Path, request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Stage]:
    async with serving(Settings(home=tmp_path, port=0, log_level="error")) as served, AsyncExitStack() as stack:
        async with HubClient(served.url, served.token) as local:
            await local.call(CreateRoom(room="build", open_to="all"))
            columns = (c.Column(column="todo"), c.Column(column="doing", wip=1), c.Column(column="done", done=True))
            await local.call(c.ConfigureBoard(room="build", columns=columns))
        yield Stage(served, request.param, stack)


async def test_two_work_a_board_off(stage: Stage) -> None:
    ada, ben = await stage.mate("ada", "coordinator"), await stage.mate("ben", "coder")
    parser = await ada.add("Parser", priority="high", role="coder", checklist=[{"text": "tokens"}])
    printer = await ada.add("Printer", blocked_by=[parser["id"]])
    assert await ada.take() is None, "one card is for coders, the other is blocked"

    taken = await ben.take()
    assert taken is not None
    assert (taken["id"], taken["assignee"], taken["version"]) == (parser["id"], "ben", 2)
    with pytest.raises(Refused, match="belongs to ben") as caught:
        await ada.claim(parser)
    assert caught.value.args[0] == "card-taken"
    with pytest.raises(Refused) as caught:
        await ada.move(parser, "done")
    assert caught.value.args[0] == "card-stale"
    assert "version=2" in caught.value.args[1]
    with pytest.raises(Refused, match=parser["id"]) as caught:
        await ada.claim(printer)
    assert caught.value.args[0] == "card-blocked"

    doing = await ben.move(taken, "doing")
    with pytest.raises(Refused, match="1 of 1") as caught:
        await ada.add("Urgent", column="doing")
    assert caught.value.args[0] == "wip-limit"
    ticked = await ben.check(doing, 1)
    said = await ada.comment(ticked, "well done")
    assert said["version"] == ticked["version"], "a comment makes no change stale"
    done = await ben.move(ticked, "done")
    assert (await ada.claim(printer))["assignee"] == "ada"
    await ada.archive(done)

    assert await ben.titles() == [("todo", "Printer")]
    assert await ben.past(done) == [
        ("ada", "added to todo"),
        ("ben", "claimed"),
        ("ben", "moved from todo to doing"),
        ("ben", "set checklist"),
        ("ada", "commented: well done"),
        ("ben", "moved from doing to done"),
        ("ada", "archived"),
    ]
    await _the_log_agrees(stage)


async def _the_log_agrees(stage: Stage) -> None:
    async with HubClient(stage.served.url, stage.served.token) as local:
        events = (await local.http.get("/v1/rooms/build/events?limit=500")).json()["items"]
        board = await local.call(c.GetBoard(room="build"))
    must_be_the_fold(events, board)
