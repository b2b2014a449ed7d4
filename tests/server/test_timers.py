"""The clockwork rests while nothing is written and nothing is due, and is there when something is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hub.features.messages.contract import ListMessages, PostMessage, RedactMessage
from hub.features.queues import contract as queues
from hub.features.reservations.contract import Reserve
from hub.features.routing.contract import AddRule
from hub.features.voting.contract import OpenProposal
from hub.kernel import housekeeping
from hub.kernel.rooms.contract import CreateRoom, JoinRoom
from hub.log.chore import Chore
from hub.server.clock import HubClock
from hub.server.timers import Clockwork
from hub.storage.interface import Tx
from tests.support.hubs import TestHub, running_hub
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio
Setup = Callable[[TestHub], Awaitable[None]]


async def rest(hub: TestHub) -> Clockwork:
    """The clockwork, after everything that was due is done."""
    clockwork = hub.app.service(Clockwork)
    for _ in range(4):
        hub.clock.advance(1.1)
        await clockwork.run_due()
    return clockwork


def changes(hub: TestHub) -> int:
    """How many transactions have changed rows."""
    assert hub.app.store.changes is not None
    return hub.app.store.changes.count


def recording(clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The chores that run from now on."""
    ran: list[str] = []
    run = clockwork._run

    async def recorded(chore: Chore) -> None:
        ran.append(getattr(chore.body, "__name__", "trim_rooms"))
        await run(chore)

    monkeypatch.setattr(clockwork, "_run", recorded)
    return ran


async def test_an_idle_hub_writes_nothing_and_asks_its_store_nothing(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = await hub.local()
    await local.call(CreateRoom(room="build"))
    clockwork = await rest(hub)
    asked: list[str] = []
    for way in ("read", "write", "begin"):
        monkeypatch.setattr(hub.app.store, way, lambda *_args, _way=way, **_more: asked.append(_way))
    for _ in range(20):
        hub.clock.advance(1)
        await clockwork.run_due()
    assert asked == []


async def test_regular_chores_do_not_bring_those_that_wait_for_rows(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    clockwork = await rest(hub)
    ran = recording(clockwork, monkeypatch)
    hub.clock.advance(31)
    await clockwork.run_due()
    assert sorted(ran) == ["_save_presence", "trim_rooms"]


async def message_expires(hub: TestHub) -> None:
    await (await hub.local()).call(PostMessage(room="build", text="short", ttl_s=100))


async def message_is_offered_again(hub: TestHub) -> None:
    await (await hub.local()).call(PostMessage(room="build", text="ack", to=("ben",), needs_ack=True, ttl_s=1000))


async def lease_ends(hub: TestHub) -> None:
    local = await hub.local()
    await local.call(queues.EnqueueTask(queue="work", body=1))
    await local.call(queues.ClaimTasks(queue="work", lease_s=100))


async def pause_ends(hub: TestHub) -> None:
    local = await hub.local()
    await local.call(queues.EnqueueTask(queue="work", body=1))
    [task] = (await local.call(queues.ClaimTasks(queue="work", lease_s=1000))).items
    assert task.lease_token is not None
    await local.call(queues.NackTask(task=task.id, lease_token=task.lease_token, delay_s=100))


async def task_begins(hub: TestHub) -> None:
    await (await hub.local()).call(queues.EnqueueTask(queue="work", body=1, delay_s=100))


async def task_expires(hub: TestHub) -> None:
    await (await hub.local()).call(queues.EnqueueTask(queue="work", body=1, ttl_s=100))


async def vote_ends(hub: TestHub) -> None:
    await (await hub.local()).call(OpenProposal(room="build", title="x", deadline_s=100))


async def reservation_ends(hub: TestHub) -> None:
    await (await hub.local()).call(Reserve(room="build", paths=("src/**",), ttl_s=100))


DUE = [
    (message_expires, 100),
    (message_is_offered_again, 30),
    (lease_ends, 100),
    (pause_ends, 100),
    (task_begins, 100),
    (task_expires, 100),
    (vote_ends, 100),
    (reservation_ends, 100),
]


@pytest.mark.parametrize(("setup", "due_s"), DUE, ids=lambda value: getattr(value, "__name__", ""))
async def test_what_time_brings_is_done_when_it_is_due_though_the_clockwork_rested(
    hub: TestHub, setup: Setup, due_s: float
) -> None:
    local, ben = await hub.local(), await hub.agent("ben")
    await local.call(CreateRoom(room="build", open_to="all"))
    await ben.call(JoinRoom(room="build"))
    await local.call(queues.CreateQueue(queue="work"))
    began_ms = hub.clock.now_ms
    await setup(hub)
    clockwork = await rest(hub)
    hub.app.dispatch.presence.take_dirty()  # else the regular chore writes it
    before = changes(hub)
    hub.clock.now_ms = began_ms + int(due_s * 1000) - 500
    await clockwork.run_due()
    assert changes(hub) == before, "not before its time"
    hub.clock.advance(0.6)
    await clockwork.run_due()
    assert changes(hub) > before


async def test_what_rows_do_not_say_is_looked_for_no_more_often_than_it_should_be(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a client ended is in no row: while something is reserved that is looked at every 5 s, and nothing else."""
    local = await hub.local()
    await local.call(CreateRoom(room="build"))
    await local.call(Reserve(room="build", paths=("src/**",), ttl_s=1000))
    clockwork = await rest(hub)
    ran = recording(clockwork, monkeypatch)
    for _ in range(20):
        hub.clock.advance(1)
        await clockwork.run_due()
    assert ran == ["release_left_behind"] * 4


async def test_what_a_full_queue_refuses_is_tried_again_when_it_is_due_and_not_between(hub: TestHub) -> None:
    local = await hub.local()
    await local.call(CreateRoom(room="build"))
    await local.call(queues.CreateQueue(queue="work", max_open=1))
    await local.call(queues.EnqueueTask(queue="work", body="fills it"))
    rule = {"room": "build", "name": "tasks", "then": [{"do": "copy", "queue": "work"}]}
    await local.call(AddRule.model_validate(rule))
    await local.call(PostMessage(room="build", text="one"))
    clockwork, tried_s = await rest(hub), list[int]()
    hub.app.dispatch.presence.take_dirty()
    for second in range(20):
        before = changes(hub)
        hub.clock.advance(1)
        await clockwork.run_due()
        if changes(hub) > before:
            tried_s.append(second)
    first, second = tried_s
    assert 7 <= second - first <= 9, "twice as long after every refusal"


async def test_expired_texts_do_not_stay_in_the_way_of_looking_for_more(hub: TestHub) -> None:
    """Found by reading: every tick went through all messages that had ever expired."""
    local = await hub.local()
    await local.call(CreateRoom(room="build"))
    for _ in range(50):
        await local.call(PostMessage(room="build", text="gone", ttl_s=10))
    redacted = await local.call(PostMessage(room="build", text="redacted", ttl_s=10))
    await local.call(RedactMessage(room="build", message=redacted.id))
    await local.call(PostMessage(room="build", text="stays", ttl_s=1000))
    hub.clock.advance(11)
    await rest(hub)
    steps = 0

    def count(_number: int = 0) -> int:
        nonlocal steps
        steps += 1
        return 0

    def look(tx: Tx) -> None:
        connection = tx._connection  # type: ignore[attr-defined]
        connection.set_progress_handler(count, 1)
        tx.row(housekeeping.FIRST_EXPIRED)
        connection.set_progress_handler(None, 0)

    await hub.app.store.read(look)
    assert steps < 30
    assert [m.text for m in (await local.call(ListMessages(room="build"))).items if m.text] == ["stays"]


async def test_a_resting_clockwork_is_woken_by_what_is_written(tmp_path: Path) -> None:
    """On a real clock: nothing but the write and its time tell it."""
    async with running_hub(tmp_path, clock=HubClock()) as hub:  # type: ignore[arg-type]
        local = await hub.local()
        await local.call(CreateRoom(room="build"))
        clockwork = hub.app.service(Clockwork)
        await eventually(clockwork._rests, within_s=5)
        await local.call(PostMessage(room="build", text="secret", ttl_s=2))

        async def is_blank() -> bool:
            rows = await hub.app.store.read(lambda tx: [bytes(row[0]) for row in tx.rows("select data from event")])
            return not any(b"secret" in data for data in rows)

        assert not await is_blank()
        await eventually(is_blank, within_s=4)
