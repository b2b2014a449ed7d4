"""Handing work out and doing it, told once and played through every surface: in-process, HTTP, MCP, command line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from hub.client import HubClient, LocalCaller
from hub.core.caller import Caller
from hub.features.queues import contract as c
from hub.kernel.agents.contract import RegisterAgent
from hub.settings import Settings
from mcp_bridge.serve import Served, serving
from tests.mcp.conftest import call

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


class Hand(Protocol):
    """What a dispatcher or a worker can do, whatever the surface. Tasks are plain dicts."""

    async def create(self, queue: str) -> None: ...
    async def send(self, queue: str, body: Any) -> str: ...
    async def take(self, queue: str) -> dict[str, Any] | None: ...
    async def extend(self, task: dict[str, Any], progress: float) -> None: ...
    async def finish(self, task: dict[str, Any], result: Any) -> None: ...
    async def fail(self, task: dict[str, Any], reason: str) -> None: ...
    async def give_back(self, task: dict[str, Any]) -> None: ...
    async def look(self, task: str) -> dict[str, Any]: ...


class ByOperations:
    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(self, queue: str) -> None:
        await self._caller.call(c.CreateQueue(queue=queue))

    async def send(self, queue: str, body: Any) -> str:
        return (await self._caller.call(c.EnqueueTask(queue=queue, body=body))).id

    async def take(self, queue: str) -> dict[str, Any] | None:
        items = (await self._caller.call(c.ClaimTasks(queue=queue))).items
        return items[0].model_dump() if items else None

    async def extend(self, task: dict[str, Any], progress: float) -> None:
        await self._caller.call(c.ExtendTask(**_held(task), progress=progress))

    async def finish(self, task: dict[str, Any], result: Any) -> None:
        await self._caller.call(c.AckTask(**_held(task), result=result))

    async def fail(self, task: dict[str, Any], reason: str) -> None:
        await self._caller.call(c.NackTask(**_held(task), reason=reason))

    async def give_back(self, task: dict[str, Any]) -> None:
        await self._caller.call(c.ReleaseTask(**_held(task)))

    async def look(self, task: str) -> dict[str, Any]:
        return (await self._caller.call(c.GetTask(task=task))).model_dump()


def _held(task: dict[str, Any]) -> dict[str, Any]:
    return {"task": task["id"], "lease_token": task["lease_token"]}


class ByTools:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def _do(self, action: str, **fields: Any) -> list[dict[str, Any]]:
        return list((await call(self._client, "task", action=action, **fields)).get("tasks", []))

    async def create(self, queue: str) -> None:
        await self._do("create", queue=queue)

    async def send(self, queue: str, body: Any) -> str:
        return str((await self._do("dispatch", queue=queue, body=body))[0]["id"])

    async def take(self, queue: str) -> dict[str, Any] | None:
        found = await self._do("claim", queue=queue)
        return found[0] if found else None

    async def extend(self, task: dict[str, Any], progress: float) -> None:
        await self._do("extend", **_held(task), progress=progress)

    async def finish(self, task: dict[str, Any], result: Any) -> None:
        await self._do("finish", **_held(task), result=result)

    async def fail(self, task: dict[str, Any], reason: str) -> None:
        await self._do("fail", **_held(task), reason=reason)

    async def give_back(self, task: dict[str, Any]) -> None:
        await self._do("give_back", **_held(task))

    async def look(self, task: str) -> dict[str, Any]:
        return (await self._do("result", task=task))[0]


class ByCommands:
    def __init__(self, url: str, token: str) -> None:
        self._env = {**os.environ, "BRIDGE_URL": url, "BRIDGE_TOKEN": token, "PYTHONPATH": str(ROOT)}

    async def _do(self, *arguments: str) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mcp_bridge", *arguments, env=self._env, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, arguments
        return dict(json.loads(out))

    async def _call(self, operation: str, **fields: Any) -> dict[str, Any]:
        return await self._do("call", operation, json.dumps(fields))

    async def create(self, queue: str) -> None:
        await self._do("queues", "create", queue, "--json")

    async def send(self, queue: str, body: Any) -> str:
        return str((await self._do("queues", "send", queue, json.dumps(body), "--json"))["id"])

    async def take(self, queue: str) -> dict[str, Any] | None:
        items = (await self._call("queues.claim", queue=queue))["items"]
        return dict(items[0]) if items else None

    async def extend(self, task: dict[str, Any], progress: float) -> None:
        await self._call("tasks.extend", **_held(task), progress=progress)

    async def finish(self, task: dict[str, Any], result: Any) -> None:
        await self._call("tasks.ack", **_held(task), result=result)

    async def fail(self, task: dict[str, Any], reason: str) -> None:
        await self._call("tasks.nack", **_held(task), reason=reason)

    async def give_back(self, task: dict[str, Any]) -> None:
        await self._call("tasks.release", **_held(task))

    async def look(self, task: str) -> dict[str, Any]:
        return await self._do("queues", "show", task, "--json")


@pytest.fixture
async def served(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Served]:
    async with serving(Settings(home=tmp_path, port=0, log_level="error")) as running:
        yield running


@pytest.fixture
async def stack(anyio_backend: str) -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


async def hand(served: Served, stack: AsyncExitStack, surface: str, name: str) -> Hand:
    async with HubClient(served.url, served.token) as local:
        token = (await local.call(RegisterAgent(name=name, kind="code"))).token
    assert token is not None
    if surface == "command line":
        return ByCommands(served.url, token)
    if surface == "in-process":
        return ByOperations(LocalCaller(served.hub.dispatch, await served.hub.authenticator.authenticate(token)))
    if surface == "http":
        return ByOperations(await stack.enter_async_context(HubClient(served.url, token)))
    http = httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=30)
    await stack.enter_async_context(http)
    transport = streamable_http_client(f"{served.url}/mcp", http_client=http)
    return ByTools(await stack.enter_async_context(Client(transport)))


@pytest.mark.parametrize("surface", ["in-process", "http", "mcp", "command line"])
async def test_work_is_handed_out_given_back_failed_and_finished(
    served: Served, stack: AsyncExitStack, surface: str
) -> None:
    boss = await hand(served, stack, surface, "boss")
    worker = await hand(served, stack, surface, "worker")
    await boss.create("work")
    sent = await boss.send("work", {"ask": ["?"]})
    first = await worker.take("work")
    assert first is not None
    assert (first["id"], first["body"], first["attempt"]) == (sent, {"ask": ["?"]}, 1)
    assert await worker.take("work") is None
    await worker.extend(first, 0.5)
    seen = await boss.look(sent)
    assert (seen["worker"], seen["progress"], seen.get("lease_token")) == ("worker", 0.5, None)
    await worker.give_back(first)
    again = await worker.take("work")
    assert again is not None
    assert again["attempt"] == 1
    await worker.finish(again, [42])
    done = await boss.look(sent)
    assert (done["state"], done["result"], done["worker"]) == ("done", [42], "worker")
    other = await boss.send("work", ["fails"])
    bad = await worker.take("work")
    assert bad is not None
    await worker.fail(bad, "no such page")
    assert list((await boss.look(other))["reasons"]) == ["no such page"]


async def test_a_list_is_mapped_over_workers_through_mcp(served: Served, stack: AsyncExitStack) -> None:
    boss, worker = [await hand(served, stack, "mcp", name) for name in ("boss", "worker")]
    assert isinstance(boss, ByTools)
    await boss.create("work")
    client = boss._client
    mapped = await call(client, "task", action="map", queue="work", body=["a", "b", "c"])
    assert len(mapped["open"]) == 3
    for _ in range(2):
        task = await worker.take("work")
        assert task is not None
        await worker.finish(task, task["body"].upper())
    found = await call(client, "task", action="gather", tasks=mapped["open"])
    assert ([task["result"] for task in found["tasks"]], len(found["open"])) == (["A", "B"], 1)


async def test_an_agent_joins_and_leaves_a_push_queue_through_mcp(served: Served, stack: AsyncExitStack) -> None:
    async with HubClient(served.url, served.token) as local:
        await local.call(c.CreateQueue(queue="pushed", mode="push"))
        worker = await hand(served, stack, "mcp", "worker")
        assert isinstance(worker, ByTools)
        client = worker._client
        await call(client, "task", action="join", queue="pushed")
        assert (await local.call(c.EnqueueTask(queue="pushed", body=1))).worker == "worker"
        shown = (await client.read_resource("queue://pushed")).contents[0]
        state = json.loads(getattr(shown, "text", ""))
        assert (state["open"], state["workers"][0]["agent"], state["workers"][0]["load"]) == (1, "worker", 1)
        assert (await worker.take("pushed")) is not None
        await call(client, "task", action="leave", queue="pushed")
        assert (await local.call(c.ListWorkers(queue="pushed"))).items == ()
