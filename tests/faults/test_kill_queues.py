"""kill -9 of the hub under load: no task is lost, none has two accepted results, no acknowledged one comes back."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hub.client import HubClient
from hub.features.queues import contract as c
from hub.features.queues.rules import LeaseLost
from tests.faults.world import World, kill_often

pytestmark = pytest.mark.anyio
KILLS = int(os.environ.get("QUEUE_KILLS_PER_RUN", "6"))


@dataclass
class Work:
    """What clients did and saw. An answer that never came is unknown and in no list."""

    sent: list[str] = field(default_factory=list)
    claims: list[tuple[str, str, int]] = field(default_factory=list)  # task, worker, attempt
    accepted: list[tuple[str, str]] = field(default_factory=list)  # task, worker


async def dispatch(client: HubClient, work: Work, stop: asyncio.Event) -> None:
    while not stop.is_set():
        made = await client.call(c.EnqueueTask(queue="work", body=len(work.sent)))
        work.sent.append(made.id)
        await asyncio.sleep(0)


async def labour(client: HubClient, name: str, work: Work, stop: asyncio.Event) -> None:
    while not stop.is_set():
        for task in (await client.call(c.ClaimTasks(queue="work", lease_s=5, wait_s=0.2))).items:
            work.claims.append((task.id, name, task.attempt))
            with suppress(LeaseLost):  # the hub was down for longer than the lease
                await client.call(c.AckTask(task=task.id, lease_token=task.lease_token or "", result=name))
                work.accepted.append((task.id, name))


@pytest.mark.timeout(180)
async def test_kills_lose_no_task_and_accept_no_result_twice(tmp_path: Path) -> None:
    world, dice, work, stop = World(tmp_path), random.Random(5), Work(), asyncio.Event()
    await asyncio.to_thread(world.start)
    async with HubClient(home=world.home, tries=40) as client:
        await client.call(c.CreateQueue(queue="work", max_attempts=100))
        busy = [asyncio.create_task(dispatch(client, work, stop))]
        busy += [asyncio.create_task(labour(client, f"w{n}", work, stop)) for n in range(4)]
        await kill_often(world, dice, KILLS, lambda: len(work.accepted), least=5, apart_s=(0.05, 0.3))
        stop.set()
        await asyncio.wait_for(asyncio.gather(*busy), 60)
        await finish(client)
        tasks = {name: await client.call(c.GetTask(task=name)) for name in work.sent}
    world.end(signal.SIGTERM)
    assert judge(work, tasks) == []
    assert len(work.accepted) > KILLS * 5, "the load was too small to prove anything"


async def finish(client: HubClient) -> None:
    """Work off what is left; leases of lost answers run out first."""
    async with asyncio.timeout(60):
        while (await client.call(c.GetQueue(queue="work"))).open:
            for task in (await client.call(c.ClaimTasks(queue="work", max=10, wait_s=1))).items:
                await client.call(c.AckTask(task=task.id, lease_token=task.lease_token or "", result="late"))


def judge(work: Work, tasks: dict[str, Any]) -> list[str]:
    """Everything that is wrong, as sentences."""
    wrong = [f"{name} is {task.state}, not done" for name, task in tasks.items() if task.state != "done"]
    for name, count in Counter(name for name, _ in work.accepted).items():
        wrong += [f"{name} was accepted {count} times"] if count > 1 else []
    for name, worker in work.accepted:
        if name in tasks and tasks[name].result != worker:
            wrong.append(f"{name} was accepted from {worker} but has the result of {tasks[name].result}")
    for (name, attempt), count in Counter((name, attempt) for name, _, attempt in work.claims).items():
        wrong += [f"attempt {attempt} of {name} was handed out {count} times"] if count > 1 else []
    return wrong


def test_the_judge_notices_each_kind_of_lie() -> None:
    done = c.Task(id="t", queue="q", body=1, priority="normal", state="done", attempt=1, result="a")
    assert judge(Work(["t"], [("t", "a", 1)], [("t", "a")]), {"t": done}) == []
    assert judge(Work(["t"]), {"t": done.model_copy(update={"state": "open"})})
    assert judge(Work(["t"], [], [("t", "a"), ("t", "a")]), {"t": done})
    assert judge(Work(["t"], [], [("t", "b")]), {"t": done})
    assert judge(Work(["t"], [("t", "a", 1), ("t", "b", 1)]), {"t": done})
