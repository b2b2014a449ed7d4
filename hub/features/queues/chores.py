"""What time does to tasks: leases run out, pauses and time limits end. Each is seen within a second."""

from __future__ import annotations

from hub.core.call import Call
from hub.features.queues.tasks import load_queue, unassigned_tasks
from hub.features.queues.workers import assign_ready, settle_due
from hub.log.log import hold
from hub.storage.interface import Tx

BATCH = 100


def return_due(tx: Tx, call: Call) -> bool:
    """Give back or bury up to 100 tasks per queue whose lease, pause or time is over."""
    rows = tx.rows(
        "select distinct log from lease where until > 0 and until <= :now"
        " union select distinct log from lease where ready_at > 0 and ready_at <= :now"
        " union select distinct task.log from task left join lease on lease.log = task.log and lease.seq = task.seq"
        " where state = 'open' and expires_at <= :now and (lease.until is null or lease.until <= :now) order by 1",
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
        if not unassigned_tasks(tx, call, row[0], 1):
            continue
        hold(tx, row[0])
        queue = load_queue(tx, row[0])
        assert queue is not None, "it was there a moment ago"
        assign_ready(tx, call, queue)
    return False


CHORES = [(0.5, return_due), (1, assign_waiting)]
