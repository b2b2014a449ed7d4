"""Queues: who holds a task, what comes first, what happens when a worker dies. On a clock the test moves."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub import features
from hub.core.errors import Forbidden
from hub.core.names import split_id
from hub.features.queues import contract as c
from hub.features.queues import rules
from hub.log.rebuild import dump, rebuild
from hub.server.timers import Clockwork
from tests.support.hubs import TestHub, running_hub
from tests.support.waiting import eventually


async def queue(hub: TestHub, **fields: Any) -> tuple[Any, Any, Any]:
    """A queue open to all, its dispatcher and two workers."""
    boss, one, two = await hub.agent("boss"), await hub.agent("one", "code"), await hub.agent("two", "code")
    await boss.call(c.CreateQueue(queue="work", open_to="all", **fields))
    return boss, one, two


async def claim(worker: Any, **fields: Any) -> Any:
    items = (await worker.call(c.ClaimTasks(queue="work", **fields))).items
    return items[0] if items else None


@pytest.mark.anyio
async def test_a_finished_task_brings_its_result_to_the_dispatcher(hub: TestHub) -> None:
    boss, one, two = await queue(hub)
    sent = await boss.call(c.EnqueueTask(queue="work", body={"ask": "?"}))
    held = await claim(one)
    assert (held.id, held.body, held.attempt) == (sent.id, {"ask": "?"}, 1)
    assert await claim(two) is None
    await one.call(c.AckTask(task=held.id, lease_token=held.lease_token, result=[42]))
    done = await boss.call(c.GetTask(task=sent.id, wait_s=5))
    assert (done.state, done.result, done.lease_token) == ("done", [42], None)


@pytest.mark.anyio
async def test_a_dead_workers_task_goes_on_elsewhere_and_its_late_answer_is_refused(hub: TestHub) -> None:
    boss, one, two = await queue(hub)
    await boss.call(c.EnqueueTask(queue="work", body=1))
    late = await claim(one, lease_s=10)
    hub.clock.advance(9)
    assert await claim(two) is None
    hub.clock.advance(1.1)
    fresh = await claim(two)
    assert (fresh.id, fresh.attempt) == (late.id, 2)
    stale = {"task": late.id, "lease_token": late.lease_token}
    for request in (c.AckTask(**stale), c.NackTask(**stale), c.ExtendTask(**stale), c.ReleaseTask(**stale)):
        with pytest.raises(rules.LeaseLost):
            await one.call(request)
    with pytest.raises(rules.LeaseLost):  # the token is bound to its holder
        await one.call(c.AckTask(task=fresh.id, lease_token=fresh.lease_token))
    await two.call(c.AckTask(task=fresh.id, lease_token=fresh.lease_token))


@pytest.mark.anyio
async def test_extending_keeps_a_task_and_releasing_costs_no_attempt(hub: TestHub) -> None:
    boss, one, two = await queue(hub)
    await boss.call(c.EnqueueTask(queue="work", body=1))
    held = await claim(one, lease_s=10)
    hub.clock.advance(8)
    await one.call(c.ExtendTask(task=held.id, lease_token=held.lease_token, lease_s=10))
    hub.clock.advance(8)
    assert await claim(two) is None
    await one.call(c.ReleaseTask(task=held.id, lease_token=held.lease_token))
    assert (await claim(two)).attempt == 1


@pytest.mark.anyio
async def test_a_task_out_of_attempts_is_a_dead_letter_until_it_is_redriven(hub: TestHub) -> None:
    boss, one, two = await queue(hub, max_attempts=2)
    sent = await boss.call(c.EnqueueTask(queue="work", body=1))
    for reason in ("first", "second"):
        held = await claim(one)
        await one.call(c.NackTask(task=held.id, lease_token=held.lease_token, reason=reason, delay_s=2))
        assert await claim(two) is None
        hub.clock.advance(2.1)
    assert await claim(two) is None
    dead = (await boss.call(c.ListDead(queue="work"))).items
    assert [(d.id, d.reason, d.attempt) for d in dead] == [(sent.id, "second", 2)]
    await boss.call(c.RedriveTask(task=sent.id))
    await claim(one, lease_s=5)
    hub.clock.advance(6)
    await claim(one, lease_s=5)
    hub.clock.advance(6)
    assert await claim(one) is None
    assert (await boss.call(c.GetTask(task=sent.id))).reason == "the lease of attempt 2 ran out (one)"


async def tick(hub: TestHub) -> None:
    await hub.app.dispatch.service(Clockwork).run_due()


@pytest.mark.anyio
async def test_within_a_second_the_clock_returns_lapsed_tasks_and_wakes_who_waits(hub: TestHub) -> None:
    boss, one, two = await queue(hub)
    sent = await boss.call(c.EnqueueTask(queue="work", body="lapses"))
    for makes_it_due in ("lease", "backoff", "delay"):
        if makes_it_due == "lease":
            await claim(one, lease_s=5)
        elif makes_it_due == "backoff":
            held = await claim(two)
            assert held.attempt == 2
            nack = c.NackTask(task=held.id, lease_token=held.lease_token, reason="broken", delay_s=4)
            await two.call(nack)
        else:
            await boss.call(c.CancelTask(task=sent.id))
            await boss.call(c.EnqueueTask(queue="work", body="later", delay_s=4))
        async with anyio.create_task_group() as group:
            seen: list[int] = []

            async def wait(seen: list[int] = seen) -> None:
                seen.append((await one.call(c.GetQueue(queue="work", wait_s=50))).ready)

            group.start_soon(wait)
            await eventually(lambda: hub.app.dispatch.tails.waiting() > 0)
            hub.clock.advance(6)
            with anyio.fail_after(10):
                await tick(hub)
                await eventually(lambda seen=seen: seen == [1])  # type: ignore[misc]
    left = (await boss.call(c.GetTask(task=sent.id))).state
    assert left == "cancelled"


@pytest.mark.anyio
async def test_the_clock_buries_what_is_over_with_the_reason_of_each_attempt(hub: TestHub) -> None:
    boss, one, _two = await queue(hub, max_attempts=3)
    sent = await boss.call(c.EnqueueTask(queue="work", body=1))
    held = await claim(one)
    await one.call(c.NackTask(task=held.id, lease_token=held.lease_token, reason="no network", delay_s=0))
    assert (await boss.call(c.GetTask(task=sent.id))).reasons == ("no network",)
    for _ in range(2):
        await claim(one, lease_s=5)
        hub.clock.advance(6)
        await tick(hub)
    short = await boss.call(c.EnqueueTask(queue="work", body=2, ttl_s=5))
    hub.clock.advance(6)
    await tick(hub)
    first, second = (await boss.call(c.ListDead(queue="work"))).items
    assert first.reasons == (
        "no network",
        "the lease of attempt 2 ran out (one)",
        "the lease of attempt 3 ran out (one)",
    )
    assert (second.id, second.reasons) == (short.id, ())
    again = await boss.call(c.RedriveTask(task=sent.id))
    assert (again.reasons, (await claim(one)).attempt) == ((), 1)


@pytest.mark.anyio
async def test_of_many_waiting_claims_each_task_wakes_one_and_none_is_left_waiting(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss, one, two = await queue(hub)
    got: list[str] = []
    writes: list[int] = []

    async def work(worker: Any, number: int) -> None:
        request = c.ClaimTasks(queue="work", wait_s=50)
        got.append((await worker.call(request, key=f"claim-{number}")).items[0].id)

    dispatch, limits = hub.app.dispatch, hub.app.dispatch.limits
    monkeypatch.setattr(limits, "open", lambda *_: writes.append(0))  # counts who waits; sets no limit
    monkeypatch.setattr(limits, "close", lambda *_: None)
    async with anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(work, (one, two)[number % 2], number)
        await eventually(lambda: len(writes) == 30 and dispatch.tails.waiting() == 1)
        tried: list[type] = []
        body = dispatch.body

        def counted(operation: Any, call: Any, request: Any, key: Any) -> Any:
            tried.append(type(request))
            return body(operation, call, request, key)

        monkeypatch.setattr(dispatch, "body", counted)
        sent = [(await boss.call(c.EnqueueTask(queue="work", body=0))).id]
        await eventually(lambda: len(got) == 1)
        assert tried.count(c.ClaimTasks) <= 3, "one task woke more than the head of the line and its successor"
        with anyio.fail_after(20):
            sent += [(await boss.call(c.EnqueueTask(queue="work", body=n))).id for n in range(29)]
            await eventually(lambda: len(got) == 30)
    assert sorted(got) == sorted(sent)
    assert tried.count(c.ClaimTasks) <= 90


@pytest.mark.anyio
async def test_a_claim_that_waits_in_vain_comes_back_empty(hub: TestHub) -> None:
    boss, one, two = await queue(hub)
    found: list[Any] = []

    async def work(worker: Any) -> None:
        found.append((await worker.call(c.ClaimTasks(queue="work", wait_s=0.2))).items)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for worker in (boss, one, two):
                group.start_soon(work, worker)
    assert found == [(), (), ()]


@pytest.mark.anyio
async def test_delay_ttl_pause_and_cancel_keep_a_task_from_workers(hub: TestHub) -> None:
    boss, one, _two = await queue(hub)
    local = await hub.local()
    delayed = await boss.call(c.EnqueueTask(queue="work", body="later", delay_s=30))
    short = await boss.call(c.EnqueueTask(queue="work", body="short", ttl_s=5))
    gone = await boss.call(c.EnqueueTask(queue="work", body="gone"))
    await boss.call(c.CancelTask(task=gone.id))
    hub.clock.advance(6)
    assert await claim(one) is None
    assert (await boss.call(c.GetTask(task=short.id))).state == "dead"
    hub.clock.advance(30)
    with pytest.raises(Forbidden):
        await one.call(c.PauseQueue(queue="work"))
    await local.call(c.PauseQueue(queue="work"))
    assert await claim(one) is None
    await local.call(c.ResumeQueue(queue="work"))
    assert (await claim(one)).id == delayed.id


@pytest.mark.anyio
async def test_a_bulk_task_is_overtaken_only_by_tasks_at_most_600_s_younger(hub: TestHub) -> None:
    boss, one, _two = await queue(hub)
    await boss.call(c.EnqueueTask(queue="work", body="bulk", priority="bulk"))
    hub.clock.advance(590)
    await boss.call(c.EnqueueTask(queue="work", body="soon", priority="critical"))
    hub.clock.advance(20)
    await boss.call(c.EnqueueTask(queue="work", body="late", priority="critical"))
    assert [(await claim(one)).body for _ in range(3)] == ["soon", "bulk", "late"]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_task_is_lost_or_held_twice_in_any_history(seed: int) -> None:
    with TemporaryDirectory() as home:
        anyio.run(_any_history, Path(home), seed)


async def _any_history(home: Path, seed: int) -> None:
    dice = random.Random(seed)
    async with running_hub(home) as hub:
        boss, one, two = await queue(hub, max_attempts=3)
        holders: dict[str, Any] = {}  # task -> (worker, token, until)
        finished: set[str] = set()
        sent: set[str] = set()
        stale: list[Any] = []
        for _ in range(60):
            step = dice.randrange(5)
            if step == 0:
                priority = dice.choice(list(rules.SLACK_MS))
                sent.add((await boss.call(c.EnqueueTask.model_validate(_fields(priority)))).id)
            elif step == 1:
                hub.clock.advance(dice.choice([1, 4, 20]))
            elif step == 2:
                worker = dice.choice([one, two])
                held = await claim(worker, lease_s=10)
                if held is not None:
                    assert held.id not in finished
                    if held.id in holders:
                        assert hub.clock.now_ms >= holders[held.id][2], "held by two"
                        stale.append((held.id, *holders[held.id][:2]))
                    holders[held.id] = (worker, held.lease_token, hub.clock.now_ms + 9_990)
            elif step == 3 and holders:
                name = dice.choice(sorted(holders))
                worker, token, until = holders.pop(name)
                if hub.clock.now_ms < until - 100:
                    await worker.call(c.AckTask(task=name, lease_token=token, result=1))
                    finished.add(name)
                stale.append((name, worker, token))
            elif stale:
                name, worker, token = dice.choice(stale)
                if name in finished or name in holders:
                    with pytest.raises(rules.LeaseLost):
                        await worker.call(c.AckTask(task=name, lease_token=token))
        states = {name: (await boss.call(c.GetTask(task=name))).state for name in sent}
        assert {name for name, state in states.items() if state == "done"} == finished
        assert set(states.values()) <= {"open", "done", "dead"}
        if sent:
            await hub.app.store.write(lambda tx: _rebuilt(tx, split_id("t", min(sent))[0]))


def _fields(priority: str) -> dict[str, Any]:
    return {"queue": "work", "body": {"none": None, "big": 2**70, "é": [1.5]}, "priority": priority}


def _rebuilt(tx: Any, log: int) -> None:
    tables = features.projection_tables()
    live = dump(tx, log, tables)
    rebuild(tx, log, tables, features.event_tables())
    assert dump(tx, log, tables) == live


@given(st.integers(1, 10_000), st.binary(min_size=8, max_size=8))
def test_backoff_doubles_up_to_five_minutes(attempt: int, noise: bytes) -> None:
    assert 0 <= rules.backoff_ms(attempt, noise) <= min(1000 * 2 ** min(attempt - 1, 20), 300_000)


@pytest.mark.anyio
async def test_a_queue_of_another_person_looks_like_a_missing_one(hub: TestHub) -> None:
    local, stranger = await hub.local(), await hub.agent("boss", "human")
    await local.call(c.CreateQueue(queue="work"))
    sent = await local.call(c.EnqueueTask(queue="work", body=1))
    with pytest.raises(rules.QueueNotFound):
        await stranger.call(c.ClaimTasks(queue="work"))
    with pytest.raises(rules.TaskNotFound):
        await stranger.call(c.GetTask(task=sent.id))
