"""Mapping a list over a queue: bounded, retried, partial when it must be. In-process and over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from hub.client import Outcome, fan_out
from hub.features.queues import contract as c
from tests.support.hubs import TestHub

pytestmark = pytest.mark.anyio


async def answer(worker: Any, seen: list[int], boss: Any) -> None:
    """Work until cancelled: odd bodies fail at first, 13 always."""
    failed: set[str] = set()
    while True:
        for task in (await worker.call(c.ClaimTasks(queue="work", max=3, wait_s=50))).items:
            seen.append((await boss.call(c.GetQueue(queue="work"))).open)
            token = task.lease_token or ""
            if task.body == 13 or (task.body % 2 and task.id not in failed):
                failed.add(task.id)
                await worker.call(c.NackTask(task=task.id, lease_token=token, reason="odd", delay_s=0))
            else:
                await worker.call(c.AckTask(task=task.id, lease_token=token, result=task.body * 2))


async def collect(outcomes: AsyncIterator[Outcome]) -> list[Outcome]:
    return [outcome async for outcome in outcomes]


async def test_a_list_becomes_outcomes_with_bounded_concurrency_and_partial_failure(surface_hub: TestHub) -> None:
    hub = surface_hub
    boss, worker = await hub.agent("boss"), await hub.agent("one")
    await boss.call(c.CreateQueue(queue="work", open_to="all", max_attempts=1))
    seen: list[int] = []
    told: list[tuple[int, int]] = []
    async with anyio.create_task_group() as group:
        group.start_soon(answer, worker, seen, boss)
        with anyio.fail_after(30):
            run = fan_out(boss, "work", range(20), concurrency=5, retries=1, progress=lambda *at: told.append(at))
            made = await collect(run)
        group.cancel_scope.cancel()
    assert sorted(outcome.index for outcome in made) == list(range(20))
    assert [(o.body, o.state, o.reasons) for o in made if not o.ok] == [(13, "dead", ("odd",))]
    assert all(o.result == o.body * 2 and o.worker == "one" for o in made if o.ok)
    assert max(seen) <= 5
    assert told == [(n, 20) for n in range(1, 21)]


async def test_when_time_runs_out_what_is_open_comes_as_open(hub: TestHub) -> None:
    boss = await hub.agent("boss")
    await boss.call(c.CreateQueue(queue="work"))
    made = await collect(fan_out(boss, "work", ["a", "b", "c"], concurrency=2, timeout_s=0.2))
    assert [(o.body, o.state, o.ok) for o in made] == [("a", "open", False), ("b", "open", False)]


async def test_a_full_queue_only_slows_a_map_down(hub: TestHub) -> None:
    boss, worker = await hub.agent("boss"), await hub.agent("one")
    await boss.call(c.CreateQueue(queue="work", open_to="all", max_open=2))
    async with anyio.create_task_group() as group:
        group.start_soon(answer, worker, [], boss)
        with anyio.fail_after(30):
            made = await collect(fan_out(boss, "work", [0, 2, 4, 6, 8], concurrency=5))
        group.cancel_scope.cancel()
    assert [o.body for o in made if o.ok] == [0, 2, 4, 6, 8]
