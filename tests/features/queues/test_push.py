"""Push queues: tasks are assigned to registered workers and move on when one fails. On a clock the test moves."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio
import pytest

from hub.core.errors import Forbidden
from hub.core.names import split_id
from hub.features.queues import contract as c
from hub.features.queues import rules
from hub.kernel.inbox.contract import PollInbox
from tests.features.queues.test_pull import finish
from tests.features.queues.test_queues import _rebuilt, tick
from tests.support.hubs import TestHub
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


async def crew(hub: TestHub, size: int = 2, capacity: int = 1, **fields: Any) -> tuple[Any, list[Any]]:
    """A push queue, its dispatcher and registered workers w1, w2 …"""
    boss = await hub.agent("boss")
    await boss.call(c.CreateQueue(queue="work", open_to="all", mode="push", **fields))
    workers = [await hub.agent(f"w{number}") for number in range(1, size + 1)]
    for worker in workers:
        await worker.call(c.SetWorker(queue="work", agent="me", capacity=capacity))
    return boss, workers


async def send(boss: Any, body: Any = 1, **fields: Any) -> c.Task:
    made: c.Task = await boss.call(c.EnqueueTask(queue="work", body=body, **fields))
    return made


async def mine(worker: Any, **fields: Any) -> list[c.Task]:
    return list((await worker.call(c.ClaimTasks(queue="work", max=10, **fields))).items)


async def test_a_task_is_assigned_at_once_and_only_its_worker_can_claim_it(hub: TestHub) -> None:
    boss, (one, two) = await crew(hub)
    first, second = await send(boss, "a"), await send(boss, "b")
    assert (first.worker, second.worker) == ("w1", "w2")
    assert [task.body for task in await mine(two)] == ["b"]
    assert [task.body for task in await mine(one)] == ["a"]
    with pytest.raises(rules.NotAWorker, match="register first"):
        await boss.call(c.ClaimTasks(queue="work"))


async def test_what_nobody_has_room_for_waits_and_goes_to_the_next_free_worker(hub: TestHub) -> None:
    boss, (one, two) = await crew(hub)
    for body in range(3):
        await send(boss, body)
    [held] = await mine(two)
    third = (await boss.call(c.GetTask(task=(await send(boss, 3)).id))).worker
    assert third is None
    await finish(two, held)
    assert [task.body for task in await mine(two)] == [2]
    assert [task.body for task in await mine(one)] == [0]


async def test_an_assignment_that_is_not_started_moves_on_with_its_reason(hub: TestHub) -> None:
    boss, (_one, two) = await crew(hub, assign_timeout_s=5)
    sent = await send(boss)
    hub.clock.advance(4)
    assert await mine(two) == []
    hub.clock.advance(1.5)
    await tick(hub)
    moved = await boss.call(c.GetTask(task=sent.id))
    assert (moved.worker, moved.reasons, moved.attempt) == ("w2", ("w1 did not start it in time",), 0)
    [held] = await mine(two)
    assert held.attempt == 1


async def test_a_dead_workers_task_runs_elsewhere_within_its_lease_and_a_second(hub: TestHub) -> None:
    boss, (one, two) = await crew(hub)
    sent = await send(boss)
    [late] = await mine(one, lease_s=10)
    got: list[c.Task] = []

    async def wait() -> None:
        got.extend(await mine(two, wait_s=50))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await eventually(lambda: hub.app.dispatch.tails.waiting() == 1)
        hub.clock.advance(10)
        await tick(hub)
        await eventually(lambda: got != [])
    assert (got[0].id, got[0].attempt, got[0].reasons) == (sent.id, 2, ("the lease of attempt 1 ran out (w1)",))
    with pytest.raises(rules.LeaseLost):
        await finish(one, late)
    await finish(two, got[0])


async def test_a_breaker_opens_after_three_failures_probes_once_and_closes(hub: TestHub) -> None:
    boss, (one, two) = await crew(hub, capacity=5, strategy="round_robin", max_attempts=20)

    async def state() -> str:
        items = (await boss.call(c.ListWorkers(queue="work"))).items
        return str(next(item.breaker for item in items if item.agent == "w1"))

    for _ in range(3):
        while not (held := await mine(one)):
            await send(boss)
            for task in await mine(two):
                await finish(two, task)
        for task in held:
            await one.call(c.NackTask(task=task.id, lease_token=task.lease_token, delay_s=3600, reason="broken"))
    assert await state() == "open"
    assert {(await send(boss)).worker for _ in range(3)} == {"w2"}
    for task in await mine(two):
        await finish(two, task)
    hub.clock.advance(30)
    assert await state() == "half_open"
    await mine(one)
    assert Counter([(await send(boss)).worker for _ in range(4)]) == {"w1": 1, "w2": 3}
    [probe] = await mine(one)
    await finish(one, probe)
    assert await state() == "closed"


async def test_the_strategy_decides_weights_and_keys(hub: TestHub) -> None:
    boss, (one, _two) = await crew(hub, capacity=1000, strategy="weighted")
    await one.call(c.SetWorker(queue="work", agent="me", capacity=1000, weight=3))
    assert Counter([(await send(boss)).worker for _ in range(40)]) == {"w1": 30, "w2": 10}


async def test_sticky_keys_stay_with_their_worker_until_it_is_removed(hub: TestHub) -> None:
    boss, workers = await crew(hub, size=3, capacity=1000, strategy="sticky")
    first = {f"k{n}": (await send(boss, key=f"k{n}")).worker for n in range(12)}
    in_group = [await send(boss, group=f"k{n}") for n in range(12)]
    assert {f"k{n}": task.worker for n, task in enumerate(in_group)} == first, "a group is a key"
    assert {k: (await send(boss, key=k)).worker for k in first} == first
    gone = next(iter(first.values()))
    await workers[int(str(gone)[1:]) - 1].call(c.RemoveWorker(queue="work", agent="me"))
    after = {k: (await send(boss, key=k)).worker for k in first}
    assert all(after[k] == w for k, w in first.items() if w != gone)
    assert gone not in after.values()
    assert (await boss.call(c.GetQueue(queue="work"))).ready > 0


async def test_a_worker_without_a_sign_of_life_gets_nothing_until_it_is_back(hub: TestHub) -> None:
    boss, (one, two) = await crew(hub, capacity=10)
    hub.clock.advance(61)
    assert (await send(boss, "kept")).worker is None, "both are silent for a minute"
    assert [task.body for task in await mine(two)] == ["kept"]
    assert (await send(boss)).worker == "w2"
    await mine(one)
    assert {(await send(boss)).worker for _ in range(4)} == {"w1", "w2"}


async def test_a_removed_workers_unstarted_tasks_go_to_others(hub: TestHub) -> None:
    boss, (one, two) = await crew(hub)
    sent = await send(boss)
    local = await hub.local()
    with pytest.raises(Forbidden):
        await two.call(c.RemoveWorker(queue="work", agent="w1"))
    await local.call(c.RemoveWorker(queue="work", agent="w1"))
    assert [task.id for task in await mine(two)] == [sent.id]
    with pytest.raises(rules.NotAWorker):
        await mine(one)


async def test_a_paused_push_queue_assigns_when_it_is_resumed(hub: TestHub) -> None:
    boss, (one, _two) = await crew(hub)
    local = await hub.local()
    await local.call(c.PauseQueue(queue="work"))
    assert (await send(boss)).worker is None
    assert await mine(one) == []
    await local.call(c.ResumeQueue(queue="work"))
    assert len(await mine(one)) == 1


async def test_groups_delays_and_time_limits_hold_in_push_queues_too(hub: TestHub) -> None:
    boss, (one, two) = await crew(hub, capacity=10)
    a1, a2 = await send(boss, "a1", group="a"), await send(boss, "a2", group="a")
    later, short = await send(boss, "later", delay_s=4), await send(boss, "short", ttl_s=3)
    assert (a1.worker, a2.worker, later.worker, short.worker) == ("w1", None, None, "w2")
    [held] = await mine(one)
    hub.clock.advance(4.5)
    await tick(hub)
    assert [task.body for task in await mine(two)] in (["later"], [])
    hub.clock.advance(6)
    await tick(hub)
    assert (await boss.call(c.GetTask(task=short.id))).state == "dead"
    await finish(one, held)
    bodies = [task.body for task in (*await mine(one), *await mine(two))]
    assert "a2" in bodies


async def test_the_rows_of_a_push_queue_equal_their_rebuild(hub: TestHub) -> None:
    boss, (one, two) = await crew(hub, capacity=3)
    names = [(await send(boss, n, group="g" if n % 2 else None, key=f"k{n}")).id for n in range(6)]
    for worker in (one, two):
        for task in await mine(worker):
            await finish(worker, task)
    await two.call(c.RemoveWorker(queue="work", agent="me"))
    await hub.app.store.write(lambda tx: _rebuilt(tx, split_id("t", names[0])[0]))


async def test_an_assignment_wakes_the_claim_of_its_worker_and_nobody_elses(hub: TestHub) -> None:
    boss, (one, two) = await crew(hub)
    waiting = hub.app.dispatch.tails.waiting
    got: list[Any] = []

    async def wait(name: str, worker: Any) -> None:
        got.extend((name, task.body) for task in await mine(worker, wait_s=50))

    async with anyio.create_task_group() as group:
        group.start_soon(wait, "w1", one)
        group.start_soon(wait, "w2", two)
        await eventually(lambda: waiting() == 2)
        assert (await send(boss, "first")).worker == "w1"
        await eventually(lambda: got == [("w1", "first")])
        assert waiting() == 1
        assert (await send(boss, "second")).worker == "w2"
        await eventually(lambda: got == [("w1", "first"), ("w2", "second")])


async def test_a_model_that_waits_for_mail_is_told_once_that_tasks_are_its_own(hub: TestHub) -> None:
    boss = await hub.agent("boss")
    await boss.call(c.CreateQueue(queue="work", open_to="all", mode="push", assign_timeout_s=30))
    model, loop = await hub.agent("model", "code"), await hub.agent("loop")
    told: list[Any] = []

    async def wait() -> None:
        told.append(await model.call(PollInbox(wait_s=50)))

    await model.call(c.SetWorker(queue="work", agent="me", capacity=2))
    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await eventually(lambda: hub.app.dispatch.tails.waiting() == 1)
        sent = await send(boss)
        await eventually(lambda: told != [])
    [notice] = told[0].messages
    assert (notice.kind, notice.room, notice.about.id, notice.concerns_me) == ("notice", "work", sent.id, True)
    assert notice.text == "a task of queue work is assigned to you; claim it within 30 s or it moves on"
    await send(boss)
    assert (await model.call(PollInbox(ack=told[0].cursor))).messages == (), "the second comes with the first claim"
    assert len(await mine(model)) == 2
    await loop.call(c.SetWorker(queue="work", agent="me"))
    assert (await send(boss)).worker == "loop"
    assert (await loop.call(PollInbox())).messages == (), "a script waits in its claim"


async def test_a_model_is_told_of_what_its_own_finish_brings_and_not_of_what_its_claim_does(hub: TestHub) -> None:
    boss, model = await hub.agent("boss"), await hub.agent("model", "code")
    await boss.call(c.CreateQueue(queue="work", open_to="all", mode="push"))
    await send(boss, "early")
    await send(boss, "late")
    await model.call(c.SetWorker(queue="work", agent="me"))
    first = await model.call(PollInbox())
    assert [notice.kind for notice in first.messages] == ["notice"], "registering brought one"
    [held] = await mine(model)
    await finish(model, held)
    second = await model.call(PollInbox(ack=first.cursor))
    assert [notice.kind for notice in second.messages] == ["notice"], "and so did finishing"
    [held] = await mine(model)
    await finish(model, held)
    hub.clock.advance(61)
    assert (await send(boss, "while away")).worker is None
    assert [task.body for task in await mine(model)] == ["while away"]
    assert (await model.call(PollInbox(ack=second.cursor))).messages == ()
