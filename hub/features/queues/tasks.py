"""Queues and tasks as values: loading them, and how callers see them. What changes them is in `leases` and `ready`."""

from __future__ import annotations

from typing import Any, Final, LiteralString, NamedTuple

import orjson

from hub.core.call import Call
from hub.core.names import make_id, split_id
from hub.core.times import rfc3339
from hub.features.queues import contract as c
from hub.features.queues import rules
from hub.log.log import agent_name, find_stream, load_stream
from hub.storage.interface import Row, Tx

KEPT_BODY: Final = 1024  # characters of a body that may stay in memory beside its task
_QUEUE: Final[LiteralString] = (
    "select log, owner, open_to, max_attempts, paused, mode, strategy, assign_timeout_ms, max_open, draining, keep_days"
    " from queue "
)
COLUMNS: Final[LiteralString] = (
    "task.seq, task.sort_at, case when length(body) <= 1024 then body end, priority, state, result, reason, attempts,"
    " expires_at, task.reasons, grp, sticky, worker, lease.token, lease.agent, lease.attempt, lease.until,"
    " lease.handed_at, lease.reasons, lease.progress, lease.note"
)
_TASK: Final[LiteralString] = (
    "select " + COLUMNS + " from task left join lease on lease.log = task.log and lease.seq = task.seq"
    " where task.log = :log"
)
DUE: Final[LiteralString] = (
    "select seq from lease where until > 0 and until <= :now and log = :log"
    " union select seq from lease where ready_at > 0 and ready_at <= :now and log = :log"
    " union select task.seq from task left join lease on lease.log = task.log and lease.seq = task.seq"
    " where state = 'open' and expires_at <> 4611686018427387904 and expires_at <= :now and task.log = :log"
    " and (lease.until is null or lease.until <= :now)"
)


class Queue(NamedTuple):
    log: int
    owner: int
    open_to: c.OpenTo
    max_attempts: int
    paused: bool
    mode: c.QueueMode
    strategy: c.Strategy
    assign_timeout_ms: int
    max_open: int
    draining: bool
    keep_days: int | None

    @property
    def pushes(self) -> bool:
        return self.mode == "push"


class TaskRow(NamedTuple):
    """A task with its newest hand-out, if there was one. A long `body` is None: `view` reads it when it is needed.

    A tuple, because thousands a second are made, and changed by making another.
    """

    seq: int
    sort_at: int
    body: str | None
    priority: c.Priority
    state: c.State
    result: str | None
    reason: str | None
    attempts: int
    expires_at: int
    reasons: tuple[str, ...]
    group: str | None
    sticky: str | None
    worker: int | None
    lease: rules.Lease | None

    def held_by(self, lease: rules.Lease | None) -> TaskRow:
        """The task with another hand-out. By position: `_replace` costs five times as much."""
        return TaskRow(*self[:13], lease)

    @property
    def attempt(self) -> int:
        """How often an open task was handed out in this life."""
        return self.lease.attempt if self.lease is not None else 0

    @property
    def failed_because(self) -> tuple[str, ...]:
        """Reasons so far: an open task's are beside its lease, a dead one's in its event."""
        if self.state == "open":
            return self.lease.reasons if self.lease is not None else ()
        return self.reasons

    def over(self, max_attempts: int, now_ms: int) -> bool:
        """Whether nobody may have the task any more: its time or its attempts have run out."""
        return self.expires_at <= now_ms or self.attempt >= max_attempts


def load_queue(tx: Tx, log: int) -> Queue | None:
    """The queue, from memory where this process is the only writer; its projections forget it when it changes."""

    def load() -> Queue | None:
        row = tx.row(_QUEUE + "where log = :log", log=log)
        return None if row is None else _queue(row)

    return tx.memo(("queue", log), load)


def open_tasks(tx: Tx, log: int) -> int:
    """How many tasks of the queue are not finished."""

    def load() -> int:
        row = tx.row("select open_tasks from queue where log = :log", log=log)
        return 0 if row is None else int(row[0])

    return tx.memo(("open tasks", log), load)


def usable_queues(tx: Tx, call: Call) -> list[Queue]:
    """The queues open to the caller, oldest first, at most 200."""
    rows = tx.rows(
        _QUEUE + "where open_to = 'all' or owner = :owner order by log limit 200", owner=call.principal.owner
    )
    return [_queue(row) for row in rows]


def _queue(row: Row) -> Queue:
    return Queue(
        log=row[0],
        owner=row[1],
        open_to=row[2],
        max_attempts=row[3],
        paused=bool(row[4]),
        mode=row[5],
        strategy=row[6],
        assign_timeout_ms=row[7],
        max_open=row[8],
        draining=bool(row[9]),
        keep_days=row[10],
    )


def _open(tx: Tx, call: Call, log: int) -> Queue | None:
    """The queue; None also for one that is not open to the caller, so that it looks like a missing one."""
    queue = load_queue(tx, log)
    return queue if queue is not None and (queue.open_to == "all" or queue.owner == call.principal.owner) else None


def named(tx: Tx, call: Call, name: str) -> Queue:
    """The queue with this name; raises QueueNotFound."""
    log = find_stream(tx, "queue", name)
    queue = None if log is None else _open(tx, call, log)
    if queue is None:
        raise rules.QueueNotFound(f"queue {name!r} not found; list your queues or create it")
    return queue


def load_task(tx: Tx, log: int, seq: int) -> TaskRow | None:
    row = tx.row(_TASK + " and task.seq = :seq", log=log, seq=seq)
    return None if row is None else task_row(row)


def find_task(tx: Tx, call: Call, task: str) -> tuple[Queue, TaskRow]:
    """The task with this id and its queue; raises TaskNotFound."""
    log, seq = split_id("t", task, rules.TaskNotFound)
    queue, found = _open(tx, call, log), load_task(tx, log, seq)
    if found is None or queue is None:
        raise _no_task(task)
    return queue, found


def held(tx: Tx, call: Call, task: str, token: str) -> tuple[Queue, TaskRow, rules.Lease]:
    """A task the caller holds with this token; raises LeaseLost. What was handed out a moment ago is in memory."""
    log, seq = split_id("t", task, rules.TaskNotFound)
    queue, row = _open(tx, call, log), tx.memo(("task", log, seq), lambda: load_task(tx, log, seq))
    if row is None or queue is None:
        raise _no_task(task)
    return queue, row, rules.must_hold(row.state, row.lease, token, call.agent, call.now_ms)


def _no_task(task: str) -> rules.TaskNotFound:
    return rules.TaskNotFound(f"task {task!r} not found; ids come from results of enqueue and claim")


def task_row(row: Row) -> TaskRow:
    """A row of `COLUMNS` as a value."""
    lease = None
    if row[13] is not None:
        lease = rules.Lease(row[13], row[14], row[15], row[16], row[17] or 0, _texts(row[18]), row[19], row[20])
    ended = (row[4], row[5], row[6], row[7], row[8], _texts(row[9]))
    return TaskRow(row[0], row[1], row[2], row[3], *ended, row[10], row[11], row[12], lease)


def _texts(kept: str | None) -> tuple[str, ...]:
    return () if kept is None else tuple(orjson.loads(kept))


def assigned_tasks(tx: Tx, call: Call, log: int, agent: int, limit: int) -> list[TaskRow]:
    """What is assigned to this worker and not started."""
    mine: LiteralString = (
        " and state = 'open' and lease.token = '' and lease.agent = :agent and lease.until > :now"
        " order by task.sort_at, task.seq limit :limit"
    )
    return _list(tx, _TASK + mine, log=log, agent=agent, now=call.now_ms, limit=limit)


def due_tasks(tx: Tx, call: Call, log: int, limit: int) -> list[TaskRow]:
    """What time has changed: a lease, an assignment, a pause or the task's own time is over."""
    due = _TASK + " and task.seq in (" + DUE + " order by 1 limit :limit) order by task.seq"
    return _list(tx, due, log=log, now=call.now_ms, limit=limit)


def dead_tasks(tx: Tx, log: int, limit: int) -> list[TaskRow]:
    return _list(tx, _TASK + " and state = 'dead' order by task.seq limit :limit", log=log, limit=limit)


def _list(tx: Tx, sql: LiteralString, **params: Any) -> list[TaskRow]:
    return [task_row(row) for row in tx.rows(sql, **params)]


def view(tx: Tx, call: Call, log: int, row: TaskRow) -> c.Task:
    """The task as the caller may see it."""
    lease = row.lease if row.state == "open" else None
    if lease is not None and call.now_ms >= lease.until_ms:
        lease = None
    holds = lease is not None and lease.token != ""
    worker = row.worker if lease is None else lease.agent
    return c.Task.trusted(
        deduplicated=False,
        id=make_id("t", log, row.seq),
        queue=load_stream(tx, log).name,
        body=orjson.loads(_body(tx, log, row.seq) if row.body is None else row.body),
        priority=row.priority,
        state=row.state,
        attempt=row.attempt if row.state == "open" else row.attempts,
        lease_token=lease.token if lease is not None and holds and lease.agent == call.principal.agent else None,
        lease_expires_at=rfc3339(lease.until_ms) if lease is not None and holds else None,
        result=None if row.result is None else orjson.loads(row.result),
        reason=row.reason,
        reasons=row.failed_because,
        worker=None if worker is None else agent_name(tx, worker),
        group=row.group,
        progress=lease.progress if lease is not None and holds else None,
        note=lease.note if lease is not None and holds else None,
    )


def _body(tx: Tx, log: int, seq: int) -> str:
    row = tx.row("select body from task where log = :log and seq = :seq", log=log, seq=seq)
    assert row is not None, "the body of a task that is there"
    return str(row[0])


def view_again(tx: Tx, call: Call, log: int, seq: int) -> c.Task:
    row = load_task(tx, log, seq)
    assert row is not None, "it was there a moment ago"
    return view(tx, call, log, row)


def kept_task(tx: Tx, log: int, seq: int) -> TaskRow:
    """A task that an earlier call had to do with; raises TaskNotFound when it was forgotten since."""
    row = load_task(tx, log, seq)
    if row is None:
        raise _no_task(make_id("t", log, seq))
    return row


def describe(tx: Tx, call: Call, queue: Queue) -> c.QueueInfo:
    """The queue with its counts."""
    leased = tx.row(
        "select count(*) from lease where log = :log and token <> '' and until > :now", log=queue.log, now=call.now_ms
    )
    return c.QueueInfo(
        queue=load_stream(tx, queue.log).name,
        open_to=queue.open_to,
        mode=queue.mode,
        strategy=queue.strategy if queue.pushes else None,
        max_attempts=queue.max_attempts,
        max_open=queue.max_open,
        keep_days=queue.keep_days,
        paused=queue.paused,
        draining=queue.draining,
        ready=_count_ready(tx, call, queue),
        leased=0 if leased is None else leased[0],
        open=open_tasks(tx, queue.log),
        dead=len(dead_tasks(tx, queue.log, 100)),
    )


def _count_ready(tx: Tx, call: Call, queue: Queue) -> int:
    """What can be started now, exact to 100: what is ready or assigned, and what time has just made so."""
    row = tx.row(
        "select count(*) from (select 1 from ready join task on task.log = ready.log and task.seq = ready.seq"
        " where ready.log = :log and expires_at > :now"
        " union all select 1 from lease where log = :log and token = '' and until > :now limit 100) as found",
        log=queue.log,
        now=call.now_ms,
    )
    due = [one for one in due_tasks(tx, call, queue.log, 100) if not one.over(queue.max_attempts, call.now_ms)]
    return min(100, (0 if row is None else row[0]) + sum(is_first(tx, queue.log, one) for one in due))


def is_first(tx: Tx, log: int, row: TaskRow) -> bool:
    """Whether no older task of its group is open. Of a group only the oldest open task is handed out."""
    if row.group is None:
        return True
    older = tx.row(
        "select 1 from task where log = :log and grp = :grp and state = 'open' and seq < :seq limit 1",
        log=log,
        grp=row.group,
        seq=row.seq,
    )
    return older is None
