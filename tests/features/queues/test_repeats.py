"""A call repeated under its key is answered as it was the first time, whatever has happened to the task since."""

from __future__ import annotations

from typing import Any

import pytest

from hub.features.queues import contract as c
from tests.support.hubs import TestHub


async def everything(hub: TestHub) -> list[tuple[Any, Any, str, Any]]:
    """(who, request, key, first answer) of each call in the lives of two tasks, of which one failed once."""
    boss, worker = await hub.agent("boss"), await hub.agent("worker", "code")
    await boss.call(c.CreateQueue(queue="work", open_to="all"))
    made: list[tuple[Any, Any, str, Any]] = []

    async def call(who: Any, request: Any) -> Any:
        key = f"key-{len(made)}"
        made.append((who, request, key, await who.call(request, key=key)))
        return made[-1][3]

    body = {"long": "ä" * 2000, "n": 10**30}
    sent = await call(boss, c.EnqueueTask(queue="work", body=body, priority="high", group="g"))
    held = (await call(worker, c.ClaimTasks(queue="work"))).items[0]
    await call(worker, c.NackTask(task=sent.id, lease_token=held.lease_token, reason="no luck", delay_s=0))
    held = (await call(worker, c.ClaimTasks(queue="work", max=3, lease_s=10))).items[0]
    assert (held.attempt, held.reasons) == (2, ("no luck",))
    await call(worker, c.ExtendTask(task=sent.id, lease_token=held.lease_token, progress=0.5, note="half"))
    await boss.call(c.EnqueueTask(queue="work", body="second"))
    ack = c.AckTask(task=sent.id, lease_token=held.lease_token, result=[1, None], next_lease_s=30)
    second = (await call(worker, ack)).next
    assert (second.body, second.attempt, second.lease_token != held.lease_token) == ("second", 1, True)
    ack = c.AckTask(task=second.id, lease_token=second.lease_token, result="last", next_lease_s=30)
    assert (await call(worker, ack)).next is None
    await call(worker, c.ClaimTasks(queue="work"))
    return made


@pytest.mark.anyio
async def test_each_call_in_a_tasks_life_is_repeated_as_it_was(hub: TestHub) -> None:
    for who, request, key, first in await everything(hub):
        again = await who.call(request, key=key)
        assert again.deduplicated
        assert again.model_dump() == {**first.model_dump(), "deduplicated": True}, type(request).__name__


@pytest.mark.anyio
async def test_what_is_kept_for_a_repeat_has_no_second_copy_of_the_body(hub: TestHub) -> None:
    await everything(hub)
    kept = await hub.app.store.read(
        lambda tx: [
            bytes(row[0] or b"")
            for row in tx.rows(
                "select response from idempotency where op in ('tasks.enqueue', 'queues.claim', 'tasks.ack')"
            )
        ]
    )
    assert len(kept) == 6
    assert max(map(len, kept)) < 200
