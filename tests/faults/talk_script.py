"""A hub that sends, edits, redacts, claims, finishes, gives up and buries tasks, in a process of its own.

Every acknowledged step is a line of `report`, written before the next step begins, so that a system call trace of
the process shows what was acknowledged when. Tests kill it at a call, or cut the power between two.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from hub.core.caller import Caller
from hub.core.errors import HubError
from hub.features.messages.contract import EditMessage, PostMessage, RedactMessage
from hub.features.queues.contract import AckTask, ClaimTasks, CreateQueue, EnqueueTask, NackTask
from hub.kernel.rooms.contract import CreateRoom
from hub.storage.sqlite import SqliteStore
from tests.support.hubs import Clock, running_hub

AUTOCHECKPOINT_PAGES = 40  # small, so that a short run folds its log many times


async def main(home: Path, report: Path, rounds: int, synchronous: str) -> None:
    """Each round is a burst that commits in groups, and a task to its end."""
    lives = report.read_text().count("\n") if report.exists() else 0
    clock = Clock(1_800_000_000_000 + 600_000 * lives)  # later than any earlier life's, whose leases ran out
    descriptor = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(*words: object) -> None:
        os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())

    store = SqliteStore(home, synchronous=synchronous)
    async with running_hub(home, store=store, clock=clock) as hub:
        store._writer.execute(f"pragma wal_autocheckpoint={AUTOCHECKPOINT_PAGES}").close()
        local = await hub.local()
        for request in (CreateRoom(room="build"), CreateQueue(queue="work", max_attempts=1)):
            with suppress(HubError):  # an earlier life made it
                await local.call(request)
        for number in range(rounds):
            await one_round(local, number, tell)
    tell("over")


async def one_round(local: Caller, number: int, tell: Any) -> None:
    async def send(part: int) -> None:
        text = f"{number}.{part} " + "x" * (200 + 700 * (part % 3))
        sent = await local.call(PostMessage(room="build", text=text))
        tell("sent", sent.seq, f"{number}.{part}")

    await asyncio.gather(*(send(part) for part in range(6)))
    last = await local.call(PostMessage(room="build", text=f"{number}.last"))
    await local.call(EditMessage(room="build", message=last.id, text=f"{number}.edited"))
    await local.call(RedactMessage(room="build", message=last.id))
    tell("redacted", last.seq)
    for ending in ("done", "dead"):
        task = await local.call(EnqueueTask(queue="work", body=f"{number}.{ending}"))
        tell("task", task.id, "ready")
        held = (await local.call(ClaimTasks(queue="work"))).items[0]
        tell("task", held.id, "claimed")
        token = held.lease_token or ""
        if ending == "done":
            await local.call(AckTask(task=held.id, lease_token=token, result="ok"))
        else:
            await local.call(NackTask(task=held.id, lease_token=token, reason="no"))
        tell("task", held.id, ending)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
