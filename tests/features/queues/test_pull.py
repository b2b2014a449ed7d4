"""Pull queues: groups, progress, capacity, limits, draining, collecting, redriving many. On a clock the test moves."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from hub.core.errors import Forbidden
from hub.core.names import split_id
from hub.features.queues import contract as c
from hub.features.queues import rules
from tests.features.queues.test_queues import _rebuilt, claim, queue, tick
from tests.support.hubs import TestHub
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


async def send(boss: Any, body: Any, **fields: Any) -> str:
    made: c.Task = await boss.call(c.EnqueueTask(queue="work", body=body, **fields))
    return made.id


async def finish(worker: Any, task: c.Task, result: Any = None) -> None:
    await worker.call(c.AckTask(task=task.id, lease_token=task.lease_token or "", result=result))


async def test_tasks_of_a_group_run_one_at_a_time_in_order_and_others_pass_them(hub: TestHub) -> None:
    boss, one, two = await queue(hub)
    await send(boss, "a1", group="a")
    await send(boss, "a2", group="a", priority="critical")
    await send(boss, "free")
    first = await claim(one)
    assert (first.body, first.group) == ("a1", "a")
    assert [task.body for task in (await two.call(c.ClaimTasks(queue="work", max=5))).items] == ["free"]
    await one.call(c.NackTask(task=first.id, lease_token=first.lease_token, delay_s=5))
    assert await claim(two) is None, "a failed task holds its group"
    hub.clock.advance(5.1)
    await finish(one, await claim(one))
    assert (await claim(two)).body == "a2"


async def test_a_dispatcher_sees_who_works_and_how_far_they_are(hub: TestHub) -> None:
    boss, one, _two = await queue(hub)
    name = await send(boss, 1)
    held = await claim(one, lease_s=10)
    await one.call(c.ExtendTask(task=name, lease_token=held.lease_token, progress=0.25, note="reading"))
    await one.call(c.ExtendTask(task=name, lease_token=held.lease_token, lease_s=10, progress=0.5))
    seen = await boss.call(c.GetTask(task=name))
    assert (seen.worker, seen.progress, seen.note, seen.lease_token) == ("one", 0.5, "reading", None)
    hub.clock.advance(11)
    again = await claim(one)
    assert (again.progress, again.note) == (None, None), "another attempt starts from nothing"
    await finish(one, again)
    assert (await boss.call(c.GetTask(task=name))).worker == "one"


async def test_a_registered_worker_holds_at_most_its_capacity_and_blocks_nobody(hub: TestHub) -> None:
    boss, one, two = await queue(hub)
    await one.call(c.SetWorker(queue="work", agent="me", capacity=2))
    for number in range(4):
        await send(boss, number)
    mine = (await one.call(c.ClaimTasks(queue="work", max=5))).items
    assert [task.body for task in mine] == [0, 1]
    waiting = hub.app.dispatch.tails.waiting
    got: list[Any] = []

    async def wait(worker: Any) -> None:
        got.extend(task.body for task in (await worker.call(c.ClaimTasks(queue="work", wait_s=50))).items)

    async with anyio.create_task_group() as group:
        group.start_soon(wait, one)
        await eventually(lambda: waiting() == 1)
        assert [task.body for task in (await two.call(c.ClaimTasks(queue="work", max=5))).items] == [2, 3]
        group.start_soon(wait, two)
        await eventually(lambda: waiting() == 2)
        await send(boss, 4)
        await eventually(lambda: got == [4])
        await finish(one, mine[0])
        await send(boss, 5)
        await eventually(lambda: got == [4, 5])


async def test_a_worker_finishes_a_task_and_gets_the_next_in_one_call(hub: TestHub) -> None:
    boss, worker, other = await hub.local(), await hub.agent("worker"), await hub.agent("other")
    await boss.call(c.CreateQueue(queue="work", open_to="all"))
    await worker.call(c.SetWorker(queue="work", agent="me", capacity=1))
    for group in ("a", "a", None):
        await send(boss, group, group=group)
    held: Any = await claim(worker)
    done = await worker.call(c.AckTask(task=held.id, lease_token=held.lease_token, result=1, next_lease_s=30))
    assert (done.state, done.result) == ("done", 1)
    following: Any = done.next
    assert (following.body, following.attempt) == ("a", 1)
    assert await claim(worker) is None  # one at a time, and it has one
    with pytest.raises(rules.LeaseLost):  # and a late answer takes nothing either
        await worker.call(c.AckTask(task=held.id, lease_token=held.lease_token, next_lease_s=30))
    await boss.call(c.PauseQueue(queue="work"))
    done = await worker.call(c.AckTask(task=following.id, lease_token=following.lease_token, next_lease_s=30))
    assert (done.state, done.next) == ("done", None)
    await boss.call(c.ResumeQueue(queue="work"))
    assert (await claim(other)).attempt == 1


async def test_a_full_queue_slows_its_dispatcher_down(hub: TestHub) -> None:
    boss, one, _two = await queue(hub, max_open=2)
    await send(boss, 1)
    await send(boss, 2)
    with pytest.raises(rules.QueueFull) as full:
        await send(boss, 3)
    assert full.value.retry_after_s == 1
    await finish(one, await claim(one))
    await send(boss, 3)
    assert (await boss.call(c.GetQueue(queue="work"))).open == 2


async def test_a_draining_queue_hands_out_what_it_has_and_takes_nothing_new(hub: TestHub) -> None:
    boss, one, _two = await queue(hub)
    local = await hub.local()
    await send(boss, 1)
    with pytest.raises(Forbidden):
        await boss.call(c.DrainQueue(queue="work"))
    assert (await local.call(c.DrainQueue(queue="work"))).draining
    with pytest.raises(rules.QueueIsDraining):
        await send(boss, 2)
    await finish(one, await claim(one))
    await local.call(c.ResumeQueue(queue="work"))
    await send(boss, 2)


async def test_collecting_gives_what_is_finished_and_waits_for_the_next(hub: TestHub) -> None:
    boss, one, _two = await queue(hub)
    names = [await send(boss, number) for number in range(3)]
    await finish(one, await claim(one), "zero")
    found = await boss.call(c.CollectTasks(tasks=tuple(names)))
    assert ([(task.id, task.result) for task in found.items], found.open) == ([(names[0], "zero")], 2)
    async with anyio.create_task_group() as group:
        seen: list[c.Collected] = []

        async def wait() -> None:
            seen.append(await boss.call(c.CollectTasks(tasks=tuple(names[1:]), wait_s=50)))

        group.start_soon(wait)
        await eventually(lambda: hub.app.dispatch.tails.waiting() == 1)
        await finish(one, await claim(one), "one")
    assert [task.result for task in seen[0].items] == ["one"]


async def test_all_dead_letters_come_back_at_once(hub: TestHub) -> None:
    boss, one, _two = await queue(hub, max_attempts=1)
    for number in range(3):
        await send(boss, number)
        held = await claim(one)
        await one.call(c.NackTask(task=held.id, lease_token=held.lease_token))
    assert (await boss.call(c.GetQueue(queue="work"))).dead == 3
    assert (await boss.call(c.RedriveQueue(queue="work", limit=2))).redriven == 2
    info = await boss.call(c.GetQueue(queue="work"))
    assert (info.dead, info.open, info.ready) == (1, 2, 2)
    assert [(await claim(one)).body for _ in range(2)] == [0, 1]


async def test_a_delay_holds_a_group_until_the_clock_lets_it_go(hub: TestHub) -> None:
    boss, one, _two = await queue(hub)
    await send(boss, "later", group="g", delay_s=4)
    await send(boss, "after", group="g")
    assert await claim(one) is None
    hub.clock.advance(5)
    await tick(hub)
    assert (await claim(one)).body == "later"


async def test_finished_tasks_are_forgotten_after_their_days_and_open_ones_are_not(hub: TestHub) -> None:
    boss, one, _two = await queue(hub, keep_days=2)
    done, cancelled, waiting = [await send(boss, f"secret {n}") for n in range(3)]
    await finish(one, await claim(one), "secret result")
    await boss.call(c.CancelTask(task=cancelled))
    hub.clock.advance(1.9 * 86_400)
    await tick(hub)
    late = await send(boss, "late")
    await boss.call(c.CancelTask(task=late))
    assert (await boss.call(c.GetTask(task=done))).result == "secret result"
    hub.clock.advance(0.2 * 86_400)
    await tick(hub)
    for gone in (done, cancelled):
        with pytest.raises(rules.TaskNotFound):
            await boss.call(c.GetTask(task=gone))
    assert [(await boss.call(c.GetTask(task=name))).state for name in (waiting, late)] == ["open", "cancelled"]
    log = split_id("t", done)[0]
    kept = await hub.app.store.read(lambda tx: tx.rows("select data, tombstone from event where log = :log", log=log))
    assert [bytes(row[0]) for row in kept if b"secret" in bytes(row[0])] == [
        b'{"body":"secret 2","priority":"normal","delay_ms":0}'
    ]
    assert sum(row[1] == "expired" for row in kept) == 4
    await hub.app.store.write(lambda tx: _rebuilt(tx, log))
    assert (await boss.call(c.GetQueue(queue="work"))).open == 1
