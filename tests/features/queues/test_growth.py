"""What a task costs does not depend on how many others there are: steps of the database are counted, not time."""

from __future__ import annotations

from typing import Any, Final, LiteralString, TypeVar

from hub.core.operation import Request, Result
from hub.features.queues import contract as c
from hub.features.queues.ready import READY
from tests.support.memory import MemoryHub

R = TypeVar("R", bound=Result)
BOSS, WORKER = 1, 2
FOREVER: Final = 2**62
_TASKS: Final[LiteralString] = (
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < :count) insert into task"
    " (log, seq, sender, body, priority, sort_at, ready_at, expires_at, state, attempts, grp)"
    " select :log, :first + i, 1, '1', 'normal', 1, :ready_at, :expires_at, :state, 0, :grp from n"
)
_LEASES: Final[LiteralString] = (
    "insert into lease (log, seq, token, agent, attempt, until, ready_at)"
    " select log, seq, :token, 3, 0, :until, :ready_at from task where log = :log and seq > :first"
)


def crowded(count: int) -> MemoryHub:
    """A queue in which `count` tasks each are delayed, leased, blocked in a group, about to expire and done."""
    hub = MemoryHub()
    hub.run(BOSS, c.CreateQueue(queue="work", open_to="all", max_open=10_000_000))
    log = hub.tx.row("select max(log) from queue")[0]  # type: ignore[index]
    later = hub.now_ms + 3_600_000

    def fill(kind: int, *, state: str = "open", grp: str | None = None, expires_at: int = FOREVER) -> dict[str, Any]:
        place = {"log": log, "first": 10_000_000 * kind}
        fields = {"count": count, "ready_at": 0, "expires_at": expires_at, "state": state, "grp": grp}
        hub.tx.run(_TASKS, **place, **fields)
        return place

    hub.tx.run(_LEASES, **fill(1), token="", until=0, ready_at=later)
    hub.tx.run(_LEASES, **fill(2), token="t", until=later, ready_at=0)
    fill(3, grp="g")
    fill(4, expires_at=later)
    fill(5, state="done")
    hub.tx.run("update queue set open_tasks = :open where log = :log", open=4 * count, log=log)
    hub.tx.forget(("open tasks", log))
    hub.tx.keep()
    hub.run(BOSS, c.PauseQueue(queue="work"))
    hub.run(BOSS, c.ResumeQueue(queue="work"))
    return hub


def counted(hub: MemoryHub, agent: int, request: Request[R]) -> tuple[int, R]:
    """How many instructions SQLite ran for it, what is written behind included; and the result."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    hub._connection.set_progress_handler(step, 1)
    result = hub.run(agent, request)
    hub.tx.flush()
    hub._connection.set_progress_handler(None, 0)
    return count, result


def one_task(count: int) -> dict[str, int]:
    """Steps of each thing that happens to a task beside `count` others of each sort."""
    hub, cost = crowded(count), dict[str, int]()
    cost["enqueue"], sent = counted(hub, BOSS, c.EnqueueTask(queue="work", body=1))
    for end in (c.NackTask, c.ReleaseTask, c.AckTask):
        cost[f"claim before {end.__name__}"], found = counted(hub, WORKER, c.ClaimTasks(queue="work"))
        fields: dict[str, Any] = {"task": sent.id, "lease_token": found.items[0].lease_token}
        if end is c.NackTask:
            fields["delay_s"] = 0
        cost[end.__name__], _ = counted(hub, WORKER, end(**fields))
    cost["claim in vain"], found = counted(hub, WORKER, c.ClaimTasks(queue="work"))
    assert found.items == ()
    cost["look"], _ = counted(hub, BOSS, c.GetTask(task=sent.id))
    hub.close()
    return cost


def test_a_hundred_thousand_other_tasks_cost_a_claim_no_step_more() -> None:
    assert one_task(100_000) == one_task(10)


def test_ready_tasks_come_out_of_their_index_without_sorting() -> None:
    hub = MemoryHub()
    plan = [row[3] for row in hub._connection.execute("explain query plan " + READY, {"log": 1, "limit": 1})]
    hub.close()
    assert plan[0].startswith("SEARCH ready USING PRIMARY KEY (log=?)")
    assert not [step for step in plan if "SCAN" in step or "TEMP B-TREE" in step]
