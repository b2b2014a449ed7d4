"""What time does to tasks: leases run out, pauses and time limits end. Each is seen within a second."""

from __future__ import annotations

from typing import LiteralString

from hub.core.call import Call
from hub.features.queues.contract import TasksForgotten
from hub.features.queues.ready import ready_tasks
from hub.features.queues.tasks import load_queue
from hub.features.queues.workers import assign_ready, settle_due
from hub.log.chore import Chore
from hub.log.log import append, blank, hold
from hub.storage.interface import Tx

BATCH = 100
DAY_MS = 86_400_000
_FINISHED: LiteralString = (
    "select seq, ended_seq from task where log = :log and ended_at <= :before order by ended_at, seq limit :most"
)

_FIRST_DUE: LiteralString = (
    "select min(due) from ("
    "select (select min(until) from lease where lease.log = queue.log and until > 0) as due from queue"
    " where open_tasks > 0"
    " union all select min(ready_at) from lease where ready_at > 0"
    " union all select min(expires_at) from task where state = 'open' and expires_at <> 4611686018427387904) as times"
)


def return_due(tx: Tx, call: Call) -> bool:
    """Give back or bury up to 100 tasks per queue whose lease, pause or time is over."""
    rows = tx.rows(
        "select log from queue where open_tasks > 0"
        " and exists (select 1 from lease where lease.log = queue.log and until > 0 and until <= :now)"
        " union select distinct log from lease where ready_at > 0 and ready_at <= :now"
        " union select distinct task.log from task left join lease on lease.log = task.log and lease.seq = task.seq"
        " where state = 'open' and expires_at <> 4611686018427387904 and expires_at <= :now"
        " and (lease.until is null or lease.until <= :now) order by 1",
        now=call.now_ms,
    )
    more = False
    for row in rows:
        hold(tx, row[0])  # nobody finishes a task of this queue between the look below and its end
        queue = load_queue(tx, row[0])
        assert queue is not None, "the queue of a task"
        more |= settle_due(tx, call, queue, BATCH) == BATCH
        assign_ready(tx, call, queue)
    return more


def assign_waiting(tx: Tx, call: Call) -> bool:
    """Give what waits in push queues to workers that came back: a breaker half open, a heartbeat."""
    for row in tx.rows("select log from queue where mode = 'push' and open_tasks > 0 and paused = 0 order by log"):
        if not ready_tasks(tx, row[0], 1):
            continue
        hold(tx, row[0])
        queue = load_queue(tx, row[0])
        assert queue is not None, "it was there a moment ago"
        assign_ready(tx, call, queue)
    return False


def forget_finished(tx: Tx, call: Call) -> bool:
    """Forget up to 100 finished tasks of each queue that were kept long enough: rows, bodies, results, reasons."""
    more = False
    for row in tx.rows("select log, keep_days from queue where keep_days is not null order by log"):
        old = {"log": row[0], "before": call.now_ms - row[1] * DAY_MS, "most": BATCH}
        if not tx.rows(_FINISHED, **old):
            continue
        hold(tx, row[0])
        finished = tx.rows(_FINISHED, **old)
        append(tx, call, row[0], TasksForgotten(tasks=tuple(one[0] for one in finished)), actor=0)
        blank(tx, row[0], [seq for one in finished for seq in (one[0], one[1])], "expired")
        more |= len(finished) == BATCH
    return more


CHORES = [
    Chore(0.5, return_due, _FIRST_DUE),
    Chore(1, assign_waiting, "select min(0) from queue where mode = 'push' and open_tasks > 0 and paused = 0"),
    Chore(60, forget_finished),
]
